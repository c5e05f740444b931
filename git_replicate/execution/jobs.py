"""Batch jobs: which start of which job this is, and the file by which all of its ranks know their one run.

    <common git dir>/replicate/jobs/<key>       the run of one start, written by rank 0
    <common git dir>/replicate/jobs/.starts/    how often each rank has started the same command in the same job

A key stands for cluster, job, array task, step, command, and the how-manieth start of that command in the job this
is. Every rank counts its own starts, so that ranks agree without talking; each attempt of a job that its scheduler
starts again counts anew, and so meets the runs of the attempt before. A file that is too old to be of this job (job
numbers are used again) is passed over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from git_replicate.capture import machine
from git_replicate.core.frozen import frozen

RUN_VARIABLE: Final = "GIT_REPLICATE_RUN"
WAIT_VARIABLE: Final = "GIT_REPLICATE_RANK_WAIT"
PATIENCE: Final = 30.0
"""Seconds that a rank waits for rank 0's file."""
_JOINABLE: Final = 3600.0
"""Seconds after which a file is no longer that of ranks which start together."""
_FORGET: Final = 45 * 86400.0
"""Seconds after which what is left of a job goes: no job runs that long."""
_PAUSE: Final = (0.02, 0.5)


@frozen
class JobStart:
    """One start of one command in one job, on this rank."""

    folder: str
    key: str
    attempt: str
    rank: int


@frozen
class JobRun:
    """What rank 0 tells the others, and the next attempt: its run, and what their commands need to know."""

    run: str
    attempt: str
    created: float
    seed: int | None = None
    python_hash: int | None = None


def is_job(environ: Mapping[str, str]) -> bool:
    """Whether anything here names a job."""
    return bool(machine.scheduler(environ).job or machine.launch_id(environ))


def identify(state: str, environ: Mapping[str, str], command: Sequence[str]) -> JobStart | None:
    """This start among those of its job, which it counts; None outside a job, or where nothing can be written."""
    job = machine.scheduler(environ)
    launch = machine.launch_id(environ)
    if not (job.job or launch):
        return None
    parts = (job.cluster, job.job or launch, job.task, machine.job_step(environ), *command)
    rank, attempt = machine.rank(environ), machine.attempt_id(environ)
    folder = os.path.join(state, "jobs")
    try:
        ordinal = _count_start(os.path.join(folder, ".starts"), f"{_digest(parts)}.{_digest((attempt,))[:8]}.{rank}")
    except OSError:
        return None
    return JobStart(folder, _digest((*parts, str(ordinal))), attempt, rank)


def _digest(parts: Sequence[str]) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:24]


def _count_start(folder: str, name: str) -> int:
    """How many starts there were before: the length of a file that each lengthens by one byte."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with contextlib.suppress(FileNotFoundError):
        if time.time() - os.stat(path).st_mtime > _FORGET:
            os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, b".")
        return os.lseek(descriptor, 0, os.SEEK_CUR) - 1
    finally:
        os.close(descriptor)


def announce(start: JobStart, run: JobRun) -> None:
    """Tell the other ranks which run is theirs; failing to is their loss alone."""
    with contextlib.suppress(OSError):
        temporary = os.path.join(start.folder, f".{start.key}.{os.getpid()}")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(asdict(run), file)
        os.rename(temporary, os.path.join(start.folder, start.key))
        _forget_old(start.folder)


def _forget_old(folder: str) -> None:
    limit = time.time() - _FORGET
    for inner in (folder, os.path.join(folder, ".starts")):
        for entry in os.scandir(inner):
            if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < limit:
                os.unlink(entry.path)


def find_run(folder: str, key: str) -> JobRun | None:
    """The run of this key, whoever wrote it and when; None if there is none, or it cannot be read."""
    try:
        # Listing asks a network file system again, where opening a name may still be answered by an old "no".
        if key not in os.listdir(folder):
            return None
        with open(os.path.join(folder, key), encoding="utf-8") as file:
            run = JobRun(**json.load(file))
    except (OSError, ValueError, TypeError):
        return None
    return run if time.time() - run.created < _FORGET else None


def wait_for_run(start: JobStart, environ: Mapping[str, str]) -> JobRun | None:
    """Rank 0's run of this very start; None if it does not appear in time."""
    deadline = time.monotonic() + _patience(environ)
    pause, longest = _PAUSE
    while True:
        run = find_run(start.folder, start.key)
        if run is not None and run.attempt == start.attempt and time.time() - run.created < _JOINABLE:
            return run
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, longest)


def _patience(environ: Mapping[str, str]) -> float:
    text = environ.get(WAIT_VARIABLE, "")
    try:
        return min(max(float(text), 0.0), 86400.0) if text else PATIENCE
    except ValueError:
        return PATIENCE


def earlier_run(start: JobStart, environ: Mapping[str, str]) -> JobRun | None:
    """The run that an earlier attempt of this job began with this very start, if the scheduler says it restarted."""
    if machine.scheduler(environ).restart < 1:
        return None
    run = find_run(start.folder, start.key)
    return run if run is not None and run.attempt != start.attempt else None
