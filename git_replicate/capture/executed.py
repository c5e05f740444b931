"""Which code a run executed: files of the worktree, code from elsewhere, and whether it was all of one version."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from git_replicate.capture.environment.naming import normalized
from git_replicate.capture.inside import Inside
from git_replicate.capture.opened import Read
from git_replicate.capture.seen_files import LoadedCode, SeenFiles
from git_replicate.core.frozen import frozen
from git_replicate.core.paths import quote_path

MOST_LISTED: Final = 5_000
"""Files of a snapshot that a record lists as executed, or as read."""
_ENVIRONMENT: Final = re.compile(r"(?:^|/)(?:site-packages|dist-packages|lib/python\d[^/]*|\.git)/")
_PACKAGES: Final = re.compile(r"^(.*/(?:site|dist)-packages)/")
_LARGEST_LIST: Final = 8_000_000
"""Bytes of a distribution's list of files that is still read."""


@frozen
class Executed:
    """Code that was loaded. inside: paths relative to the top, quoted; outside: absolute paths of code elsewhere."""

    inside: tuple[str, ...]
    outside: tuple[str, ...]
    mixed: tuple[str, ...]
    """Of those inside, the files that were loaded after they had been changed."""
    leaked: tuple[str, ...]
    """Files of the user's own worktree that a run in a checkout loaded, relative to it."""
    cut: int = 0
    """How many files inside are left out, for there are too many."""


def code_executed(
    seen: SeenFiles,
    *,
    top: str,
    since: float,
    origin: str = "",
    in_snapshot: Callable[[str], bool],
    same_as_snapshot: Callable[[str], bool],
) -> Executed:
    """Sort the code that was loaded by where it lies.

    since: when the run started; origin: the user's worktree, for a run in a checkout; `in_snapshot` and
    `same_as_snapshot` are asked of paths relative to the top: whether the snapshot has the file, and whether the file
    is now as it is there.
    """
    inside: dict[str, None] = {}
    in_top, in_origin = Inside(top), Inside(origin) if origin else None
    outside: set[str] = set()
    mixed: set[str] = set()
    leaked: set[str] = set()
    for path, loads in sorted(seen.code.items()):
        inner = in_top.path(path)
        if inner is None:
            own = in_origin.path(path) if in_origin else None
            if own is None:
                outside.add(path)
            elif not _is_installed(own, origin):
                leaked.add(own)
            continue
        if _is_installed(inner, top):
            continue
        inside[quote_path(os.fsencode(inner))] = None
        if any(_is_later(load, since) for load in loads) and in_snapshot(inner):
            still = any(_is_as_loaded(load) for load in loads if _is_later(load, since))
            if not (still and same_as_snapshot(inner)):
                mixed.add(quote_path(os.fsencode(inner)))
    found = tuple(inside)
    others = (tuple(sorted(outside)), tuple(sorted(mixed)), tuple(sorted(leaked)))
    return Executed(found[:MOST_LISTED], *others, cut=max(len(found) - MOST_LISTED, 0))


def _is_installed(inner: str, top: str) -> bool:
    """Whether a file below the top is an environment's: a package's, or a program that was installed there."""
    return _ENVIRONMENT.search(inner) is not None or in_environment(inner, top)


def in_environment(inner: str, top: str) -> bool:
    """Whether a path relative to the top is a virtual or conda environment, or in one."""
    parts = inner.split("/")
    folders = [os.path.join(top, *parts[:n]) for n in range(1, len(parts) + 1)]
    return any(
        os.path.exists(os.path.join(folder, mark)) for folder in folders for mark in ("pyvenv.cfg", "conda-meta")
    )


def code_beside(seen: SeenFiles, *, top: str, since: float, in_snapshot: Callable[[str], bool]) -> list[Read]:
    """Files of code in the worktree that were there before the run and that no snapshot has: compiled modules, say."""
    found = []
    in_top = Inside(top)
    for path, loads in sorted(seen.code.items()):
        inner = in_top.path(path)
        if inner is None or _is_installed(inner, top) or in_snapshot(inner):
            continue
        if not any(load.mtime_ns >= since * 1e9 for load in loads):
            found.append(Read(path, loads[0].time, loads[0].mtime_ns))
    return found


def _is_later(load: LoadedCode, since: float) -> bool:
    """Whether the file had been touched after the start; its change time tells of a file put in its place."""
    return max(load.mtime_ns, load.ctime_ns) >= since * 1e9


def _is_as_loaded(load: LoadedCode) -> bool:
    """Whether the file has not been touched since it was loaded."""
    try:
        status = os.stat(load.path)
    except OSError:
        return False
    return (status.st_mtime_ns, status.st_ctime_ns) == (load.mtime_ns, load.ctime_ns)


def imported_distributions(modules: Mapping[str, str], top: str) -> tuple[str, ...]:
    """The normalised names of the distributions that top-level modules come from, sorted.

    modules: names with their files. A module that belongs to no distribution is called by its own name; those of
    the worktree are left out.
    """
    found: set[str] = set()
    folders: dict[str, set[str]] = {}
    inside = Inside(top)
    for name, path in modules.items():
        packages = _PACKAGES.match(path)
        if packages:
            folders.setdefault(packages[1], set()).add(name)
        elif path and inside.path(path) is None:
            found.add(normalized(name))
    for folder, names in folders.items():
        found |= _distributions(folder, names)
    return tuple(sorted(found))


def installed_in(modules: Mapping[str, str]) -> frozenset[str]:
    """The folders of installed packages that modules come from."""
    return frozenset(found[1] for path in modules.values() if (found := _PACKAGES.match(path)))


def _distributions(folder: str, modules: Collection[str]) -> set[str]:
    try:
        entries = [entry for entry in os.listdir(folder) if entry.endswith((".dist-info", ".egg-info"))]
    except OSError:
        entries = []
    names = {normalized(re.split(r"-\d|\.egg-info|\.dist-info", entry)[0]): entry for entry in sorted(entries)}
    found = {normalized(name) for name in modules} & names.keys()
    missing = {name for name in modules if normalized(name) not in names}
    for name, entry in names.items():
        if not missing:
            break
        tops = missing & set(_top_levels(os.path.join(folder, entry)))
        if tops:
            found.add(name)
            missing -= tops
    # A module that comes with another (`_cffi_backend`) or that nobody owns up to; a private one tells nothing.
    return found | {normalized(name) for name in missing if not name.startswith("_")}


def _top_levels(info: str) -> Iterable[str]:
    """The top-level modules of a distribution, from its metadata folder."""
    try:
        with open(os.path.join(info, "top_level.txt"), encoding="utf-8", errors="replace") as file:
            return file.read().split()
    except OSError:
        record = os.path.join(info, "RECORD")
    try:
        if os.path.getsize(record) > _LARGEST_LIST:
            return ()
        with open(record, encoding="utf-8", errors="replace") as file:
            return {re.split(r"[/.,]", line, maxsplit=1)[0] for line in file}
    except OSError:
        return ()
