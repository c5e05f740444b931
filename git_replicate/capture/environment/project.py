"""How a project says its environment is made: a script, a lock file, or a list of requirements. The first counts."""

from __future__ import annotations

import re
from typing import Final

from git_replicate.capture.environment.locks import parse_toml
from git_replicate.capture.environment.recipe import Recipe, Sources

_ORDER: Final = (
    "uv.lock", "pylock.toml", "pixi.lock", "conda-lock.yml", "environment.yml", "environment.yaml", "requirements.lock",
    "requirements.txt", "pyproject.toml",
)  # fmt: skip
_BESIDE: Final = {"uv.lock": ("pyproject.toml", "uv.toml"), "pixi.lock": ("pixi.toml", "pyproject.toml")}
_INCLUDES: Final = re.compile(r"^\s*(?:-[rc]|--requirement|--constraint)[ =]?\s*(\S+)", re.MULTILINE)
_IN_PLACE: Final = re.compile(r"^\s*(?:-e|--editable|\.{1,2}/|\.\s*$)|@\s*file:", re.MULTILINE)
_MOST_FILES: Final = 50


def project_recipe(sources: Sources) -> Recipe | None:
    """What the files of a project ask for; None if none of them says anything."""
    python = _wanted_python(sources)
    if sources.create:
        return Recipe("script", files=_files(sources, (sources.create,)), source=sources.create, python=python)
    for name in _ORDER:
        data = sources.read(name)
        if data is None:
            continue
        if name.startswith("requirements"):
            files = _included(sources, name)
            in_place = any(_IN_PLACE.search(text.decode(errors="replace")) for _, text in files)
            return Recipe("requirements", python, files=files, editable=(".",) if in_place else (), source=name)
        if name == "pyproject.toml":
            if "project" not in parse_toml(data):
                continue
            return Recipe("requirements", python, files=((name, data),), editable=(".",), source=name)
        files = _files(sources, (name, *_BESIDE.get(name, ())))
        kind = "lock" if name in ("uv.lock", "pylock.toml") else "conda"
        return Recipe(
            "lock" if kind == "lock" else "conda", python, files=files, editable=(".",) if name == "uv.lock" else (),
            source=name,
        )  # fmt: skip
    return None


def _files(sources: Sources, names: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, data) for name in names if (data := sources.read(name)) is not None)


def _included(sources: Sources, name: str) -> tuple[tuple[str, bytes], ...]:
    """A requirements file, and those that it names, each once."""
    found: dict[str, bytes] = {}
    waiting = [name]
    while waiting and len(found) < _MOST_FILES:
        path = waiting.pop(0)
        data = None if path in found else sources.read(path)
        if data is None:
            continue
        found[path] = data
        folder = path.rpartition("/")[0]
        inner = _INCLUDES.findall(data.decode(errors="replace"))
        waiting += [f"{folder}/{file}" if folder else file for file in inner if "://" not in file]
    return tuple(sorted(found.items()))


def _wanted_python(sources: Sources) -> str:
    """The version that `.python-version` names, or else the bounds that the project gives."""
    for line in (sources.read(".python-version") or b"").decode(errors="replace").splitlines():
        if re.fullmatch(r"\d+(?:\.\d+){0,2}\w*", line.strip()):
            return line.strip()
    project = parse_toml(sources.read("pyproject.toml")).get("project")
    bounds = project.get("requires-python") if isinstance(project, dict) else ""
    return bounds if isinstance(bounds, str) else ""
