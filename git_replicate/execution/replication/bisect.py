"""Proving what makes two runs differ, by running hybrids of the two until the smallest cause is found.

The search is `core.bisection`'s, the parts are `parts`', the runs `hybrids`'; here they are put together for one
question, and the answer is turned into causes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from git_replicate.core.bisection import Finding, Outcome, Question, Result, investigate, is_like_second
from git_replicate.core.causes import Cause
from git_replicate.core.collate import SEED_NAMES
from git_replicate.core.errors import UserError
from git_replicate.core.nested import flat
from git_replicate.core.record import Record, Status, from_document
from git_replicate.core.secrets import MASK
from git_replicate.core.settings import Settings
from git_replicate.core.table import same
from git_replicate.core.verdict import Side
from git_replicate.execution.place import Place
from git_replicate.execution.replication.hybrids import Hybrid, Hybrids, result_of
from git_replicate.execution.replication.parts import Part, Parts
from git_replicate.execution.replication.replay import EnvironmentChoice
from git_replicate.git.repository import Oid, Repository


@dataclass(frozen=True, slots=True)
class Proof:
    """What a bisection came to. outcome: found, noise, not-reproduced or same."""

    outcome: str
    reason: str
    metric: str
    parts: tuple[Part, ...] = ()
    hybrids: tuple[Hybrid, ...] = ()
    noise: Mapping[str, float] | None = None
    apart: bool = True
    """Whether each of the parts was shown to matter, and not just all of them together."""

    @property
    def causes(self) -> list[Cause]:
        return [part.as_cause(proved=self.apart) for part in self.parts]


def bisect(
    first: Side,
    second: Side,
    place: Place,
    *,
    metric: str = "",
    environment: EnvironmentChoice = "current",
    one_seed: bool = False,
    known: Iterable[Mapping[str, Any]] = (),
    tell: Callable[[Hybrid, bool | None], None],
) -> Proof:
    """Find the smallest change that carries the difference between two runs' results.

    metric: the one to go by; "": the first that differs, or without any all results. one_seed: find what makes the
    difference with the first run's seed, whatever others give. known: documents of runs that may
    be hybrids of an earlier search. `UserError` where the runs have no results that could differ, or cannot be run.
    """
    repo = place.repository
    _check_runs(repo, first.record, second.record)
    metric = metric or choose_metric(first.record, second.record, place.settings)
    results = tuple(result_of(repo, side.record, metric, side) for side in (first, second))
    if results[0] == results[1]:
        return Proof("same", "the two runs came to the same", metric)
    parts = Parts(repo, first, second, place.settings)
    pinned = parts.pinned
    if parts.lost:
        place.warn(f"read by both runs, not declared, and here as neither had it: {', '.join(parts.lost[:5])}")
    question = Question(
        results[0], results[1], parts.groups, parts.pieces, only_first=pinned[0], only_second=pinned[1],
        seeds_differ=_seeds(first.record) != _seeds(second.record), one_seed=one_seed,
    )  # fmt: skip
    earlier = {str(document["hybrid"].get("key")): from_document(document) for document in known}
    with Hybrids(
        place, parts, metric=metric, known={k: r for k, r in earlier.items() if r.status in _DONE},
        environment=environment, tell=lambda hybrid: tell(hybrid, is_like_second(hybrid.result, *results)),
    ) as hybrids:  # fmt: skip
        for line in hybrids.present_differences():
            place.warn(f"not as it was for the first run: {line}")
        finding = investigate(question, hybrids.measure)
        return _proof(finding, parts, hybrids, metric)


_DONE = (Status.FINISHED, Status.FAILED)


def _proof(finding: Finding, parts: Parts, hybrids: Hybrids, metric: str) -> Proof:
    found = tuple(parts.by_key[key] for key in finding.parts)
    reason = finding.reason
    last = hybrids.made[-1] if hybrids.made else None
    if finding.outcome is Outcome.NOT_REPRODUCED and last and last.result.ending != "finished":
        reason += f" (git replicate show {last.run}); a checkout has only files of the snapshot and declared data"
    others = [*(f"the content of {name}" for name in parts.lost), *hybrids.present_differences()]
    if finding.outcome is Outcome.NOT_REPRODUCED and others:
        reason += f"; not as it was: {'; '.join(others[:5])}"
    return Proof(str(finding.outcome), reason, metric, found, tuple(hybrids.made), finding.noise, finding.apart)


def _check_runs(repo: Repository, *records: Record) -> None:
    for record in records:
        name = f"{record.experiment}/{record.id}"
        if record.status not in _DONE:
            raise UserError(f"{name} is {record.status}: it has no result to compare", "git replicate log")
        if not record.command:
            raise UserError(f"{name} was a session: there is no command to run again", "git replicate log")
        if not record.code.tree or not repo.exists(Oid(record.code.snapshot)):
            raise UserError(f"the code of {name} is not here", "git fetch --unshallow, or fetch the run")
        if any(MASK in word for word in record.command):
            raise UserError(f"the command of {name} had a secret, which is not recorded", "run it anew without")


def choose_metric(first: Record, second: Record, settings: Settings) -> str:
    """The metric to go by: a declared goal that differs, else the first that differs; "" if there is none."""
    differing = [name for name in sorted({*first.metrics, *second.metrics}) if not _equal(name, first, second)]
    goals = [name for name in (*settings.results.maximize, *settings.results.minimize) if name in differing]
    both = [name for name in differing if name in first.metrics and name in second.metrics]
    return next(iter([*goals, *both, *differing]), next(iter(sorted({*first.metrics} & {*second.metrics})), ""))


def _equal(name: str, first: Record, second: Record) -> bool:
    return same(first.metrics.get(name), second.metrics.get(name))


def _seeds(record: Record) -> list[Any]:
    """What the run's generators started from, as far as it was asked for."""
    params = flat(record.params)
    return [record.seeds.run, *sorted((n, v) for n, v in params.items() if n.rpartition(".")[2] in SEED_NAMES)]


def describe_value(result: Result) -> str:
    """A result for people: the metric, or how it ended."""
    if result.ending != "finished":
        return result.ending
    if result.value is None:
        return "finished"
    return "nan" if math.isnan(result.value) else f"{result.value:.6g}"
