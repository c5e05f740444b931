"""The hash of a file, known by its stat or read, and the files below a folder.

A file that changes while it is read is noticed.
"""

from __future__ import annotations

import operator
import os
import stat
import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from git_replicate.capture.content import read_content, read_sha256
from git_replicate.capture.pointers import linked_id
from git_replicate.capture.stat_cache import StatCache

_ATTEMPTS: Final = 3
_NAME: Final = operator.itemgetter(0)


class ChangingError(OSError):
    """The file did not stay still while it was read."""


class File(NamedTuple):  # there are many
    """One file below a declared path; `name` is relative to it, empty for the path itself."""

    name: bytes
    path: bytes
    status: os.stat_result
    known: str = ""
    """Its hash, where whoever keeps the file names it by that."""


def files_below(top: bytes, until: float | None = None, most: int | None = None) -> list[File]:
    """Every file in a folder, sorted by name in bytes; links are followed, but into no folder twice.

    Sockets, pipes and devices are no data. A link to nothing is a file whose content is where it points to.
    `TimeoutError` if it is not done by `until` (of the monotonic clock), or finds more than `most`.
    """
    found: list[File] = []
    seen: set[tuple[int, int]] = set()
    waiting = [(top, b"")]
    while waiting:
        folder, prefix = waiting.pop()
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        if (until is not None and time.monotonic() > until) or (most is not None and len(found) > most):
            raise TimeoutError(0, f"too many files to look at: {len(found)} so far")
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                try:
                    status = entry.stat()
                except OSError:  # a link to nothing, or one that leads to itself
                    status = entry.stat(follow_symlinks=False)
                mode = status.st_mode
                if stat.S_ISDIR(mode):
                    waiting.append((entry.path, name + b"/"))
                elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                    known = linked_id(entry.path) if entry.is_symlink() else ""
                    found.append(File(name, entry.path, status, known))
    return sorted(found, key=_NAME)


def hash_file(file: File, cache: StatCache) -> str:
    """`blake3:hex` of a file's content, or of the text of a link to nothing.

    `OSError` for what is no regular file or cannot be read, `ChangingError` for one that changes all the time.
    """
    return known_hash(file, cache) or read_hash(file, cache)


def known_hash(file: File, cache: StatCache) -> str:
    """The hash of a file that need not be read, or ""; `OSError` for what is no regular file."""
    if file.known and stat.S_ISREG(file.status.st_mode):
        return file.known
    if stat.S_ISLNK(file.status.st_mode):
        import blake3

        return f"blake3:{blake3.blake3(b'link:' + os.readlink(file.path)).hexdigest()}"
    if not stat.S_ISREG(file.status.st_mode):
        raise OSError(0, "not a regular file or folder")
    return cache.get(file.path, file.status) or ""


def read_hash(file: File, cache: StatCache, algorithm: str = "blake3") -> str:
    """The hash of what a regular file holds, remembered in the cache; algorithm: `blake3` or `sha256`."""
    before = file.status
    read = read_sha256 if algorithm == "sha256" else read_content
    for _ in range(_ATTEMPTS):
        began = cache.now()
        digest, after = read(file.path, before.st_size)
        if _same(before, after):
            text = f"{algorithm}:{digest.hex()}"
            cache.put(file.path, after, text, began)
            return text
        before = after
    raise ChangingError(0, "it changes while it is read")


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size, after.st_mtime_ns, after.st_ctime_ns,
    )  # fmt: skip


def hash_list(hashes: Iterable[tuple[bytes, str]]) -> str:
    """BLAKE3 of the lines `name NUL hash LF`, sorted by name."""
    import blake3

    lines = b"".join(b"%b\0%b\n" % (name, digest.encode()) for name, digest in hashes)
    return f"blake3:{blake3.blake3(lines).hexdigest()}"


def fingerprint(files: Sequence[File]) -> str:
    """`stat:hex` of names, sizes and times, for what is too big to read."""
    import blake3

    lines = b"".join(b"%b\0%d\0%d\n" % (f.name, f.status.st_size, f.status.st_mtime_ns) for f in files)
    return f"stat:{blake3.blake3(lines).hexdigest()}"
