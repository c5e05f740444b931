"""Many files as few places: folders in place of the files below them where those are too many."""

from __future__ import annotations

import os
from collections.abc import Collection


def group_files(files: Collection[str], most: int, wide: Collection[str] = ()) -> list[str]:
    """The files, absolute, with the lowest folders below which there are more than `most` in place of what is there.

    wide: folders that never stand for what is in them.
    """
    inside: dict[str, set[str]] = {}
    for path in files:
        inside.setdefault(os.path.dirname(path), set()).add(path)
    folders = sorted(
        {folder for path in inside for folder in folders_above(path)}, key=lambda f: -len(f.rstrip("/").split("/"))
    )
    entries: dict[str, set[str]] = {}
    for folder in folders:
        mine = inside.get(folder, set()) | entries.pop(folder, set())
        if len(mine) > most and folder not in wide:
            mine = {folder}
        parent = os.path.dirname(folder)
        if parent == folder:
            return sorted(mine)
        entries.setdefault(parent, set()).update(mine)
    return sorted(set().union(*entries.values()))


def folders_above(folder: str) -> list[str]:
    """A folder and all that it lies in."""
    folders = [folder]
    while (parent := os.path.dirname(folders[-1])) != folders[-1]:
        folders.append(parent)
    return folders
