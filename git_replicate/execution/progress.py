"""How far live runs have come: from their spools here, from their last checkpoints elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from git_replicate.core.errors import FormatError, GitError, UserError
from git_replicate.core.record import Record
from git_replicate.core.secrets import mask_text
from git_replicate.execution.plan import PLAN_FILE, load_plan
from git_replicate.execution.spool import STREAMS
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.store import read_files, read_run

if TYPE_CHECKING:
    from git_replicate.capture.metric_files import Metrics
    from git_replicate.execution.recover import LiveRun

_TAIL = 1 << 16
"""Bytes of the output, from its end, in which metrics are looked for."""


@dataclass(frozen=True, slots=True)
class RunElsewhere:
    """A run that goes on where we cannot look, as it was at its last checkpoint that came here."""

    record: Record
    seen: datetime
    last_line: str

    @property
    def name(self) -> str:
        return f"{self.record.experiment}/{self.record.id}"


def runs_elsewhere(repo: Repository, rows: Iterable[Mapping[str, Any]]) -> list[RunElsewhere]:
    """The runs of these rows of the index (`oid`), oldest first; one that cannot be read is passed over."""
    found = []
    for row in rows:
        with contextlib.suppress(FormatError, GitError, UserError):
            commit = Oid(str(row["oid"]))
            record = read_run(repo, commit).record
            seen = datetime.fromtimestamp(repo.read_commit(commit).committer.time, UTC)
            found.append(RunElsewhere(record, seen, last_line(read_files(repo, commit).log or b"")))
    return sorted(found, key=lambda run: run.record.id)


def tail_of(run: LiveRun) -> bytes:
    """The end of what a run of this machine has printed: its standard output, or standard error if there is none."""
    return next((tail for tail in _tails(run) if tail), b"")


def _tails(run: LiveRun) -> Sequence[bytes]:
    return [run.spool.end(stream, _TAIL) for stream in STREAMS]


def last_line(text: bytes) -> str:
    """The last line that says something, without secrets."""
    lines = mask_text(text[-4096:]).decode(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def printed_and_measured(run: LiveRun) -> tuple[bytes, Metrics]:
    """The log and the metrics of a run of this machine, as far as it has come."""
    from git_replicate.execution.conclude import read_output
    from git_replicate.execution.hidden import secrets_so_far

    plan = load_plan(run.spool.read(PLAN_FILE) or b'{"top": ""}')
    metrics, log, _, _ = read_output(run.spool, plan, run.record, known=secrets_so_far(run.spool, plan))
    return log, metrics


def latest_metrics(run: LiveRun) -> dict[str, float | int]:
    """The newest values of a run of this machine: what it gave to the API or a tracker, else what it printed last."""
    from git_replicate.capture.metrics import OutputMetrics
    from git_replicate.capture.probe_report import PROBE_FOLDER
    from git_replicate.capture.tracked import read_points

    plan = load_plan(run.spool.read(PLAN_FILE) or b'{"top": ""}')
    values: dict[str, float | int] = {}
    for _, curves in read_points(run.spool.path(PROBE_FOLDER), since=None).sources:
        values = {**curves.last(), **values}
    if values or not (plan.stdout or plan.patterns):
        return values
    found = OutputMetrics(plan.patterns, rule=plan.stdout)
    for stream, tail in zip(STREAMS, _tails(run), strict=False):
        found.feed(tail.partition(b"\n")[2] if len(tail) == _TAIL else tail, stream=stream)
    found.close()
    return found.curves().last()
