"""A run that a program begins itself, in a notebook or a script that nobody started under `git replicate start`.

The tool records: `start --open` when the run begins, `finish` when it ends, each as a process of its own. In between
this process's probe appends to the run's spool. What it prints is not recorded, for it is too late to see that.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import warnings

from git_replicate_probe import place, session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

_RUN = "GIT_REPLICATE_RUN"
_PARTS = ("runtime", "trackers", "cells")
"""What is observed from the middle of a program on; the others have to be there from its start."""


class Run:
    """A run that has begun. As a context manager it ends with the block, as failed where that raises."""

    def __init__(self, name: str, *, directory: str = "", joined: bool = False) -> None:
        self.name = name
        """`<experiment>/<run id>`."""
        self._directory = directory
        self._open = bool(directory)
        self._joined = joined

    def __repr__(self) -> str:
        return f"<run {self.name}{'' if self._open else ', ended'}>"

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(failed="" if kind is None else _shown(kind, error))

    def finish(self, *, failed: str = "") -> None:
        """Record the end; `failed` says why it did. A run that has ended, or is another's, stays as it is."""
        if not self._open:
            return
        self._open = False
        _leave()
        if self._joined:
            return
        words = ["finish", self.name, "-q", *([f"--failed={failed}"] if failed else [])]
        _call(words, self._directory)


def begin(
    experiment: str, *, message: str, tags: tuple[str, ...], seed: int | None, attach: Callable[[Any], None]
) -> Run:
    """Begin a run; within one, and in a rank above the first, a part of that.

    `attach` is told the probe that notes for the run, and None when it has ended.
    """
    if os.environ.get(_RUN) or place.rank_of(os.environ):
        return Run(os.environ.get(_RUN, ""))
    told = _start(experiment, message, tags, seed)
    return _entered(Run(str(told["name"]), directory=os.getcwd()), told["probe"], attach)


def join(attach: Callable[[Any], None]) -> Run:
    """Become a part of the session that is open in this repository; it is ended by who opened it."""
    if os.environ.get(_RUN) or place.rank_of(os.environ):
        return Run(os.environ.get(_RUN, ""))
    from git_replicate_probe import encoding

    live = encoding.read(_call(["status", "--format=json"], os.getcwd()))
    sessions = [run for run in live if run.get("probe")]
    if not sessions:
        raise RuntimeError("git replicate: no session is open\nhint: git replicate start --open")
    if len(sessions) > 1:
        names = ", ".join(str(run["run"]) for run in sessions)
        raise RuntimeError(f"git replicate: several sessions are open: {names}\nhint: git replicate finish RUN")
    run = Run(str(sessions[0]["run"]), directory=os.getcwd(), joined=True)
    return _entered(run, sessions[0]["probe"], attach)


def _start(experiment: str, message: str, tags: tuple[str, ...], seed: int | None) -> Any:
    """What the tool says of the session that it has opened."""
    from git_replicate_probe import encoding

    words = ["start", "--open", "--format=json", f"--seed={'none' if seed is None else seed}"]
    words += [f"--experiment={experiment or _experiment()}"] if experiment or _experiment() else []
    words += [f"--message={message}"] if message else []
    words += [f"--tag={tag}" for tag in tags]
    command = _command()
    return encoding.read(_call([*words, *(["--", *command] if command else [])], os.getcwd()))


def _entered(run: Run, settings: dict[str, Any], attach: Callable[[Any], None]) -> Run:
    _enter(run.name, settings)
    _own.run, _own.attach = run, attach
    attach(_own.probe)
    return run


class _Own:
    """This process's own run, one at a time, and the probe that notes for one after the other."""

    run: Run | None = None
    probe: session.Probe | None = None

    def __init__(self) -> None:
        self.variables: dict[str, str | None] = {}
        self.attach: Callable[[Any], None] = lambda probe: None


_own = _Own()


