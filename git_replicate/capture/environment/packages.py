"""The distributions installed for an interpreter, read from the names of their metadata folders.

A hundred times faster than `pip freeze`, and it imports and runs nothing of the user's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from git_replicate.capture.environment.copies import content_of, is_copy
from git_replicate.capture.environment.naming import normalized
from git_replicate.capture.environment.origins import describe_source, read_origin

_EGG = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(?:-py\d.*)?")


def capture(folders: Sequence[str], tops: Sequence[str] = ()) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Versions by normalised name, and of what was not installed from an index where it came from.

    `folders` in the order of `sys.path`: of a name found twice the first counts, as for an import. `tops`: the
    worktree, and those that stand for it, within which folders are named relative to it.
    """
    versions: dict[str, str] = {}
    origins: dict[str, dict[str, Any]] = {}
    for folder in folders:
        own: dict[str, str] = {}
        try:
            entries = [
                entry for entry in os.listdir(folder) if entry.endswith((".dist-info", ".egg-info", ".egg-link"))
            ]
        except OSError:
            continue
        for entry in sorted(entries):
            name, version = _distribution(folder, entry)
            if not name or name in versions:
                continue
            own[name] = version
            if entry.endswith(".dist-info"):
                origin = read_origin(os.path.join(folder, entry, "direct_url.json"), tops)
                if is_copy(origin) and (content := content_of(os.path.join(folder, entry))):
                    origin["content"] = content
            else:
                origin = _linked(os.path.join(folder, entry), tops) if entry.endswith(".egg-link") else {}
            if origin:
                origins[name] = origin
        versions.update(own)
    return dict(sorted(versions.items())), dict(sorted(origins.items()))


def _distribution(folder: str, entry: str) -> tuple[str, str]:
    """Name and version of a metadata entry; empty for anything else."""
    if entry.endswith(".dist-info"):
        name, _, version = entry[: -len(".dist-info")].rpartition("-")
        return normalized(name), version
    if entry.endswith(".egg-link"):
        return normalized(entry[: -len(".egg-link")]), ""
    if not entry.endswith(".egg-info"):
        return "", ""
    stem = entry[: -len(".egg-info")]
    found = _EGG.fullmatch(stem)
    if found:
        return normalized(found["name"]), found["version"]
    return normalized(stem), _metadata_version(os.path.join(folder, entry))


def _metadata_version(path: str) -> str:
    """The version in a PKG-INFO, for the old entries whose name has none."""
    inner = os.path.join(path, "PKG-INFO")
    try:
        with open(inner if os.path.isdir(path) else path, "rb") as file:
            head = file.read(4_096).decode(errors="replace")
    except OSError:
        return ""
    found = re.search(r"^Version: *(\S+)", head, re.MULTILINE)
    return found[1] if found else ""


def _linked(path: str, tops: Sequence[str]) -> dict[str, Any]:
    """What an `egg-link`, the old form of an editable install, points to."""
    try:
        with open(path, "rb") as file:
            source = os.fsdecode(file.readline(4_096).strip())
    except OSError:
        source = ""
    return {"editable": True, **(describe_source(source, tops) if os.path.isabs(source) else {})}
