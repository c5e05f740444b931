"""A real Slurm on this machine alone, for as long as a test module lasts: its own munge, ports and folders.

It needs the programs of the distribution (slurm-wlm and munge) and root, for slurmd starts jobs as other users would.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun", "sinfo")
_SEARCHED = os.pathsep.join(("/usr/sbin", "/usr/bin", "/sbin", "/bin"))
_PATIENCE = 60.0


def why_not() -> str:
    """Why there can be no Slurm here; empty if there can."""
    missing = [name for name in NEEDED if not find(name)]
    if missing:
        return f"no {', '.join(missing)} here: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "slurmd needs root"


def find(name: str) -> str:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}{os.pathsep}{_SEARCHED}") or ""


@dataclass(frozen=True)
class Slurm:
    """A running cluster; `variables` make its commands talk to it."""

    folder: Path
    cluster: str
    variables: Mapping[str, str]

    def ask(self, *command: str, check: bool = True) -> str:
        """What one of Slurm's commands prints."""
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **self.variables}, timeout=120
        )
        assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stderr}"
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """PENDING, RUNNING, COMPLETED, ...; empty for a job that is not known (any more)."""
        found = self.ask("scontrol", "--oneliner", "show", "job", job, check=False)
        words = [word.partition("=") for word in found.split()]
        states = [value for name, _, value in words if name == "JobState"]
        return ",".join(states)

    def start_again(self, job: str) -> None:
        """Let a requeued job begin at once: Slurm makes it wait for two minutes otherwise.

        Not in the very second in which its last attempt ended: slurmd takes it for the one that it has just killed.
        """
        ended = time.time()
        wait_for(lambda: time.time() > ended + 2, "the next second")

        def hurry() -> bool:
            self.ask("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)
            return self.state(job) not in ("PENDING", "COMPLETING", "")

        wait_for(hurry, f"job {job} to start again")

    def wait(self, job: str, *wanted: str) -> str:
        """Wait until a job is in one of these states, or has ended; its state."""
        return wait_for(lambda: self._settled(job, wanted), f"job {job} to be {' or '.join(wanted) or 'over'}")

    def _settled(self, job: str, wanted: tuple[str, ...]) -> str:
        states = self.state(job)
        going = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED"}
        over = not set(states.split(",")) & going
        return states if states in wanted or (not wanted and over) else ""


def wait_for(question: Callable[[], object], what: str) -> str:
    """Ask until the answer is not empty; it is a failure of the test if that takes a minute."""
    deadline = time.monotonic() + _PATIENCE
    while not (answer := question()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
    return str(answer)


@contextlib.contextmanager
def single_machine(cluster: str = "testing") -> Iterator[Slurm]:
    """Start munge, the controller and one node; stop them all at the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # sockets: a short path
    started: list[subprocess.Popen[bytes]] = []
    try:
        socket_path = _start_munge(folder, started)
        conf = _write_conf(folder, cluster, socket_path)
        slurm = Slurm(folder, cluster, {"SLURM_CONF": str(conf)})
        environ = {**os.environ, **slurm.variables}
        started.append(_start([find("slurmctld"), "-D", "-c"], folder / "slurmctld.out", environ))
        wait_for(lambda: "UP" in slurm.ask("scontrol", "ping", check=False), "slurmctld")
        started.append(_start([find("slurmd"), "-D"], folder / "slurmd.out", environ))
        wait_for(lambda: "idle" in slurm.ask("sinfo", "-h", "-o", "%t", check=False).split(), "an idle node")
        yield slurm
        slurm.ask("scancel", "--user=root", check=False)
    finally:
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _end_left_over(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _end_left_over(folder: Path) -> None:
    """End what jobs have left running: without cgroups Slurm loses sight of a process whose parent has gone."""
    mark = f"SLURM_CONF={folder}/slurm.conf".encode()
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            words = Path("/proc", name, "environ").read_bytes().split(b"\0") if name.isdigit() else []
            if mark in words and any(word.startswith(b"SLURM_JOB_ID=") for word in words):
                os.kill(int(name), signal.SIGKILL)


def _start(command: list[str], output: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=dict(environ))


def _start_munge(folder: Path, started: list[subprocess.Popen[bytes]]) -> Path:
    munge = folder / "munge"
    munge.mkdir(mode=0o755)
    key = munge / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    path = munge / "socket"
    files = {
        "key-file": key,
        "socket": path,
        "log-file": munge / "log",
        "pid-file": munge / "pid",
        "seed-file": munge / "seed",
    }
    command = [find("munged"), "--foreground", "--force", *(f"--{name}={file}" for name, file in files.items())]
    started.append(_start(command, folder / "munged.out", os.environ))
    wait_for(path.exists, "munge")
    return path


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _write_conf(folder: Path, cluster: str, munge: Path) -> Path:
    host = os.uname().nodename.partition(".")[0]
    controller, node = _free_ports(2)
    (folder / "state").mkdir()
    (folder / "node").mkdir()
    lines = f"""
        ClusterName={cluster}
        SlurmctldHost={host}(127.0.0.1)
        SlurmUser=root
        SlurmdUser=root
        AuthType=auth/munge
        AuthInfo=socket={munge}
        CredType=cred/munge
        ProctrackType=proctrack/linuxproc
        TaskPlugin=task/none
        SelectType=select/cons_tres
        SelectTypeParameters=CR_Core
        AccountingStorageType=accounting_storage/none
        JobAcctGatherType=jobacct_gather/none
        MpiDefault=none
        ReturnToService=2
        KillWait=5
        OverTimeLimit=0
        StateSaveLocation={folder}/state
        SlurmdSpoolDir={folder}/node
        SlurmctldPidFile={folder}/slurmctld.pid
        SlurmdPidFile={folder}/slurmd.pid
        SlurmctldLogFile={folder}/slurmctld.log
        SlurmdLogFile={folder}/slurmd.log
        SlurmctldPort={controller}
        SlurmdPort={node}
        SlurmdParameters=config_overrides
        SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
        NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
        PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
        """
    conf = folder / "slurm.conf"
    conf.write_text("\n".join(line.strip() for line in lines.strip().splitlines()) + "\n")
    return conf
