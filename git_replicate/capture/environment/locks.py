"""The lock files of a project: which there are, and what those that pip and uv share say of exact versions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from git_replicate.capture.environment.naming import normalized
from git_replicate.core.frozen import frozen

LOCK_FILES: Final = (
    "uv.lock", "pylock.toml", "pixi.lock", "conda-lock.yml", "poetry.lock", "pdm.lock", "Pipfile.lock",
    "requirements.lock", "renv.lock", "Manifest.toml", "Cargo.lock", "package-lock.json", "flake.lock",
)  # fmt: skip
"""Names at the top of a worktree, the ones to build from first."""
_MOST_BYTES: Final = 20_000_000


@frozen
class Locked:
    """What a lock file says of one version of a distribution: the hashes of its files, and the index it is from."""

    hashes: tuple[str, ...] = ()
    index: str = ""


def capture(top: str) -> dict[str, str]:
    """The lock files at the top of a worktree, by name, with their hashes."""
    found: dict[str, str] = {}
    for name in LOCK_FILES:
        path = os.path.join(top, name)
        if not os.access(path, os.R_OK) or not os.path.isfile(path) or os.path.getsize(path) > _MOST_BYTES:
            continue
        import blake3

        with open(path, "rb") as file:
            found[name] = f"blake3:{blake3.blake3(file.read()).hexdigest()}"
    return found


def locked_versions(read: Callable[[str], bytes | None]) -> dict[tuple[str, str], Locked]:
    """The files that uv.lock or pylock.toml allow, by normalised name and version; empty without one."""
    found: dict[tuple[str, str], Locked] = {}
    for name in ("pylock.toml", "uv.lock"):
        document = parse_toml(read(name))
        for package in _tables(document.get("packages" if name == "pylock.toml" else "package")):
            version = package.get("version")
            if isinstance(version, str) and version:
                found[normalized(str(package.get("name", ""))), version] = _locked(package)
    return found


def _locked(package: Mapping[str, Any]) -> Locked:
    files = [*_tables(package.get("wheels")), *_tables([package.get("sdist")])]
    hashes: set[str] = set()
    for file in files:
        if isinstance(text := file.get("hash"), str):  # uv's own: "sha256:…"
            hashes.add(text)
        elif isinstance(table := file.get("hashes"), Mapping):  # PEP 751: {sha256 = "…"}
            hashes.update(f"{algorithm}:{digest}" for algorithm, digest in table.items() if algorithm == "sha256")
        else:
            return Locked(index=_index(package))  # one file without a hash, and any file may be meant
    return Locked(tuple(sorted(hashes)), _index(package))


def _index(package: Mapping[str, Any]) -> str:
    source = package.get("source")
    index = source.get("registry") if isinstance(source, Mapping) else package.get("index")
    return index if isinstance(index, str) and "://" in index else ""


def parse_toml(data: bytes | None) -> dict[str, Any]:
    """A TOML file's document; empty for one that is absent or cannot be read."""
    if not data:
        return {}
    import tomli

    try:
        return tomli.loads(data.decode())
    except (ValueError, RecursionError):
        return {}


def _tables(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
