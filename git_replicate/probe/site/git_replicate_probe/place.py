"""Which of a run's Python processes this is: the program itself, a launcher, a rank, or a child of one of these."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

ABOVE = "GIT_REPLICATE_PROBE_ABOVE"
"""Process ids, outermost first, of the run's Python programs that this process descends from."""
_LAUNCHERS = frozenset(
    "torchrun torch.distributed.run torch.distributed.launch torch.distributed.elastic accelerate accelerate-launch "
    "accelerate.commands.launch accelerate.commands.accelerate_cli deepspeed deepspeed.launcher.runner "
    "deepspeed.launcher.launch horovodrun horovod.runner.launch ray dask mpi4py.run git-replicate git_replicate "
    "pip pip3 pipx uv conda mamba poetry pdm hatch pipenv tox nox build venv virtualenv snakemake dvc invoke "
    "jupyter jupyter-nbconvert jupyter-run jupyter-execute jupyter-lab jupyter-notebook jupyter_client nbconvert "
    "nbclient papermill wandb".split()
)
"""Programs in Python that run the program proper in a process of its own."""
_RANKS = ("OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "FLUX_TASK_RANK", "SLURM_PROCID")


class Place:
    """Where a process stands: its words, its rank, and the programs above it."""

    def __init__(self, words: list[str], rank: int, above: list[int]) -> None:
        self.words = words
        self.rank = rank
        self.above = above
        self.program = program_of(words)
        self.is_launcher = self.program in _LAUNCHERS


def this_place(environ: MutableMapping[str, str]) -> Place:
    """This process's place; its children find it among those above them."""
    above = [int(word) for word in environ.get(ABOVE, "").split(".") if word.isdigit()]
    above = [pid for pid in above if pid != os.getpid()]  # a program that executed another in its place
    place = Place(command_words(), rank_of(environ), above)
    if not place.is_launcher:
        environ[ABOVE] = ".".join(map(str, [*above, os.getpid()]))
    return place


def command_words() -> list[str]:
    """The whole command line of this process, as far as it can be told."""
    words = getattr(sys, "orig_argv", None)  # since Python 3.10
    if words:
        return list(words)
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    except OSError:
        return [sys.executable or "python", *getattr(sys, "argv", [])]


def program_of(words: list[str]) -> str:
    """The module that `-m` names, or the script without folder and `.py`; "" for code given otherwise."""
    index = 1
    while index < len(words) and words[index].startswith("-") and len(words[index]) > 1:
        option = words[index]
        index += 1
        if option.startswith("--"):
            index += option == "--check-hash-based-pycs"
            continue
        for position, letter in enumerate(option[1:], 2):
            if letter == "c":
                return ""
            if letter == "m":
                return option[position:] or (words[index] if index < len(words) else "")
            if letter in "WX":
                index += not option[position:]
                break
    base = os.path.basename(words[index]) if index < len(words) else ""
    return base[:-3] if base.endswith(".py") else "" if base == "-" else base


def rank_of(environ: MutableMapping[str, str]) -> int:
    """The rank in a parallel job; `RANK` is a plain word, so it counts only beside torch's `WORLD_SIZE`."""
    names = ("RANK", *_RANKS) if environ.get("WORLD_SIZE", "").isdigit() else _RANKS
    return next((int(environ[name]) for name in names if environ.get(name, "").isdigit()), 0)


def is_upper_rank() -> bool:
    """Whether torch says that this process is not the first of its group: children that it spawns have no variables."""
    module = sys.modules.get("torch.distributed")
    try:
        return module is not None and module.is_available() and module.is_initialized() and module.get_rank() > 0
    except Exception:  # a half-imported or foreign module of that name
        return False
