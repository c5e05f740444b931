"""Paths relative to a folder that they lie in, by their names or by where they really are."""

from __future__ import annotations

import os


class Inside:
    """Asked of many paths: where a folder really is, is looked up once for all that lies in it."""

    def __init__(self, top: str) -> None:
        self._tops = [f"{path.rstrip('/')}/" for path in (top, os.path.realpath(top))]
        self._real: dict[str, str] = {}

    def path(self, path: str) -> str | None:
        """An absolute path relative to the top; None if it is not below it."""
        if path.startswith(self._tops[0]):
            return path[len(self._tops[0]) :]
        real = self._resolve(path)
        return real[len(self._tops[1]) :] if real.startswith(self._tops[1]) else None

    def _resolve(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder or "/").rstrip("/")
        whole = f"{self._real[folder]}/{name}"
        return os.path.realpath(whole) if os.path.islink(whole) else whole
