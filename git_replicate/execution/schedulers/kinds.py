"""What every batch scheduler has in common: what a job script is made of, how it is handed over, and asked about.

A scheduler is a module with the names of `Kind`; adding one is adding its file to `KINDS` in this package. Nothing
here knows a run: a job is a name, a log and lines of shell.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from git_replicate.core.errors import UserError

_PATIENCE: Final = 60.0
"""Seconds that a question to a scheduler may take."""
_LONGEST_SCRIPT: Final = 1 << 20

State = Literal["queued", "running", "ended"]


@dataclass(frozen=True, slots=True)
class Task:
    """One job, or one task of an array of jobs, as its scheduler names it."""

    job: str
    task: str = ""
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class JobState:
    """How a job stands, and in the scheduler's words why it waits or how it ended."""

    state: State
    why: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """What a job script is made of; `directives` are the scheduler's options in the order in which they count."""

    name: str
    log: str
    """Folder for the job's own output."""
    directives: Sequence[str]
    lines: Sequence[str]
    tasks: int = 0
    """Number of tasks of an array, counted from 0; 0: a single job."""
    at_once: int = 0
    """How many tasks may run at the same time; 0: as many as there is room for."""


class RefusedError(UserError):
    """The scheduler did not take the job; the message is its own."""


class Kind(Protocol):
    """One scheduler; its modules are values of this type."""

    @property
    def NAME(self) -> str: ...  # noqa: N802 (a module's constant)
    @property
    def PROGRAM(self) -> str:  # noqa: N802
        """The program that takes jobs, on PATH where the scheduler is there."""
        ...

    @property
    def DIRECTIVE(self) -> str:  # noqa: N802
        """How a line of options begins in a script."""
        ...

    @property
    def TASK_VARIABLE(self) -> str:  # noqa: N802
        """The variable that holds the number of an array's task."""
        ...

    def header(self, script: Script) -> list[str]:
        """Our own options for a job: its name, its log, its tasks."""
        ...

    def is_array(self, option: str) -> bool:
        """Whether an option asks for an array of jobs."""
        ...

    def submit(self, path: str, options: Sequence[str], environ: Mapping[str, str]) -> Task:
        """Hand a script over; `RefusedError` with the scheduler's words if it is not taken."""
        ...

    def largest_array(self, environ: Mapping[str, str]) -> int:
        """How many tasks an array may have at most."""
        ...

    def cluster(self, environ: Mapping[str, str]) -> str:
        """The name of the cluster whose jobs we can ask about; empty if it has none, or does not answer."""
        ...

    def states(self, tasks: Sequence[Task], environ: Mapping[str, str]) -> Mapping[Task, JobState]:
        """How jobs stand that the scheduler is sure of; one that it does not answer about is missing."""
        ...

    def cancel(self, task: Task) -> str:
        """The command that ends a job."""
        ...


def script_text(kind: Kind, script: Script) -> str:
    """A job script: options first, for schedulers read no further than the first command."""
    options = [f"{kind.DIRECTIVE} {option}" for option in (*kind.header(script), *script.directives)]
    return "\n".join(["#!/bin/bash", *options, *script.lines]) + "\n"


def directives_of(kind: Kind, path: str) -> list[str]:
    """The options that a script of the user's own asks its scheduler for; none if it is not such a script."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(_LONGEST_SCRIPT)
    except OSError:
        return []
    found = []
    for line in text.splitlines() if text.startswith("#!") else ():
        if line.strip() and not line.lstrip().startswith("#"):
            break
        if line.startswith(f"{kind.DIRECTIVE} "):
            found.append(line[len(kind.DIRECTIVE) :].strip())
    return found


def ask(
    command: Sequence[str], environ: Mapping[str, str], *, patience: float | None = _PATIENCE
) -> subprocess.CompletedProcess[str]:
    """What one of a scheduler's programs says; one that is not there, or hangs, has failed."""
    try:
        return subprocess.run(
            command, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=False,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"{command[0]}: no answer")
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]}: {error.strerror or error}")


def refusal(program: str, done: subprocess.CompletedProcess[str]) -> RefusedError:
    """What a scheduler said instead of taking a job, on one line."""
    said = "; ".join(line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip())
    return RefusedError(
        f"{program} did not take the job: {said or f'exit {done.returncode}'}",
        "nothing is queued; mend [submit] in replicate.toml or --submit-option, and submit again",
    )
