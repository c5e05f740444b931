"""Before the command starts: everything captured, and the start of the run stored.

What cannot be stored is said once and written into the record as `missing`; the record then waits in the spool, and
the command runs all the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from git_replicate.capture import machine
from git_replicate.capture.environment import capture_environment
from git_replicate.capture.own_output import files_of_output
from git_replicate.capture.params import Params, capture_params, placeholders
from git_replicate.capture.program import program_name
from git_replicate.capture.result_folders import folders_of_results
from git_replicate.capture.seeds import draw_seed, seed_environment
from git_replicate.capture.standard_input import describe_input
from git_replicate.capture.tensorboard import EventSearch
from git_replicate.core import record as records
from git_replicate.core.errors import IN_A_BARE_ONE, GitError, StorageError, UserError
from git_replicate.core.frozen import frozen
from git_replicate.core.known_secrets import NOTHING_KNOWN, KnownSecrets
from git_replicate.core.names import ExperimentName, RunId, new_run_id
from git_replicate.core.paths import quote_path
from git_replicate.core.record import Code, Process, Record, Seeds, Status, User
from git_replicate.core.secrets import mask_command, mask_text
from git_replicate.core.settings import Settings
from git_replicate.execution import signals
from git_replicate.execution.attempts import (
    Earlier,
    continued,
    continued_plan,
    continued_snapshot,
    difference,
    keep_history,
)  # fmt: skip
from git_replicate.execution.command import (
    fill_command,
    may_run_python,
    seed_asked_for,
    template,
    unfilled,
    with_params,
    write_params,
)
from git_replicate.execution.conclude import RUN_FILE, START_FILE
from git_replicate.execution.environment import clean_environment, find_command
from git_replicate.execution.hidden import given_secrets, write_secrets
from git_replicate.execution.inputs import Inputs, prepare_inputs
from git_replicate.execution.jobs import RUN_VARIABLE
from git_replicate.execution.place import Place
from git_replicate.execution.plan import PLAN_FILE, Plan, Request, dump_plan, experiment_of, make_plan, started_at
from git_replicate.execution.probing import probe_environment
from git_replicate.execution.room import make_fallback, make_spool
from git_replicate.execution.site import Site
from git_replicate.execution.spool import Spool
from git_replicate.git.repository import Oid
from git_replicate.git.trees import read_path
from git_replicate.store.annotations import annotate
from git_replicate.store.code import SnapshotGoneError
from git_replicate.store.offers import describe, unsaid
from git_replicate.store.snapshot import Snapshot, take_snapshot
from git_replicate.store.store import Parts, begin, finish
from git_replicate.store.written import hold_outputs

_SNAPSHOTS = 5
"""How often the code is recorded again while its objects vanish."""


@frozen
class Prepared:
    """All that is known before the command starts."""

    record: Record
    plan: Plan
    request: Request
    command: tuple[str, ...]
    environment: Mapping[str, str]
    spool: Spool
    snapshot: Snapshot | None
    base: Oid | None = None
    """The commit that an earlier attempt of the run ended with."""
    inputs: Inputs = Inputs()
    """Keeps the outputs of the stages as they are for as long as this is there."""
    site: Site | None = None
    secrets: KnownSecrets = NOTHING_KNOWN

    @property
    def directory(self) -> str:
        """Where the command runs."""
        return self.site.directory if self.site else os.getcwd()

    @property
    def name(self) -> str:
        return f"{self.record.experiment}/{self.record.id}"


@frozen
class Captured:
    """What there is to know without writing anything."""

    command: tuple[str, ...]
    experiment: ExperimentName
    seeds: Seeds
    params: Params
    data: bytes
    environment: bytes
    doubts: tuple[str, ...]
    environ: Mapping[str, str]
    inputs: Inputs
    secrets: KnownSecrets = NOTHING_KNOWN
    """To be masked wherever they are printed."""


class NotTheSameRunError(Exception):
    """Why, in words, the earlier attempt's run is another one."""


