"""What a command leaves running is named at the end of its run, and nothing is where it left nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

from git_replicate.execution.processes import left_in
from tests.support import GitRepo, replicate


def test_what_a_command_leaves_running_is_named(repo: GitRepo, tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    done = replicate("start", "--", "sh", "-c", f"cat {go} >/dev/null & echo x: 1.5", cwd=repo.top)
    assert (done.returncode, done.stdout) == (0, "x: 1.5\n")
    left = re.search(r"still running: (\d+) (\S+).*; what is printed or written now is not in the run\n", done.stderr)
    assert left is not None
    os.kill(int(left[1]), signal.SIGKILL)
    assert "still running" not in replicate("start", "--", "sh", "-c", "true & wait", cwd=repo.top).stderr


def test_only_processes_of_the_group_that_are_alive_count() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, process_group=0) as process:
        ((pid, words),) = left_in(process.pid)
        assert (pid, words) in ((process.pid, "cat"), (process.pid, ""))
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert left_in(process.pid) == []  # a zombie
    assert left_in(process.pid) == []
    assert left_in(0) == []
