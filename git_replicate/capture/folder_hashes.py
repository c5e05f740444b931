"""The hashes of all files in a folder, and of the folder as a whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Final

from git_replicate.capture.hash_workers import answers_of, shares, working_on
from git_replicate.capture.hashing import File, files_below, hash_file, hash_list, known_hash, read_hash
from git_replicate.capture.stat_cache import Stamp, StatCache

_MANY: Final = 1_000
"""Files of a folder from which it is known as a whole: what is known of each takes long to look up."""


def hash_path(path: bytes, cache: StatCache) -> str:
    """The hash of a file or folder; `OSError` if it is not there or cannot be read."""
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        return hash_file(File(b"", path, status), cache)
    files = files_below(path)
    stamp = stamp_of(files)
    known = cache.get_folder(path, stamp)
    if known:
        return known
    began = cache.now()
    cache.expect(path)
    digest = hash_list(hash_files(files, cache))
    cache.put_folder(path, stamp, digest, began, [file.name for file in files])
    return digest


def stamp_of(files: Sequence[File]) -> Stamp | None:
    """What would be another if any of the files changed; None where it is not worth it, or would not tell.

    The stat of a link to nothing does not tell what it leads to.
    """
    if len(files) <= _MANY or any(stat.S_ISLNK(file.status.st_mode) for file in files):
        return None
    import blake3

    lines, changed = [], 0
    for file in files:
        s = file.status
        lines.append(b"%b\0%d %d %d %d %d\n" % (file.name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_dev, s.st_ino))
        changed = max(changed, s.st_mtime_ns, s.st_ctime_ns)
    return Stamp(blake3.blake3(b"".join(lines)).digest(), changed)


def hash_files(files: Sequence[File], cache: StatCache) -> list[tuple[bytes, str]]:
    """Name and hash of each file, in their order; `OSError` for the first that cannot be read."""
    found = {file.path: known_hash(file, cache) for file in files}
    unread = [file for file in files if not found[file.path]]
    began = cache.now()
    own, *others = shares(unread)
    with working_on(others) as workers:
        for file in own:
            found[file.path] = read_hash(file, cache)
        for worker in workers:
            for file, digest in answers_of(worker):
                cache.put(file.path, file.status, digest, began)
                found[file.path] = digest
    return [(file.name, found[file.path] or read_hash(file, cache)) for file in files]
