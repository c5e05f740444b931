"""Turns imports of an isolated run from the user's worktree to the checkout.

Python starts the probe after it has read the `.pth` files of its packages. Entries of `sys.path` and the mappings of
editable installs that lead into the worktree lead into the checkout from then on; a module that is found in the
worktree all the same - by a finder whose mapping is not known, by links, or by a path that the program adds itself -
is loaded from its counterpart in the checkout. What is loaded from the worktree even so is among the code that
`files` and `imports` note.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.session import Probe

_PLAIN_LOADERS = frozenset({"SourceFileLoader", "SourcelessFileLoader", "ExtensionFileLoader"})


def install(probe: Probe) -> None:
    """Map what is there already; nothing else is imported yet."""
    told = probe.settings["isolation"]
    target = os.path.realpath(told["to"])
    try:
        origins = [os.path.realpath(origin) for origin in told["from"]]
        for origin in origins:
            sys.path[:] = [str(_map_path(path, origin, target)) for path in sys.path]
            _map_finders(origin, target)
        sys.path_importer_cache.clear()
        sys.meta_path.insert(0, TurningFinder(origins, target))
    except (OSError, ValueError) as error:
        os.write(2, f"git replicate: imports are not turned to the checkout: {error}\n".encode("utf-8", "replace"))
        probe.failed("isolation", error)


class TurningFinder:
    """Asks the finders behind it, and turns what they find in the worktree to the checkout, if that has it."""

    def __init__(self, origins: list[str], target: str) -> None:
        self._origins = origins
        self._prefixes = tuple(origin + os.sep for origin in origins)
        self._target = target + os.sep

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        finders = sys.meta_path
        for finder in finders[finders.index(self) + 1 :] if self in finders else finders:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None else None
            if spec is not None:
                return self._turned(spec)
        return None

    def _turned(self, spec: Any) -> Any:
        """The spec of the checkout's file; a loader of another kind keeps its own."""
        file = spec.origin
        if not spec.has_location or type(spec.loader).__name__ not in _PLAIN_LOADERS or not isinstance(file, str):
            return spec
        if "/site-packages/" in file or "/dist-packages/" in file:
            return spec  # most of what is imported, and nothing of the worktree's own
        mapped = self._map(file)
        if mapped == file:
            return spec
        from importlib.util import spec_from_file_location

        folders = spec.submodule_search_locations
        inner = None if folders is None else [self._map(folder) for folder in folders]
        return spec_from_file_location(spec.name, mapped, submodule_search_locations=inner) or spec

    def _map(self, path: str) -> str:
        real = os.path.realpath(path)
        if real.startswith(self._target) or not real.startswith(self._prefixes):
            return path
        for origin in self._origins:
            mapped = str(_map_path(path, origin, self._target.rstrip(os.sep)))
            if mapped != path:
                return mapped
        return path

    def invalidate_caches(self) -> None:
        """Nothing is kept."""


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
