"""Slurm: sbatch, squeue, scancel.

A job that squeue does not list has ended, for squeue lists all that wait and run; how it ended `scontrol show job`
knows for some minutes. An answer that is an error says nothing about any job.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from git_replicate.execution.schedulers.kinds import JobState, Script, Task, ask, refusal

NAME: Final = "slurm"
PROGRAM: Final = "sbatch"
DIRECTIVE: Final = "#SBATCH"
TASK_VARIABLE: Final = "SLURM_ARRAY_TASK_ID"
_WAITS: Final = frozenset(
    {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
)
_LISTED: Final = "%F|%K|%i|%T|%r"


def header(script: Script) -> list[str]:
    """The log is appended to, for a requeued job writes into it again; `%` is a pattern to Slurm."""
    folder = script.log.replace("%", "%%")
    log = folder + ("/job-%A_%a.log" if script.tasks else "/job-%j.log")
    lines = [f"--job-name={shlex.quote(script.name)}", f"--output={shlex.quote(log)}", "--open-mode=append"]
    if script.tasks:
        lines.append(f"--array=0-{script.tasks - 1}" + (f"%{script.at_once}" if script.at_once else ""))
    return lines


def is_array(option: str) -> bool:
    return re.match(r"(-a|--arr)", option) is not None


def submit(path: str, options: Sequence[str], environ: Mapping[str, str]) -> Task:
    """`sbatch --parsable` prints the job's number, and its cluster if it is not this one; sites print more above."""
    words = [word for option in options for word in shlex.split(option)]
    done = ask([PROGRAM, "--parsable", *words, path], environ, patience=None)
    if done.returncode:
        raise refusal(PROGRAM, done)
    lines = [line.strip() for line in done.stdout.splitlines()]
    found = next((line for line in reversed(lines) if re.fullmatch(r"\d+(;\S+)?", line)), "")
    job, _, named = found.partition(";")
    return Task(job, cluster=named or cluster(environ))


def largest_array(environ: Mapping[str, str]) -> int:
    """Slurm's own default where it does not say; the numbers of tasks are below MaxArraySize."""
    text = _setting("MaxArraySize", environ)
    return max(int(text), 1) if text.isdigit() else 1001


def cluster(environ: Mapping[str, str]) -> str:
    return _setting("ClusterName", environ)


def _setting(name: str, environ: Mapping[str, str]) -> str:
    done = ask(["scontrol", "show", "config"], environ)
    found = re.search(rf"^{name}\s*=\s*(\S+)", done.stdout, re.MULTILINE)
    return found[1] if found and done.returncode == 0 else ""


def states(tasks: Sequence[Task], environ: Mapping[str, str]) -> Mapping[Task, JobState]:
    """One question for all of them: the user's own jobs that wait or run."""
    done = ask(["squeue", "--noheader", "--array", f"--user={os.getuid()}", f"--format={_LISTED}"], environ)
    if done.returncode:
        return {}
    listed: dict[tuple[str, str], JobState] = {}
    for line in done.stdout.splitlines():
        array, task, job, state, why = [*line.split("|", 4), "", "", "", ""][:5]
        found = JobState("queued" if state in _WAITS else "running", why if why not in ("None", "") else state.lower())
        number = task if task.isdigit() else ""
        listed[array, number] = listed[job.partition("_")[0], number] = found
    return {task: listed.get((task.job, task.task)) or JobState("ended", _ending(task, environ)) for task in tasks}


def _ending(task: Task, environ: Mapping[str, str]) -> str:
    """How a job ended, in Slurm's word; empty when it has forgotten."""
    name = f"{task.job}_{task.task}" if task.task else task.job
    done = ask(["scontrol", "--oneliner", "show", "job", name], environ)
    found = re.search(r"\bJobState=(\S+)", done.stdout)
    return found[1] if found and done.returncode == 0 else ""


def cancel(task: Task) -> str:
    return f"scancel {task.job}" + (f"_{task.task}" if task.task else "")
