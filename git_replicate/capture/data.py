"""Declared data: what a run reads, identified by content.

Files are hashed with BLAKE3, a folder by the sorted list of its files and their hashes. A stat cache makes unchanged
data cost one stat a file; like git's index it never trusts an entry whose file was changed so shortly before it
was hashed that a later change could have left the same times.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from git_replicate.capture.stat_cache import StatCache
from git_replicate.core.errors import UserError
from git_replicate.core.paths import quote_path
from git_replicate.core.settings import NamedData

CACHE_FILE: Final = "replicate/data-hashes.sqlite"
MOST_LISTED: Final = 1_000
"""A folder of more files is recorded as one hash, without the list."""
_THREADED: Final = 1_000_000
"""Bytes from which threads make hashing a file faster."""


@dataclass(frozen=True, slots=True)
class _File:
    """One file below a declared path; `name` is relative to it, empty for the path itself."""

    name: bytes
    path: bytes
    status: os.stat_result


def capture_data(
    paths: Sequence[str],
    named: Mapping[str, NamedData] | None = None,
    *,
    top: str,
    common_dir: str,
    used: Collection[str] = (),
) -> bytes:
    """The text of `data.toml`, empty if nothing is declared; equal data give equal bytes on every machine.

    paths: files and folders relative to `top`, or absolute; named: data whose place differs between machines, so its
    path is not part of the text. `UserError` for a declared path, or a named one in `used`, that is missing or
    unreadable; any other named data that this machine lacks is recorded as missing.
    """
    named = named or {}
    if not paths and not named:
        return b""
    entries: dict[str, Any] = {}
    with StatCache(os.path.join(common_dir, CACHE_FILE)) as cache:
        for path in dict.fromkeys(os.path.normpath(path) for path in paths):
            entries[quote_path(os.fsencode(path))] = _entry(os.path.join(top, path), path, cache, by_stat=False)
        for name, data in sorted(named.items()):
            whole = os.path.join(top, os.path.expanduser(data.path))
            if name not in used and (not data.path or not os.path.exists(whole)):
                entries[name] = {"missing": True}
                continue
            hint = f"say where it is on this machine: git config replicate.data.{name} PATH"
            entries[name] = _entry(whole, f"{name} ({data.path})", cache, by_stat=data.hash == "stat", hint=hint)
    import tomli_w

    return tomli_w.dumps({"data": dict(sorted(entries.items()))}).encode()


def _entry(path: str, shown: str, cache: StatCache, *, by_stat: bool, hint: str = "") -> dict[str, Any]:
    """What is recorded of one file or folder: hash, bytes, and for a folder files and their list."""
    try:
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            file = _File(b"", os.fsencode(path), status)
            return {"hash": _fingerprint([file]) if by_stat else _hash(file, cache), "bytes": status.st_size}
        files = _below(os.fsencode(path))
        total = {"bytes": sum(file.status.st_size for file in files), "files": len(files)}
        if by_stat:
            return {"hash": _fingerprint(files), **total}
        hashes = [(file.name, _hash(file, cache)) for file in files]
    except OSError as error:
        hint = hint or f"look: ls -ld {shown}"
        raise UserError(f"data {shown}: {error.strerror or error}", hint) from error
    entry: dict[str, Any] = {"hash": _folder_hash(hashes), **total}
    if len(hashes) <= MOST_LISTED:
        entry["list"] = {quote_path(name): digest for name, digest in hashes}
    return entry


def _below(top: bytes) -> list[_File]:
    """Every file in a folder, sorted by name in bytes; links are followed, but into no folder twice."""
    found: list[_File] = []
    seen: set[tuple[int, int]] = set()
    waiting = [(top, b"")]
    while waiting:
        folder, prefix = waiting.pop()
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                try:
                    status = entry.stat()
                except FileNotFoundError:  # a link to nothing
                    status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    waiting.append((entry.path, name + b"/"))
                elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                    found.append(_File(name, entry.path, status))
    return sorted(found, key=lambda file: file.name)


def _hash(file: _File, cache: StatCache) -> str:
    """`blake3:hex` of a file's content, or of the text of a link to nothing; special files are refused."""
    import blake3

    if stat.S_ISLNK(file.status.st_mode):
        return f"blake3:{blake3.blake3(b'link:' + os.readlink(file.path)).hexdigest()}"
    if not stat.S_ISREG(file.status.st_mode):
        raise OSError(0, "not a regular file or folder")
    known = cache.get(file.path, file.status)
    if known:
        return known
    threads = blake3.blake3.AUTO if file.status.st_size > _THREADED else 1
    hasher = blake3.blake3(max_threads=threads)
    began = cache.now()
    if file.status.st_size > _THREADED:
        hasher.update_mmap(os.fsdecode(file.path))
    else:
        with open(file.path, "rb", buffering=0) as stream:
            while chunk := stream.read(_THREADED):
                hasher.update(chunk)
    digest = f"blake3:{hasher.hexdigest()}"
    cache.put(file.path, file.status, digest, began)
    return digest


def _folder_hash(hashes: Sequence[tuple[bytes, str]]) -> str:
    """BLAKE3 of the lines `name NUL hash LF`, sorted by name."""
    import blake3

    lines = b"".join(b"%b\0%b\n" % (name, digest.encode()) for name, digest in hashes)
    return f"blake3:{blake3.blake3(lines).hexdigest()}"


def _fingerprint(files: Sequence[_File]) -> str:
    """`stat:hex` of names, sizes and times, for what is too big to read."""
    import blake3

    lines = b"".join(b"%b\0%d\0%d\n" % (f.name, f.status.st_size, f.status.st_mtime_ns) for f in files)
    return f"stat:{blake3.blake3(lines).hexdigest()}"
