"""One recorder per job: nested starts, and ranks above the first, run their command and record nothing of their own.

A process inside a run, or a rank above 0 of a parallel job, hands over to its command at once, by executing it: exit
code, signals, terminal and output are then the command's own. The run that it belongs to is that of the enclosing
`start`, or of rank 0, which leaves a line in `jobs/` for the others.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from git_replicate.capture import machine
from git_replicate.execution.environment import clean_environment, find_command

RUN_VARIABLE = "GIT_REPLICATE_RUN"


def is_follower(environ: Mapping[str, str]) -> bool:
    """Whether somebody else records: an enclosing run, or rank 0 of the job."""
    return bool(environ.get(RUN_VARIABLE)) or machine.rank(environ) > 0


def job_key(environ: Mapping[str, str], command: Sequence[str]) -> str:
    """What all ranks of one start have in common; empty outside a scheduler's job."""
    job = machine.scheduler(environ)
    if not job.job:
        return ""
    parts = (job.cluster, job.job, job.task, machine.job_step(environ), *command)
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:24]


def announce(state: str, environ: Mapping[str, str], command: Sequence[str], run: str) -> None:
    """Tell the other ranks of this job which run is theirs; failing to is their loss alone."""
    key = job_key(environ, command)
    if not key:
        return
    folder = os.path.join(state, "jobs")
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        temporary = os.path.join(folder, f".{key}.{os.getpid()}")
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(run + "\n")
        os.rename(temporary, os.path.join(folder, key))


def become(command: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Execute the command in place of this process; raises if there is no such command."""
    env = clean_environment(environ)
    program = find_command(command[0], env, os.getcwd())
    sys.stdout.flush()
    sys.stderr.flush()
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execve(program, list(command), env)