def prepare(request: Request, place: Place, earlier: Earlier | None = None, site: Site | None = None) -> Prepared:
    """Decide everything, capture what is there and store the start of the run, or of its next attempt.

    Bad input raises before anything is written. What cannot be stored is said and waits in the spool, unless the
    request is strict. With a `site` the run takes place there, and `place` is the repository as seen from it.
    """
    if earlier is None:
        return _prepare(request, place, None, site)
    try:
        return _prepare(request, place, earlier, site)
    except NotTheSameRunError as reason:
        place.warn(f"run {earlier.name} of this job's earlier attempt is not continued: {reason}")
        return _prepare(request, place, None, site)


def _prepare(request: Request, place: Place, earlier: Earlier | None, site: Site | None = None) -> Prepared:
    captured = capture_all(request, place, earlier, site)
    now = datetime.now(UTC)
    run = earlier.record.id if earlier else new_run_id(now, os.urandom(4))
    spool, missing = make_spool(place.repository.layout, run, place.warn, strict=request.strict)
    if missing:
        place = replace(place, warn=lambda line: None)  # one warning says it all
    events = EventSearch(_worktree(place))
    snapshot, code = (
        _checked_out(place, spool, site)
        if site
        else _snapshot(place, spool, (*request.metrics, *request.outputs), strict=request.strict, meanwhile=events.look)
    )
    record = new_record(request, place, captured, run, now)
    record = replace(record, code=code, missing=(*missing, *captured.doubts))
    if site is not None:
        record = replace(record, rerun_of=site.rerun_of, sweep=site.sweep, hybrid=site.hybrid)
    if not (request.session or record.sweep or record.hybrid):  # a sweep's workers have their orders there
        record = replace(record, stdin=describe_input(_worktree(place)))
    plan = make_plan(
        request,
        place.settings,
        top=_worktree(place),
        environment=captured.environment,
        data=captured.data,
        store=place.config.get("replicate.store") or "",
        origin=site.origin if site else "",
        events=events,
    )
    if earlier is not None:
        if reason := difference(place.repository, earlier, record, captured.data):
            spool.remove()
            raise NotTheSameRunError(reason)
        record, plan = continued(earlier, record), continued_plan(earlier, plan, now)
        snapshot = continued_snapshot(earlier, snapshot) if snapshot else None
        if earlier.frozen and earlier.data != captured.data:
            place.warn("the data are not as they were when the run was queued; what is there now is recorded")
        keep_history(place.repository, earlier, spool)
    if request.probe and place.settings.probe.enabled and may_run_python(captured.command):
        plan = replace(plan, doubts=captured.params.doubts)
    for line in unfilled(request, captured.seeds, seed_asked_for(request, place.settings, captured.seeds)):
        place.warn(line)
    for warning in captured.params.warnings:
        if warning not in plan.doubts.values():
            place.warn(warning)
    run_variable = {RUN_VARIABLE: f"{record.experiment}/{record.id}"}
    environ = {**captured.environ, **run_variable, **seed_environment(captured.seeds, captured.environ)}
    base = earlier.commit if earlier else None
    prepared = Prepared(
        record, plan, request, captured.command, environ, spool, snapshot, base, captured.inputs, site, captured.secrets
    )
    return _begin(prepared, place, strict=request.strict)


