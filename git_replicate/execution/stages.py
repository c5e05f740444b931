"""Running the preparation stages that are stale, and no others.

A stage is fresh when its outputs hash as they were recorded for the same script and inputs: by this repository's
memory of what stages made, or by any run's record. If they were recorded and are not there, they are restored where
their content was kept; else the script runs, in the worktree. While a run prepares or goes on, it holds a shared
lock of each of its stages; making a stage's outputs takes the lock for one, so that no run sees half of them.

    <common git dir>/replicate/stages/<worktree>/<name>.lock, .log, .json      made.json: key -> output -> hash
    <common git dir>/replicate/stages/content/                                 what they made (see `stage_store`)
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from git_replicate.capture.stages import (
    StageState,
    ordered_stages,
    reads_from,
    recorded_outputs,
    script_words,
    stage_state,
)  # fmt: skip
from git_replicate.core.errors import UserError
from git_replicate.core.names import RUNS_PREFIX
from git_replicate.core.settings import StageSettings
from git_replicate.execution.environment import clean_environment
from git_replicate.execution.stage_store import keep_outputs, restore_outputs
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Layout, Repository

STAGE_VARIABLE: Final = "GIT_REPLICATE_STAGE"
_SHOWN: Final = 20
"""Lines of a failed stage's log that are said."""
_RUNS_ASKED: Final = 200
_INTERPRETERS: Final[Mapping[str, tuple[str, ...]]] = {
    ".py": ("python",), ".sh": ("sh",), ".bash": ("bash",), ".R": ("Rscript",), ".r": ("Rscript",), ".jl": ("julia",),
}  # fmt: skip
"""How a script without leave to be executed is run."""


@dataclass(frozen=True, slots=True)
class StageReport:
    """How a stage stands: `done` is fresh, restored or run; before that, stale."""

    name: str
    state: StageState
    done: str
    why: str = ""


