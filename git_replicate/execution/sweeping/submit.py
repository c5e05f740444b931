"""Runs handed to a batch scheduler: frozen now, begun by a job later.

Everything that may need a network, or may be wrong, happens here and not in the job: the code is recorded and checked
out once, its environment is built, its stages run, its data are hashed, its command is found. Then the run exists, as
`queued`; its ref keeps the objects however long the queue is. A job that the scheduler does not take leaves no run.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from git_replicate.capture.seeds import SEED_VARIABLE
from git_replicate.core.errors import GitError, ReplicateError, StorageError, UserError
from git_replicate.core.names import RUNS_PREFIX, RunId, clean_component, new_run_id
from git_replicate.core.record import Record, Scheduler, Status
from git_replicate.core.sizes import count
from git_replicate.execution.command import PARAMS_VARIABLE
from git_replicate.execution.environment import clean_environment
from git_replicate.execution.jobs import RUN_VARIABLE
from git_replicate.execution.place import Place
from git_replicate.execution.plan import Request
from git_replicate.execution.prepare import capture_all, new_record
from git_replicate.execution.replication.missed import find_needs, say_what_a_job_needs
from git_replicate.execution.replication.rerun import Furnished, frozen_code, in_checkout
from git_replicate.execution.schedulers import find_scheduler
from git_replicate.execution.schedulers.kinds import Kind, Script, directives_of, script_text
from git_replicate.execution.sweeping.trial import Task
from git_replicate.execution.ticket import SCRIPT_FILE, Asked, Handed, Ticket, free_name, hand_over, make_ticket
from git_replicate.git.repository import Oid, RefUpdate, Repository
from git_replicate.probe import SITE, VARIABLE
from git_replicate.store.annotations import annotate
from git_replicate.store.held import held
from git_replicate.store.store import Parts, begin, finish

_OURS: Final = (RUN_VARIABLE, SEED_VARIABLE, PARAMS_VARIABLE)
"""What a run sets for its command; a job that is submitted from within a run is none of it."""


class Submitted(NamedTuple):
    """A run that waits for its job."""

    name: str
    scheduler: str
    job: str
    script: str


def submit(request: Request, place: Place, at: str = "", options: Sequence[str] = ()) -> Submitted:
    """Freeze the code (or take a commit), record the run as queued and hand its job over.

    options: of the scheduler, as on its own command line. Whatever fails raises, and leaves no run.
    """
    kind = find_scheduler(place.settings.submit.scheduler, os.environ)
    run = new_run_id(datetime.now(UTC), os.urandom(4))
    prefix = place.repository.layout.prefix
    needs = find_needs(place, request.command)
    request = replace(request, linked=needs.linked)
    say_what_a_job_needs(request, place)
    with (
        held(place.repository, lambda: frozen_code(place, at)) as code,
        in_checkout(place, request, needs.with_folders(code), prefix, run) as there,
    ):
        directives = _directives(kind, there, request, options)
        queued = enqueue(request, there, run)
    label = clean_component(f"{queued.record.experiment}-{run[-8:]}".replace("/", "-"))
    handed, ticket = _hand_over(kind, place, [queued], Ask(run, label, directives, options))
    _note_job(place, queued, handed)
    return Submitted(queued.name, kind.NAME, handed.job, ticket.path(SCRIPT_FILE))


def submit_many(tasks: Sequence[Task], name: str, place: Place, options: Sequence[str], at_once: int = 0) -> list[str]:
    """Record many runs of one snapshot as queued and hand them over as arrays of jobs; the jobs.

    name: what they have in common. at_once: how many may run at the same time; 0: as many as there is room for. Where
    the scheduler refuses, what it took before is queued, and the error says so.
    """
    kind = find_scheduler(place.settings.submit.scheduler, os.environ)
    first = tasks[0]
    say_what_a_job_needs(first.request, place)
    most = kind.largest_array(clean_environment(os.environ))
    jobs: list[str] = []
    place = replace(place, warn=_once(place.warn))
    with in_checkout(place, first.request, first.code, first.prefix, name) as there:
        directives = _directives(kind, there, first.request, options)
        for start in range(0, len(tasks), most):
            chunk = tasks[start : start + most]
            ask = Ask(
                free_name(place.repository.layout, name), f"sweep-{name[-8:]}", directives, options, len(chunk), at_once
            )
            try:
                handed, _ = _hand_over(kind, place, _enqueue_all(chunk, there), ask)
            except ReplicateError as error:
                if start:
                    error.message += f" (jobs {', '.join(jobs)} with the first {count(start, 'run')} are queued)"
                raise
            jobs.append(handed.job)
    return jobs


def _once(warn: Callable[[str], None]) -> Callable[[str], None]:
    """Say no line twice: many runs have the same to warn of."""
    said: set[str] = set()

    def warn_once(line: str) -> None:
        if line not in said:
            said.add(line)
            warn(line)

    return warn_once


def _enqueue_all(tasks: Sequence[Task], there: Furnished) -> list[Queued]:
    """All of the runs, or none."""
    queued: list[Queued] = []
    try:
        for task in tasks:
            run = new_run_id(datetime.now(UTC), os.urandom(4))
            queued.append(enqueue(task.request, there.anew(task.request), run, sweep=task.sweep, timeout=task.timeout))
    except BaseException:
        _take_back(there.place.repository, queued)
        raise
    return queued


@dataclass(frozen=True, slots=True)
class Queued:
    """A run that is recorded as queued, and what its job is to be asked for."""

    asked: Asked
    record: Record
    start: Oid

    @property
    def name(self) -> str:
        return self.asked.run


def enqueue(
    request: Request, there: Furnished, run: RunId, *, sweep: Mapping[str, Any] | None = None, timeout: float = 0.0
) -> Queued:
    """Bring everything about that the run needs, and record it as queued."""
    place, site = there.place, there.site
    captured = capture_all(request, place, None, site, check=not place.settings.submit.setup)
    record = new_record(request, place, captured, run, datetime.now(UTC))
    record = replace(record, status=Status.QUEUED, code=site.code, scheduler=Scheduler(), sweep=sweep or {})
    for warning in captured.params.warnings:
        place.warn(warning)
    request = replace(request, experiment=record.experiment)
    parts = Parts(environment=captured.environment, data=captured.data)
    start = begin(place.repository, record, Oid(site.code.snapshot), Oid(site.code.tree), parts)
    if request.tags:
        annotate(place.repository, start, tags=request.tags, actor=place.config.identity())
    prefix = place.repository.layout.prefix
    return Queued(Asked(f"{record.experiment}/{record.id}", request, prefix, timeout), record, start)


def _directives(kind: Kind, there: Furnished, request: Request, options: Sequence[str]) -> list[str]:
    """The scheduler's options, the weakest first: configured, the script's own, given."""
    words = there.site.words(request.command)[:2]
    own = [line for word in words for line in directives_of(kind, os.path.join(there.site.directory, word))]
    found = [*there.place.settings.submit.options, *own, *options]
    if arrays := [option for option in found if kind.is_array(option)]:
        raise UserError(
            f"{arrays[0]!r} asks for many jobs of one run", "many runs of one snapshot: git replicate sweep --submit"
        )
    if broken := [option for option in found if "\n" in option]:
        raise UserError(f"an option of a job is one line, not {broken[0]!r}", "give each option by itself")
    return found


def _lines(place: Place, what: str) -> list[str]:
    """The shell commands of a job: what was set up, then the run, in place of the shell."""
    settings = place.settings.submit
    top = settings.top or _seen_from_here(place.repository.layout.top or "")
    return [
        "# written by git replicate",
        *settings.setup,
        f"cd -- {shlex.quote(top)} || exit 125",
        f'exec {shlex.join([*own_program(), "start", "--queued"])} "{what}"',
    ]


def _seen_from_here(top: str) -> str:
    """The worktree's path as the user knows it: an automounter's own path need not be there on other machines."""
    here, known = os.getcwd(), os.environ.get("PWD", "")
    inner = os.path.relpath(here, top)
    try:
        if os.path.isabs(known) and os.path.samefile(known, here) and (inner == "." or known.endswith(f"/{inner}")):
            return known if inner == "." else known[: -len(inner) - 1]
    except OSError:
        pass  # somebody else's PWD
    return top


def own_program() -> tuple[str, ...]:
    """How another machine with the same file system starts this very program: nobody's PATH is asked."""
    path = os.path.abspath(sys.argv[0]) if sys.argv and sys.argv[0] else ""
    if os.path.basename(path) == "git-replicate" and os.path.isfile(path):
        return sys.executable, path
    return sys.executable, "-P", "-m", "git_replicate"


