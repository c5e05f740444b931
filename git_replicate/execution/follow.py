"""Those that record no run of their own: a `start` within a run, and the ranks of a job above the first.

They hand over to their command by executing it, so that exit code, signals, terminal and output are the command's
own; its variables name the run that it belongs to. Only a rank that waited in vain for rank 0's run stays, to follow
its command: what that prints and how it ends is kept in a spool, for `recover` to add to the run.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from git_replicate.capture import machine
from git_replicate.capture.program import program_name
from git_replicate.capture.seeds import SEED_VARIABLE, draw_seed, requested_seed, seed_environment
from git_replicate.core.errors import StorageError
from git_replicate.core.record import Seeds
from git_replicate.core.settings import Settings
from git_replicate.execution.command import (
    fill_command,
    needs_params_file,
    seed_asked_for,
    with_params,
    write_params,
)  # fmt: skip
from git_replicate.execution.environment import (
    NotExecutableError,
    clean_environment,
    current_directory,
    execute,
    find_command,
)
from git_replicate.execution.jobs import RUN_VARIABLE, JobStart, wait_for_run
from git_replicate.execution.launch import launch
from git_replicate.execution.plan import Request
from git_replicate.execution.probing import part_environment, probe_environment
from git_replicate.execution.ranks import make_rank_spool


def is_nested(environ: Mapping[str, str]) -> bool:
    """Whether an enclosing run records."""
    return bool(environ.get(RUN_VARIABLE))


def is_upper_rank(environ: Mapping[str, str]) -> bool:
    """Whether rank 0 of the job records."""
    return machine.rank(environ) > 0


def run_within(request: Request, settings: Settings) -> NoReturn:
    """Execute the command as a part of whatever it is that records, if anything does."""
    env = clean_environment(os.environ)
    given = request.seed if isinstance(request.seed, int) else None
    seeds = Seeds(run=requested_seed(env) if given is None else given, mode="auto" if given is None else "given")
    added = {} if given is None else {SEED_VARIABLE: str(given)}
    program = program_name(request.command)
    env = part_environment(env, seed=request.seed, program=program, deterministic=request.deterministic)
    _become(request, settings, {**env, **added}, seeds)


def run_rank(request: Request, settings: Settings, start: JobStart, top: str, warn: Callable[[str], None]) -> int:
    """Execute the command as a part of rank 0's run; without one, run it with a spool. The command's exit code."""
    env = clean_environment(os.environ)
    option = settings.random.seed if request.seed is None else request.seed
    seeds = draw_seed(option, os.urandom, env, deterministic=request.deterministic)
    observe = request.probe and settings.probe.enabled
    told: dict[str, Any] = {"top": top, "program": program_name(request.command), "site": None, "observe": observe}
    told["started"] = time.time()

    def probed(env: Mapping[str, str], folder: str, seeds: Seeds, run: str = "") -> dict[str, str]:
        try:
            return probe_environment(env, folder, seeds, run=run, **told)
        except OSError as error:
            warn(f"the Python processes of this rank are not observed, nor seeded ({error.strerror})")
            return dict(env)

    run = wait_for_run(start, env)
    state = os.path.dirname(start.folder)
    if run is not None:
        seeds = replace(seeds, run=run.seed, python_hash=run.python_hash)
        env = {**env, RUN_VARIABLE: run.run, **seed_environment(seeds, env)}
        folder = os.path.join(state, "spool", run.run.rpartition("/")[2])
        own = folder if os.path.isdir(folder) else _scratch()  # rank 0 may keep it on a machine of its own
        _become(request, settings, probed(env, own, seeds, run.run), seeds, folder=own)
    find_command(request.command[0], env, os.getcwd())
    try:
        spool = make_rank_spool(start, request)
        path = write_params(request, spool.folder)
    except OSError as error:
        warn(f"rank 0 of this job has recorded no run, and this rank cannot ({error.strerror}): only its command runs")
        _become(request, settings, env, seeds)
    warn("rank 0 of this job has recorded no run yet; to add this rank to it in the end: git replicate recover")
    command = fill_command(request, settings, seed_asked_for(request, settings, seeds), params_file=path)
    variables = {**with_params(env, path), **seed_environment(seeds, env)}
    variables = probed(variables, spool.folder, seeds)
    return launch(command, env=variables, directory=os.getcwd(), spool=spool).shell_code


def _scratch() -> str:
    """A folder for what a command is to find while it runs, where no run has one."""
    import tempfile

    return tempfile.mkdtemp(prefix="git-replicate-")


def _become(request: Request, settings: Settings, env: dict[str, str], seeds: Seeds, *, folder: str = "") -> NoReturn:
    """Execute the command in place of this process; raises if there is no such command.

    `folder`: where its params may be written, if it is there.
    """
    path = ""
    if needs_params_file(request):
        try:
            path = write_params(request, folder if os.path.isdir(folder) else _scratch(), f"params-{os.getpid()}.json")
        except OSError as error:
            raise StorageError(f"write the params file: {error.strerror}", "df -h . /tmp") from error
    command = fill_command(request, settings, seed_asked_for(request, settings, seeds), params_file=path)
    program = find_command(command[0], env, current_directory())
    sys.stdout.flush()
    sys.stderr.flush()
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        execute(program, command, with_params(env, path))
    except OSError as error:
        raise NotExecutableError(f"{command[0]}: {error.strerror}") from error