def capture_all(
    request: Request, place: Place, earlier: Earlier | None, site: Site | None = None, *, check: bool = True
) -> Captured:
    """What there is to know, and the stages brought up to date; `check`: that there is such a command."""
    settings = place.settings
    top = _worktree(place)
    option = settings.random.seed if request.seed is None else request.seed
    around = site.environ if site else os.environ
    directory = site.directory if site else os.getcwd()
    environ = clean_environment(around)
    if request.prepare or settings.environment.prepare:
        from git_replicate.execution.environments import project_variables

        environ = project_variables(
            place.repository.layout, settings.environment, top=top, environ=environ, say=place.say, warn=place.warn
        )
    fixed = earlier.record.seeds if earlier else site.seeds if site else None
    seeds = fixed or draw_seed(
        option, os.urandom, around, imposed=not request.session, deterministic=request.deterministic
    )
    command = fill_command(request, settings, seed_asked_for(request, settings, seeds))
    words = site.words(command) if site else command
    if command and check:
        find_command(words[0], environ, directory)
    experiment = experiment_of(request, settings, command)
    params = capture_params(
        command, requested=request.params, files=settings.params.files, top=top, template=template(request),
        filled=site.params if site else (), scene=(words, directory, environ),
    )  # fmt: skip
    used = [name.removeprefix("data.") for name in placeholders(template(request)) if name.startswith("data.")]
    paths = (*settings.data.paths, *request.data)
    inputs = prepare_inputs(place.repository, settings, paths, used, place.say, absent=request.absent)
    environment, doubts = capture_environment(
        words, directory, environ, settings.environment, top, site.homes if site else ()
    )
    secrets = given_secrets(command, params=params.secrets, environ=environ, message=request.message)
    environment = secrets.mask(environment)
    unsure = (*doubts, *params.missing)
    return Captured(command, experiment, seeds, params, inputs.text, environment, unsure, environ, inputs, secrets)


def new_record(request: Request, place: Place, captured: Captured, run: RunId, now: datetime) -> Record:
    """The record of a run that starts now; its code is not in it yet."""
    params = captured.params
    record = Record(
        id=run,
        experiment=captured.experiment,
        status=Status.RUNNING,
        command=mask_command(captured.command),
        directory=place.repository.layout.prefix.rstrip("/"),
        started=now,
        message=mask_text(request.message),
        user=User(*place.config.identity()),
        process=Process(host=machine.host(), pid=os.getpid(), boot_id=machine.boot_id()),
        scheduler=machine.scheduler(os.environ),
        **params.fields(),
        seeds=captured.seeds,
        stages_run=captured.inputs.stages_run,
    )
    return captured.secrets.mask_record(record)


def _worktree(place: Place) -> str:
    top = place.repository.layout.top
    if top is None:
        raise UserError("this repository is bare: there is no working tree to record", IN_A_BARE_ONE)
    return top


def record_code(place: Place, scratch: str) -> Code:
    """The working tree as it is now, stored; `GitError`, `StorageError` or `OSError` if that cannot be done."""
    snapshot, code = _snapshot(place, Spool(scratch), strict=True)
    if snapshot is None:
        raise StorageError("the code could not be recorded", "df -h .git")
    return code


def _snapshot(
    place: Place,
    spool: Spool,
    results: Sequence[str] = (),
    *,
    strict: bool,
    meanwhile: Callable[[], None] | None = None,
) -> tuple[Snapshot | None, Code]:
    """The code as it is now; a snapshot that cannot be stored is said and recorded, and the run goes on.

    results: what is declared beside the settings; meanwhile: what else there is to do while git works.
    """
    settings = place.settings.snapshot
    try:
        outputs = files_of_output(_worktree(place))
        hold_outputs(place.repository.layout, outputs)
        snapshot = take_snapshot(place.repository, settings, scratch=spool.folder, meanwhile=meanwhile, outputs=outputs)
    except (GitError, StorageError, OSError) as error:
        if strict:
            raise
        place.warn(f"the code could not be recorded: {error}")
        head, branch = place.repository.head()
        name = (branch or "").removeprefix("refs/heads/")
        return None, Code(base=head or "", branch=name, missing=str(error))
    for line in describe(unsaid(place.repository.layout, snapshot.offers)) if place.speaks else ():
        place.say(line)
    for line in snapshot.warnings:
        place.warn(line)
    declared = (*place.settings.results.metrics, *place.settings.results.outputs, *results)
    folders = tuple(
        quote_path(os.fsencode(path))
        for path in folders_of_results(declared, _worktree(place))
        if read_path(place.repository, snapshot.tree, os.fsencode(path)) is None
    )
    return snapshot, replace(snapshot.code(), folders=folders)


