"""The one workflow: prepare, run, record the outcome.

The record exists before the command starts, and whatever fails while recording after that point never stops the
command: it is said once, written into the record as `missing`, and what could not be stored waits in the spool.
What happens before the command starts is in `prepare`; how a run's end is turned into its final record is in
`conclude`, which recovery uses as well.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from git_replicate.capture.standard_input import is_idle
from git_replicate.capture.tensorboard import EventSearch
from git_replicate.core.errors import GitError, StorageError
from git_replicate.core.known_secrets import KnownSecrets
from git_replicate.core.paths import quote_path
from git_replicate.core.record import Record, Status
from git_replicate.core.secrets import mask_text
from git_replicate.execution import signals
from git_replicate.execution.attempts import Earlier, find_earlier
from git_replicate.execution.checkpoints import Checkpoints
from git_replicate.execution.conclude import conclude_run, with_outcome
from git_replicate.execution.guard import Guard
from git_replicate.execution.jobs import JobRun, JobStart, announce, earlier_run
from git_replicate.execution.launch import launch
from git_replicate.execution.outcome import Outcome
from git_replicate.execution.place import Place
from git_replicate.execution.plan import Request
from git_replicate.execution.prepare import Prepared, prepare
from git_replicate.execution.processes import left_in
from git_replicate.execution.site import Site
from git_replicate.execution.spool import STREAMS, TOLD_FILE, Spool
from git_replicate.execution.terminal import same_file
from git_replicate.probe import VARIABLE
from git_replicate.store.snapshot import EndScan, scan_end

if TYPE_CHECKING:
    from git_replicate.execution.isolation import Worktree
    from git_replicate.git.checkout import Differences

_CODES: Final = re.compile(rb"(?:\x1b\[[0-9;?]*[A-Za-z])+\Z")
"""Colours and the like, which move nothing."""


class Ran(NamedTuple):
    """A run that has ended, and how."""

    record: Record
    outcome: Outcome


def start_run(request: Request, place: Place, job: JobStart | None = None) -> int:
    """Record and run a command; the exit code is the command's own, 128+n for a signal."""
    with signals.released_after():
        return _run(prepare(request, place, _earlier(request, place, job)), place, job).outcome.shell_code


def run_at(
    site: Site,
    request: Request,
    place: Place,
    held: Worktree,
    links: Sequence[str],
    *,
    guard: Guard | None = None,
    batch: bool = False,
    earlier: Earlier | None = None,
) -> Ran:
    """Record and run a command in a checkout; `place` is the repository as seen from there.

    What it wrote and no record keeps is moved out of the checkout, and what an earlier attempt wrote into it.
    batch: notes are written by whoever has many runs.
    """
    from git_replicate.execution.isolation import bring_back, isolated_environment, settle

    seen: list[Differences] = []

    def scan() -> EndScan | None:
        return _scan_checkout(prepared, place, held, links, seen)

    with signals.released_after():
        prepared = prepare(request, place, earlier, site)
        held.note_run(prepared.record.id)
        if prepared.record.attempts > 1:
            bring_back(held, prepared.record.id)
        prepared = replace(prepared, environment=isolated_environment(prepared.environment, site))
        ran = _run(prepared, place, None, scan=scan, notes=not batch, guard=guard)
        kept = [path for path, output in ran.record.outputs.items() if output.kept != "no"]
        if earlier is not None and ran.record.status is not Status.FINISHED:
            kept = []
        settle(held.origin, held.checkout.folder, kept, next(iter(seen), None))
    return ran


def _scan_checkout(
    prepared: Prepared, place: Place, held: Worktree, links: Sequence[str], found: list[Differences]
) -> EndScan | None:
    """What the run left in its checkout; what was found goes into `found`, so that nobody need look again."""
    from git_replicate.execution.isolation import left_behind, look, moved

    try:
        found.append(look(held, prepared.site.written if prepared.site else {}))
    except (GitError, OSError) as error:
        place.warn(f"what changed during the run is not known: {error}")
        return None
    changed = tuple(quote_path(os.fsencode(path)) for path in found[0].changed)
    if held.nested and (seen := _scan(prepared, place)):
        changed = tuple(sorted({*changed, *seen.changed}))
    return EndScan(changed, moved(left_behind(held, found[0], links), prepared.record.id))


