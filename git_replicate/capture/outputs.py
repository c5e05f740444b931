"""Declared outputs after a run: found, hashed, and where their bytes are to be kept.

Hashes are SHA-256, the name that git-lfs's store gives to a file, so that a small output and a big one compare.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Final

from git_replicate.core.frozen import frozen
from git_replicate.core.names import RESERVED_FOLDER
from git_replicate.core.paths import quote_path
from git_replicate.core.record import Output

MOST_FILES: Final = 10_000
"""Outputs of one run beyond this number are not kept."""
_CLOCK_SLACK: Final = 2.0


@frozen
class Collected:
    """The outputs as a record holds them, and the files behind them.

    outputs: by path relative to the top, quoted where it is not plain UTF-8; tree and store: path relative to the
    top (as the system spells it) to absolute path, for the bytes that go into the run's tree or the big-file store.
    """

    outputs: Mapping[str, Output] = field(default_factory=dict)
    tree: Mapping[str, str] = field(default_factory=dict)
    store: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def stamp_files(patterns: Sequence[str], top: str) -> dict[str, tuple[int, int, int]]:
    """Time (ns), size and inode of every file that the patterns name now, by path relative to `top`.

    Taken before a run, it tells later which of them the run has written: clocks are too coarse for that.
    """
    stamps: dict[str, tuple[int, int, int]] = {}
    for path in _matches(patterns, top, []):
        try:
            status = os.stat(os.path.join(top, path))
        except OSError:
            continue
        stamps[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return stamps


def is_unwritten(path: str, top: str, stamps: Mapping[str, Sequence[int]]) -> bool:
    """Whether a file is as it was when the stamps were taken."""
    if path not in stamps:
        return False
    return stamp_files([glob.escape(path)], top).get(path) == tuple(stamps[path])


def collect_outputs(
    patterns: Sequence[str],
    top: str,
    *,
    before: Mapping[str, Sequence[int]] | None = None,
    large_bytes: int = 10_000_000,
    keep: str = "all",
    since: float | None = None,
) -> Collected:
    """Match names, globs (`**` too) and folders relative to `top`; hash every file; decide where it is kept.

    Up to `large_bytes` a file goes into the tree, above into the store; with `keep` "hash" nowhere. A file last
    changed before `since` (the run's start, seconds since 1970), or that is still as `before` (see `stamp_files`)
    has it, is not this run's: left out with a notice, as is one that cannot be read. A file outside the worktree is
    hashed and not kept.
    """
    outputs: dict[str, Output] = {}
    tree: dict[str, str] = {}
    store: dict[str, str] = {}
    notices: list[str] = []
    outside: list[str] = []
    old = 0
    for path in _matches(patterns, top, notices):
        whole = os.path.join(top, path)
        shown = quote_path(os.fsencode(path))
        try:
            status = os.stat(whole)
            if not stat.S_ISREG(status.st_mode):
                notices.append(f"output {shown}: not a regular file")
                continue
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            unwritten = before is not None and tuple(before.get(path, ())) == stamp
            if unwritten or (since is not None and status.st_mtime < since - _CLOCK_SLACK):
                old += 1
                if old <= 3:
                    notices.append(f"output {shown}: not written by this run")
                continue
            digest, size = _sha256(whole)
        except OSError as error:
            notices.append(f"output {shown}: {error.strerror or error}")
            continue
        kept = "no" if keep == "hash" or _outside(path) else "tree" if size <= large_bytes else "store"
        outputs[shown] = Output(hash=f"sha256:{digest}", bytes=size, kept=kept)
        if kept != "no":
            (tree if kept == "tree" else store)[path] = whole
        elif keep != "hash":
            outside.append(shown)
    if outside:
        more = f" and {len(outside) - 3:,} more" if len(outside) > 3 else ""
        notices.append(f"outputs outside the worktree, of which only hashes are kept: {', '.join(outside[:3])}{more}")
    if old > 3:
        notices.append(f"{old - 3} more outputs: not written by this run")
    return Collected(outputs, tree, store, tuple(notices))


def _matches(patterns: Sequence[str], top: str, notices: list[str]) -> list[str]:
    """The files that the patterns name, relative to `top`, sorted, each once."""
    found: set[str] = set()
    for pattern in patterns:
        before = len(found)
        literal = os.path.lexists(os.path.join(top, pattern))
        names = [pattern] if literal else glob.glob(pattern, root_dir=top, recursive=True, include_hidden=True)
        for name in names:
            found.update(_files(os.path.normpath(name), top))
        if len(found) == before and not names:
            notices.append(f"output {quote_path(os.fsencode(pattern))}: nothing there")
    kept = sorted(path for path in found if not _reserved(path))
    if len(kept) > MOST_FILES:
        notices.append(f"{len(kept)} outputs: only the first {MOST_FILES} are kept")
    return kept[:MOST_FILES]


def _files(path: str, top: str) -> list[str]:
    """The path itself, or the files below it if it is a folder; links to folders are not entered."""
    if not os.path.isdir(os.path.join(top, path)):
        return [path]
    below: list[str] = []
    for folder, folders, names in os.walk(os.path.join(top, path)):
        folders[:] = sorted(name for name in folders if name != ".git")
        inner = os.path.relpath(folder, os.path.join(top, path))
        base = path if inner == "." else os.path.join(path, inner)
        below += [os.path.normpath(os.path.join(base, name)) for name in names]
        if len(below) > MOST_FILES:
            break
    return below


def _reserved(path: str) -> bool:
    """Whether a path is git's own or the record's."""
    parts = path.split("/")
    return ".git" in parts or parts[0] == RESERVED_FOLDER


def _outside(path: str) -> bool:
    return os.path.isabs(path) or path == ".." or path.startswith("../")


def _sha256(path: str) -> tuple[str, int]:
    """The file's SHA-256 and the number of bytes that went into it."""
    digest = hashlib.sha256()
    size = 0
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size