def _enter(name: str, settings: dict[str, Any]) -> None:
    """Have this process, and those that it starts, note for the run."""
    from git_replicate_probe import encoding

    _own.variables.update({name: os.environ.get(name) for name in (_RUN, session.VARIABLE, "GIT_REPLICATE_SEED")})
    os.environ.update({_RUN: name, session.VARIABLE: encoding.write(settings)})
    if settings.get("seed") is not None:
        os.environ["GIT_REPLICATE_SEED"] = str(settings["seed"])
    if _own.probe is None:
        _own.probe = session.Probe(settings, place.this_place(os.environ))
        os.register_at_fork(after_in_child=_own.probe.after_fork)
        atexit.register(_at_exit)
        _own.probe.note("begin")
        for part in _PARTS:
            session.install_part(_own.probe, part)
    else:
        _own.probe.move(settings)
        _own.probe.note("begin")


def _leave() -> None:
    _own.run = None
    if _own.probe is not None:
        _own.probe.end()
        _own.probe.move({"folder": ""})
    _own.attach(None)
    for name, value in _own.variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _own.variables.clear()


def _at_exit() -> None:
    """End the run with the process; an exception that nobody caught has left its traces in `sys`."""
    if _own.run is not None and _own.probe is not None and not _own.probe.forked:
        kind = getattr(sys, "last_type", None)
        interactive = hasattr(sys, "ps1") or _in_notebook()
        failed = "" if kind is None or interactive else _shown(kind, getattr(sys, "last_value", None))
        try:
            _own.run.finish(failed=failed)
        except RuntimeError as error:
            warnings.warn(str(error), RuntimeWarning, stacklevel=2)


def _shown(kind: type[BaseException], error: BaseException | None) -> str:
    lines = str(error).splitlines() if error is not None else []
    return f"{kind.__name__}: {lines[0]}"[:300] if lines else kind.__name__


def _in_notebook() -> bool:
    module = sys.modules.get("IPython")
    return module is not None and module.get_ipython() is not None


def _experiment() -> str:
    """A notebook's runs are named after its file; a script's are anyway."""
    from git_replicate_probe.cells import notebook

    return os.path.splitext(os.path.basename(notebook()))[0]


def _command() -> list[str]:
    """The words that run this script again; none for a notebook, or for what was typed."""
    words = place.command_words()
    script = sys.argv[0] if sys.argv else ""
    return [sys.executable, *words[1:]] if script and not _in_notebook() and os.path.isfile(script) else []


def _call(words: list[str], directory: str) -> str:
    """What the tool answers; its warnings become this process's, its refusal a `RuntimeError`."""
    env = {name: value for name, value in os.environ.items() if name not in (_RUN, session.VARIABLE)}
    env["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), env.get("PATH", os.defpath)])
    done = subprocess.run(
        [*_tool(env["PATH"]), *words], cwd=directory, env=env, stdin=subprocess.DEVNULL, capture_output=True,
        check=False,
    )  # fmt: skip
    said = done.stderr.decode(errors="replace").strip()
    said = said.replace("git replicate: warning: ", "").replace("git replicate: ", "")
    if done.returncode:
        raise RuntimeError(f"git replicate: {said or f'exit {done.returncode}'}")
    if said:
        warnings.warn(f"git replicate: {said}", RuntimeWarning, stacklevel=4)
    return done.stdout.decode(errors="replace")


def _tool(path: str) -> list[str]:
    """How to call the tool: as installed on this machine, or else as this interpreter's own package."""
    program = shutil.which("git-replicate", path=path)
    if program:
        return [program]
    from importlib.util import find_spec

    if find_spec("pygit2") is not None and find_spec("git_replicate.cli") is not None:
        return [sys.executable, "-m", "git_replicate"]
    install = f"{sys.executable} -m pip install pygit2 tomli tomli-w psutil blake3"
    raise RuntimeError(f"git replicate: there is no git-replicate on the PATH; for this Python: {install}")
