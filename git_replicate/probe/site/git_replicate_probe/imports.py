"""What a process has imported: which packages, from where, and the files of code that are not installed.

Looked up in `sys.modules`, at growing intervals while the process opens files and once at its end, for that sees
modules whose files no audit event names.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.session import Probe

_FIRST, _LONGEST = 1.0, 60.0
"""Seconds between two looks."""
_OWN = frozenset({"__main__", "__mp_main__", "sitecustomize", "usercustomize", "git_replicate_probe"})


class Imports:
    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._known = set(sys.modules)  # what `.pth` files have imported is no doing of the program's
        self._standard: Any = getattr(sys, "stdlib_module_names", frozenset())
        self._library = os.path.dirname(os.__file__) + "/"

    def look(self) -> None:
        """Note what has been imported since the last look."""
        found: dict[str, str] = {}
        files = self._probe.files
        for name, module in list(sys.modules.items()):
            if name in self._known:
                continue
            spec = getattr(module, "__spec__", None)
            if getattr(spec, "_initializing", False):
                continue
            self._known.add(name)
            path = _file_of(module)
            if files is not None and path.startswith("/"):
                self._probe.guarded("imports", files.loaded, path)
            if "." not in name and name not in _OWN and not self._is_standard(name, path):
                found[name] = path
        if found:
            self._probe.note("modules", modules=found)

    def _is_standard(self, name: str, path: str) -> bool:
        if name in self._standard or name in sys.builtin_module_names:
            return True
        return path.startswith(self._library) and "-packages/" not in path


def _file_of(module: Any) -> str:
    """The file that a module was loaded from, the first folder of a namespace package, or ""."""
    path = getattr(module, "__file__", None)
    if isinstance(path, str):
        return path if path.startswith("/") or not path else os.path.abspath(path)
    try:
        return str(next(iter(module.__path__), ""))
    except (AttributeError, TypeError):
        return ""


def install(probe: Probe) -> None:
    """Look at the end, and now and then before."""
    imports = Imports(probe)
    probe.at_end(imports.look)
    add = getattr(sys, "addaudithook", None)
    if add is None:
        return
    due = [time.monotonic() + _FIRST, _FIRST]

    def look_when_due(event: str, arguments: Any) -> None:
        if event == "import" and time.monotonic() > due[0]:
            due[1] = min(due[1] * 2, _LONGEST)
            due[0] = time.monotonic() + due[1]
            probe.guarded("imports", imports.look)

    add(look_when_due)
