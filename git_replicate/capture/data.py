"""Declared data: what a run reads, identified by content.

Files are hashed with BLAKE3, a folder by the sorted list of its files and their hashes. A stat cache makes unchanged
data cost one stat a file; like git's index it never trusts an entry whose file was changed so shortly before it
was hashed that a later change could have left the same times.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from git_replicate.capture.folder_hashes import hash_files, stamp_of
from git_replicate.capture.hashing import File, files_below, fingerprint, hash_file, hash_list, read_hash
from git_replicate.capture.pointers import MOST_POINTER, linked_id, not_here
from git_replicate.capture.stat_cache import StatCache
from git_replicate.core.errors import UserError
from git_replicate.core.paths import quote_path
from git_replicate.core.settings import NamedData

CACHE_FILE: Final = "replicate/data-hashes.sqlite"
TrackedIds = Callable[[str], Mapping[bytes, str]]
"""Hashes of the files at or below a path, relative to the top as they are, that git-lfs knows; "" for changed ones."""
MOST_LISTED: Final = 1_000
"""A folder of more files is recorded as one hash, without the list."""


def capture_data(
    paths: Sequence[str],
    named: Mapping[str, NamedData] | None = None,
    *,
    top: str,
    common_dir: str,
    used: Collection[str] = (),
    absent: bool = False,
    tracked_ids: TrackedIds | None = None,
) -> bytes:
    """The text of `data.toml`, empty if nothing is declared; equal data give equal bytes on every machine.

    paths: files and folders relative to `top`, or absolute; named: data whose place differs between machines, so its
    path is not part of the text. `UserError` for a declared path, or a named one in `used`, that is missing or
    unreadable; any other named data that this machine lacks is recorded as missing.
    absent: declared data and those in `used` as well, instead of the error. tracked_ids: what is known without reading.
    """
    named = named or {}
    if not paths and not named:
        return b""
    entries: dict[str, Any] = {}
    with StatCache(os.path.join(common_dir, CACHE_FILE)) as cache:
        for path in dict.fromkeys(os.path.normpath(path) for path in paths):
            key, whole = quote_path(os.fsencode(path)), os.path.join(top, path)
            if absent and not os.path.exists(whole):
                entries[key] = {"missing": True}
                continue
            entries[key] = _entry(whole, path, cache, by_stat=False, tracked_ids=tracked_ids)
        for name, data in sorted(named.items()):
            whole = os.path.join(top, os.path.expanduser(data.path))
            if (absent or name not in used) and (not data.path or not os.path.exists(whole)):
                entries[name] = {"missing": True}
                continue
            hint = f"say where it is on this machine: git config replicate.data.{name} PATH"
            entries[name] = _entry(whole, f"{name} ({data.path})", cache, by_stat=data.hash == "stat", hint=hint)
    import tomli_w

    return tomli_w.dumps({"data": dict(sorted(entries.items()))}).encode()


def _entry(
    path: str, shown: str, cache: StatCache, *, by_stat: bool, hint: str = "", tracked_ids: TrackedIds | None = None
) -> dict[str, Any]:
    """What is recorded of one file or folder: hash, bytes, and for a folder files and their list."""
    try:
        _refuse_pointer(os.fsencode(path), shown)
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            file = File(b"", os.fsencode(path), status, linked_id(os.fsencode(path)))
            if by_stat:
                return {"hash": fingerprint([file]), "bytes": status.st_size}
            (file,) = _with_ids([file], shown, cache, tracked_ids)
            return {"hash": hash_file(file, cache), "bytes": status.st_size}
        files = files_below(os.fsencode(path))
        total = {"bytes": sum(file.status.st_size for file in files), "files": len(files)}
        if by_stat:
            return {"hash": fingerprint(files), **total}
        stamp = stamp_of(files) if len(files) > MOST_LISTED else None
        if known := cache.get_folder(os.fsencode(path), stamp):
            return {"hash": known, **total}
        began = cache.now()
        cache.expect(os.fsencode(path))
        for file in files:
            if command := not_here(file.path, file.status) if _suspicious(file, cache) else "":
                inner = os.path.join(shown, os.fsdecode(file.name))
                raise UserError(f"data {inner}: its content is not here, only a pointer to it", f"{command} {inner}")
        hashes = hash_files(_with_ids(files, shown, cache, tracked_ids), cache)
    except OSError as error:
        hint = hint or f"look: ls -ld {shown}"
        raise UserError(f"data {shown}: {error.strerror or error}", hint) from error
    digest = hash_list(hashes)
    cache.put_folder(os.fsencode(path), stamp, digest, began, [file.name for file in files])
    entry: dict[str, Any] = {"hash": digest, **total}
    if len(hashes) <= MOST_LISTED:
        entry["list"] = {quote_path(name): digest for name, digest in hashes}
    return entry


def _with_ids(files: Sequence[File], shown: str, cache: StatCache, tracked_ids: TrackedIds | None) -> Sequence[File]:
    """The files with the hashes that git-lfs has for its own, remembered in the cache; all others as they are."""
    if tracked_ids is None or all(file.known or cache.get(file.path, file.status) for file in files):
        return files
    began = cache.now()
    found: list[File] = []
    ids = tracked_ids(shown)
    for file in files:
        name = os.path.normpath(os.path.join(os.fsencode(shown), file.name))
        digest = None if cache.get(file.path, file.status) else ids.get(name)
        if digest:
            cache.put(file.path, file.status, digest, began)
        elif digest is not None:
            digest = read_hash(file, cache, "sha256")
        found.append(file._replace(known=digest) if digest else file)
    return found


def _refuse_pointer(path: bytes, shown: str) -> None:
    """`UserError` for a file of git-lfs or git-annex whose content was not fetched: a run would read the pointer."""
    if command := not_here(path, os.lstat(path)):
        raise UserError(f"data {shown}: its content is not here, only a pointer to it", f"{command} {shown}")


def _suspicious(file: File, cache: StatCache) -> bool:
    """Whether a file may point to content elsewhere; one that was hashed before does not."""
    if stat.S_ISLNK(file.status.st_mode):
        return True
    return file.status.st_size < MOST_POINTER and not file.known and cache.get(file.path, file.status) is None
