"""Makes `import git_replicate` work in a run whose interpreter has no such package installed.

A finder at the very end of `sys.meta_path`: whatever else is called so, an installed one above all, comes first.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.session import Probe

_NAME = "git_replicate"
_INTEGRATIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "integrations")


def install(probe: Probe) -> None:
    """Have the calls of the program noted by this probe, whichever way it comes to them."""
    probe.on_import("git_replicate_probe.api", lambda module: module.attach(probe))
    sys.meta_path.append(Finder())


class Finder:
    """Finds `git_replicate`, and the loggers below it, where nobody else does."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Part of the import system."""
        if name != _NAME and name != f"{_NAME}.integrations":
            return None
        from importlib.machinery import ModuleSpec
        from importlib.util import spec_from_file_location

        if name == _NAME:
            loader: Any = Loader()
            return ModuleSpec(name, loader, is_package=True)
        folder = os.path.normpath(_INTEGRATIONS)
        return spec_from_file_location(name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])


class Loader:
    """Fills the package with what `api` has."""

    def create_module(self, spec: Any) -> None:
        """Part of the import system: an ordinary module will do."""

    def exec_module(self, module: Any) -> None:
        """Part of the import system."""
        from git_replicate_probe import api

        module.__doc__ = api.__doc__
        module.__all__ = list(api.__all__)
        for name in api.__all__:
            setattr(module, name, getattr(api, name))
