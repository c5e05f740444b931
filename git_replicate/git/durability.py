"""Flushing objects to disk, so that a ref never outlives what it names in a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterable


def flush_objects(common_dir: str, oids: Iterable[str]) -> None:
    """Flush loose objects and the folders that hold them; those in packs were flushed when the pack was made.

    Objects of an alternate repository are that repository's business. Raises `OSError` when the disk says no.
    """
    folders = set()
    root = os.environ.get("GIT_OBJECT_DIRECTORY") or os.path.join(common_dir, "objects")
    for oid in oids:
        folder = os.path.join(root, oid[:2])
        try:
            _flush(os.path.join(folder, oid[2:]))
        except FileNotFoundError:
            continue
        folders.add(folder)
    for folder in folders:
        _flush(folder)


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
