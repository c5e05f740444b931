"""What a batch scheduler gave the job: its kind, its queue, how many nodes, tasks, processors and GPUs.

The job's own number is the run's, not the environment's: two jobs of one shape have equal environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from git_replicate.capture.environment.kinds import Difference, Facts, Scene, compare

NAME: Final = "scheduler"
KEYS: Final = ("scheduler",)
_KINDS: Final[Mapping[str, tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]]] = {
    # kind -> the variables that are all set in its jobs, and the variables of each fact, the first that is set counts
    "slurm": (("SLURM_JOB_ID",), {
        "queue": ("SLURM_JOB_PARTITION",), "nodes": ("SLURM_JOB_NUM_NODES", "SLURM_NNODES"), "tasks": ("SLURM_NTASKS",),
        "cpus": ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"), "memory_mb": ("SLURM_MEM_PER_NODE",),
        "gpus": ("SLURM_GPUS", "SLURM_GPUS_ON_NODE"),
    }),
    "lsf": (("LSB_JOBID",), {"queue": ("LSB_QUEUE",), "cpus": ("LSB_DJOB_NUMPROC",)}),
    "oar": (("OAR_JOB_ID",), {"queue": ("OAR_QUEUE",)}),
    "pbs": (("PBS_JOBID",), {
        "queue": ("PBS_QUEUE",), "nodes": ("PBS_NUM_NODES",), "tasks": ("PBS_NP",), "cpus": ("NCPUS", "PBS_NUM_PPN"),
    }),
    "sge": (("JOB_ID", "SGE_TASK_ID"), {"queue": ("QUEUE",), "nodes": ("NHOSTS",), "cpus": ("NSLOTS",)}),
    "flux": (("FLUX_JOB_ID",), {"nodes": ("FLUX_JOB_NNODES",), "tasks": ("FLUX_JOB_SIZE",)}),
    "htcondor": (("_CONDOR_SLOT",), {}),
}  # fmt: skip


def capture(scene: Scene) -> Facts:
    """Kind and shape of the allocation; nothing outside a job."""
    for kind, (needed, names) in _KINDS.items():
        if all(scene.environ.get(name) for name in needed):
            found: dict[str, int | str] = {"kind": kind}
            for fact, variables in names.items():
                text = next((value for name in variables if (value := scene.environ.get(name))), "")
                if text:
                    found[fact] = int(text) if text.isascii() and text.isdigit() else text
            return Facts({"scheduler": found})
    return Facts()


def differs(recorded: Mapping[str, object], current: Mapping[str, object]) -> tuple[Difference, ...]:
    return compare(NAME, KEYS, recorded, current)
