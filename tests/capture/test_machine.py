"""The machine and the batch job."""

from __future__ import annotations

import os
import signal

import pytest

from git_replicate.capture import machine
from git_replicate.core.record import Scheduler


@pytest.mark.parametrize(
    ("environ", "scheduler"),
    [
        ({}, Scheduler()),
        ({"SLURM_JOB_ID": "12", "SLURM_CLUSTER_NAME": "c", "SLURM_RESTART_COUNT": "2"}, Scheduler("c", "12", "", 2)),
        (
            {"SLURM_JOB_ID": "15", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"},
            Scheduler("", "12", "3", 0),
        ),
        ({"PBS_JOBID": "7.host", "PBS_ARRAY_INDEX": "0"}, Scheduler("", "7.host", "0", 0)),
        ({"LSB_JOBID": "7", "LSB_JOBINDEX": "0"}, Scheduler("", "7", "", 0)),
        ({"LSB_JOBID": "7", "LSB_JOBINDEX": "2", "LSB_RESTART": "Y"}, Scheduler("", "7", "2", 1)),
        ({"JOB_ID": "7"}, Scheduler()),
        ({"JOB_ID": "7", "SGE_TASK_ID": "undefined", "RESTARTED": "1"}, Scheduler("", "7", "", 1)),
        ({"OAR_JOB_ID": "7", "OAR_ARRAY_INDEX": "2"}, Scheduler("", "7", "2", 0)),
    ],
)
def test_scheduler_facts(environ: dict[str, str], scheduler: Scheduler) -> None:
    assert machine.scheduler(environ) == scheduler


@pytest.mark.parametrize(
    ("environ", "rank"),
    [
        ({}, 0),
        ({"SLURM_PROCID": "0"}, 0),
        ({"SLURM_PROCID": "3"}, 3),
        ({"OMPI_COMM_WORLD_RANK": "2"}, 2),
        ({"RANK": "2", "WORLD_SIZE": "4"}, 2),
        ({"RANK": "captain"}, 0),
        ({"RANK": "2"}, 0),
        ({"SLURM_PROCID": "0", "RANK": "1", "WORLD_SIZE": "2"}, 1),
        ({"SLURM_PROCID": "1", "OMPI_COMM_WORLD_RANK": "0"}, 0),
        ({"SLURM_PROCID": "1", "PMI_RANK": "6"}, 6),
    ],
)
def test_rank(environ: dict[str, str], rank: int) -> None:
    assert machine.rank(environ) == rank


def test_job_step() -> None:
    assert machine.job_step({"SLURM_STEP_ID": "4"}) == "4"
    assert machine.job_step({}) == ""


def test_signals_by_name_and_number() -> None:
    assert machine.signal_number("SIGKILL") == 9
    assert machine.signal_name(9) == "SIGKILL"
    assert machine.signal_number("SIGNONE") == machine.signal_number("kill me") == 0
    for number in (signal.SIGRTMIN, signal.SIGRTMIN + 3, signal.SIGRTMAX):
        assert machine.signal_number(machine.signal_name(number)) == number


def test_the_host_and_the_boot_have_names() -> None:
    assert machine.host() == os.uname().nodename
    assert machine.boot_id() == machine.boot_id() != ""
