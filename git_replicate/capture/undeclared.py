"""Data that a run read without declaring them: told from system files and code, grouped, and hashed within limits.

A list of what was read comes from elsewhere, and it may be incomplete; here it becomes entries of `data.toml`. What
is not hashed in the time there is has a fingerprint of its names, sizes and times, and can be hashed later.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from git_replicate.capture.data import CACHE_FILE
from git_replicate.capture.folder_hashes import hash_files
from git_replicate.capture.grouping import folders_above, group_files
from git_replicate.capture.hashing import File, files_below, fingerprint, hash_list
from git_replicate.capture.opened import MOST_IN_FOLDER, Read
from git_replicate.capture.stat_cache import StatCache
from git_replicate.core.paths import quote_path

MOST_SECONDS: Final = 5.0
MOST_BYTES: Final = 2_000_000_000
_OPENING: Final = 20_000
"""Bytes that are read in the time that it takes to open a file."""
_MOST_LOOKED_AT: Final = 100_000
"""Files of a folder that are looked at when a run has ended; each takes a kilobyte of memory."""
_MORE_LOOKING: Final = 5.0
"""Seconds that there are beyond those to look at the files of folders, whose names, sizes and times are to be kept."""
_SLOWEST: Final = 400_000_000
"""Bytes a second that a disk is taken to give: a file that would take longer than there is time is left."""
_SYSTEM: Final = ("/proc", "/sys", "/dev", "/run", "/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc", "/boot")
_NO_DATA: Final = re.compile(
    r"/(?:site-packages|dist-packages|__pycache__|node_modules|\.git)/|/lib/python\d|/\.cache/(?:pip|uv|matplotlib|torch/kernels)/"
    r"|/\.(?:config|local|matplotlib|triton|nv|ipython|jupyter|keras/keras\.json)(?:/|$)"
    r"|/(?:models|datasets|spaces)--[^/]+/(?:refs|\.no_exist)/|/(?:wandb|mlruns)/"
    r"|/\.(?:ssh|aws|azure|kaggle|docker|kube|netrc|vscode-server|cursor-server|cache/huggingface/token)(?:/|$)"
    r"|\.(?:py|pyc|pyi|pyd|pth|so|so\.[\d.]+|dylib)$"
)
_WEIGHTS: Final = re.compile(r"\.pth$")
_HUB: Final = re.compile(r"/(models|datasets|spaces)--([^/]+)/snapshots/([0-9a-f]{7,64})/")


def is_data(path: str) -> bool:
    """Whether a file is neither the system's, nor code, nor a tool's own cache or configuration."""
    if any(path == folder or path.startswith(f"{folder}/") for folder in _SYSTEM):
        return False
    found = _NO_DATA.search(path)
    # `.pth` is Python's in site-packages, and PyTorch's weights everywhere else.
    return found is None or (found[0] == ".pth" and bool(_WEIGHTS.search(path)))


def capture_undeclared(
    reads: Iterable[Read],
    *,
    top: str,
    common_dir: str,
    known: Collection[str] = (),
    code: Iterable[Read] = (),
    seconds: float = MOST_SECONDS,
    most_bytes: int = MOST_BYTES,
) -> dict[str, dict[str, Any]]:
    """Entries by path: relative in the worktree, else absolute; hub caches as `huggingface:kind/name`.

    known: paths, absolute, that are accounted for with all below them (declared data, code in the snapshot, what the
    run itself wrote); code: files of code that no snapshot has, which count like data. Files that have gone since are
    left out. Small files are hashed first.
    """
    hubs: dict[str, dict[str, Any]] = {}
    files: dict[str, Read] = {}
    for read in reads:
        path = os.path.normpath(os.path.join(top, read.path))
        if hub := _HUB.search(path):
            name = f"huggingface:{hub[1]}/{hub[2].replace('--', '/')}"
            entry = hubs.setdefault(name, {"revision": hub[3], "undeclared": True})
            entry["revision"] = hub[3]
        elif is_data(_seen_from(top, path)) and not _covered(path, known):
            files.setdefault(path, read)
    files.update({read.path: read for read in code if not _covered(read.path, known)})
    found: dict[str, dict[str, Any]] = dict(hubs)
    wide = {*folders_above(top), *folders_above(os.path.expanduser("~"))}
    places = sorted(
        group_files(files, MOST_IN_FOLDER, wide), key=lambda path: _size(path) if path in files else 1 << 62
    )
    deadline, left = time.monotonic() + seconds, most_bytes
    with StatCache(os.path.join(common_dir, CACHE_FILE)) as cache:
        for path in places:
            limit = min(left, int((deadline - time.monotonic()) * _SLOWEST))
            entry_or_none = entry_of(path, cache, limit=limit, until=deadline + _MORE_LOOKING)
            if entry_or_none is None:
                continue
            left -= 0 if entry_or_none.get("unhashed") else entry_or_none["bytes"]
            read_or_none = files.get(path)
            if read_or_none is not None and _changed(path, read_or_none):
                entry_or_none["changed_after_read"] = True
            found[shown(path, top)] = entry_or_none
    return dict(sorted(found.items()))


def entry_of(
    path: str, cache: StatCache, *, limit: int | None = None, until: float | None = None
) -> dict[str, Any] | None:
    """What is recorded of a file or folder; not hashed if it is larger than the limit. None if it is not there.

    until: when to give up looking at the files of a folder, by the monotonic clock.
    """
    raw = os.fsencode(path)
    try:
        status = os.stat(raw)
        folder = stat.S_ISDIR(status.st_mode)
        files = (
            files_below(raw, until, None if limit is None else _MOST_LOOKED_AT) if folder else [File(b"", raw, status)]
        )
        if not folder and not stat.S_ISREG(status.st_mode):
            return None
        size = sum(file.status.st_size for file in files)
        entry: dict[str, Any] = {"hash": fingerprint(files), "bytes": size}
        if folder:
            entry["files"] = len(files)
            cache.expect(raw)
        entry["undeclared"] = True
        if limit is not None and _is_too_much(files, cache, limit):
            return {**entry, "unhashed": True}
        hashes = hash_files(files, cache)
        return {**entry, "hash": hash_list(hashes) if folder else hashes[0][1]}
    except FileNotFoundError:
        return None
    except OSError as error:
        return {"unhashed": True, "bytes": 0, "undeclared": True, "problem": error.strerror or str(error)}


def _is_too_much(files: Iterable[File], cache: StatCache, limit: int) -> bool:
    """Whether more than so many bytes are to be read, those counted that could be in the time it takes to open one."""
    left = max(limit, 0)
    for file in files:
        if not cache.get(file.path, file.status):
            left -= file.status.st_size + _OPENING
        if left < -_OPENING:
            return True
    return False


def declared_data(text: bytes) -> dict[str, Any]:
    """What a `data.toml` says of declared data and of stages: all but what a run was seen to read besides."""
    import tomli

    document: dict[str, Any] = tomli.loads(text.decode())
    document.pop("inputs_complete", None)
    data = {name: entry for name, entry in document.pop("data", {}).items() if not entry.get("undeclared")}
    return {"data": data, **document} if data else document


def complete_entries(
    entries: Mapping[str, Mapping[str, Any]], *, top: str, common_dir: str
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The entries that were not hashed, hashed now, and in words those that cannot be: gone or changed since."""
    done: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    with StatCache(os.path.join(common_dir, CACHE_FILE)) as cache:
        for name, entry in entries.items():
            if not entry.get("unhashed"):
                continue
            path = os.path.join(top, name)
            now = entry_of(path, cache, limit=-1 << 62)
            if now is None:
                problems.append(f"{name}: it is not there any more")
            elif "hash" not in entry and "problem" in entry:
                problems.append(f"{name}: it may have changed since the run ({entry['problem']})")
            elif now.get("hash") != entry.get("hash"):
                problems.append(f"{name}: changed since the run")
            elif (hashed := entry_of(path, cache)) is not None and not hashed.get("unhashed"):
                done[name] = {**{k: v for k, v in entry.items() if k != "unhashed"}, "hash": hashed["hash"]}
            else:
                problems.append(f"{name}: {(hashed or {}).get('problem', 'it cannot be read')}")
    return done, problems


def shown(path: str, top: str) -> str:
    """The path as a record has it."""
    inside = os.path.relpath(path, top) if path.startswith(top.rstrip("/") + "/") else path
    return quote_path(os.fsencode(inside))


def _seen_from(top: str, path: str) -> str:
    """The path as if the worktree were a folder of the root, if it lies there: a checkout is in a folder of git's."""
    return "/worktree" + path[len(top.rstrip("/")) :] if path.startswith(top.rstrip("/") + "/") else path


def _covered(path: str, known: Collection[str]) -> bool:
    while path not in ("/", ""):
        if path in known:
            return True
        path = os.path.dirname(path)
    return False


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _changed(path: str, read: Read) -> bool:
    try:
        return read.mtime_ns is not None and os.stat(path).st_mtime_ns != read.mtime_ns
    except OSError:
        return True
