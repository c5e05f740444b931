"""Calls back when a module has just been executed, without a trace in the module or its loader afterwards."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class ImportWatch:
    """A finder that finds nothing itself: it has the others find, and wraps the loader's `exec_module` for once."""

    def __init__(self, failed: Callable[[str, BaseException], object]) -> None:
        self._failed = failed
        self._wanted: dict[str, list[Callable[[Any], object]]] = {}

    def add(self, name: str, callback: Callable[[Any], object]) -> None:
        self._wanted.setdefault(name, []).append(callback)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Part of the import system: the spec that the other finders have for a module that is waited for."""
        if name not in self._wanted:
            return None
        callbacks = self._wanted.pop(name)
        spec = None
        try:
            for finder in list(sys.meta_path):
                find = None if finder is self else getattr(finder, "find_spec", None)
                spec = find(name, path, target) if find is not None else None
                if spec is not None:
                    break
            if spec is None or spec.loader is None:
                return spec
            self._wrap(spec.loader, name, callbacks)
            callbacks = []
        except AttributeError as error:  # a loader that takes no attribute
            self._failed(f"on_import {name}", error)
            callbacks = []
        finally:
            if callbacks:  # it is not there, or not yet
                self._wanted[name] = callbacks + self._wanted.get(name, [])
        return spec

    def _wrap(self, loader: Any, name: str, callbacks: list[Callable[[Any], object]]) -> None:
        execute = loader.exec_module
        failed = self._failed

        def exec_module(module: Any) -> None:
            if getattr(getattr(module, "__spec__", None), "name", name) != name:
                execute(module)  # a loader that is shared between modules
                return
            if loader.__dict__.get("exec_module") is exec_module:
                del loader.exec_module
            execute(module)
            for callback in callbacks:
                try:
                    callback(module)
                except Exception as error:  # the program's import has succeeded, and is to stay so
                    failed(f"on_import {name}", error)

        loader.exec_module = exec_module
