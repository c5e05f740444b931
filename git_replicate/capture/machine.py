"""The machine that runs a command, and the batch job it is part of, from files and variables alone."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping

from git_replicate.core.frozen import frozen
from git_replicate.core.record import Scheduler


@frozen
class _Kind:
    """The variables in which one kind of scheduler names the job; the first that is set counts."""

    job: tuple[str, ...]
    cluster: tuple[str, ...] = ()
    task: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    step: tuple[str, ...] = ()


# The order matters where one scheduler imitates another: Slurm sets PBS variables on some sites, OAR none.
_KINDS = (
    _Kind(
        job=("SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID", "SLURM_JOBID"),
        cluster=("SLURM_CLUSTER_NAME",),
        task=("SLURM_ARRAY_TASK_ID",),
        restart=("SLURM_RESTART_COUNT",),
        step=("SLURM_STEP_ID", "SLURM_STEPID"),
    ),
    _Kind(
        job=("LSB_JOBID",),
        cluster=("LSB_CLUSTER_NAME", "LSF_CLUSTER_NAME"),
        task=("LSB_JOBINDEX",),
        restart=("LSB_RESTART",),
    ),
    _Kind(job=("OAR_JOB_ID", "OAR_JOBID"), cluster=("OAR_CLUSTER",), task=("OAR_ARRAY_INDEX",)),
    _Kind(job=("PBS_JOBID",), cluster=("PBS_SERVER", "PBS_DEFAULT"), task=("PBS_ARRAY_INDEX", "PBS_ARRAYID")),
    _Kind(
        job=("JOB_ID",),  # Grid Engine; too plain a name to count without the next one
        cluster=("SGE_CLUSTER_NAME",),
        task=("SGE_TASK_ID",),
        restart=("RESTARTED",),
    ),
    _Kind(job=("FLUX_JOB_ID",), task=("FLUX_JOB_CC",)),
    _Kind(job=("CONDOR_JOB_ID", "_CONDOR_JOB_ID"), task=("CONDOR_PROCNO",)),
)
_RANKS = ("OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "FLUX_TASK_RANK", "SLURM_PROCID")
"""Innermost first: `mpirun` within a Slurm job starts one daemon a node, whose SLURM_PROCID all of its ranks have."""


def host() -> str:
    """The machine's own name, as `uname -n` prints it."""
    return os.uname().nodename


def boot_id() -> str:
    """The kernel's id of this boot; the boot time where there is no such id; empty if neither can be read."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return _boot_time()


def _boot_time() -> str:
    """When the machine was started, in whole seconds, for kernels without a boot id."""
    try:
        started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):
        return ""
    return f"started-{round(started, -1):.0f}"


def scheduler(environ: Mapping[str, str]) -> Scheduler:
    """The batch job that these variables speak of; all fields at their defaults outside one.

    A Slurm array task is (array's job id, index), which is the same before and after a requeue; its restart count
    says how often Slurm started it again.
    """
    for kind in _KINDS:
        job = _first(environ, kind.job)
        if not job or (kind.job == ("JOB_ID",) and not environ.get("SGE_TASK_ID")):
            continue
        task = _first(environ, kind.task)
        not_an_array = task == "undefined" or (task == "0" and "LSB_JOBID" in kind.job)
        return Scheduler(
            cluster=_first(environ, kind.cluster),
            job=job,
            task="" if not_an_array else task,
            restart=_restarts(_first(environ, kind.restart)),
        )
    return Scheduler()


def job_step(environ: Mapping[str, str]) -> str:
    """The job step (one `srun`, say) these variables belong to; empty outside one."""
    return next((step for kind in _KINDS if kind.step and (step := _first(environ, kind.step))), "")


def rank(environ: Mapping[str, str]) -> int:
    """The process's rank in its parallel job, 0 when it is alone or first.

    `RANK` is a plain word that people use for other things, so it counts only beside torch's `WORLD_SIZE`.
    """
    names = ("RANK", *_RANKS) if environ.get("WORLD_SIZE", "").isdigit() else _RANKS
    return next((int(text) for name in names if (text := environ.get(name, "")).isascii() and text.isdigit()), 0)


def launch_id(environ: Mapping[str, str]) -> str:
    """What all processes of one `mpirun` have in common, and no others; empty where nothing tells."""
    return _first(environ, ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"))


def attempt_id(environ: Mapping[str, str]) -> str:
    """Tells one start of a job by its scheduler from another, as far as the scheduler says."""
    return f"{scheduler(environ).restart}-{environ.get('SLURM_JOB_START_TIME', '')}".strip("-")


def signal_number(name: str) -> int:
    """The number of a signal by the name a record holds ("SIGKILL", "SIGRTMIN+3"); 0 if this machine has none."""
    found = re.fullmatch(r"(SIG[A-Z0-9]+?)(?:\+(\d+))?", name)
    if not found:
        return 0
    try:
        return int(signal.Signals[found[1]]) + int(found[2] or 0)
    except KeyError:
        return 0


def signal_name(number: int) -> str:
    """The inverse of `signal_number`: "SIGKILL" for 9; real-time signals count from SIGRTMIN."""
    try:
        return signal.Signals(number).name
    except ValueError:
        low = int(getattr(signal, "SIGRTMIN", 0))
        return f"SIGRTMIN+{number - low}" if low and number > low else f"SIG{number}"


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := environ.get(name, ""))), "")


def _restarts(text: str) -> int:
    """How often a job was restarted; LSF says only that it was (Y)."""
    return 1 if text.upper() == "Y" else _count(text)


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
