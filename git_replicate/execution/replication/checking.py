"""Which results moved between two code bases: recorded runs of both, paired and compared. Runs nothing.

A run belongs to the present code if its tree is that of HEAD, or it was started on a commit that HEAD has and the
reference has not; to the reference if its tree is the reference's or it was started on a commit that that has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from git_replicate.core import stats
from git_replicate.core.errors import UserError
from git_replicate.core.pairing import Match, Matches, pair_runs, values_of
from git_replicate.core.settings import Settings, Tolerance
from git_replicate.core.sizes import count
from git_replicate.core.verdict import Outcome
from git_replicate.execution.replication.sides import compare_sides, read_side
from git_replicate.git.history import commits_between
from git_replicate.git.repository import Oid, Repository

Row = Mapping[str, Any]
_ENDED: Final = ("finished", "failed")
_DEFAULTS: Final = ("@{upstream}", "origin/HEAD", "main", "master", "trunk", "HEAD~1")


@dataclass(frozen=True, slots=True)
class Checked:
    """A pair and how its results compare; `verdict` is as a rerun's, its original the run of the reference."""

    match: Match
    outcome: Outcome
    verdict: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def default_reference(repo: Repository) -> str:
    """What the present branch is compared with: its upstream, else the main branch, else the commit before."""
    head = repo.head()[0]
    for name in _DEFAULTS:
        commit = repo.resolve(name)
        if commit and commit != head:
            return name
    raise UserError("there is no other code to compare with", "say which: --against COMMIT")


def match_runs(repo: Repository, rows: Iterable[Row], head: Oid, reference: Oid, settings: Settings) -> Matches:
    """The runs of the reference (first) and of HEAD (second) that were asked to do the same."""
    trees = {commit: str(repo.read_commit(commit).tree) for commit in (head, reference)}
    ours = commits_between(repo.layout, head, reference) if head != reference else {head}
    theirs = commits_between(repo.layout, reference)
    sides: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        if row.get("status") not in _ENDED or row.get("invalid"):
            continue
        tree, base = str(row.get("tree") or ""), str(row.get("base") or "")
        if tree == trees[reference]:
            sides[0].append(row)
        elif tree == trees[head] or base in ours:
            sides[1].append(row)
        elif base in theirs:
            sides[0].append(row)

    def rank(row: Row) -> tuple[bool, bool, str]:
        return (row.get("tree") in trees.values(), not row.get("dirty"), str(row.get("started")))

    return pair_runs(*sides, ignore=settings.params.ignore, rank=rank)


def compare_matches(
    repo: Repository, matches: Sequence[Match], settings: Settings, given: Tolerance | None
) -> list[Checked]:
    """Each pair compared as a rerun with its original; groups of other seeds as samples."""
    return [_pair(repo, match, settings, given) if _single(match) else _samples(match) for match in matches]


def _single(match: Match) -> bool:
    return len(match.first) == len(match.second) == 1


def _pair(repo: Repository, match: Match, settings: Settings, given: Tolerance | None) -> Checked:
    (a,), (b,) = match.first, match.second
    first, second = (read_side(repo, Oid(row["oid"])) for row in (a, b))
    verdict = compare_sides(first, second, settings, given)
    notes = [] if match.same_seed else ["other seed"]
    notes += ["other data"] if a.get("data") != b.get("data") else []
    notes += ["other environment"] if a.get("environment") != b.get("environment") else []
    return Checked(match, verdict.outcome, verdict.as_document(), tuple(notes))


def _samples(match: Match) -> Checked:
    """Two groups of seeds: a metric moved if the interval of the means' difference leaves out zero."""
    names = sorted(
        {name.removeprefix("metrics.") for row in (*match.first, *match.second) for name in row if _is_metric(name)}
    )
    metrics: dict[str, Any] = {}
    for name in names:
        one, two = values_of(match.first, name), values_of(match.second, name)
        if len(one) < 2 or len(two) < 2:
            continue
        found = stats.compare(one, two)
        outcome = Outcome.DIFFERS if found.apart else Outcome.WITHIN
        metrics[name] = {
            "outcome": str(outcome), "original": stats.mean(one), "rerun": stats.mean(two),
            "low": found.low, "high": found.high, "effect": found.effect, "p": found.p,
        }  # fmt: skip
    outcomes = {Outcome(entry["outcome"]) for entry in metrics.values()}
    worst = Outcome.DIFFERS if Outcome.DIFFERS in outcomes else Outcome.WITHIN if outcomes else Outcome.NONE
    sizes = f"{len(match.first)} and {count(len(match.second), 'run')} of other seeds"
    return Checked(match, worst, {"outcome": str(worst), "metrics": metrics}, (sizes,))


def _is_metric(name: str) -> bool:
    return name.startswith("metrics.")
