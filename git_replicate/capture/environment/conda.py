"""Packages of conda, mamba, micromamba and pixi, read from `conda-meta/*.json` without running any of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final

from git_replicate.capture.environment import pip, python
from git_replicate.capture.environment.indexes import mask_address
from git_replicate.capture.environment.kinds import Difference, Facts, Scene, compare
from git_replicate.capture.environment.recipe import Missing, Recipe, Sources
from git_replicate.core.secrets import MASK

NAME: Final = "conda"
KEYS: Final = ("conda",)


def capture(scene: Scene) -> Facts:
    """Each package's address and hash, as an explicit specification has them; nothing outside such an environment."""
    executable, _ = python.locate(scene.command, scene.directory, scene.environ)
    prefix = os.path.dirname(os.path.dirname(executable)) if executable else scene.environ.get("CONDA_PREFIX", "")
    folder = os.path.join(prefix, "conda-meta")
    if not prefix or not os.path.isdir(folder):
        return Facts()
    found: dict[str, str] = {}
    unread = []
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".json"):
            continue
        try:
            with open(os.path.join(folder, name), "rb") as file:
                entry = json.loads(file.read())
            found[str(entry["name"])] = _address(entry, name)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            unread.append(name)
    doubts = (f"conda's record of {', '.join(unread[:5])} could not be read",) if unread else ()
    return Facts({"conda": found} if found else {}, doubts)


def _address(entry: Mapping[str, Any], name: str) -> str:
    """`https://…/linux-64/numpy-2.1.0-py312h_0.conda#md5`; without an address, the file's name alone."""
    url = str(entry.get("url") or "")
    if not url or url.startswith("file:"):
        url = str(entry.get("fn") or name.removesuffix(".json"))
    digest = entry.get("md5") or (f"sha256:{entry['sha256']}" if entry.get("sha256") else "")
    return mask_address(url) + (f"#{digest}" if digest else "")


def differs(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> tuple[Difference, ...]:
    return compare(NAME, KEYS, recorded, current)


def recreate(recorded: Mapping[str, Any], sources: Sources) -> Recipe | None:
    """An explicit specification, and on top of it what was installed by pip."""
    packages = recorded.get("conda")
    if not isinstance(packages, Mapping) or not packages:
        return None
    missing = []
    lines = ["@EXPLICIT"]
    for name, address in sorted(packages.items()):
        folder = str(address).partition("#")[0].rpartition("/")[0]
        if "://" not in folder:
            missing.append(Missing(name, "where it came from was not recorded"))
        elif MASK in folder:
            missing.append(Missing(name, "its channel needs a token, which is not recorded"))
        elif sources.platform and not folder.endswith((f"/{sources.platform}", "/noarch")):
            missing.append(Missing(name, f"it is built for {folder.rpartition('/')[2]}, this is {sources.platform}"))
        else:
            lines.append(str(address))
    below = pip.recreate(recorded, sources) if recorded.get("python") else None
    return Recipe(
        "conda", python=str(recorded.get("python", "")), explicit="\n".join(lines) + "\n", missing=tuple(missing),
        requirements=below.requirements if below else (), editable=below.editable if below else (),
        indexes=below.indexes if below else (), source="the recorded conda packages",
    )  # fmt: skip
