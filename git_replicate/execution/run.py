"""The one workflow: capture, record, run, record the outcome.

The record exists before the command starts, and whatever fails while recording after that point never stops the
command: it is said once, written into the record as `missing`, and what could not be stored waits in the spool.
How a run's end is turned into its final record is in `conclude`, which recovery uses as well.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from git_replicate.capture import machine
from git_replicate.capture.data import capture_data
from git_replicate.capture.environment import capture_environment
from git_replicate.capture.params import capture_params, fill_placeholders, placeholders
from git_replicate.capture.program import program_name
from git_replicate.capture.seeds import draw_seed, seed_environment
from git_replicate.core import record as records
from git_replicate.core.errors import GitError, StorageError, UserError
from git_replicate.core.names import ExperimentName, RunId, clean_component, experiment_name, new_run_id
from git_replicate.core.record import Code, Process, Record, Seeds, Status, User
from git_replicate.core.secrets import mask_command
from git_replicate.core.settings import Settings
from git_replicate.execution.conclude import RUN_FILE, START_FILE, conclude_run, with_outcome
from git_replicate.execution.environment import clean_environment, find_command
from git_replicate.execution.jobs import RUN_VARIABLE, announce
from git_replicate.execution.launch import Outcome, launch
from git_replicate.execution.plan import PLAN_FILE, Plan, Request, dump_plan, make_plan
from git_replicate.execution.spool import Spool, fallback_root, spool_root
from git_replicate.git.config import GitConfig
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.annotations import annotate
from git_replicate.store.snapshot import EndScan, Snapshot, scan_end, take_snapshot
from git_replicate.store.store import Parts, SnapshotGoneError, begin

_SNAPSHOTS = 5
"""How often the code is recorded again while its objects vanish."""
_ROOM = 1 << 16
"""Bytes that a spool must have room for; less, and what the command prints would fail as well."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run happens: the repository, what is configured for it, and how to talk to the person."""

    repository: Repository
    config: GitConfig
    settings: Settings
    say: Callable[[str], None]
    warn: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that is known before the command starts."""

    record: Record
    plan: Plan
    command: tuple[str, ...]
    environment: Mapping[str, str]
    spool: Spool
    snapshot: Snapshot | None

    @property
    def name(self) -> str:
        return f"{self.record.experiment}/{self.record.id}"


def start_run(request: Request, place: Place) -> int:
    """Record and run a command; the exit code is the command's own, 128+n for a signal."""
    prepared = prepare(request, place)
    announce(state_dir(place.repository.layout), os.environ, request.command, prepared.name)
    place.say(f"run {prepared.name}")
    outcome = launch(prepared.command, env=prepared.environment, directory=os.getcwd(), spool=prepared.spool)
    record = _conclude(prepared, place, outcome)
    place.say(f"run {prepared.name} {describe_outcome(record)}")
    if outcome.signal:
        return 128 + machine.signal_number(outcome.signal)
    return 1 if outcome.exit_code is None else outcome.exit_code


def open_session(request: Request, place: Place) -> Record:
    """Record the code now and leave the run open until `finish`."""
    return prepare(request, place).record


