"""Hashes of files by their stat, so that an unchanged file is not read again.

Only a cache: where it cannot be opened, read or written, everything is hashed, and nothing else changes. What is known
of the files of a large folder is one row: twenty thousand rows take longer to write than the files to read.
"""

from __future__ import annotations

import marshal
import os
import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Final

from git_replicate.core.frozen import frozen

if TYPE_CHECKING:
    import sqlite3

_RACY_NS: Final = 2_000_000_000
"""A file changed less than this before it was hashed may change again without a trace: times can be that coarse."""
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS hashes (path BLOB PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER,"
    " inode TEXT, digest TEXT) WITHOUT ROWID"
)
_FOLDERS: Final = (
    "CREATE TABLE IF NOT EXISTS whole_folders (path BLOB PRIMARY KEY, stamp BLOB, digest TEXT, format TEXT, files BLOB)"
)
_FORMAT: Final = sys.implementation.cache_tag or ""
"""What `marshal` writes is read by the same version of Python alone."""
_Entry = tuple[int, int, int, str, str]
"""Size, times of the last changes of content and inode (ns), inode, digest."""


@frozen
class Stamp:
    """The stats of all files in a folder."""

    digest: bytes
    """Of their names, sizes, times and inodes."""
    changed: int
    """When the last of them was, ns since 1970."""


class StatCache:
    """A context: lookups inside, what is new is written at its end."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._error: type[Exception] = OSError
        self._new: dict[bytes, _Entry] = {}
        self._whole: tuple[bytes, ...] = ()
        self._read: dict[bytes, _Entry] = {}
        self._new_folders: list[tuple[bytes, bytes, str, str, bytes]] = []

    def __enter__(self) -> StatCache:
        import sqlite3  # late: most runs hash nothing

        self._error = sqlite3.Error
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self._database = sqlite3.connect(self._path, timeout=0.5, isolation_level=None)
            self._database.execute("PRAGMA synchronous=OFF")
            self._database.execute(_TABLE)
            self._database.execute(_FOLDERS)
        except (self._error, OSError):
            self._close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._database is not None and (self._new or self._new_folders):
            rows = [(_absolute(path), *entry) for path, entry in self._new.items()]
            try:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?)", rows)
                self._database.executemany(
                    "INSERT OR REPLACE INTO whole_folders VALUES (?, ?, ?, ?, ?)", self._new_folders
                )
                self._database.execute("COMMIT")
            except self._error:
                self._new, self._new_folders = {}, []  # somebody else writes, or the disk is full: hash again next time
        self._close()

    def expect(self, folder: bytes) -> None:
        """Read all that is known of the files in a folder at once: quicker than to ask for each."""
        if self._database is None:
            return
        inside = _inside(folder)
        query = "SELECT path, size, mtime, ctime, inode, digest FROM hashes WHERE path >= ? AND path < ?"
        together = "SELECT files FROM whole_folders WHERE path=? AND format=?"
        try:
            rows = self._database.execute(query, (inside, inside[:-1] + b"0")).fetchall()
            row = self._database.execute(together, (inside, _FORMAT)).fetchone()
            files: dict[bytes, _Entry] = marshal.loads(row[0]) if row else {}
        except self._error:
            self._close()
            return
        except (ValueError, EOFError, TypeError):  # not what we wrote
            files = {}
        self._read.update((row[0], row[1:]) for row in rows)
        self._read.update((folder + b"/" + name, entry) for name, entry in files.items())
        self._whole = (*self._whole, inside)

    def get(self, path: bytes, status: os.stat_result) -> str | None:
        """The digest of a file with exactly this stat, or None."""
        if self._database is None:
            return None
        known = self._read.get(path)
        if known is not None:
            stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, _inode(status))
            return known[4] if known[:4] == stamp else None
        if path.startswith(self._whole):
            return None
        query = "SELECT digest FROM hashes WHERE path=? AND size=? AND mtime=? AND ctime=? AND inode=?"
        key = (os.path.abspath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, _inode(status))
        try:
            row = self._database.execute(query, key).fetchone()
        except self._error:
            self._close()
            return None
        return str(row[0]) if row else None

    def put(self, path: bytes, status: os.stat_result, digest: str, began: int) -> None:
        """Remember a digest that was computed from `began` (ns) on, if no later change can hide behind the stat.

        `status` is that of the very file that was read, after it was.
        """
        if max(status.st_mtime_ns, status.st_ctime_ns) + _RACY_NS >= began:
            return
        self._new[path] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, _inode(status), digest)

    def get_folder(self, path: bytes, stamp: Stamp | None) -> str | None:
        """The digest of a folder all of whose files have exactly these stats, or None."""
        if self._database is None or stamp is None:
            return None
        query = "SELECT digest FROM whole_folders WHERE path=? AND stamp=?"
        try:
            row = self._database.execute(query, (_inside(path), stamp.digest)).fetchone()
        except self._error:
            self._close()
            return None
        return str(row[0]) if row else None

    def put_folder(self, path: bytes, stamp: Stamp | None, digest: str, began: int, names: Iterable[bytes]) -> None:
        """Remember a folder's digest under the same rule as a file's, and what is known of its files, as one.

        The stamp is from before `began` (ns); names: of the files, relative to the folder.
        """
        if stamp is None:
            return
        known: dict[bytes, _Entry] = {}
        for name in names:
            inner = path + b"/" + name
            entry = self._new.pop(inner, None) or self._read.get(inner)
            if entry is not None:
                known[name] = entry
        settled = stamp.changed + _RACY_NS < began
        whole = (stamp.digest, digest) if settled else (b"", "")
        self._new_folders.append((_inside(path), *whole, _FORMAT, marshal.dumps(known)))

    @staticmethod
    def now() -> int:
        """The clock that file times are compared with, ns since 1970."""
        return time.time_ns()

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _inside(folder: bytes) -> bytes:
    """What the paths of all that is in a folder begin with."""
    return os.path.abspath(folder).rstrip(b"/") + b"/"


def _absolute(path: bytes) -> bytes:
    plain = path.startswith(b"/") and b"/." not in path and b"//" not in path
    return path if plain else os.path.abspath(path)


def _inode(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"
