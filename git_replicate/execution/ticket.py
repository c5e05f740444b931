"""What was asked for when runs were queued, for the jobs that begin them, and which jobs those are.

    <common git dir>/replicate/queue/<id>/tasks.jsonl   a line a run: its name, what was asked for
    <common git dir>/replicate/queue/<id>/job.json      scheduler, job, cluster, when, from where
    <common git dir>/replicate/queue/<id>/job.sh        the script       job-*.log   what the jobs themselves print

The folder is its user's alone: commands may hold secrets, which no record does. The id is that of the run, or of the
sweep. Small files appear whole or not at all. A ticket is let go some days after its last run has ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from git_replicate.core import record as records
from git_replicate.core.errors import FormatError, UserError
from git_replicate.core.names import RESERVED_FOLDER, RUNS_PREFIX
from git_replicate.core.record import Record, Status
from git_replicate.execution.plan import Request
from git_replicate.execution.schedulers.kinds import Task
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Layout, Repository

TASKS_FILE: Final = "tasks.jsonl"
JOB_FILE: Final = "job.json"
SCRIPT_FILE: Final = "job.sh"
KEPT_SECONDS: Final = 14 * 86400.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """The folder of one submission."""

    folder: str

    @property
    def id(self) -> str:
        return os.path.basename(self.folder)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def write(self, name: str, text: str) -> str:
        """Write a small file so that it is seen whole or not at all; its path."""
        temporary = self.path(f".{name}.{os.getpid()}")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, self.path(name))
        return self.path(name)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def logs(self) -> list[str]:
        """What the jobs have printed themselves, newest last."""
        names = [name for name in os.listdir(self.folder) if name.endswith(".log")] if self.is_there() else []
        return sorted((self.path(name) for name in names), key=os.path.getmtime)

    def is_there(self) -> bool:
        return os.path.isdir(self.folder)


@dataclass(frozen=True, slots=True)
class Asked:
    """One queued run: its name, what was asked for, and from which folder of the worktree."""

    run: str
    request: Request
    prefix: str = ""
    timeout: float = 0.0
    """Seconds; 0: none."""


@dataclass(frozen=True, slots=True)
class Handed:
    """The job that a ticket's runs wait for; no job: it was handed to nobody."""

    scheduler: str
    job: str = ""
    cluster: str = ""
    array: bool = False
    submitted: float = 0.0
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run that has a ticket, as it stands in git."""

    ticket: Ticket
    handed: Handed
    number: int
    record: Record

    @property
    def name(self) -> str:
        return f"{self.record.experiment}/{self.record.id}"

    @property
    def task(self) -> Task:
        return Task(self.handed.job, str(self.number) if self.handed.array else "", self.handed.cluster)


def free_name(layout: Layout, name: str) -> str:
    """A name for a ticket of many runs: their common name, and a number that no ticket has."""
    number = 0
    while os.path.exists(os.path.join(_root(layout), f"{name}.{number}")):
        number += 1
    return f"{name}.{number}"


def make_ticket(layout: Layout, name: str, asked: Sequence[Asked]) -> Ticket:
    """A new ticket; `OSError` if it cannot be written."""
    folder = os.path.join(_root(layout), name)
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    os.mkdir(folder, 0o700)
    ticket = Ticket(folder)
    ticket.write(TASKS_FILE, "".join(json.dumps(dataclasses.asdict(item)) + "\n" for item in asked))
    return ticket


def hand_over(ticket: Ticket, handed: Handed) -> None:
    """Note which job the runs wait for."""
    ticket.write(JOB_FILE, json.dumps(dataclasses.asdict(handed)))


def find_asked(layout: Layout, name: str) -> tuple[Ticket, Asked]:
    """The ticket of a queued run and what was asked for; a name is that of the run, or ticket and number.

    `UserError` if there is none here.
    """
    identity, _, last = name.rpartition("/")
    by_number = last.isdigit() and os.path.isdir(os.path.join(_root(layout), identity))
    tickets = [Ticket(os.path.join(_root(layout), identity if by_number else last))]
    for ticket in tickets if tickets[0].is_there() else list_tickets(layout):
        for number, asked in enumerate(read_asked(ticket)):
            if (number == int(last)) if by_number else (name in (asked.run, asked.run.rpartition("/")[2])):
                return ticket, asked
    raise UserError(f"no run {name} is queued here", "git replicate status lists queued runs")


def list_tickets(layout: Layout) -> list[Ticket]:
    """Every ticket, oldest first."""
    root = _root(layout)
    names = sorted(os.listdir(root)) if os.path.isdir(root) else []
    return [Ticket(os.path.join(root, name)) for name in names if not name.startswith(".")]


def read_asked(ticket: Ticket) -> Iterator[Asked]:
    """What was asked for, in the order of the tasks; nothing of a ticket that is being made or has gone."""
    try:
        with open(ticket.path(TASKS_FILE), encoding="utf-8") as file:
            for line in file:
                yield _asked(json.loads(line))
    except (OSError, ValueError, KeyError, TypeError):
        return


def _asked(table: dict[str, Any]) -> Asked:
    known = {f.name for f in dataclasses.fields(Request)}
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in table["request"].items() if k in known
    }
    values["params"] = tuple((str(name), value) for name, value in values.get("params", ()))
    return Asked(str(table["run"]), Request(**values), str(table.get("prefix", "")), float(table.get("timeout", 0)))


def read_handed(ticket: Ticket) -> Handed:
    """The job of a ticket; none for one that nobody has handed over."""
    try:
        with open(ticket.path(JOB_FILE), encoding="utf-8") as file:
            return Handed(**json.load(file))
    except (OSError, ValueError, TypeError):
        return Handed("")


def queued_runs(repo: Repository) -> list[QueuedRun]:
    """Every run with a ticket here that has not begun, oldest first."""
    return [run for run in ticketed_runs(repo) if run.record.status is Status.QUEUED]


def ticketed_runs(repo: Repository) -> list[QueuedRun]:
    """Every run that has a ticket here and is still in the repository."""
    places: list[tuple[Ticket, Handed, int, str]] = []
    for ticket in list_tickets(repo.layout):
        handed = read_handed(ticket)
        places += [(ticket, handed, number, asked.run) for number, asked in enumerate(read_asked(ticket))]
    texts = repo.read_many(f"{RUNS_PREFIX}{run}:{RESERVED_FOLDER}/run.toml" for _, _, _, run in places)
    found = []
    for (ticket, handed, number, _), text in zip(places, texts, strict=True):
        with contextlib.suppress(FormatError):  # of a newer version: not ours to look after
            if text is not None:
                found.append(QueuedRun(ticket, handed, number, records.loads(text)))
    return found


def drop_old_tickets(repo: Repository, waiting: Sequence[QueuedRun], now: float | None = None) -> None:
    """Let go of the tickets none of whose runs waits any more, some days after they were last touched."""
    needed = {run.ticket.folder for run in waiting}
    limit = (time.time() if now is None else now) - KEPT_SECONDS
    for ticket in list_tickets(repo.layout):
        times = [os.stat(ticket.folder).st_mtime, *(os.stat(log).st_mtime for log in ticket.logs())]
        if ticket.folder not in needed and max(times) < limit:
            ticket.remove()


def _root(layout: Layout) -> str:
    return os.path.join(state_dir(layout), "queue")