def prepare(request: Request, place: Place) -> Prepared:
    """Decide everything, capture what is there and store the start of the run.

    Bad input raises before anything is written. What cannot be stored is said and waits in the spool, unless the
    request is strict.
    """
    settings, layout = place.settings, place.repository.layout
    top = _worktree(place)
    seeds = _seeds(request, settings)
    environ = clean_environment(os.environ)
    command = _fill(request, settings, seeds)
    if command:
        find_command(command[0], environ, os.getcwd())
    experiment = _experiment(request, settings, command)
    params = capture_params(
        command, requested=request.params, files=settings.params.files, top=top, template=request.command
    )
    used = [name.removeprefix("data.") for name in placeholders(request.command) if name.startswith("data.")]
    paths = (*settings.data.paths, *request.data)
    data = capture_data(paths, settings.data.named, top=top, common_dir=layout.common_dir, used=used)
    environment, doubts = capture_environment(command, os.getcwd(), environ, settings.environment)
    for warning in params.warnings:
        place.warn(warning)
    now = datetime.now(UTC)
    spool, run, missing = _make_spool(place, now, strict=request.strict)
    if missing:
        place = replace(place, warn=lambda line: None)  # one warning says it all
    snapshot, code = _snapshot(place, spool, strict=request.strict)
    record = Record(
        id=run,
        experiment=experiment,
        status=Status.RUNNING,
        command=mask_command(command),
        directory=layout.prefix.rstrip("/"),
        started=now,
        message=request.message,
        missing=(*missing, *doubts),
        user=User(*place.config.identity()),
        process=Process(host=machine.host(), pid=os.getpid(), boot_id=machine.boot_id()),
        scheduler=machine.scheduler(os.environ),
        code=code,
        params=params.values,
        params_given=params.given,
        params_null=params.null,
        params_unused=params.unused,
        params_source=params.source,
        seeds=seeds,
    )
    plan = make_plan(request, settings, top=top, environment=environment, data=data)
    added = {RUN_VARIABLE: f"{record.experiment}/{record.id}", **seed_environment(seeds, environ)}
    prepared = Prepared(record, plan, command, {**environ, **added}, spool, snapshot)
    return _begin(prepared, place, strict=request.strict)


def _seeds(request: Request, settings: Settings) -> Seeds:
    option = settings.random.seed if request.seed is None else request.seed
    return draw_seed(option, secrets.token_bytes, os.environ)


def _fill(request: Request, settings: Settings, seeds: Seeds) -> tuple[str, ...]:
    """The command with its placeholders filled; `{seed}` is one only if the seed was asked for by number, or the
    command is the configured one."""
    if not request.placeholders:
        return request.command
    asked = seeds.mode == "given" or request.command == settings.command
    seed = seeds.run if asked else None
    return fill_placeholders(request.command, dict(request.params), seed, settings.data.named)


def _worktree(place: Place) -> str:
    top = place.repository.layout.top
    if top is None:
        raise UserError(
            "this repository is bare: there is no working tree to record", "run it in a clone or a worktree of it"
        )
    return top


def _experiment(request: Request, settings: Settings, command: tuple[str, ...]) -> ExperimentName:
    """The name given, or configured, or else that of the script."""
    given = request.experiment or os.environ.get("GIT_REPLICATE_EXPERIMENT", "") or settings.experiment
    if given:
        return experiment_name(given)
    return ExperimentName(clean_component(program_name(command)) or "default")


def _make_spool(place: Place, now: datetime, *, strict: bool) -> tuple[Spool, RunId, tuple[str, ...]]:
    """A folder for the live run, in the repository or, if that cannot be written, in the user's state folder."""
    run = new_run_id(now, secrets.token_bytes(4))
    try:
        return _roomy_spool(os.path.join(spool_root(place.repository.layout.common_dir), run)), run, ()
    except OSError as error:
        problem = f"the repository cannot be written ({error.strerror})"
    if strict:
        raise StorageError(f"record the run: {problem}", "make room for it, or run without --strict")
    return _fallback_spool(place, run, problem), run, (problem,)


def _roomy_spool(folder: str) -> Spool:
    """A spool with some room to write in; `OSError` where there is none."""
    spool = Spool.create(folder)
    try:
        spool.write("room", bytes(_ROOM))
        os.unlink(spool.path("room"))
    except OSError:
        spool.remove()
        raise
    return spool


def _fallback_spool(place: Place, run: RunId, problem: str) -> Spool:
    folder = os.path.join(fallback_root(place.repository.layout.common_dir), run)
    try:
        spool = _roomy_spool(folder)
    except OSError as error:
        raise StorageError(
            f"record the run: {problem}, nor can {os.path.dirname(folder)} ({error.strerror})", "df -h . ~"
        ) from error
    place.warn(f"{problem}; the record waits in {folder} until: git replicate recover")
    return spool


