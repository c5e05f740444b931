"""Environments compared with what was recorded, built again, and kept for the next time.

A built environment lies in `.git/replicate/environments/<identity>/environment`, by the identity of what it is built
from. Environments hold their own path (in the first line of every script), so they are built where they will stay;
what makes one complete is the file `complete.json` beside it, renamed into place last. A build that was killed has
none, and is begun anew; of two builders the second waits, and finds the work done.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from git_replicate.capture.environment import differences, indexes, recreate
from git_replicate.capture.environment.kinds import Difference
from git_replicate.capture.environment.naming import normalized
from git_replicate.capture.environment.project import project_recipe
from git_replicate.capture.environment.recipe import Missing, Recipe, Sources
from git_replicate.core.errors import UserError
from git_replicate.core.record import Code
from git_replicate.core.settings import EnvironmentSettings
from git_replicate.execution.builders import BuildError, UnavailableError, Workshop, build, installed
from git_replicate.git.checkout import create_checkout
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Layout, Oid
from git_replicate.store.lock import wait_lock

Read = Callable[[str], bytes | None]
Say = Callable[[str], None]
_MARK: Final = "complete.json"
_UNSET: Final = ("PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV")


@dataclass(frozen=True, slots=True)
class Built:
    """An environment that is there: its folder, its interpreter ("" without one), and whether it was there before."""

    prefix: str
    python: str
    source: str
    reused: bool
    conda: bool = False
    notes: tuple[str, ...] = ()
    """What is not exactly as recorded."""
    code: str = ""
    """The folder from which code is installed in place, if that is not the worktree's own."""

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The variables of a command that is to run in it, made from those that it would have had."""
        env = {name: value for name, value in environ.items() if name not in _UNSET}
        env["PATH"] = os.pathsep.join([os.path.join(self.prefix, "bin"), environ.get("PATH", os.defpath)])
        env["CONDA_PREFIX" if self.conda else "VIRTUAL_ENV"] = self.prefix
        # `uv run` would go to the project's own environment, and change it.
        return {**env, "UV_PROJECT_ENVIRONMENT": self.prefix, "UV_NO_SYNC": "1"}


def compare_environments(recorded: bytes, current: bytes) -> tuple[Difference, ...]:
    """All that is not as it was recorded, from the texts of two `environment.toml`s."""
    return differences(_document(recorded), _document(current))


def recorded_recipe(recorded: bytes, read: Read, environ: Mapping[str, str], settings: EnvironmentSettings) -> Recipe:
    """How to build a recorded environment; `UserError` if there is nothing in the record that could be built.

    read: the content of a file of the run's snapshot, None if it has none of that path.
    """
    sources = Sources(read, indexes.has_any(environ), settings.create, _platform())
    recipe = recreate(_document(recorded), sources)
    if recipe is None and settings.create:
        recipe = project_recipe(sources)
    if recipe is None:
        raise UserError(
            "the run's environment was neither Python's nor conda's: it cannot be built",
            'name a script that makes it: environment.create = "create_env.sh" in replicate.toml',
        )
    return recipe


def build_recorded(
    layout: Layout,
    recorded: bytes,
    *,
    read: Read,
    top: str,
    environ: Mapping[str, str],
    settings: EnvironmentSettings,
    say: Say,
    code: Code | None = None,
    allow_missing: bool = False,
) -> Built:
    """The environment that a run had, built or found in the cache.

    top: where the build runs, and whose code is installed in place where the run had it so; with `code` that is
    installed from a checkout that stays with the environment. `UnavailableError` lists everything that cannot be had;
    `BuildError` says what else failed; allow_missing: build what can be had, and tell the rest.
    """
    recipe = recorded_recipe(recorded, read, environ, settings)
    return build_cached(layout, recipe, top=top, environ=environ, say=say, code=code, allow_missing=allow_missing)


def build_project(
    layout: Layout, *, top: str, environ: Mapping[str, str], settings: EnvironmentSettings, say: Say
) -> Built:
    """The environment that the files of a worktree ask for, built or found in the cache."""

    def read(path: str) -> bytes | None:
        file = os.path.join(top, path)
        if os.path.isabs(path) or not os.path.isfile(file):
            return None
        with open(file, "rb") as opened:
            return opened.read()

    recipe = project_recipe(Sources(read, create=settings.create))
    if recipe is None:
        raise UserError(
            "there is nothing to build an environment from: no uv.lock, pylock.toml, environment.yml, requirements.txt "
            "or pyproject.toml at the top",
            "add one, or set environment.create in replicate.toml",
        )
    return build_cached(layout, recipe, top=top, environ=environ, say=say)


def project_variables(
    layout: Layout, settings: EnvironmentSettings, *, top: str, environ: Mapping[str, str], say: Say, warn: Say
) -> dict[str, str]:
    """A command's variables in the environment that the worktree asks for, which is built if it is not there."""
    built = build_project(layout, top=top, environ=environ, settings=settings, say=say)
    for note in built.notes:
        warn(note)
    return built.variables(environ)


