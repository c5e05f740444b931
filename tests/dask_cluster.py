"""A real Dask cluster on this machine: a scheduler and workers, each a process of its own started by Dask's command."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.slurm import wait_for


def why_not() -> str:
    """Why there can be no Dask here; empty if there can."""
    return "" if importlib.util.find_spec("distributed") else "no Dask here: pip install distributed"


def why_not_hidden() -> str:
    """Why no worker can be kept from seeing a folder; empty if one can."""
    done = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return "" if done.returncode == 0 else "a folder can be hidden from a process by root alone"


@dataclass
class Dask:
    address: str
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self, *, hidden: Path | None = None) -> subprocess.Popen[bytes]:
        """A worker for one run at a time; `hidden`: a folder that it finds empty."""
        words = [
            sys.executable, "-m", "distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-nanny",
            "--no-dashboard", "--local-directory", str(self.folder),
        ]  # fmt: skip
        if hidden is not None:
            script = f"mount -t tmpfs none {shlex.quote(str(hidden))} && exec {shlex.join(words)}"
            words = ["unshare", "--mount", "bash", "-c", script]
        self.processes.append(_start(words, self.folder / f"worker-{len(self.processes)}.out"))
        return self.processes[-1]


def _start(words: list[str], output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(words, cwd="/", stdin=subprocess.DEVNULL, stdout=file, stderr=file)


@contextlib.contextmanager
def scheduler() -> Iterator[Dask]:
    """A scheduler without workers; all that was started is stopped at the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="dask-", dir=os.environ.get("TMPDIR", "/tmp")))
    file = folder / "scheduler.json"
    words = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    process = _start([*words, "--no-dashboard", "--scheduler-file", str(file)], folder / "scheduler.out")
    dask = Dask("", folder)
    try:
        wait_for(lambda: file.exists() and file.read_text().endswith("}"), "the scheduler")
        dask.address = str(json.loads(file.read_text())["address"])
        yield dask
    finally:
        for one in (*dask.processes, process):
            one.terminate()
        for one in (*dask.processes, process):
            try:
                one.wait(20)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
