"""Turns imports of an isolated run from the user's worktree to the checkout.

Python starts the probe after it has read the `.pth` files of its packages. Entries of `sys.path` and the mappings of
editable installs that lead into the worktree lead into the checkout from then on. What is loaded from the
worktree all the same is among the code that `files` and `imports` note.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.session import Probe


def install(probe: Probe) -> None:
    """Map what is there already; nothing else is imported yet."""
    told = probe.settings["isolation"]
    target = os.path.realpath(told["to"])
    try:
        for origin in map(os.path.realpath, told["from"]):
            sys.path[:] = [str(_map_path(path, origin, target)) for path in sys.path]
            _map_finders(origin, target)
        sys.path_importer_cache.clear()
    except (OSError, ValueError) as error:
        os.write(2, f"git replicate: imports are not turned to the checkout: {error}\n".encode("utf-8", "replace"))
        probe.failed("isolation", error)


def _map_path(path: object, origin: str, target: str) -> object:
    """A path below the worktree as the same path of the checkout, if that has it; anything else as it is."""
    if not isinstance(path, str):
        return path
    real = os.path.realpath(path)
    if real != origin and not real.startswith(origin + os.sep):
        return path
    mapped = target + real[len(origin) :]
    return mapped if os.path.lexists(mapped) else path


def _map_finders(origin: str, target: str) -> None:
    """The finders of editable installs keep a MAPPING of package names to folders in their module."""
    modules = {getattr(finder, "__module__", "") for finder in sys.meta_path}
    for name, module in list(sys.modules.items()):
        if name not in modules and not name.startswith("__editable__"):
            continue
        mapping = getattr(module, "MAPPING", None)
        if isinstance(mapping, dict):
            for package, folder in list(mapping.items()):
                mapping[package] = _map_path(folder, origin, target)
        spaces: Any = getattr(module, "NAMESPACES", None)
        if isinstance(spaces, dict):
            for package, folders in list(spaces.items()):
                spaces[package] = [_map_path(folder, origin, target) for folder in folders]
