"""A recorded run with all that is compared of it, and the comparison of two."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace

import tomli

from git_replicate.capture.curves import Curves
from git_replicate.core.causes import Cause, ChangedFile, find_causes
from git_replicate.core.errors import GitError
from git_replicate.core.paths import quote_path, unquote_path
from git_replicate.core.record import Code
from git_replicate.core.settings import Settings, Tolerance
from git_replicate.core.verdict import OTHER_HARDWARE, Outcome, Side, Tolerances, Verdict, compare_runs, same_hardware
from git_replicate.git.changed import changed_paths
from git_replicate.git.repository import Layout, Oid, Repository
from git_replicate.git.trees import read_path
from git_replicate.store.store import read_files, read_run

_CAUSES = 20
_MOST_COMPARED = 5_000_000
"""Bytes of programs that are parsed, a microsecond each, to tell a change of comments from one of code."""


def read_side(repo: Repository, commit: Oid) -> Side:
    """What a run's record and the files beside it say."""
    files = read_files(repo, commit)
    curves: dict[str, list[tuple[int | None, float | int]]] = {}
    for point in Curves.from_csv(files.metrics_csv or b""):
        curves.setdefault(point.metric, []).append((point.step, point.value))
    environment = tomli.loads((files.environment or b"").decode())
    data = tomli.loads((files.data or b"").decode())
    return Side(
        read_run(repo, commit).record, curves, files.log or b"", environment,
        data.get("data", {}), data.get("stages", {}), _tops(repo.layout),
    )  # fmt: skip


def _tops(layout: Layout) -> tuple[str, ...]:
    """The worktrees of the repository that are known without asking git, also as links resolve."""
    tops = {layout.top or ""}
    if os.path.basename(layout.common_dir) == ".git":
        tops.add(os.path.dirname(layout.common_dir))
    tops.discard("")
    return tuple(sorted({*tops, *map(os.path.realpath, tops)}))


def causes_between(repo: Repository, first: Side, second: Side, *, not_code: Collection[str] = ()) -> tuple[Cause, ...]:
    """Everything that differs between two runs, likeliest first."""
    return find_causes(first, second, changed_files(repo, first, second), not_code=not_code)


def changed_files(repo: Repository, first: Side, second: Side) -> list[ChangedFile]:
    """The files in which the snapshots of two runs differ, with a note where the program is the same."""
    from git_replicate.core.same_program import is_comparable, what_little_differs

    trees = (first.record.code.tree, second.record.code.tree)
    changed = changed_paths(repo.layout, *trees) if all(trees) and trees[0] != trees[1] else []
    found = []
    compared = 0
    for path, a, b, _ in changed:
        note = "only its permissions" if a == b else ""
        if a and b and a != b and is_comparable(path) and compared < _MOST_COMPARED:
            try:
                texts = [repo.read_blob(Oid(oid)) for oid in (a, b)]
            except GitError:  # a submodule of that name, or objects that are not here
                texts = []
            compared += sum(map(len, texts))
            note = what_little_differs(path, *texts) if texts else ""
        found.append(ChangedFile(quote_path(os.fsencode(path)), a, b, note))
    known = {file.path for file in found}
    inner = changed_submodules(repo, first.record.code, second.record.code)
    return found + [ChangedFile(path, a, b) for path, a, b in inner if path not in known]


def changed_submodules(repo: Repository, first: Code, second: Code) -> list[tuple[str, str, str]]:
    """Submodules that ran in another state, with the commits of both; gitlinks tell nothing of uncommitted changes."""
    states = [{sub.path: sub.state for sub in code.submodules} for code in (first, second)]
    found = []
    for path in sorted({*states[0], *states[1]}):
        links = [read_path(repo, Oid(code.tree), unquote_path(path)) if code.tree else None for code in (first, second)]
        a, b = (state.get(path) or (link.oid if link else "") for state, link in zip(states, links, strict=True))
        if a != b and any(links):
            found.append((path, a, b))
    return found


def compare_sides(first: Side, second: Side, settings: Settings, given: Tolerance | None = None) -> Verdict:
    """The verdict on two runs, by the tolerances given, configured, or usual on the hardware; without causes."""
    default = Tolerance() if same_hardware(first.environment, second.environment) else OTHER_HARDWARE
    return compare_runs(first, second, Tolerances(settings.tolerance, given, default), ignore=settings.outputs.ignore)


def judge_rerun(
    repo: Repository, original: Side, again: Side, settings: Settings, given: Tolerance | None = None
) -> Verdict:
    """The verdict on a rerun, with the causes that can explain a difference."""
    verdict = compare_sides(original, again, settings, given)
    if verdict.outcome is not Outcome.DIFFERS:
        return verdict
    causes = causes_between(repo, original, again, not_code=settings.params.files)
    return replace(verdict, causes=tuple(cause.as_document() for cause in causes[:_CAUSES]))