def build_cached(
    layout: Layout,
    recipe: Recipe,
    *,
    top: str,
    environ: Mapping[str, str],
    say: Say,
    code: Code | None = None,
    allow_missing: bool = False,
) -> Built:
    """The environment of a recipe from the cache, built first if it is not there."""
    if recipe.missing and not allow_missing:
        raise UnavailableError(recipe.missing, "build the rest: git replicate env RUN --create DIR --allow-missing")
    root = os.path.join(state_dir(layout), "environments")
    own = code if code is not None and recipe.editable else None
    folder = os.path.join(root, _identity(recipe, own.tree if own else os.path.realpath(top)))
    prefix = os.path.join(folder, "environment")
    source = os.path.join(folder, "code", "tree") if own else ""
    if (notes := _complete(folder, prefix)) is not None:
        return _built(recipe, prefix, True, notes, source)
    with wait_lock(f"{folder}.lock"):
        if (notes := _complete(folder, prefix)) is not None:
            return _built(recipe, prefix, True, notes, source)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(os.path.join(folder, "drafts"))
        say(f"building the environment from {recipe.source}")
        if own:
            os.mkdir(os.path.join(folder, "code"))
            create_checkout(layout, os.path.join(folder, "code"), Oid(own.snapshot))
        shop = Workshop(prefix, os.path.join(folder, "drafts"), f"{folder}.log", source or top, environ)
        with open(shop.log, "wb"):
            pass
        build(recipe, shop)
        notes = _notes(recipe, prefix, environ)
        draft = os.path.join(folder, f"{_MARK}.{os.getpid()}")
        with open(draft, "w", encoding="utf-8") as file:
            json.dump({"source": recipe.source, "notes": list(notes)}, file)
        os.replace(draft, os.path.join(folder, _MARK))
    return _built(recipe, prefix, False, notes, source)


def free_folder(folder: str) -> str:
    """The absolute path of a folder that can be made; `UserError` where something is there, or it cannot."""
    path = os.path.abspath(folder)
    there = os.path.lexists(path)
    if there and not os.path.isdir(path):
        raise UserError(f"{folder} is there, and no folder", "name a folder that is not there yet")
    try:
        os.makedirs(path, exist_ok=True)
        if os.listdir(path):
            raise UserError(f"{folder} is already there and not empty", "name a folder that is not there yet")
        if not there:
            os.rmdir(path)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}", "name a folder that can be written") from error
    return path


def create_environment(
    layout: Layout, recipe: Recipe, folder: str, *, top: str, environ: Mapping[str, str], allow_missing: bool = False
) -> Built:
    """The environment of a recipe in a folder of the person's own, which must not be there or be empty."""
    if recipe.missing and not allow_missing:
        raise UnavailableError(recipe.missing, "build the rest: add --allow-missing")
    prefix = free_folder(folder)
    drafts = os.path.join(state_dir(layout), "environments", f"drafts-{os.getpid()}")
    os.makedirs(drafts, exist_ok=True)
    log = os.path.join(state_dir(layout), "environments", f"{os.path.basename(prefix)}-{os.getpid()}.log")
    shop = Workshop(prefix, drafts, log, top, environ)
    try:
        build(recipe, shop)
    except BaseException:
        shutil.rmtree(prefix, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(drafts, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(log)
    return _built(recipe, prefix, False, _notes(recipe, prefix, environ))


def _built(recipe: Recipe, prefix: str, reused: bool, notes: Sequence[str], code: str = "") -> Built:
    python = os.path.join(prefix, "bin", "python")
    conda = recipe.kind == "conda" or os.path.isdir(os.path.join(prefix, "conda-meta"))
    return Built(prefix, python if os.path.exists(python) else "", recipe.source, reused, conda, tuple(notes), code)


def _complete(folder: str, prefix: str) -> tuple[str, ...] | None:
    """What a complete environment's mark notes; None if it is not complete, or its interpreter has gone since."""
    try:
        with open(os.path.join(folder, _MARK), "rb") as file:
            mark = json.loads(file.read())
    except (OSError, ValueError):
        return None
    python = os.path.join(prefix, "bin", "python")
    dangling = os.path.islink(python) and not os.path.exists(python)
    if dangling or not os.path.isdir(os.path.join(prefix, "bin")):
        return None
    with contextlib.suppress(OSError):
        os.utime(os.path.join(folder, _MARK))  # when it was last used, for whoever gives disk back
    return tuple(map(str, mark.get("notes", ())))


def _identity(recipe: Recipe, code: str) -> str:
    """What is built, for which machine and, where code is installed in place, which code or from where."""
    place = [code] if recipe.editable or recipe.kind == "script" else []
    text = json.dumps([recipe.identity, platform.machine(), platform.system(), *place])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _notes(recipe: Recipe, prefix: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What came out otherwise than the recipe says: another patch release, another version, what is missing."""
    from git_replicate.capture.environment.python import describe

    notes = [*recipe.notes, *(f"left out: {item}" for item in recipe.missing)]
    python = os.path.join(prefix, "bin", "python")
    if recipe.kind not in ("packages", "conda") or not recipe.python or not os.path.exists(python):
        return tuple(notes)
    found = describe(python, "/", environ)
    if found is not None and recipe.kind == "packages" and found.version != recipe.python:
        notes.append(f"Python {found.version} instead of {recipe.python}")
    there = installed(python, environ)
    notes += [
        f"{item.name} {there.get(normalized(item.name)) or 'absent'} instead of {item.version}"
        for item in recipe.requirements
        if there.get(normalized(item.name)) != item.version
    ]
    return tuple(notes)


def _platform() -> str:
    """This machine as conda names it."""
    system = {"Linux": "linux", "Darwin": "osx"}.get(platform.system(), "")
    machine = {"x86_64": "64", "arm64": "arm64", "aarch64": "aarch64", "ppc64le": "ppc64le"}.get(platform.machine(), "")
    return f"{system}-{machine}" if system and machine else ""


def _document(text: bytes) -> dict[str, Any]:
    import tomli

    return tomli.loads(text.decode()) if text else {}


__all__ = [
    "BuildError", "Built", "Missing", "UnavailableError", "build_cached", "build_project", "build_recorded",
    "compare_environments", "create_environment", "recorded_recipe",
]  # fmt: skip
