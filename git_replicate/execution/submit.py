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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from git_replicate.capture.seeds import SEED_VARIABLE
from git_replicate.core.errors import GitError, StorageError, UserError
from git_replicate.core.names import RUNS_PREFIX, RunId, clean_component, new_run_id
from git_replicate.core.record import Code, Record, Scheduler, Status
from git_replicate.core.settings import SubmitSettings
from git_replicate.execution.command import PARAMS_VARIABLE
from git_replicate.execution.environment import clean_environment
from git_replicate.execution.jobs import RUN_VARIABLE
from git_replicate.execution.plan import Request
from git_replicate.execution.prepare import Place, capture_all, new_record
from git_replicate.execution.rerun import Furnished, frozen_code, in_checkout
from git_replicate.execution.schedulers import find_scheduler
from git_replicate.execution.schedulers.kinds import Kind, Script, directives_of, script_text
from git_replicate.execution.ticket import SCRIPT_FILE, Asked, Handed, Ticket, hand_over, make_ticket
from git_replicate.git.repository import Oid, RefUpdate, Repository
from git_replicate.probe import SITE, VARIABLE
from git_replicate.store.annotations import annotate
from git_replicate.store.store import Parts, begin, finish

_OURS: Final = (RUN_VARIABLE, SEED_VARIABLE, PARAMS_VARIABLE, VARIABLE)
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
    settings = place.settings.submit
    kind = find_scheduler(settings.scheduler, os.environ)
    code = frozen_code(place, at)
    run = new_run_id(datetime.now(UTC), os.urandom(4))
    prefix = place.repository.layout.prefix
    with in_checkout(place, request, code, prefix, run) as there:
        directives = _directives(kind, there, request, settings, options)
        request, record, start = _enqueue(request, there, code, run)
    name = f"{record.experiment}/{record.id}"
    ticket = None
    try:
        ticket = make_ticket(place.repository.layout, run, [Asked(name, request, prefix)])
        label = clean_component(f"{record.experiment}-{run[-8:]}".replace("/", "-"))
        script = Script(label, ticket.folder, directives, _lines(place, settings, [name]))
        handed = _hand_over(kind, ticket, script, options)
    except BaseException:
        _take_back(place.repository, name, start)
        if ticket is not None:
            ticket.remove()
        raise
    _note_job(place, record, start, handed)
    return Submitted(name, kind.NAME, handed.job, ticket.path(SCRIPT_FILE))


def _enqueue(request: Request, there: Furnished, code: Code, run: RunId) -> tuple[Request, Record, Oid]:
    """Bring everything about, record the run as queued; what its job is to be asked for, the record, its commit."""
    place, site = there.place, there.site
    captured = capture_all(request, place, None, site, check=not place.settings.submit.setup)
    record = new_record(request, place, captured, run, datetime.now(UTC))
    record = replace(record, status=Status.QUEUED, code=code, scheduler=Scheduler())
    for warning in captured.params.warnings:
        place.warn(warning)
    request = replace(request, experiment=record.experiment)
    parts = Parts(environment=captured.environment, data=captured.data)
    start = begin(place.repository, record, Oid(code.snapshot), Oid(code.tree), parts)
    if request.tags:
        annotate(place.repository, start, tags=request.tags, actor=place.config.identity())
    return request, record, start


def _directives(
    kind: Kind, there: Furnished, request: Request, settings: SubmitSettings, options: Sequence[str]
) -> list[str]:
    """The scheduler's options, the weakest first: configured, the script's own, given."""
    words = there.site.words(request.command)[:2]
    own = [line for word in words for line in directives_of(kind, os.path.join(there.site.directory, word))]
    found = [*settings.options, *own, *options]
    if arrays := [option for option in found if kind.is_array(option)]:
        raise UserError(
            f"{arrays[0]!r} asks for many jobs, and this is one run", "many runs of one snapshot: git replicate sweep"
        )
    if broken := [option for option in found if "\n" in option]:
        raise UserError(f"an option of a job is one line, not {broken[0]!r}", "give each option by itself")
    return found


def _lines(place: Place, settings: SubmitSettings, words: Sequence[str]) -> list[str]:
    """The shell commands of a job: what was set up, then the run, in place of the shell."""
    top = settings.top or _seen_from_here(place.repository.layout.top or "")
    begin_it = shlex.join([*own_program(), "start", "--queued"])
    return [
        "# written by git replicate",
        *settings.setup,
        f"cd -- {shlex.quote(top)} || exit 125",
        f"exec {begin_it} {' '.join(words)}",
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


def _hand_over(kind: Kind, ticket: Ticket, script: Script, options: Sequence[str]) -> Handed:
    path = ticket.write(SCRIPT_FILE, script_text(kind, script))
    hand_over(ticket, Handed(kind.NAME, array=script.tasks > 0, submitted=time.time()))
    task = kind.submit(path, options, job_environment(os.environ))
    handed = Handed(kind.NAME, task.job, task.cluster, script.tasks > 0, time.time())
    hand_over(ticket, handed)
    return handed


def job_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a scheduler may hand on to a job: the user's own."""
    env = {name: value for name, value in clean_environment(environ).items() if name not in _OURS}
    if SITE in (path := env.get("PYTHONPATH", "").split(os.pathsep)):
        env["PYTHONPATH"] = os.pathsep.join(entry for entry in path if entry != SITE)
    return env


def _take_back(repo: Repository, name: str, start: Oid) -> None:
    """The run was never queued: its ref goes."""
    repo.move_refs([RefUpdate(RUNS_PREFIX + name, start, None)], f"take back {name}")


def _note_job(place: Place, record: Record, start: Oid, handed: Handed) -> None:
    """Put the job into the record, if it has not begun; the job itself knows who it is."""
    scheduler = Scheduler(cluster=handed.cluster, job=handed.job)
    try:
        finish(place.repository, replace(record, scheduler=scheduler), start, Parts())
    except (GitError, StorageError, OSError) as error:
        place.warn(f"the job's number is not in the record yet: {error}")
