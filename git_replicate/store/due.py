"""When maintenance is due: the runs that have ended are counted, and after enough of them it is started.

It runs in a process of its own that nobody waits for; see `store.maintenance` for what it does.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Layout

RUNS_BETWEEN = 256
_COUNT = "runs-unpacked"
_LOG = "maintenance.log"


def count_runs(layout: Layout, ended: int) -> None:
    """Count runs that have ended, and start maintenance when it is due. Failing to is no error, and not counted."""
    if not ended:
        return
    path = os.path.join(state_dir(layout), _COUNT)
    with contextlib.suppress(OSError):
        # One byte a run, so that those who count at the same time need no lock.
        with open(path, "ab") as file:
            file.write(b"." * ended)
            due = file.tell() >= RUNS_BETWEEN
        if due:
            os.unlink(path)
            _start(layout)


def _start(layout: Layout) -> None:
    """Run maintenance as a program in a session of its own."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
    with open(os.path.join(state_dir(layout), _LOG), "wb") as log:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "git_replicate.store.maintenance", layout.top or layout.git_dir],
            cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "PYTHONPATH": path, "GIT_DIR": layout.git_dir},
        )  # fmt: skip
