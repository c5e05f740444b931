"""The store of big files, in git-lfs's own layout: `objects/ab/cd/<sha256>`.

A file is reflinked into it where the file system can, else copied; never hard-linked, since a program may go on
writing to its own file. Source of layout and pointer: git-lfs's `docs/spec.md`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from typing import Final

from git_replicate.core.frozen import frozen
from git_replicate.git.loose import flush_folder

DISK_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_FICLONE: Final = 0x40049409
"""Linux's ioctl that shares a file's blocks, copy on write."""
_CHUNK: Final = 1 << 20
_ATTEMPTS: Final = 3
_SCARCE: Final = 0.1
"""Part of a disk; with less of it free, a store that grows is worth a word."""


class ChangedError(OSError):
    """The file did not stay still while it was copied."""


@frozen
class Kept:
    """A file in the store."""

    sha256: str
    bytes: int
    path: str


def default_store(common_dir: str) -> str:
    return os.path.join(common_dir, "lfs", "objects")


def path_of(store: str, sha256: str) -> str:
    return os.path.join(store, sha256[:2], sha256[2:4], sha256)


def keep(store: str, file: str) -> Kept:
    """Put a file's present content into the store, once; `OSError` if it cannot be read or stored.

    A copy that was made while somebody wrote to the file is made again; `ChangedError` if that does not help.
    """
    os.makedirs(store, exist_ok=True)
    for _ in range(_ATTEMPTS):
        before = _stamp(file)
        kept = _keep(store, file)
        if _stamp(file) == before:
            return kept
    raise ChangedError(0, "it changes while it is copied")


def _stamp(file: str) -> tuple[int, int, int]:
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns, status.st_ino


def _keep(store: str, file: str) -> Kept:
    import tempfile  # late: most runs keep nothing so big

    descriptor, temporary = tempfile.mkstemp(prefix=".git-replicate-", dir=store)
    try:
        with open(file, "rb") as source, os.fdopen(descriptor, "wb") as target:
            _copy(source.fileno(), target.fileno())
            target.flush()
            os.fsync(target.fileno())
        digest, size = _hash(temporary)
        final = path_of(store, digest)
        if _is_there(final, size):
            os.unlink(temporary)
        else:
            os.makedirs(os.path.dirname(final), exist_ok=True)
            os.chmod(temporary, 0o644)
            os.rename(temporary, final)
            flush_folder(os.path.dirname(final))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return Kept(digest, size, final)


def scarce(store: str) -> str:
    """In words, that the disk of a store is nearly full; "" if it is not."""
    try:
        usage = shutil.disk_usage(store)
    except OSError:
        return ""
    if usage.free >= usage.total * _SCARCE:
        return ""
    return f"{usage.free / 1e9:.1f} GB ({usage.free * 100 // usage.total} %) are left on the disk of {store}"


def copy_out(source: str, target: str) -> None:
    """A new file with a stored file's content: reflinked, else copied; `FileExistsError` if there is one."""
    with open(source, "rb") as old, open(target, "xb") as new:
        _copy(old.fileno(), new.fileno())


def _is_there(path: str, size: int) -> bool:
    """Whether a file is there in full: a power cut may have left an empty one."""
    try:
        return os.path.getsize(path) == size
    except FileNotFoundError:
        return False


def _copy(source: int, target: int) -> None:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        while data := os.read(source, _CHUNK):
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]


def _hash(path: str) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def pointer(kept: Kept) -> bytes:
    """The git-lfs pointer of a file in the store."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{kept.sha256}\nsize {kept.bytes}\n".encode()
