"""The command of a run as it is started: its placeholders filled, its params in a file, its variables."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Final

from git_replicate.capture.params import fill_placeholders, placeholders
from git_replicate.capture.program import is_python, may_start_anything
from git_replicate.capture.values import nest
from git_replicate.core.record import Seeds
from git_replicate.core.settings import Settings
from git_replicate.execution.plan import Request

PARAMS_VARIABLE: Final = "GIT_REPLICATE_PARAMS"
PARAMS_FILE: Final = "params.json"


def template(request: Request) -> tuple[str, ...]:
    """The words that may hold placeholders."""
    return request.command if request.placeholders else ()


def fill_command(request: Request, settings: Settings, seed: int | None, *, params_file: str = "") -> tuple[str, ...]:
    """The command with its placeholders filled; `{params_file}` stays as it is without a path.

    `seed` is the run's, if `{seed}` is to be a placeholder.
    """
    if not request.placeholders:
        return request.command
    return fill_placeholders(request.command, dict(request.params), seed, settings.data.named, params_file=params_file)


def seed_asked_for(request: Request, settings: Settings, seeds: Seeds) -> int | None:
    """The seed if `{seed}` means it: it was asked for, or the command is the configured one."""
    asked = seeds.mode == "given" or request.seed == "auto" or request.command == settings.command
    return seeds.run if asked else None


def unfilled(request: Request, seeds: Seeds, seed: int | None) -> list[str]:
    """Lines on placeholders that look meant and stay as they are; `seed`: what `{seed}` is filled with."""
    wanted = placeholders(template(request))
    known = {name.replace("-", "_"): name for name, _ in request.params}
    lines = []
    if "seed" in wanted and seed is None and "seed" not in known and seeds.run is not None:
        lines.append(
            "{seed} in the command is left as it is, for no seed was asked for: --seed auto, or --no-placeholders"
        )
    filled = {name.replace("-", "_") for name in wanted}
    spare = [name for name in known if name not in filled]
    strange = [name for name in sorted(wanted - {"seed", "params_file"}) if name.replace("-", "_") not in known]
    if strange and spare:
        import difflib

        near = [(name, found) for name in strange for found in difflib.get_close_matches(name, spare, 1)]
        lines += [
            f"{{{name}}} in the command is left as it is: did you mean {{{known[found]}}}?" for name, found in near
        ]
    return lines


def may_run_python(command: Sequence[str]) -> bool:
    """Whether the program may be one that reads its params in a way that is seen only while it runs."""
    return any(is_python(word) or may_start_anything(word) for word in command)


def needs_params_file(request: Request) -> bool:
    return bool(request.params) or "params_file" in placeholders(template(request))


def params_document(request: Request) -> bytes:
    """What `{params_file}` names: the requested params as JSON, nested at the dots of their names."""
    return (
        json.dumps(nest(dict(request.params)), indent=1, default=str, ensure_ascii=False).encode(
            "utf-8", "surrogateescape"
        )
        + b"\n"
    )


def write_params(request: Request, folder: str, name: str = PARAMS_FILE) -> str:
    """Write the params for the command to read, for its user alone; the file's path, or "" if none is wanted."""
    if not needs_params_file(request):
        return ""
    path = os.path.join(folder, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(params_document(request))
    return path


def with_params(environ: Mapping[str, str], path: str) -> dict[str, str]:
    """The command's variables with the file's path in them."""
    return {**environ, PARAMS_VARIABLE: path} if path else dict(environ)
