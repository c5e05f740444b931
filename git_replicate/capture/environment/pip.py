"""Python and its packages, however they were installed: pip, uv, Poetry, PDM all leave the same metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from git_replicate.capture.environment import indexes, locks, packages, python
from git_replicate.capture.environment.kinds import Difference, Facts, Scene, compare
from git_replicate.capture.environment.locks import Locked, locked_versions
from git_replicate.capture.environment.recipe import Missing, Recipe, Requirement, Sources

NAME: Final = "pip"
KEYS: Final = ("python", "implementation", "packages", "origins", "indexes", "locks")
_BACKEND: Final = re.compile(r"\+((?:cpu|cu\d{2,3}|rocm[\d.]+|xpu))$")
_ACCELERATED: Final = frozenset(
    ("torch", "torchvision", "torchaudio", "torchtext", "torchdata", "torchserve", "torchtune", "torch-geometric",
     "pytorch-triton", "torch-tensorrt", "vllm", "xformers", "fbgemm-gpu", "torchao", "torchcodec", "torchrec")
)  # fmt: skip
"""Distributions of whose builds uv knows the place by their label."""

_OWN: Final = "git-replicate"


def capture(scene: Scene) -> Facts:
    """Interpreter, packages, where they come from, and the project's lock files; nothing for another command."""
    executable, doubts = python.locate(scene.command, scene.directory, scene.environ)
    if not executable:
        return Facts({}, doubts)
    found = python.describe(executable, scene.directory, scene.environ)
    if found is None:
        doubt = f"the environment of {scene.command[0]!r} could not be read: {executable} could not be run"
        return Facts({}, (*doubts, doubt))
    folders = python.package_folders(found, scene.directory, scene.environ)
    versions, origins = packages.capture(folders, (scene.top, *scene.also))
    addresses = indexes.capture(scene.environ, found.prefix, scene.top)
    document: dict[str, Any] = {
        "python": found.version,
        "implementation": found.implementation,
        "packages": versions,
        "origins": origins,
        "indexes": list(addresses),
        "locks": locks.capture(scene.top) if scene.top else {},
    }
    return Facts({key: value for key, value in document.items() if value}, doubts)


def differs(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Interpreter, versions and origins; where packages may come from does not matter once they are there."""
    return compare(NAME, ("python", "implementation", "packages", "origins"), recorded, current, bare=("packages",))


def recreate(recorded: Mapping[str, Any], sources: Sources) -> Recipe | None:
    """Exactly the recorded versions, by the hashes of the snapshot's lock file where it has them."""
    if not recorded.get("python"):
        return None
    locked = locked_versions(sources.read)
    versions, origins = (_table(recorded, key) for key in ("packages", "origins"))
    addresses = [indexes.usable(str(address)) for address in recorded.get("indexes", ())]
    addresses += [
        entry.index for key, entry in sorted(locked.items()) if versions.get(key[0]) == key[1] and entry.index
    ]
    own = dict.fromkeys(addresses)
    requirements: list[Requirement] = []
    missing: list[Missing] = []
    editable: list[str] = []
    notes: list[str] = []
    for name, version in versions.items():
        origin = origins.get(name)
        origin = origin if isinstance(origin, Mapping) else {}
        if "folder" in origin:
            editable.append(str(origin["folder"]))
            if not origin.get("editable"):
                notes.append(f"{name} was installed as a copy of {_folder(origin)}; it is the snapshot's code now")
            continue
        found = _requirement(name, str(version), origin, locked.get((name, str(version)), Locked()))
        if isinstance(found, Requirement) and "+" in found.version and not origin and not own:
            found = _labelled(found, sources)
        if isinstance(found, Missing) and name == _OWN:
            notes.append(f"{name} {version} is left out: a run gets what `import git_replicate` gives from the probe")
            continue
        (requirements if isinstance(found, Requirement) else missing).append(found)  # type: ignore[arg-type]
    return Recipe(
        "packages", python=str(recorded["python"]), implementation=str(recorded.get("implementation", "cpython")),
        requirements=tuple(requirements), editable=tuple(sorted(set(editable))), indexes=tuple(own),
        missing=tuple(missing), notes=tuple(notes), source="the recorded versions",
    )  # fmt: skip


def _folder(origin: Mapping[str, Any]) -> str:
    return "the worktree" if origin["folder"] == "." else f"{origin['folder']}/"


def _requirement(name: str, version: str, origin: Mapping[str, Any], locked: Locked) -> Requirement | Missing:
    """How one distribution is asked for, or why it cannot be."""
    where = indexes.usable(str(origin.get("url", "")))
    if "commit" in origin:
        if not where:
            return Missing(name, f"its source was a repository without a remote, at {str(origin['commit'])[:12]}")
        if "dirty" in origin:
            return Missing(name, f"its source had changes that were not committed, on {str(origin['commit'])[:12]}")
        inner = f"#subdirectory={origin['subdirectory']}" if "subdirectory" in origin else ""
        line = f"{name} @ {origin.get('vcs', 'git')}+{_as_url(where)}@{origin['commit']}{inner}"
        return Requirement(name, version, line)
    if where:
        digest = str(origin.get("hash", ""))
        return Requirement(name, version, f"{name} @ {where}" + (f"#{digest.replace(':', '=', 1)}" if digest else ""))
    if origin.get("local") or origin.get("editable"):
        return Missing(name, "it was installed from a folder of the machine that recorded it")
    if not version:
        return Missing(name, "its version was not known")
    hashes = (str(origin["hash"]),) if "hash" in origin else locked.hashes
    label = _BACKEND.search(version)
    backend = label[1] if label and name in _ACCELERATED else ""
    return Requirement(name, version, f"{name}=={version}", hashes, backend)


def _labelled(requirement: Requirement, sources: Sources) -> Requirement | Missing:
    """A build with a local label, which the usual index cannot have: it needs an index of its own."""
    if sources.indexes_here or requirement.hashes or requirement.backend:
        return requirement
    label = requirement.version.partition("+")[2]
    return Missing(requirement.name, f"{requirement.version} is a build ({label}) of an index that was not recorded")


def _as_url(address: str) -> str:
    """git's short form `git@host:path` as an address."""
    if "://" in address:
        return address
    host, _, path = address.partition(":")
    return f"ssh://{host}/{path}"


def _table(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return dict(value) if isinstance(value, Mapping) else {}
