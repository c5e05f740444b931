"""When a live run's progress is stored: after a minute, then ever more rarely, at least once an hour.

Each checkpoint is a process of its own, which the recorder starts and does not wait for: nothing that happens to it
touches the command, its output or its signals. One that takes long makes the next one come later, so that all of them
together cost a fiftieth of the run at most.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from git_replicate.execution.spool import Spool

FIRST_SECONDS = 60.0
LONGEST_SECONDS = 3600.0
_COST = 50
_PATIENCE = 1.0
"""Seconds that a checkpoint has to end when the command has."""


class Checkpoints:
    """The checkpoints of one run, started as time goes by; `common_dir` is its repository's."""

    def __init__(self, common_dir: str, spool: Spool) -> None:
        self._common_dir = common_dir
        self._spool = spool
        self._interval = FIRST_SECONDS
        self._due = FIRST_SECONDS
        self._began = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def look(self, seconds: float) -> None:
        """Called often, with the seconds since the command began."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._process = None
            self._interval = min(self._interval * 2, LONGEST_SECONDS)
            self._due = seconds + max(self._interval, _COST * (seconds - self._began))
        elif seconds >= self._due:
            self._began, self._due = seconds, seconds + self._interval
            with contextlib.suppress(OSError):  # no process, no room: the next time, perhaps
                self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
        program = [sys.executable, "-P", "-m", "git_replicate.execution.checkpoint"]
        with open(self._spool.path("checkpoint.log"), "ab") as log:
            return subprocess.Popen(
                [*program, self._common_dir, self._spool.folder],
                cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip

    def stop(self) -> None:
        """The command has ended: a checkpoint that is not done yet is not needed any more."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        if self._process.poll() is None:
            self._process.kill()  # its objects have no ref yet, or its ref is whole
            self._process.wait()
        self._process = None