@dataclass(frozen=True, slots=True)
class Ask:
    """How runs are handed over: the ticket's id, the job's label, the scheduler's options, the tasks of an array."""

    id: str
    label: str
    directives: Sequence[str]
    options: Sequence[str]
    tasks: int = 0
    at_once: int = 0


def _hand_over(kind: Kind, place: Place, queued: Sequence[Queued], ask: Ask) -> tuple[Handed, Ticket]:
    """Write ticket and script, and submit; whatever fails takes the runs back."""
    ticket = None
    try:
        ticket = make_ticket(place.repository.layout, ask.id, [item.asked for item in queued])
        what = f"{ask.id}/${kind.TASK_VARIABLE}" if ask.tasks else queued[0].name
        script = Script(ask.label, ticket.folder, ask.directives, _lines(place, what), ask.tasks, ask.at_once)
        path = ticket.write(SCRIPT_FILE, script_text(kind, script))
        handed = Handed(kind.NAME, array=ask.tasks > 0, submitted=time.time())
        hand_over(ticket, handed)
        job = kind.submit(path, ask.options, job_environment(os.environ))
        handed = replace(handed, job=job.job, cluster=job.cluster)
        hand_over(ticket, handed)
    except BaseException:
        _take_back(place.repository, queued)
        if ticket is not None:
            ticket.remove()
        raise
    return handed, ticket


def job_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a scheduler may hand on to a job: the user's own."""
    clean = clean_environment(environ)
    env = {name: text for name, text in clean.items() if name not in _OURS and not name.startswith(VARIABLE)}
    if SITE in (path := env.get("PYTHONPATH", "").split(os.pathsep)):
        env["PYTHONPATH"] = os.pathsep.join(entry for entry in path if entry != SITE)
    return env


def _take_back(repo: Repository, queued: Sequence[Queued]) -> None:
    """The runs were never queued: their refs go."""
    if queued:
        updates = [RefUpdate(RUNS_PREFIX + item.name, item.start, None) for item in queued]
        repo.move_refs(updates, "take back what was not queued")


def _note_job(place: Place, queued: Queued, handed: Handed) -> None:
    """Put the job into the record, if it has not begun; the job itself knows who it is."""
    record = replace(queued.record, scheduler=Scheduler(cluster=handed.cluster, job=handed.job))
    try:
        finish(place.repository, record, queued.start, Parts())
    except (GitError, StorageError, OSError) as error:
        place.warn(f"the job's number is not in the record yet: {error}")
