"""What `status` sees of a command that is there."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from git_replicate.commands.status import _usage
from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.record import Record, Status
from git_replicate.execution.recover import LiveRun
from git_replicate.execution.spool import Spool


def test_a_command_that_is_stopped_is_said_to_be_and_one_that_goes_on_is_not(tmp_path: Path) -> None:
    record = Record(RunId("20240102-030405-00000000"), ExperimentName("e"), Status.RUNNING)
    child = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "process.json").write_text(f'{{"command": {{"pid": {child.pid}}}}}')
        run = LiveRun(record, Spool(str(tmp_path)), "recorder", session=False)
        assert set(_usage(run)) == {"cpu_percent", "memory_bytes"}
        os.kill(child.pid, signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        assert _usage(run)["state"] == "stopped (Ctrl-Z)"
        assert "cpu_percent" not in _usage(run)
    finally:
        child.kill()
        child.wait()
