"""What a preparation stage depends on: its order among the others, and the hashes of its script, inputs and outputs."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from git_replicate.capture.data import CACHE_FILE
from git_replicate.capture.folder_hashes import hash_path
from git_replicate.capture.stat_cache import StatCache
from git_replicate.core.errors import ConfigError, UserError
from git_replicate.core.settings import StageSettings


@dataclass(frozen=True, slots=True)
class StageState:
    """A stage as it is now; `outputs` has None for one that is not there."""

    script_hash: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names what the outputs follow from: script, inputs, and which outputs are asked for."""
        lines = [self.script_hash, *(f"{path}\0{digest}" for path, digest in sorted(self.inputs.items())), ""]
        return hashlib.sha256("\n".join([*lines, *sorted(self.outputs)]).encode("utf-8", "surrogateescape")).hexdigest()


def ordered_stages(stages: Sequence[StageSettings]) -> list[StageSettings]:
    """The stages, each after those whose outputs it reads, else in the order given; `ConfigError` names a cycle."""
    makers = {
        stage.name: [other for other in stages if other is not stage and reads_from(stage, other)] for stage in stages
    }
    done: list[StageSettings] = []

    def visit(stage: StageSettings, path: tuple[str, ...]) -> None:
        if stage.name in path:
            cycle = " -> ".join((*path[path.index(stage.name) :], stage.name))
            raise ConfigError(f"stages need each other: {cycle}", "edit [[stage]] in replicate.toml")
        if stage not in done:
            for maker in makers[stage.name]:
                visit(maker, (*path, stage.name))
            done.append(stage)

    for stage in stages:
        if reads_from(stage, stage):
            raise ConfigError(f"stage {stage.name} reads what it writes", "edit [[stage]] in replicate.toml")
        visit(stage, ())
    return done


def reads_from(stage: StageSettings, maker: StageSettings) -> bool:
    """Whether an input of the stage is, holds, or lies in an output of the other."""
    return any(_overlap(one, other) for one in stage.inputs for other in maker.outputs)


def _overlap(one: str, other: str) -> bool:
    first, second = os.path.normpath(one), os.path.normpath(other)
    return first == second or first.startswith(f"{second}/") or second.startswith(f"{first}/")


def inputs_unmade(stages: Sequence[StageSettings], top: str) -> Iterator[str]:
    """What stages read and none of them makes; of a folder below `top` that outputs lie in, what else is in it."""
    made = {os.path.normpath(path) for stage in stages for path in stage.outputs}
    for path in {os.path.normpath(path): None for stage in stages for path in stage.inputs}:
        yield from _unmade(path, made, top)


def _unmade(path: str, made: Collection[str], top: str) -> Iterator[str]:
    if not any(_overlap(path, output) for output in made):
        yield path
    elif not any(f"{path}/".startswith(f"{output}/") for output in made):
        folder = os.path.join(top, path)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) and not os.path.islink(folder) else ():
            yield from _unmade(os.path.join(path, name), made, top)


def script_words(stage: StageSettings) -> list[str]:
    """The stage's script as words: a path, or a command line in the shell's spelling."""
    try:
        return shlex.split(stage.script)
    except ValueError as error:
        raise ConfigError(f"stage {stage.name}: cannot read script {stage.script!r}: {error}") from error


def stage_state(stage: StageSettings, *, top: str, common_dir: str, unmade: bool = False) -> StageState:
    """Hash all that a stage is made of; `UserError` for a script or input that is missing or cannot be read.

    unmade: leave out inputs that are missing, for a stage of which it is known that another is to make them.
    """
    with StatCache(os.path.join(common_dir, CACHE_FILE)) as cache:
        script = hashlib.sha256(stage.script.encode("utf-8", "surrogateescape"))
        words = script_words(stage)
        files = [word for word in words if os.path.isfile(os.path.join(top, word))]
        if not files and len(words) == 1:
            raise UserError(
                f"stage {stage.name}: there is no script {stage.script}", "edit [[stage]] in replicate.toml"
            )
        for word in files:
            script.update(b"\0" + _hash(stage, "script", word, top, cache).encode())
        there = [path for path in stage.inputs if not unmade or os.path.lexists(os.path.join(top, path))]
        inputs = {path: _hash(stage, "input", path, top, cache) for path in sorted(there)}
        outputs = {path: _output(path, top, cache) for path in sorted(stage.outputs)}
    return StageState(f"sha256:{script.hexdigest()}", inputs, outputs)


def _hash(stage: StageSettings, role: str, path: str, top: str, cache: StatCache) -> str:
    try:
        return hash_path(os.fsencode(os.path.join(top, path)), cache)
    except OSError as error:
        raise UserError(
            f"stage {stage.name}: {role} {path}: {error.strerror or error}", f"look: ls -ld {path}"
        ) from error


def _output(path: str, top: str, cache: StatCache) -> str | None:
    try:
        return hash_path(os.fsencode(os.path.join(top, path)), cache)
    except OSError:
        return None


def stages_document(states: Mapping[str, StageState]) -> dict[str, dict[str, dict[str, object]]]:
    """The tables of `data.toml` that tell of stages; {} without any."""
    tables: dict[str, dict[str, object]] = {
        name: {
            "script_hash": state.script_hash,
            "inputs": dict(state.inputs),
            "outputs": {path: digest for path, digest in state.outputs.items() if digest},
        }
        for name, state in sorted(states.items())
    }
    return {"stages": tables} if tables else {}


def recorded_outputs(tables: Iterable[Mapping[str, object]], state: StageState) -> Mapping[str, str] | None:
    """The outputs that an earlier record tells for the same script and inputs, from `[stages.…]` tables; or None."""
    for table in tables:
        outputs = table.get("outputs")
        same = table.get("script_hash") == state.script_hash and table.get("inputs") == dict(state.inputs)
        if same and isinstance(outputs, dict) and set(outputs) == set(state.outputs):
            return {str(path): str(digest) for path, digest in outputs.items()}
    return None