def _snapshot(place: Place, spool: Spool, *, strict: bool) -> tuple[Snapshot | None, Code]:
    """The code as it is now; a snapshot that cannot be stored is said and recorded, and the run goes on."""
    try:
        snapshot = take_snapshot(place.repository, place.settings.snapshot, scratch=spool.folder)
    except (GitError, StorageError, OSError) as error:
        if strict:
            raise
        place.warn(f"the code could not be recorded: {error}")
        head, branch = place.repository.head()
        name = (branch or "").removeprefix("refs/heads/")
        return None, Code(base=head or "", branch=name, missing=str(error))
    for line in snapshot.warnings:
        place.warn(line)
    return snapshot, Code(
        snapshot=snapshot.commit,
        tree=snapshot.tree,
        base=snapshot.base or "",
        branch=snapshot.branch or "",
        dirty=snapshot.dirty,
        filter_failed=snapshot.filter_failed,
        submodules=snapshot.submodules,
        left_out=snapshot.left_out,
    )


def _begin(prepared: Prepared, place: Place, *, strict: bool) -> Prepared:
    """Store the start of the run; if that cannot be done the spool alone holds it until the end."""
    try:
        _write_spool(prepared)
    except OSError as error:
        prepared.spool.remove()
        problem = f"the repository cannot be written ({error.strerror})"
        if strict:
            raise StorageError(f"record the run: {problem}", "make room for it, or run without --strict") from error
        spool = _fallback_spool(place, prepared.record.id, problem)
        prepared = replace(prepared, spool=spool, snapshot=None)
        _write_spool(prepared)
        place = replace(place, warn=lambda line: None)
    spool = prepared.spool
    try:
        prepared, start = _store_start(prepared, place, strict=strict)
        spool.write(START_FILE, start.encode())
        if prepared.plan.tags:
            annotate(place.repository, start, tags=prepared.plan.tags, actor=place.config.identity())
    except (GitError, StorageError, OSError) as error:
        if strict:
            spool.remove()
            raise
        place.warn(f"the run is not in the repository yet ({error}); its record waits in {spool.folder}")
    return prepared


def _store_start(prepared: Prepared, place: Place, *, strict: bool) -> tuple[Prepared, Oid]:
    """Store the start; a snapshot that somebody's `git gc --prune=now` took before a ref held it is taken again."""
    quiet = replace(place, warn=lambda line: None)
    parts = Parts(environment=prepared.plan.environment.encode(), data=prepared.plan.data.encode())
    for attempt in range(_SNAPSHOTS):
        snapshot = prepared.snapshot
        try:
            code = (snapshot.commit, snapshot.tree) if snapshot else (None, None)
            return prepared, begin(place.repository, prepared.record, code[0], code[1], parts)
        except SnapshotGoneError:
            if attempt + 1 == _SNAPSHOTS:
                raise
        snapshot, recorded = _snapshot(quiet, prepared.spool, strict=strict)
        prepared = replace(prepared, snapshot=snapshot, record=replace(prepared.record, code=recorded))
        _write_spool(prepared)
    raise AssertionError


def _write_spool(prepared: Prepared) -> None:
    spool = prepared.spool
    spool.write(PLAN_FILE, dump_plan(prepared.plan))
    spool.write(RUN_FILE, records.dumps(prepared.record))
    spool.note_process("recorder", os.getpid())


def _conclude(prepared: Prepared, place: Place, outcome: Outcome) -> Record:
    """Record how the command ended; whatever cannot be stored is said, and waits in the spool."""
    scan = _scan(prepared, place)
    try:
        ended = conclude_run(place.repository, prepared.spool, outcome=outcome, scan=scan)
    except (GitError, StorageError, OSError) as error:
        place.warn(f"the run is kept in {prepared.spool.folder} ({error}); to store it: git replicate recover")
        return with_outcome(prepared.record, outcome)
    for notice in ended.notices:
        place.warn(notice)
    if ended.record.code.changed_during_run:
        place.warn(f"changed during the run: {', '.join(ended.record.code.changed_during_run[:5])}")
    return ended.record


def _scan(prepared: Prepared, place: Place) -> EndScan | None:
    if prepared.snapshot is None:
        return None
    try:
        return scan_end(place.repository, prepared.snapshot, scratch=prepared.spool.folder)
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
