"""Which indexes have nothing in them but plain files and links that git compares with the working tree.

To know that of an index every one of its entries is listed, which in a large repository is a good part of a scan. So
what was found is remembered under the checksum that git ends an index with, in a file of a few lines: the content of
an index with that checksum is always the same. An index without one (`index.skipHash`) is listed every time.
"""

from __future__ import annotations

import contextlib
import os

_CHECKSUM = 20  # bytes; of a longer one the last
_KEPT = 32


class PlainIndexes:
    """The remembered indexes of a repository, for one reserved name; no file ("") remembers nothing."""

    def __init__(self, path: str, reserved: bytes) -> None:
        self._path = path
        self._reserved = reserved

    def key(self, index: str | None) -> str:
        """What an index is remembered under; "" if it cannot be."""
        if not self._path or index is None:
            return ""
        try:
            with open(index, "rb") as file:
                file.seek(-_CHECKSUM, os.SEEK_END)
                checksum = file.read()
        except OSError:
            return ""  # there is no index yet, which git sees as well
        return f"{checksum.hex()} {self._reserved.hex()}" if any(checksum) else ""

    def __contains__(self, key: str) -> bool:
        return bool(key) and key in self._lines()

    def add(self, key: str) -> None:
        """Remember an index; where nothing can be written it will be looked at again."""
        if not key:
            return
        lines = [*self._lines(), key][-_KEPT:]
        fresh = f"{self._path}.{os.getpid()}"
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(fresh, "w", encoding="ascii") as file:
                file.write("".join(f"{line}\n" for line in lines))
            os.replace(fresh, self._path)

    def _lines(self) -> list[str]:
        try:
            with open(self._path, encoding="ascii", errors="ignore") as file:
                return file.read().splitlines()
        except OSError:
            return []
