"""Dask's workers as an engine: a scheduler that runs already, or workers that a batch scheduler starts for a sweep.

    dask://host:port        a scheduler's address; tcp:// and tls:// are understood as well
    dask:scheduler.json     the file that `dask scheduler --scheduler-file` writes
    slurm, pbs, lsf, ...    workers as jobs, through dask-jobqueue, with the options and set-up of `[submit]`

`distributed` and `dask-jobqueue` are extras, imported only here. Not handled: authentication other than by Dask's own
configuration.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final

import git_replicate
from git_replicate.core.errors import UserError
from git_replicate.core.installing import pip_install
from git_replicate.core.settings import SubmitSettings
from git_replicate.execution.sweeping.errand import interrupt_all

JOBQUEUE: Final[Mapping[str, str]] = {
    "slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster", "oar": "OARCluster",
    "htcondor": "HTCondorCluster", "moab": "MoabCluster",
}  # fmt: skip
_CONNECT_SECONDS: Final = 20
_SUBMIT_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.05
_WORKERS: Final = 8
"""Jobs with workers, where nobody says how many runs are to be done at the same time."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Dask as a standard executor, and what that interface has no words for."""

    executor: Executor
    client: Any
    most: int
    """Runs at the same time; 0: as many as there are workers' threads."""

    def slots(self) -> int:
        threads = int(sum(self.client.nthreads().values()))
        return min(threads, self.most) if self.most else threads

    def interrupt(self, number: int) -> int:
        """Send a signal to every run; how many there are."""
        return sum(self.client.run(interrupt_all, number, on_error="ignore").values())


def is_engine(name: str) -> bool:
    return name in JOBQUEUE or name.startswith(("dask:", "tcp://", "tls://"))


@contextlib.contextmanager
def connected(name: str, most: int, runs: int, settings: SubmitSettings, log: str) -> Iterator[Connection]:
    """An engine of this name for as long as the block lasts; `UserError` if it cannot be reached or is not installed.

    most: runs at the same time, 0: any; runs: how many there are to be; log: folder for what workers' jobs print.
    """
    try:
        import distributed
    except ImportError as error:
        raise UserError(
            f"--engine {name} needs Dask, which is not installed here", pip_install("distributed", "dask-jobqueue")
        ) from error
    for logger in ("asyncio", "tornado.application", "distributed"):  # they print what is raised or shown anyway
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        if name in JOBQUEUE:
            answers: list[str] = []
            cluster = jobqueue_cluster(name, settings, log, answers)
            stack.callback(_close, cluster, answers)
            _start_workers(cluster, max(min(most or _WORKERS, runs), 1), answers)
            target: dict[str, Any] = {"address": cluster}
        elif name.startswith("dask:") and not name.startswith("dask://"):
            target = {"scheduler_file": name.removeprefix("dask:")}
            if not os.path.exists(target["scheduler_file"]):
                raise UserError(f"--engine {name}: there is no such file", "dask scheduler --scheduler-file FILE")
        else:
            target = {"address": name.replace("dask://", "tcp://", 1)}
        try:
            make: Any = distributed.Client
            client = stack.enter_context(make(**target, timeout=_CONNECT_SECONDS, set_as_default=False))
        except (OSError, TimeoutError, ValueError) as error:
            raise UserError(
                f"--engine {name}: no Dask scheduler answers ({error})", "dask scheduler; dask worker ADDRESS"
            ) from error
        if name in JOBQUEUE:
            stack.callback(_retire, client)
        yield Connection(client.get_executor(pure=False), client, most)


