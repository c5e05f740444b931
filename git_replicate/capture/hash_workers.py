"""Many small files, hashed by several processes: such a file costs calls, not bytes, and Python makes one at a time.

A worker that fails, or a file that changes under it, is left to the caller, who has the errors to tell.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Final

import git_replicate
from git_replicate.capture.content import ROW, THREADED
from git_replicate.capture.hashing import File
from git_replicate.core.frozen import frozen

_WORTH_A_PROCESS: Final = 2_000
"""Files that take twice as long as a process takes to start."""
_MOST_PROCESSES: Final = 8
_PER_FILE: Final = 40_000
"""Bytes that are hashed in the time that it takes to open a file."""
_CODE: Final = "import sys; sys.path[:] = sys.argv[1:]; from git_replicate.capture.content import main; main()"


@frozen
class _Worker:
    files: Sequence[File]
    process: subprocess.Popen[bytes]
    answers: IO[bytes]


def shares(files: Sequence[File]) -> list[list[File]]:
    """The files in as many parts as processes are worth starting, each about as long to hash as another.

    Large files are all in the first: threads make those fast.
    """
    small = [file for file in files if file.status.st_size <= THREADED]
    number = min(_processors(), _MOST_PROCESSES, len(small) // _WORTH_A_PROCESS)
    if number < 2:
        return [list(files)]
    costs = list(itertools.accumulate(file.status.st_size + _PER_FILE for file in small))
    bounds = [bisect.bisect(costs, costs[-1] * part // number) for part in range(number + 1)]
    parts = [small[first:last] for first, last in itertools.pairwise(bounds)]
    parts[0] += [file for file in files if file.status.st_size > THREADED]
    return parts


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def working_on(parts: Sequence[Sequence[File]]) -> Iterator[list[_Worker]]:
    """A process for each part, for as long as the block lasts; as many as can be had."""
    workers: list[_Worker] = []
    try:
        with contextlib.suppress(OSError):  # no room for files or processes
            workers.extend(map(_start, parts))
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
            worker.answers.close()


def _start(files: Sequence[File]) -> _Worker:
    # Files, not pipes: a worker never waits for us to read, nor we for it.
    with tempfile.TemporaryFile() as requests:
        requests.writelines(b"%d %b\0" % (file.status.st_size, file.path) for file in files)
        requests.seek(0)
        answers = tempfile.TemporaryFile()  # noqa: SIM115
        package = os.path.dirname(os.path.dirname(os.path.abspath(git_replicate.__file__)))
        # Without site: nobody's start-up code runs, and modules are where ours are.
        command = [sys.executable, "-I", "-S", "-c", _CODE, package, *sys.path]
        process = subprocess.Popen(command, stdin=requests, stdout=answers, stderr=subprocess.DEVNULL)
    return _Worker(files, process, answers)


def answers_of(worker: _Worker) -> Iterator[tuple[File, str]]:
    """The files that a worker has hashed as they were listed, with their hashes; waits for its end."""
    worker.process.wait()
    worker.answers.seek(0)
    rows = worker.answers.read()
    whole = rows[: len(rows) // ROW.size * ROW.size]
    for file, (digest, *facts) in zip(worker.files, ROW.iter_unpack(whole), strict=False):
        status = file.status
        if facts == [status.st_size, status.st_mtime_ns, status.st_ctime_ns]:
            yield file, f"blake3:{digest.hex()}"
