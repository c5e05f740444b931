"""The content of what stages made, kept so that a change that is taken back costs no second preparation.

A file is shared with its copy where the file system can do that, and copied up to a limit. Folders are remembered as
a list of their files. Only a cache: what is missing or damaged is made again by its stage.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from typing import Final

from git_replicate.capture.folder_hashes import hash_path
from git_replicate.capture.hashing import File, files_below
from git_replicate.capture.stat_cache import StatCache
from git_replicate.store import blobs

MOST_COPIED: Final = 1_000_000_000
"""Bytes of one stage's outputs beyond which they are not kept."""
_MOST_FILES: Final = 10_000


def keep_outputs(store: str, outputs: Mapping[str, str], top: str) -> bool:
    """Keep the outputs under their hashes if they are not too many; whether all of them are kept."""
    try:
        for path, digest in outputs.items():
            whole = os.fsencode(os.path.join(top, path))
            files = files_below(whole) if os.path.isdir(whole) else [File(b"", whole, os.stat(whole))]
            if len(files) > _MOST_FILES or sum(file.status.st_size for file in files) > MOST_COPIED:
                return False
            room = shutil.disk_usage(top)
            if sum(file.status.st_size for file in files) > room.free - room.total // 10:
                return False
            table = {
                os.fsdecode(file.name): [blobs.keep(store, os.fsdecode(file.path)).sha256, file.status.st_mode & 0o777]
                for file in files
            }
            _write(_list_of(store, digest), json.dumps({"folder": os.path.isdir(whole), "files": table}).encode())
    except OSError:
        return False
    return True


def restore_outputs(store: str, outputs: Mapping[str, str], top: str) -> bool:
    """Put the recorded outputs in place, each at once; False, and nothing changed, if not all of them are kept.

    They are put together beside their place and checked by hash; what lay there is replaced only then.
    """
    made: dict[str, str] = {}
    try:
        for path, digest in outputs.items():
            whole = os.path.join(top, path)
            if os.path.islink(whole):
                return False
            os.makedirs(os.path.dirname(whole), exist_ok=True)
            made[path] = f"{whole}.git-replicate-{os.getpid()}"
            if not _build(store, digest, made[path]):
                return False
        for path, temporary in made.items():
            _replace(temporary, os.path.join(top, path))
    except (OSError, ValueError, KeyError, TypeError):
        return False
    finally:
        for temporary in made.values():
            _remove(temporary)
    return True


def _build(store: str, digest: str, target: str) -> bool:
    with open(_list_of(store, digest), encoding="utf-8") as file:
        table = json.load(file)
    files = table["files"]
    if table["folder"]:
        os.makedirs(target)
    for name, (sha256, mode) in files.items():
        path = os.path.join(target, name) if name else target
        os.makedirs(os.path.dirname(path), exist_ok=True)
        blobs.copy_out(blobs.path_of(store, sha256), path)
        os.chmod(path, mode)
    with StatCache("") as cache:
        return hash_path(os.fsencode(target), cache) == digest


def _replace(temporary: str, path: str) -> None:
    """Move something into its place; what is there steps aside and goes when that has succeeded."""
    aside = f"{temporary}.old"
    if os.path.lexists(path):
        os.rename(path, aside)
    try:
        os.rename(temporary, path)
    except OSError:
        if os.path.lexists(aside):
            os.rename(aside, path)
        raise
    _remove(aside)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.unlink(path)


def _list_of(store: str, digest: str) -> str:
    return os.path.join(store, "lists", digest.replace(":", "-"))


def _write(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(data)
    os.replace(temporary, path)