def jobqueue_cluster(name: str, settings: SubmitSettings, log: str, answers: list[str]) -> Any:
    """A cluster whose workers are jobs of a batch scheduler, one run at a time each.

    answers: gets what the scheduler says to each job, "" if it takes it.
    """
    try:
        import dask_jobqueue
    except ImportError as error:
        raise UserError(
            f"--engine {name} needs dask-jobqueue, which is not installed here",
            pip_install("distributed", "dask-jobqueue"),
        ) from error
    kind = getattr(dask_jobqueue, JOBQUEUE[name])
    os.makedirs(log, exist_ok=True)
    options = list(settings.options)
    return kind(
        processes=1,
        job_script_prologue=[*settings.setup, *_importable()],
        worker_extra_args=["--memory-limit", "0", "--no-nanny"],
        python=sys.executable,
        job_cls=_answering(kind.job_cls, answers),
        scheduler_options={"dashboard_address": ":0"},
        local_directory=os.environ.get("TMPDIR", "/tmp"),
        **_sized(name, options, log),
    )


def _sized(name: str, options: list[str], log: str) -> dict[str, Any]:
    """How large a worker's job is, and where it logs.

    Slurm's own defaults and the options hold, and not the half hour and the memory that dask-jobqueue would ask for.
    The others take both from Dask's configuration (`jobqueue.pbs.memory`), for they know no job without.
    """
    if name == "slurm":
        # Where dask-jobqueue names the log itself, its path may have no space.
        output = f"--output={shlex.quote(log.replace('%', '%%') + '/worker-%j.log')}"
        skipped = ["--mem", "-t 00:30:00"]
        return {
            "cores": 1, "memory": "1 GB", "job_directives_skip": skipped, "job_extra_directives": [output, *options],
        }  # fmt: skip
    import dask

    defaults = {"cores": 1, "memory": "4 GB", **({"disk": "4 GB"} if name == "htcondor" else {})}
    known = {key: dask.config.get(f"jobqueue.{name}.{key}", None) or value for key, value in defaults.items()}
    if name == "htcondor":  # `name = value` lines
        pairs = (option.partition("=") for option in options)
        return {**known, "log_directory": log, "job_extra_directives": {k.strip(): v.strip() for k, _, v in pairs}}
    return {**known, "log_directory": log, "job_extra_directives": options}


def _answering(job: Any, answers: list[str]) -> Any:
    """A kind of job that also notes what comes of its submission: dask-jobqueue itself tells nobody."""

    async def submit_job(self: Any, script: str) -> Any:
        try:
            found = await job._submit_job(self, script)
        except RuntimeError as error:
            answers.append(str(error))
            raise
        answers.append("")
        return found

    return type(job.__name__, (job,), {"_submit_job": submit_job})


def _start_workers(cluster: Any, count: int, answers: list[str]) -> None:
    """Submit the workers' jobs; `UserError` with the scheduler's words if it takes none of them."""
    cluster.scale(jobs=count)
    deadline = time.monotonic() + _SUBMIT_SECONDS
    while "" not in answers and len(answers) < count:
        if time.monotonic() > deadline:
            raise UserError("the scheduler does not say whether it takes the workers' jobs", "is it up? try: squeue")
        time.sleep(_LOOK_SECONDS)
    if "" not in answers:
        said = answers[0].partition("stderr:")[2] or answers[0]
        words = "; ".join(line.strip() for line in said.splitlines() if line.strip())
        raise UserError(f"the workers' jobs were not taken: {words}", "mend [submit] in replicate.toml")


def _retire(client: Any) -> None:
    """Tell the workers to end: one whose scheduler goes and whose job is cancelled at once may hang instead."""
    with contextlib.suppress(OSError, TimeoutError):
        client.retire_workers(close_workers=True)


def _close(cluster: Any, answers: Sequence[str]) -> None:
    """Let the workers go."""
    try:
        cluster.close()
    except AssertionError:  # Dask's own, of workers that never came to be
        if "" in answers:
            raise


def _importable() -> list[str]:
    """The line by which a worker finds this package, if it is not installed for the interpreter."""
    import importlib.metadata

    try:
        importlib.metadata.distribution("git-replicate")
    except importlib.metadata.PackageNotFoundError:
        package = os.path.dirname(os.path.dirname(os.path.abspath(git_replicate.__file__)))
        return [f'export PYTHONPATH={shlex.quote(package)}"${{PYTHONPATH:+:$PYTHONPATH}}"']
    return []
