"""Loose objects, written as git writes them, and everything flushed that a power cut must not take.

A run writes some ten small objects. One `git hash-object` for each costs 2 to 4 ms, and importing pygit2 some 70 ms;
a loose object made here costs 0.1 ms. Source: git's `gitformat-loose` (a zlib stream of `kind size NUL content`,
named by its hash); the temporary files are named as git names its own, so that `git prune` clears up after a kill -9.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
import zlib
from collections.abc import Iterable, Sequence

from git_replicate.core.errors import StorageError
from git_replicate.core.patterns import lazy
from git_replicate.git.repository import Layout, Oid

_NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EROFS)
"""What file systems answer that cannot flush a folder."""
_ATTEMPTS = 100
_FLUSHERS = 4
_OID = lazy(rb"([0-9a-f]{40}|[0-9a-f]{64})\n?")


def objects_dir(layout: Layout) -> str:
    """Where new objects go: `GIT_OBJECT_DIRECTORY`, as git reads it, or the repository's own folder."""
    chosen = os.environ.get("GIT_OBJECT_DIRECTORY") or os.path.join(layout.common_dir, "objects")
    return os.path.join(layout.top or layout.git_dir, chosen)


def own_permissions(layout: Layout) -> bool:
    """Whether new files get this process's own permissions: `core.sharedRepository` asks git for others."""
    return not config_mentions(layout, b"sharedrepository")


def config_mentions(layout: Layout, *words: bytes) -> bool:
    """Whether the repository's own configuration file has one of these lower-case words; true if it is unreadable."""
    try:
        with open(os.path.join(layout.common_dir, "config"), "rb") as file:
            text = file.read().lower()
    except OSError:
        return True
    return any(word in text for word in words)


class LooseObjects:
    """The loose objects of one object directory."""

    def __init__(self, folder: str, object_format: str) -> None:
        self._folder = folder
        self._object_format = object_format

    def holds(self, oid: str) -> bool:
        return os.path.exists(self._path(oid))

    def write(self, kind: str, content: bytes) -> Oid:
        """Write one object; one that is there already only gets a new time, so that no `git prune` takes it."""
        stored = b"%s %d\0%s" % (kind.encode(), len(content), content)
        oid = Oid(hashlib.new(self._object_format, stored, usedforsecurity=False).hexdigest())
        path = self._path(oid)
        try:
            # A power cut leaves empty files behind; one of another user cannot be given a new time.
            known = os.path.getsize(path) > 0
            os.utime(path)
        except (FileNotFoundError, PermissionError):
            known = False
        except OSError as error:
            raise _unwritable(f"write a {kind}", error) from error
        if not known:
            self._create(kind, path, zlib.compress(stored, 1))
        return oid

    def _create(self, kind: str, path: str, packed: bytes) -> None:
        """Write the file under another name first, which somebody's `git prune --expire=now` may take away."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                _put(path, packed)
                return
            except FileNotFoundError as error:
                if not left:
                    raise _unwritable(f"write a {kind}", error) from error
            except OSError as error:
                raise _unwritable(f"write a {kind}", error) from error

    def flush(self, oids: Iterable[str]) -> None:
        """Flush objects under their own names; those in packs were flushed when the pack was made.

        A file that is flushed after it was given its name has its name flushed with it: so do ext4, XFS, Btrfs and
        ZFS, and git relies on as much. Flushing the folders as well doubled the cost.
        """
        try:
            _flush_together([self._path(oid) for oid in oids])
        except OSError as error:
            raise _unwritable("flush objects to disk", error) from error

    def _path(self, oid: str) -> str:
        return os.path.join(self._folder, oid[:2], oid[2:])


def _put(path: str, packed: bytes) -> None:
    temporary = os.path.join(os.path.dirname(path), f"tmp_obj_{os.urandom(6).hex()}")
    descriptor = _create_file(temporary)
    try:
        with open(descriptor, "wb") as file:
            file.write(packed)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _create_file(path: str) -> int:
    """A new read-only file, with the folder it is in, which somebody's `git prune` may take away again."""
    for _ in range(_ATTEMPTS):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def flush_refs(common_dir: str, names: Iterable[str]) -> None:
    """Flush loose refs under their own names: git flushes a ref's content before it has its name."""
    try:
        for name in names:
            flush_file(os.path.join(common_dir, name))
    except OSError as error:
        raise _unwritable("flush refs to disk", error) from error


def read_loose_ref(path: bytes) -> bytes | None:
    """What a loose ref's file names; None if it is not there, symbolic, or not as git writes it."""
    try:
        with open(path, "rb") as file:
            found = _OID.fullmatch(file.read())
    except OSError:
        return None
    return None if found is None or os.path.islink(path) else found[1]


def drop_broken_ref(common_dir: str, name: str) -> bool:
    """Remove a loose ref's file that names nothing (a power cut leaves empty ones); whether there was one."""
    path = os.path.join(common_dir, name)
    try:
        with open(path, "rb") as file:
            text = file.read()
        if _OID.fullmatch(text) or text.startswith(b"ref:"):
            return False
        os.unlink(path)
    except OSError:
        return False
    return True


def _flush_together(paths: Sequence[str]) -> None:
    """Flush files at the same time: a journal takes them all in one commit (3 ms for seven on ext4, not 11)."""
    problems: list[OSError] = []

    def flush(mine: Sequence[str]) -> None:
        try:
            for path in mine:
                flush_file(path)
        except OSError as error:
            problems.append(error)

    others = [threading.Thread(target=flush, args=(paths[n::_FLUSHERS],)) for n in range(1, min(_FLUSHERS, len(paths)))]
    for thread in others:
        thread.start()
    flush(paths[::_FLUSHERS])
    for thread in others:
        thread.join()
    if problems:
        raise problems[0]


def flush_file(path: str) -> bool:
    """Flush one file; False if it is not there (packed since, or never a file)."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def flush_folder(path: str) -> None:
    """Flush a folder's names, where the file system can."""
    try:
        flush_file(path)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise


def _unwritable(operation: str, error: OSError) -> StorageError:
    return StorageError(
        f"{operation}: {error.strerror or error}", "free some space or make the repository writable: df -h .git"
    )
