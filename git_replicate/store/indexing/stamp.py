"""Whether refs may have moved since they were last looked at, told from a few `stat` calls.

git makes and replaces a loose ref by renaming a file into its folder, which changes the folder's time; packed refs
and reftables are one file each. So the times of the folders seen last time, and of that file, are a stamp. A folder
changed less than two seconds before it was looked at could change again within the same tick, so there is no stamp.
"""

from __future__ import annotations

import json
import os
import time

from git_replicate.core.names import ANNOTATIONS_REF, RUNS_PREFIX
from git_replicate.git.repository import Layout

RACY_SECONDS = 2.0


def take_stamp(layout: Layout) -> str:
    """The present stamp, to be taken before the refs are listed; "" if it could not be trusted."""
    stats = [_stat(layout.common_dir, place) for place in _places(layout)]
    newest = max((mtime for _, mtime, _, _ in stats), default=0)
    return "" if time.time() - newest / 1e9 < RACY_SECONDS else json.dumps(stats)


def still_holds(layout: Layout, stamp: str) -> bool:
    """Whether nothing has moved since a stamp was taken."""
    if not stamp:
        return False
    try:
        return all(_stat(layout.common_dir, known[0]) == tuple(known) for known in json.loads(stamp))
    except (ValueError, TypeError, IndexError):
        return False


def _places(layout: Layout) -> list[str]:
    if layout.ref_format == "reftable":
        return [os.path.join("reftable", "tables.list")]
    loose = os.path.join(layout.common_dir, *RUNS_PREFIX.rstrip("/").split("/"))
    folders = [os.path.relpath(folder, layout.common_dir) for folder, _, _ in os.walk(loose)] or [
        os.path.relpath(loose, layout.common_dir), os.path.dirname(os.path.relpath(loose, layout.common_dir))
    ]  # fmt: skip
    return ["packed-refs", os.path.dirname(ANNOTATIONS_REF), *folders]


def _stat(common_dir: str, place: str) -> tuple[str, int, int, int]:
    try:
        status = os.stat(os.path.join(common_dir, place))
    except OSError:
        return place, 0, 0, 0
    return place, status.st_mtime_ns, status.st_size, status.st_ino
