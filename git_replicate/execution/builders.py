"""Building one environment in a folder, with uv, or venv and pip, or conda's tools, or the project's own script.

Everything that is run is written to a log. What cannot be installed is found out one by one only when installing all
at once failed, and then all of it is told.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from git_replicate.capture.environment import packages
from git_replicate.capture.environment.python import describe, package_folders
from git_replicate.capture.environment.recipe import Missing, Recipe, Requirement
from git_replicate.core.errors import UserError
from git_replicate.core.installing import pip_install
from git_replicate.core.secrets import mask_command, mask_text
from git_replicate.core.sizes import count

_FORGOTTEN: Final = frozenset({
    "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PIP_TARGET",
    "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT",
    "UV_NO_SYNC", "__PYVENV_LAUNCHER__",
})  # fmt: skip
"""Variables of another environment that would lead the installers there."""
_SEEDED: Final = ("pip", "setuptools", "wheel")
_CONDAS: Final = ("micromamba", "mamba", "conda")
_TELLING: Final = re.compile(r"no solution|not found|no matching|because|error|fail|unsatisf|incompatib", re.IGNORECASE)


class BuildError(UserError):
    """An environment could not be built; the hint names the log."""


class UnavailableError(BuildError):
    """Some of what an environment needs cannot be had; `missing` is all of it."""

    def __init__(self, missing: Sequence[Missing], hint: str) -> None:
        listed = "; ".join(map(str, missing))
        parts = count(len(missing), "part")
        super().__init__(f"{parts} of the environment cannot be had: {listed}", hint)
        self.missing = tuple(missing)


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where an environment is built: its folder, one for drafts, the log, the worktree, and the variables."""

    prefix: str
    drafts: str
    log: str
    top: str
    environ: Mapping[str, str]

    @property
    def python(self) -> str:
        return os.path.join(self.prefix, "bin", "python")

    def attempt(self, words: Sequence[str], variables: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run a command in the worktree, its output into the log; exit code and output, without secrets."""
        env = {name: value for name, value in self.environ.items() if name not in _FORGOTTEN}
        try:
            done = subprocess.run(
                list(words), cwd=self.top, env={**env, **(variables or {})}, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            code, output = done.returncode, mask_text(done.stdout).decode(errors="replace")
        except OSError as error:
            code, output = 127, f"{words[0]}: {error.strerror}\n"
        with open(self.log, "a", encoding="utf-8", errors="replace") as file:
            file.write(f"$ {' '.join(mask_command(words))}\n{output}")
        return code, output

    def run(self, words: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        """The same; `BuildError` if it fails."""
        code, output = self.attempt(words, variables)
        if code:
            name = next((word for word in words[1:3] if word in ("uv", "pip")), os.path.basename(words[0]))
            raise BuildError(f"build the environment: {name} failed: {telling(output)}", self.hint)

    @property
    def hint(self) -> str:
        return f"the whole log: {self.log}"


def telling(output: str) -> str:
    """The line of an installer's output that says what is wrong."""
    lines = [" ".join(line.strip(" ×╰─▶│├").split()) for line in output.splitlines() if line.strip()]
    found = [line for line in lines if _TELLING.search(line)] or lines[-1:] or ["it said nothing"]
    best = next((line for line in found if re.search("because|no matching", line, re.IGNORECASE)), found[0])
    return best[:300]


def find_uv(environ: Mapping[str, str]) -> tuple[str, ...]:
    """How uv is started: from PATH, or as a module beside us; empty without it."""
    found = shutil.which("uv", path=environ.get("PATH", os.defpath))
    if found:
        return (found,)
    return (sys.executable, "-m", "uv") if importlib.util.find_spec("uv") else ()


def build(recipe: Recipe, shop: Workshop) -> None:
    """Make what a recipe says; `BuildError` or `UnavailableError` if that cannot be done."""
    uv = find_uv(shop.environ)
    if recipe.kind == "script":
        return _script(recipe, shop)
    if recipe.kind == "conda":
        _conda(recipe, shop)
        if recipe.explicit and os.path.exists(shop.python):
            _install(recipe, shop, uv, _not_yet(recipe, shop))
        return None
    if recipe.source == "uv.lock":
        if not uv:
            raise BuildError("build the environment: uv.lock can only be read by uv", pip_install("uv"))
        python = ("--python", recipe.python) if recipe.python else ()
        return shop.run((*uv, "sync", "--frozen", *python), {"UV_PROJECT_ENVIRONMENT": shop.prefix})
    base = _venv(recipe, shop, uv)
    if recipe.kind == "packages":
        _install(recipe, shop, uv, recipe.requirements, base)
        if not uv and not base:
            _remove_seeded(recipe, shop)
        return None
    words = ("-e", ".") if recipe.source == "pyproject.toml" else ("-r", recipe.source)
    return shop.run((*_pip(shop, uv, base), *words))


def _pip(shop: Workshop, uv: Sequence[str], base: str = "") -> tuple[str, ...]:
    """What installs into the environment: uv, else the pip of the interpreter `base`, else the environment's own."""
    if uv:
        return (*uv, "pip", "install", "--python", shop.python)
    pip = (base, "-m", "pip", "--python", shop.python) if base else (shop.python, "-m", "pip")
    return (*pip, "install", "--disable-pip-version-check", "--no-input")


def _venv(recipe: Recipe, shop: Workshop, uv: Sequence[str]) -> str:
    """A virtual environment of the wanted version, or of another patch release of it.

    The answer is the interpreter whose pip installs into it; "" if uv does, or a pip of its own, which takes seconds
    to put there.
    """
    minor = ".".join(recipe.python.split(".")[:2])
    exact = bool(re.fullmatch(r"\d+\.\d+\.\S+", recipe.python))
    if uv:
        name = "" if recipe.implementation == "cpython" else f"{recipe.implementation}@"

        def is_made(wanted: str) -> bool:
            request = ("--python", wanted) if wanted else ()
            return shop.attempt((*uv, "venv", "--no-project", "--clear", *request, shop.prefix))[0] == 0

        if is_made(recipe.python and name + recipe.python):
            return ""
        # Of what pyenv has, uv sees only what is on the PATH.
        here = _find_python(recipe.python, minor, exact, recipe.implementation, shop.environ)
        if (here and is_made(here)) or (exact and is_made(name + minor)):
            return ""
    else:
        base = _find_python(recipe.python, minor, exact, recipe.implementation, shop.environ)
        if base:
            serves = _serves_others(base, shop.environ)
            shop.run((base, "-m", "venv", *(("--without-pip",) if serves else ()), shop.prefix))
            return base if serves else ""
    hint = (
        "its log: " + shop.log
        if uv
        else f"{pip_install('uv')} (it fetches the Python that is wanted), or install that Python"
    )
    raise BuildError(f"build the environment: there is no Python {recipe.python} here", hint)


def _serves_others(python: str, environ: Mapping[str, str]) -> bool:
    """Whether an interpreter has a pip that installs for another one: `pip --python`, since 22.3."""
    version = re.match(r"(\d+)\.(\d+)", installed(python, environ).get("pip", ""))
    return version is not None and (int(version[1]), int(version[2])) >= (22, 3)


def _find_python(wanted: str, minor: str, exact: bool, implementation: str, environ: Mapping[str, str]) -> str:
    """An interpreter of this machine: the exact version, else the same minor one; if none is named, that of PATH."""
    root = environ.get("PYENV_ROOT") or os.path.join(environ.get("HOME", ""), ".pyenv")
    path = environ.get("PATH", os.defpath)
    stem = "pypy" if implementation == "pypy" else "python"
    versions = os.path.join(root, "versions")
    listed = sorted(os.listdir(versions)) if minor and os.path.isdir(versions) else []
    paths = [os.path.join(versions, name, "bin", stem) for name in listed if name.startswith(minor)]
    named = [shutil.which(name, path=path) for name in (f"{stem}{minor}", f"{stem}3", stem)]
    second = ""
    for candidate in dict.fromkeys([*paths, *filter(None, named), sys.executable]):
        found = describe(candidate, "/", environ) if os.access(candidate, os.X_OK) else None
        if found is None or found.implementation != implementation:
            continue
        if not exact and not re.match(r"\d", wanted):
            return candidate  # bounds are checked by pip itself
        if found.version == wanted:
            return candidate
        if found.version.startswith(f"{minor}.") and not second:
            second = candidate
    return second


def _install(recipe: Recipe, shop: Workshop, uv: Sequence[str], wanted: Sequence[Requirement], base: str = "") -> None:
    """Exactly these distributions, nothing that they depend on; then what is installed in place."""
    options = [word for index in recipe.indexes for word in ("--index" if uv else "--extra-index-url", index)]
    options += ["--index-strategy", "unsafe-first-match"] if uv and recipe.indexes else []
    words = (*_pip(shop, uv, base), "--no-deps", *options)
    backend = next((item.backend for item in wanted if item.backend), "") if uv and not recipe.indexes else ""
    # pip wants hashes for all of a list or for none.
    groups = [wanted] if uv else [[r for r in wanted if r.hashes], [r for r in wanted if not r.hashes]]
    for number, group in enumerate(filter(None, groups)):
        path = os.path.join(shop.drafts, f"requirements-{number}.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(_line(item) + "\n" for item in group)
        code, output = shop.attempt((*words, "-r", path))
        if code and backend:
            words = (*words, "--torch-backend", backend)
            code, output = shop.attempt((*words, "-r", path))
        if code and uv and _by_pip(recipe, shop, group):
            continue
        if code:
            missing = _unavailable(shop, words, wanted) or _named(output, wanted)
            if missing:
                raise UnavailableError(missing, shop.hint)
            raise BuildError(f"build the environment: {telling(output)}", shop.hint)
    for folder in recipe.editable:
        shop.run((*_pip(shop, uv, base), "--no-deps", "-e", os.path.join(shop.top, folder)))


def _by_pip(recipe: Recipe, shop: Workshop, wanted: Sequence[Requirement]) -> bool:
    """Try pip where uv failed: it knows the indexes and folders of its own configuration, which uv does not read."""
    minor = ".".join(recipe.python.split(".")[:2])
    base = _find_python(recipe.python, minor, False, recipe.implementation, shop.environ)
    if not base or not _serves_others(base, shop.environ):
        return False
    indexes = [word for index in recipe.indexes for word in ("--extra-index-url", index)]
    words = (*_pip(shop, (), base), "--no-deps", *indexes)
    for hashed in (True, False):
        group = [item for item in wanted if bool(item.hashes) is hashed]
        path = os.path.join(shop.drafts, f"pip-{hashed}.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(_line(item) + "\n" for item in group)
        if group and shop.attempt((*words, "-r", path))[0]:
            return False
    return True


def _line(requirement: Requirement) -> str:
    return " ".join([requirement.line, *(f"--hash={digest}" for digest in requirement.hashes)])


def _unavailable(shop: Workshop, words: Sequence[str], wanted: Sequence[Requirement]) -> list[Missing]:
    """Those of the requirements that cannot be had even alone, each with the installer's reason."""

    def check(number: int) -> Missing | None:
        item = wanted[number]
        path = os.path.join(shop.drafts, f"one-{number}.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(_line(item) + "\n")
        code, output = shop.attempt((*words, "--dry-run", "-r", path))
        return Missing(item.name, f"{item.version}: {telling(output)}" if code else "") if code else None

    with ThreadPoolExecutor(4) as pool:
        return [found for found in pool.map(check, range(len(wanted))) if found]


def _named(output: str, wanted: Sequence[Requirement]) -> list[Missing]:
    """Those that an installer's refusal names: a file whose hash is another is found only when it is fetched."""
    text = output.lower().replace("_", "-")
    why = "a file of another hash" if "hash" in text else telling(output)
    return [Missing(item.name, f"{item.version}: {why}") for item in wanted if f"`{item.name}=={item.version}`" in text]


def installed(python: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The versions in an environment that was built."""
    found = describe(python, "/", environ)
    return packages.capture(package_folders(found, "/", {"PYTHONNOUSERSITE": "1"}))[0] if found else {}


def _not_yet(recipe: Recipe, shop: Workshop) -> list[Requirement]:
    """What conda did not bring in the version wanted."""
    there = installed(shop.python, shop.environ)
    return [item for item in recipe.requirements if there.get(item.name) != item.version]


def _remove_seeded(recipe: Recipe, shop: Workshop) -> None:
    """Take out what venv put in and the record does not have."""
    wanted = {item.name for item in recipe.requirements}
    there = installed(shop.python, shop.environ)
    extra = [name for name in _SEEDED if name in there and name not in wanted]
    if extra:
        shop.run((shop.python, "-m", "pip", "uninstall", "--yes", "--disable-pip-version-check", *extra))


def _conda(recipe: Recipe, shop: Workshop) -> None:
    """An explicit list, or the environment file of the project, with whichever tool is there."""
    path = shop.environ.get("PATH", os.defpath)
    if recipe.source == "pixi.lock":
        return _pixi(recipe, shop)
    tool = next((found for name in _CONDAS if (found := shutil.which(name, path=path))), None)
    tool = tool or shop.environ.get("MAMBA_EXE") or shop.environ.get("CONDA_EXE")
    if not tool:
        raise BuildError(
            f"build the environment: {recipe.source} needs conda, mamba or micromamba, and none is on PATH",
            "install micromamba, or activate conda first",
        )
    file = os.path.join(shop.top, recipe.source)
    if recipe.explicit:
        file = os.path.join(shop.drafts, "explicit.txt")
        with open(file, "w", encoding="utf-8") as text:
            text.write(recipe.explicit)
    elif recipe.source == "conda-lock.yml" and "micromamba" not in os.path.basename(tool):
        return shop.run(("conda-lock", "install", "--prefix", shop.prefix, file))
    env = not recipe.explicit and os.path.basename(tool) != "micromamba"
    words = ("env", "create") if env else ("create", "--yes")
    return shop.run((tool, *words, "--prefix", shop.prefix, "--file", file))


def _pixi(recipe: Recipe, shop: Workshop) -> None:
    """pixi's own lock, installed in a copy of the project's manifest."""
    for name, data in recipe.files:
        with open(os.path.join(shop.drafts, name), "wb") as file:
            file.write(data)
    manifest = "pixi.toml" if dict(recipe.files).get("pixi.toml") else "pyproject.toml"
    shop.run(("pixi", "install", "--frozen", "--manifest-path", os.path.join(shop.drafts, manifest)))
    os.symlink(os.path.join(shop.drafts, ".pixi", "envs", "default"), shop.prefix)


def _script(recipe: Recipe, shop: Workshop) -> None:
    """The project's script, told where in its first argument and in GIT_REPLICATE_ENVIRONMENT."""
    path = os.path.join(shop.top, recipe.source)
    if not os.path.isfile(path):
        raise BuildError(f"build the environment: there is no {recipe.source}", "fix environment.create")
    words = (path, shop.prefix) if os.access(path, os.X_OK) else ("/bin/sh", path, shop.prefix)
    shop.run(words, {"GIT_REPLICATE_ENVIRONMENT": shop.prefix})
    if not os.path.isdir(os.path.join(shop.prefix, "bin")):
        raise BuildError(
            f"build the environment: {recipe.source} made no environment in the folder it was given",
            'let it make one in "$1" (python -m venv "$1")',
        )
