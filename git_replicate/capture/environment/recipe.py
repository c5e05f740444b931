"""How an environment is to be built: what is to be installed, from where, and what cannot be had. Pure values.

A recipe is decided without touching anything, so it can be shown, hashed and compared; its `identity` is the name
under which the environment that it makes is cached.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import field
from typing import Literal

from git_replicate.core.frozen import frozen

RECIPE_FORMAT = 1
"""Part of every identity: an environment built by other rules is another one."""


@frozen
class Requirement:
    """One distribution to install, exactly.

    line: as installers are told it ("numpy==2.1.0", "tool @ git+https://…@commit"), without hashes; hashes:
    "sha256:…" of the files that may be installed, empty if any may; backend: the accelerator that a local version
    label names (cu124), for installers that know where such builds are.
    """

    name: str
    version: str
    line: str
    hashes: tuple[str, ...] = ()
    backend: str = ""


@frozen
class Missing:
    """What cannot be had, and why, in words."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@frozen
class Recipe:
    """One environment to be built. Which fields count depends on `kind`.

    packages: a Python and exactly these requirements, nothing else. lock, requirements: what a file of the project
    names, resolved by the installer. conda: an explicit list, then the requirements that are not in it. script: the
    project's own.
    """

    kind: Literal["packages", "lock", "requirements", "conda", "script"]
    python: str = ""
    """Version wanted, "3.11.7" or "3.11"; empty: any."""
    implementation: str = "cpython"
    requirements: tuple[Requirement, ...] = ()
    editable: tuple[str, ...] = ()
    """Folders of the worktree that are installed in place, relative to its top."""
    indexes: tuple[str, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    """Files that the build needs, by their path relative to the top."""
    source: str = ""
    """What it is built from, for people: "uv.lock", "the recorded versions"."""
    explicit: str = ""
    """For conda: the text of an explicit specification."""
    missing: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """32 hex digits that stand for what the environment is built from, nothing else."""
        values = dataclasses.asdict(self)
        for name in ("missing", "notes", "source"):
            del values[name]
        values["files"] = [[path, hashlib.sha256(data).hexdigest()] for path, data in self.files]
        text = json.dumps([RECIPE_FORMAT, values], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _no_file(path: str) -> bytes | None:
    return None


@frozen
class Sources:
    """What a recipe may be made from: the files of a snapshot (or worktree), and the indexes that are configured here.

    read: the content of a file by its path from the top, None if there is none.
    """

    read: Callable[[str], bytes | None] = _no_file
    indexes_here: bool = False
    """Whether an index beside the usual one, or a folder of wheels, is configured on this machine."""
    create: str = ""
    """The configured script that makes the environment, relative to the top."""
    platform: str = field(default="")
    """The machine and operating system, as conda names them ("linux-64")."""