def _run(
    prepared: Prepared,
    place: Place,
    job: JobStart | None,
    scan: Callable[[], EndScan | None] | None = None,
    *,
    notes: bool = True,
    guard: Guard | None = None,
) -> Ran:
    """Launch what is prepared, and record its end."""
    record = prepared.record
    if job is not None:
        seeds = record.seeds
        announce(job, JobRun(prepared.name, job.attempt, time.time(), seeds.run, seeds.python_hash))
    place.say(f"run {prepared.name}" + (f" attempt {record.attempts}" if record.attempts > 1 else ""))
    words, env = prepared.command, prepared.environment
    spool = prepared.spool
    aside = Checkpoints(place.repository.layout.common_dir, spool)
    outcome = launch(words, env=env, directory=prepared.directory, spool=spool, guard=guard, checkpoints=aside)
    if _is_line_open(spool):
        place.say("")
    outcome = replace(outcome, idle_input=is_idle())
    record = _conclude(prepared, place, outcome, scan, notes=notes)
    # Asked last: what only ends a little later than its shell, a `tee` say, has ended by now.
    if left := left_in(outcome.group):
        place.warn(_still_running(left, prepared.secrets))
    place.say(f"run {prepared.name} {describe_outcome(record)}")
    return Ran(record, outcome)


def _is_line_open(spool: Spool) -> bool:
    """Whether what the command printed last, where we talk as well, has no end of line."""
    shown = [stream for stream in STREAMS if stream == "stderr" or same_file(1, 2)]
    ends = [_CODES.sub(b"", spool.end(stream, 64))[-1:] for stream in shown]
    return any(end not in (b"", b"\n") for end in ends)


def _still_running(left: Sequence[tuple[int, str]], known: KnownSecrets) -> str:
    shown = [f"{pid} {mask_text(known.mask(words))[:40]}" for pid, words in left[:3]]
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    return f"still running: {', '.join(shown)}{more}; what is printed or written now is not in the run"


def _earlier(request: Request, place: Place, job: JobStart | None) -> Earlier | None:
    """The run that this job began before its scheduler started it again, if it is to go on."""
    if job is None or request.new_run:
        return None
    run = earlier_run(job, os.environ)
    return find_earlier(place.repository, run, place.warn) if run is not None else None


class Opened(NamedTuple):
    """An open session: the run's name, and what a probe in its processes is told."""

    name: str
    probe: dict[str, Any]


def open_session(request: Request, place: Place) -> Opened:
    """Record the code now and leave the run open until `finish`."""
    with signals.released_after():
        prepared = prepare(request, place)
        told = prepared.environment[VARIABLE]
        prepared.spool.write(TOLD_FILE, told.encode())
    return Opened(prepared.name, json.loads(told))


def _conclude(
    prepared: Prepared, place: Place, outcome: Outcome, scan: Callable[[], EndScan | None] | None, *, notes: bool
) -> Record:
    """Record how the command ended; whatever cannot be stored is said, and waits in the spool."""
    events = EventSearch(prepared.plan.top)
    seen = scan() if scan else _scan(prepared, place, meanwhile=events.look)
    try:
        ended = conclude_run(place.repository, prepared.spool, outcome=outcome, scan=seen, notes=notes, events=events)
    except (GitError, StorageError, OSError) as error:
        place.warn(f"the run is kept in {prepared.spool.folder} ({error}); to store it: git replicate recover")
        return with_outcome(prepared.record, prepared.plan, outcome)
    except KeyboardInterrupt:
        place.warn(f"not all of the run is stored; it is kept in {prepared.spool.folder}: git replicate recover")
        return with_outcome(prepared.record, prepared.plan, outcome)
    for notice in ended.notices:
        place.warn(notice)
    if ended.record.code.changed_during_run:
        place.warn(f"changed during the run: {', '.join(ended.record.code.changed_during_run[:5])}")
    if ended.hint:
        place.say(ended.hint)
    return ended.record


def _scan(prepared: Prepared, place: Place, *, meanwhile: Callable[[], None] | None = None) -> EndScan | None:
    """What the run changed; meanwhile: what else there is to do while git looks."""
    if prepared.snapshot is None:
        return None
    try:
        return scan_end(place.repository, prepared.snapshot, scratch=prepared.spool.folder, meanwhile=meanwhile)
    except (GitError, StorageError, OSError) as error:
        place.warn(f"what changed during the run is not known: {error}")
        return None


def describe_outcome(record: Record) -> str:
    """How a run ended, in one line."""
    words = [str(record.status)]
    if record.reason and record.status is not Status.FINISHED:
        words.append(f"({record.reason})")
    if record.seconds is not None:
        words.append(f"in {duration(record.seconds)}")
    shown = list(record.metrics.items())[:6]
    more = len(record.metrics) - len(shown)
    metrics = "  ".join(f"{name} {value:.6g}" for name, value in shown)
    return " ".join(words) + (f"  {metrics}" if metrics else "") + (f"  and {more} more metrics" if more else "")


def duration(seconds: float) -> str:
    """A time span for people: 0.52 s, 3 min 5 s, 2 h 7 min."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
