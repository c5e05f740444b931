"""One checkpoint of a live run: what its command has printed and measured since the last one, as a commit.

Only what is new is stored, so that a run of many checkpoints costs hardly more than one of few. What has been stored
is remembered in the spool, after the ref has moved: a checkpoint that is killed in between is stored twice, and the end
of the run replaces all of them anyway.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from git_replicate.capture.curves import Curves
from git_replicate.capture.log import CUT_MARK, assemble_log
from git_replicate.core import record as records
from git_replicate.core.errors import ReplicateError
from git_replicate.core.known_secrets import KnownSecrets
from git_replicate.core.record import Process
from git_replicate.execution.conclude import EARLIER_CURVES, RUN_FILE, START_FILE, read_output
from git_replicate.execution.hidden import secrets_so_far
from git_replicate.execution.plan import PLAN_FILE, Plan, load_plan
from git_replicate.execution.reading import released_until
from git_replicate.execution.spool import STREAMS, Position, Spool
from git_replicate.git.opening import find_layout, repository_at
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.segments import segment_paths
from git_replicate.store.store import Parts, checkpoint

STATE_FILE: Final = "checkpoint.json"
_LEAST_PIECE: Final = 100_000
"""Bytes of log that every checkpoint may store, however much is stored already."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the checkpoints before this one have stored."""

    number: int = 0
    offsets: Mapping[str, int] = field(default_factory=dict)
    log_bytes: int = 0
    points: Mapping[str, int] = field(default_factory=dict)


def write_checkpoint(repo: Repository, spool: Spool) -> Oid | None:
    """Store how far the run of a spool has come; None if it has ended, or its start is not stored."""
    start = (spool.read(START_FILE) or b"").decode(errors="replace").strip()
    text, plan_text = spool.read(RUN_FILE), spool.read(PLAN_FILE)
    if not start or text is None or plan_text is None:
        return None
    record, plan = records.loads(text), load_plan(plan_text)
    known = _read(spool, plan)
    secrets = secrets_so_far(spool, plan)
    metrics = read_output(spool, plan, record, known=secrets)[0]
    gone = released_until(spool)
    log, offsets = _new_output(spool, plan, known, gone, secrets)
    if released_until(spool) != gone:
        return None  # what is printed goes while we read it: the next checkpoint may have better luck
    curves, points = _new_points(metrics.curves, known.points)
    now = datetime.now(UTC)
    record = replace(
        record,
        metrics=metrics.values,
        metrics_best=metrics.best,
        metrics_source=metrics.source,
        process=_usage(spool, record.process),
    )
    names = segment_paths(known.number + 1)
    extra = {names[0]: log, **({names[1]: curves.csv()} if curves else {})}
    commit = checkpoint(repo, secrets.mask_record(record), Oid(start), Parts(extra=extra), now)
    if commit is not None:
        table = {"number": known.number + 1, "offsets": offsets, "log_bytes": known.log_bytes + len(log)}
        spool.write(STATE_FILE, json.dumps({**table, "points": points}).encode())
    return commit


def _read(spool: Spool, plan: Plan) -> _Stored:
    table: dict[str, Any] = spool.read_json(STATE_FILE)
    if table:
        return _Stored(**table)
    if plan.attempt == 1:
        return _Stored()
    # What earlier attempts measured is stored whole.
    _, points = _new_points(Curves.from_csv(spool.read(EARLIER_CURVES) or b""), {})
    return _Stored(points=points)


def _new_output(
    spool: Spool, plan: Plan, known: _Stored, gone: Position, secrets: KnownSecrets
) -> tuple[bytes, dict[str, int]]:
    """The whole lines that were printed since, secrets masked, and how much of each stream is stored then.

    What comes before `gone` is not in the spool any more.
    """
    unfinished = dict.fromkeys(STREAMS, b"")
    read = {stream: gone.of(stream) for stream in STREAMS}
    cut = sum(max(read[stream] - known.offsets.get(stream, 0), 0) for stream in STREAMS)

    def fresh() -> Iterator[bytes]:
        if plan.attempt > 1 and known.number == 0:
            yield b"[git replicate: attempt %d]\n" % plan.attempt
        if cut:
            yield CUT_MARK % cut
        for stream, _, data in spool.output(replace(gone)):
            seen = max(min(known.offsets.get(stream, 0) - read[stream], len(data)), 0)
            read[stream] += len(data)
            whole, newline, unfinished[stream] = (unfinished[stream] + data[seen:]).rpartition(b"\n")
            yield whole + newline

    room = max(plan.log_bytes - known.log_bytes, _LEAST_PIECE)
    log = assemble_log(fresh(), limit=room, known=secrets).data
    return log, {stream: read[stream] - len(unfinished[stream]) for stream in STREAMS}


def _new_points(curves: Curves, known: Mapping[str, int]) -> tuple[Curves, dict[str, int]]:
    """The points of each metric after those that are stored, and how many there are of each."""
    fresh, counts = Curves(), dict[str, int]()
    for point in curves:
        counts[point.metric] = counts.get(point.metric, 0) + 1
        if counts[point.metric] > known.get(point.metric, 0):
            fresh.add(point.metric, point.value, point.step, point.time)
    return fresh, counts


def _usage(spool: Spool, process: Process) -> Process:
    """What the command and its children have used so far, if they are there to be asked."""
    import psutil

    entry = spool.read_json("process.json").get("command")
    try:
        if not entry:
            return process
        main = psutil.Process(entry["pid"])
        family = [main, *main.children(recursive=True)]
        seconds = sum(p.cpu_times().user + p.cpu_times().system for p in family)
        resident = max(p.memory_info().rss for p in family)
    except psutil.Error:
        return process
    return replace(
        process,
        pid=entry["pid"],
        cpu_seconds=round(process.cpu_seconds + seconds, 3),
        peak_memory_bytes=max(process.peak_memory_bytes, resident),
    )


def main(common_dir: str, folder: str) -> str:
    """Write a checkpoint; what became of it, in words."""
    os.nice(10)
    # git is told which repository it is by this variable alone, wherever the recorder stood.
    os.environ["GIT_DIR"] = common_dir
    for name in ("GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"):
        os.environ.pop(name, None)
    try:
        commit = write_checkpoint(repository_at(find_layout(common_dir), backend="plumbing"), Spool(folder))
    except (ReplicateError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return commit or "nothing is stored"


if __name__ == "__main__":
    os.write(1, f"{main(sys.argv[1], sys.argv[2])}\n".encode())
