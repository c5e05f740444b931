"""Which runs contain a bug: by the content of their snapshots, so that uncommitted code and rewritten history count.

Every distinct version of a file is looked at once, however many runs had it. Where a file is not at its path, it is
looked for as git finds renames. What a shallow or partial clone lacks is unknown, never no.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from git_replicate.core.causes import is_prose
from git_replicate.core.containment import Change, Fault, Lines, Presence, both, united
from git_replicate.core.errors import UserError
from git_replicate.core.hunks import lines_of, parse_hunks
from git_replicate.core.paths import quote_path
from git_replicate.core.sizes import count
from git_replicate.git.changed import changed_paths, renamed_to
from git_replicate.git.history import diff_blobs
from git_replicate.git.repository import Oid, Repository

_RENAMES: Final = 500
"""Trees without the file in which it is looked for under another name."""
_LISTED: Final = (Presence.YES, Presence.MAYBE, Presence.OTHER, Presence.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Bug:
    """What is looked for: the files of one change, or lines of a file; None where this clone lacks what it needs."""

    said: str
    commit: Oid
    faults: tuple[Fault, ...] | None


@dataclass(frozen=True, slots=True)
class Affected:
    """A run, whether it contains the bug, in which files, and whether it ran or read one of them (None: not known)."""

    row: Mapping[str, Any]
    presence: Presence
    files: tuple[str, ...]
    executed: bool | None


def introduced_by(repo: Repository, revision: str) -> Bug:
    """The bug that a commit brought; `UserError` if there is no such commit or it changed nothing."""
    return _change(repo, revision, swapped=False)


def fixed_by(repo: Repository, revision: str) -> Bug:
    """The bug that was there before a commit."""
    return _change(repo, revision, swapped=True)


def lines_in(repo: Repository, text: str, revision: str) -> Bug:
    """`FILE` or `FILE:12` or `FILE:10-20`, as of a commit; FILE relative to the present folder."""
    commit = _commit(repo, revision)
    name, colon, span = text.rpartition(":")
    first, _, last = span.partition("-")
    if not colon or not first.isdigit() or (last and not last.isdigit()):
        name, first, last = text, "", ""
    path = os.path.normpath(os.path.join(repo.layout.prefix, name))
    data = next(iter(repo.read_many([f"{commit}:{path}"])))
    if data is None:
        raise UserError(f"{path} is not in {revision}", f"git ls-tree -r --name-only {revision}")
    start, stop = int(first or 1) - 1, int(last or first or 0)
    if first and not 0 <= start < stop <= len(lines_of(data)):
        raise UserError(
            f"{text}: {path} has {count(len(lines_of(data)), 'line')} in {revision}", f"git show {revision}:{path}"
        )
    return Bug(f"{text} of {revision}", commit, (Lines(path, data, start, stop),))


def _commit(repo: Repository, revision: str) -> Oid:
    commit = repo.resolve(revision)
    if commit is None:
        raise UserError(f"no commit is called {revision!r}", "git log --oneline")
    return commit


def _change(repo: Repository, revision: str, *, swapped: bool) -> Bug:
    commit = _commit(repo, revision)
    parents = repo.read_commit(commit).parents
    if parents and not repo.exists(parents[0]):
        return Bug(revision, commit, None)
    base = parents[0] if parents else repo.write_tree([])
    changed = changed_paths(repo.layout, base, commit)
    if not changed:
        raise UserError(f"{revision} changes no file", f"git show --stat {revision}")
    telling = [each for each in changed if not is_prose(each.path) and not each.path.endswith(".pyc")] or changed
    faults = []
    for path, first, second, _ in telling:
        sides = [next(iter(repo.read_many([oid]))) if oid else None for oid in (first, second)]
        if sides == [None, None] or first == second:  # a submodule, or another mode
            continue
        ids = (Oid(second), Oid(first)) if swapped else (Oid(first), Oid(second))
        before, after = reversed(sides) if swapped else sides
        hunks = parse_hunks(diff_blobs(repo.layout, *ids)) if all(ids) else []
        faults.append(Change(path, before, after, tuple(hunks)))
    # That a file is not there says little where the change has other parts: a fix that adds a test, say.
    there = [fault for fault in faults if fault.after is not None]
    return Bug(revision, commit, tuple(there or faults))


def find_affected(
    repo: Repository,
    bugs: Sequence[Bug],
    rows: Sequence[dict[str, Any]],
    documents: Callable[[Sequence[dict[str, Any]]], Iterable[Mapping[str, Any]]],
) -> list[Affected]:
    """The runs that contain all of the bugs, those that ran its files first; not those that surely do not.

    rows: of the index, with `tree`; documents: the records of some of them, read only for runs that are listed.
    """
    trees = sorted({str(row["tree"]) for row in rows if row.get("tree")})
    found = [_in_trees(repo, bug, trees) for bug in bugs]
    chosen = []
    for row in rows:
        tree = str(row.get("tree") or "")
        sides = [each.get(tree, (Presence.UNKNOWN, ())) for each in found]
        presence = functools.reduce(both, (side for side, _ in sides))
        if presence in _LISTED:
            chosen.append((row, presence, tuple(dict.fromkeys(file for _, some in sides for file in some))))
    read = documents([row for row, _, _ in chosen])
    listed = [
        Affected(row, presence, files, _was_run(document, files))
        for (row, presence, files), document in zip(chosen, read, strict=True)
    ]
    return sorted(listed, key=lambda each: (each.executed is not True, each.executed is False, _rank(each.presence)))


def _rank(presence: Presence) -> int:
    return _LISTED.index(presence)


def _was_run(document: Mapping[str, Any], files: Sequence[str]) -> bool | None:
    """Whether the run executed or read one of the files; None where that is not known, as of what is no Python."""
    code = document.get("code", {})
    executed = code.get("executed", ())
    if {*files} & {*executed, *code.get("read", ())}:
        return True
    known = executed and files and all(file.endswith(".py") for file in files)
    return False if known else None


def _in_trees(repo: Repository, bug: Bug, trees: Sequence[str]) -> dict[str, tuple[Presence, tuple[str, ...]]]:
    """For each tree whether it contains the bug, and in which files."""
    if bug.faults is None:
        return dict.fromkeys(trees, (Presence.UNKNOWN, ()))
    here = {tree for tree in trees if repo.exists(Oid(tree))}
    found: dict[str, dict[str, Presence]] = {tree: {} for tree in trees}
    for fault in bug.faults:
        seen: dict[bytes | None, Presence] = {}
        texts = repo.read_many(f"{tree}:{fault.path}" for tree in trees)
        lacking = []
        for tree, data in zip(trees, texts, strict=True):
            if tree not in here:
                found[tree][fault.path] = Presence.UNKNOWN
            elif data is None:
                lacking.append(tree)
            else:
                found[tree][fault.path] = seen.setdefault(data, fault.within(data))
        for number, tree in enumerate(lacking):
            name = renamed_to(repo.layout, bug.commit, tree, fault.path) if number < _RENAMES else ""
            data = next(iter(repo.read_many([f"{tree}:{name}"]))) if name else None
            found[tree][name or fault.path] = fault.within(data)
    return {
        tree: (united(files.values()), tuple(quote_path(os.fsencode(f)) for f, p in files.items() if p in _LISTED))
        for tree, files in found.items()
    }