def _checked_out(place: Place, spool: Spool, site: Site) -> tuple[Snapshot, Code]:
    """The code of a checkout, which is known; only submodules need the scan, for what the run changes in them."""
    code = site.code
    if site.nested:
        take_snapshot(place.repository, place.settings.snapshot, scratch=spool.folder)
    return Snapshot(Oid(code.snapshot), Oid(code.tree), Oid(code.base) if code.base else None, None, code.dirty), code


def _begin(prepared: Prepared, place: Place, *, strict: bool) -> Prepared:
    """Store the start of the run; if that cannot be done the spool alone holds it until the end."""
    signals.hold()  # from here on there is a run; whoever prepares one launches it, or releases them
    try:
        prepared = _write_spool(prepared, place.settings)
    except OSError as error:
        prepared.spool.remove()
        problem = f"the repository cannot be written ({error.strerror})"
        if strict:
            raise StorageError(f"record the run: {problem}", "make room for it, or run without --strict") from error
        spool = make_fallback(place.repository.layout, prepared.record.id, problem, place.warn)
        prepared = _write_spool(replace(prepared, spool=spool, snapshot=None), place.settings)
        place = replace(place, warn=lambda line: None)
    spool = prepared.spool
    try:
        prepared, start = _store_start(prepared, place, strict=strict)
        spool.write(START_FILE, start.encode())
        if prepared.plan.tags and prepared.base is None:
            annotate(place.repository, start, tags=prepared.plan.tags, actor=place.config.identity())
    except (GitError, StorageError, OSError) as error:
        if strict:
            spool.remove()
            raise
        place.warn(f"the run is not in the repository yet ({error}); its record waits in {spool.folder}")
    return prepared


def _store_start(prepared: Prepared, place: Place, *, strict: bool) -> tuple[Prepared, Oid]:
    """The commit that the run, or its next attempt, begins with.

    A snapshot that somebody's `git gc --prune=now` took before a ref held it is taken again.
    """
    quiet = replace(place, warn=lambda line: None)
    parts = Parts(environment=prepared.plan.environment.encode(), data=prepared.plan.data.encode())
    if prepared.base is not None:
        return prepared, finish(place.repository, prepared.record, prepared.base, parts)
    for attempt in range(_SNAPSHOTS):
        snapshot = prepared.snapshot
        try:
            code = (snapshot.commit, snapshot.tree) if snapshot else (None, None)
            return prepared, begin(place.repository, prepared.record, code[0], code[1], parts)
        except SnapshotGoneError:
            if attempt + 1 == _SNAPSHOTS:
                raise
        snapshot, recorded = _snapshot(quiet, prepared.spool, strict=strict)
        recorded = replace(recorded, folders=prepared.record.code.folders)
        prepared = replace(prepared, snapshot=snapshot, record=replace(prepared.record, code=recorded))
        prepared = _write_spool(prepared, place.settings)
    raise AssertionError


def _write_spool(prepared: Prepared, settings: Settings) -> Prepared:
    """Fill the spool; with that it is known where the command finds its params."""
    spool, request = prepared.spool, prepared.request
    write_secrets(spool, prepared.secrets)
    spool.write(PLAN_FILE, dump_plan(prepared.plan))
    spool.write(RUN_FILE, records.dumps(prepared.record))
    if prepared.base is not None:
        spool.write(START_FILE, prepared.base.encode())
    spool.note_process("recorder", os.getpid())
    path = write_params(request, spool.folder)
    seed = seed_asked_for(request, settings, prepared.record.seeds)
    command = fill_command(request, settings, seed, params_file=path)
    if prepared.site is not None:
        command = prepared.site.words(command)
    environment = probe_environment(
        with_params(prepared.environment, path),
        spool.folder,
        prepared.record.seeds,
        run=prepared.name,
        top=prepared.plan.top,
        started=started_at(prepared.record, prepared.plan),
        site=prepared.site,
        program=program_name(command),
        observe=prepared.plan.probe or request.session,
    )
    return replace(prepared, command=command, environment=environment)