class Stages:
    """The stages of one worktree; what it made fresh stays locked for as long as this object is there."""

    def __init__(self, repo: Repository, stages: Sequence[StageSettings], say: Callable[[str], None]) -> None:
        """`ConfigError` if the stages need each other in a circle."""
        self._repo = repo
        self._say = say
        self._stages = ordered_stages(stages)
        self._held: list[int] = []
        weakref.finalize(self, _close, self._held)

    def status(self, stage: StageSettings) -> StageReport:
        """How a stage stands now; nothing is run or changed."""
        state = self._state(stage)
        made = self._recorded(stage, state)
        if made is None:
            return StageReport(stage.name, state, "stale", "no record of this script with these inputs")
        other = [path for path, digest in state.outputs.items() if made.get(path) != digest]
        if other:
            gone = all(state.outputs[path] is None for path in other)
            return StageReport(
                stage.name, state, "stale", f"{', '.join(other)} {'is missing' if gone else 'is not as made'}"
            )
        return StageReport(stage.name, state, "fresh")

    def reports(self) -> list[StageReport]:
        """How all stages stand, in the order in which they run: one that reads from a stale one is stale."""
        found: list[StageReport] = []
        stale: list[StageSettings] = []
        for stage in self._stages:
            sources = [maker.name for maker in stale if reads_from(stage, maker)]
            report = self._behind(stage, sources) if sources else self.status(stage)
            stale += [stage] if report.done == "stale" else []
            found.append(report)
        return found

    def _behind(self, stage: StageSettings, sources: Sequence[str]) -> StageReport:
        """How a stage stands whose inputs others are to make anew, or for the first time."""
        state = stage_state(stage, top=self._top, common_dir=self._repo.layout.common_dir, unmade=True)
        return StageReport(stage.name, state, "stale", f"reads what {', '.join(sources)} makes")

    def run(self, *, only: str = "", force: bool = False) -> list[StageReport]:
        """Make every stage fresh (or one, and those it reads from); `UserError` when a script fails."""
        wanted = self._needed(only)
        return [self._make(stage, force=force and only in ("", stage.name)) for stage in wanted]

    def _needed(self, only: str) -> list[StageSettings]:
        if not only:
            return self._stages
        chosen = [stage for stage in self._stages if stage.name == only]
        if not chosen:
            names = ", ".join(stage.name for stage in self._stages) or "none"
            raise UserError(f"there is no stage {only!r} (configured: {names})", "git replicate data")
        needed = {only}
        for stage in reversed(self._stages):
            if stage.name in needed:
                needed |= {maker.name for maker in self._stages if reads_from(stage, maker)}
        return [stage for stage in self._stages if stage.name in needed]

    def _make(self, stage: StageSettings, *, force: bool) -> StageReport:
        """Hold a stage fresh: the shared lock is kept. Whoever waited looks again."""
        done = "fresh"
        for _ in range(10):
            shared = self._lock(stage, fcntl.LOCK_SH)
            report = self.status(stage) if not force else None
            if report is not None and report.done == "fresh":
                self._held.append(shared)
                return StageReport(report.name, report.state, done)
            os.close(shared)
            alone = self._lock(stage, fcntl.LOCK_EX)
            try:
                report = self.status(stage)
                if force or report.done != "fresh":
                    done = self._bring(stage, report, force=force)
            finally:
                os.close(alone)
            force = False
        raise UserError(f"stage {stage.name} is made anew by somebody all the time", "git replicate data")

    def _bring(self, stage: StageSettings, report: StageReport, *, force: bool) -> str:
        made = None if force else self._recorded(stage, report.state)
        if made is not None and self._replaceable(report.state) and restore_outputs(self._content, made, self._top):
            self._say(f"stage {stage.name} restored")
            return "restored"
        self._say(f"stage {stage.name} runs: {stage.script}" + (f" ({report.why})" if report.why else ""))
        self._execute(stage)
        after = self._state(stage)
        missing = [path for path, digest in after.outputs.items() if digest is None]
        if missing:
            raise UserError(f"stage {stage.name} did not make {', '.join(missing)}", f"less {self._path(stage, 'log')}")
        changed = [path for path, digest in after.inputs.items() if report.state.inputs.get(path) != digest]
        if changed:
            self._say(f"stage {stage.name} changed its own input {', '.join(changed)}: it will run every time")
        outputs = {path: digest for path, digest in after.outputs.items() if digest is not None}
        self._remember(report.state.key if changed else after.key, outputs)
        keep_outputs(self._content, outputs, self._top)
        return "run"

    def _replaceable(self, state: StageState) -> bool:
        """Whether the outputs that are there now are gone, or were made by a stage: nobody's own work is replaced."""
        known = {digest for outputs in self._memory().values() for digest in outputs.values()}
        return all(digest is None or digest in known for digest in state.outputs.values())

    def _execute(self, stage: StageSettings) -> None:
        log = self._path(stage, "log")
        environ = {**clean_environment(os.environ), STAGE_VARIABLE: stage.name}
        command = _command(script_words(stage), self._top)
        try:
            with open(log, "wb") as file:
                code = subprocess.run(
                    command, cwd=self._top, env=environ, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False
                ).returncode
        except OSError as error:
            raise UserError(
                f"stage {stage.name}: {command[0]}: {error.strerror or error}", f"try: {' '.join(command)}"
            ) from error
        if code:
            for line in _tail(log):
                self._say(f"  {line}")
            how = f"exit {code}" if code > 0 else f"signal {-code}"
            raise UserError(f"stage {stage.name} failed ({how}); nothing was run", f"less {log}")

    def _state(self, stage: StageSettings) -> StageState:
        return stage_state(stage, top=self._top, common_dir=self._repo.layout.common_dir)

    def _recorded(self, stage: StageSettings, state: StageState) -> Mapping[str, str] | None:
        """The outputs that this script made of these inputs, as this repository remembers or a run's record tells."""
        made = self._memory().get(state.key)
        return made if made is not None else recorded_outputs(_tables(self._repo, stage.name), state)

    def _memory(self) -> dict[str, dict[str, str]]:
        try:
            with open(self._made, encoding="utf-8") as file:
                table: Any = json.load(file)
        except (OSError, ValueError):
            return {}
        return table if isinstance(table, dict) else {}

    def _remember(self, key: str, outputs: Mapping[str, str]) -> None:
        with _locked(self._made + ".lock"):
            table = {**self._memory(), key: dict(outputs)}
            temporary = f"{self._made}.{os.getpid()}"
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(table, file)
            os.replace(temporary, self._made)

    def _lock(self, stage: StageSettings, kind: int) -> int:
        path = self._path(stage, "lock")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                verb = "is being made" if kind == fcntl.LOCK_SH else "is in use"
                self._say(f"stage {stage.name} {verb} by another run; waiting for it")
                fcntl.flock(descriptor, kind)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _path(self, stage: StageSettings, kind: str) -> str:
        worktree = hashlib.sha256(os.fsencode(self._top)).hexdigest()[:12]
        name = hashlib.sha256(stage.name.encode()).hexdigest()[:8] if "/" in stage.name else stage.name
        return os.path.join(_folder(self._repo.layout), worktree, f"{name}.{kind}")

    @property
    def _top(self) -> str:
        return self._repo.layout.top or ""

    @property
    def _content(self) -> str:
        return os.path.join(_folder(self._repo.layout), "content")

    @property
    def _made(self) -> str:
        return os.path.join(_folder(self._repo.layout), "made.json")


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _folder(layout: Layout) -> str:
    return os.path.join(state_dir(layout), "stages")


def _command(words: Sequence[str], top: str) -> list[str]:
    """The words to execute: a script of the worktree by itself, or with the interpreter that its name tells."""
    path = os.path.join(top, words[0])
    if not os.path.isfile(path):
        return list(words)
    interpreter = () if os.access(path, os.X_OK) else _INTERPRETERS.get(os.path.splitext(path)[1], ("sh",))
    if interpreter == ("python",) and not _on_path("python"):
        interpreter = (sys.executable,)
    return [*interpreter, path, *words[1:]]


def _on_path(program: str) -> bool:
    import shutil

    return shutil.which(program) is not None


def _tail(path: str) -> list[str]:
    with open(path, "rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - 20_000, 0))
        return file.read().decode(errors="replace").splitlines()[-_SHOWN:]


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _tables(repo: Repository, name: str) -> Iterator[Mapping[str, object]]:
    """What the newest runs record of a stage."""
    import tomli

    refs = sorted(repo.list_refs(RUNS_PREFIX), key=lambda item: item[0].rpartition("/")[2], reverse=True)
    for text in repo.read_many([f"{oid}:.replicate/data.toml" for _, oid in refs[:_RUNS_ASKED]]):
        if not text:
            continue
        try:
            table = tomli.loads(text.decode()).get("stages", {})
        except ValueError:
            continue
        if isinstance(table, dict) and isinstance(table.get(name), dict):
            yield table[name]
