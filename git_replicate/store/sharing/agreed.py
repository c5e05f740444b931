"""To which other repositories a person has agreed to publish runs: asked once for each address.

A file for each, in the private folder, so that a hook sees without starting anything that nothing was agreed to, and
no configuration is changed. Another address under the same name is asked about again.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

from git_replicate.git.opening import state_dir
from git_replicate.git.remotes import Remote
from git_replicate.git.repository import Layout

FOLDER = "agreed"


def has_agreed(layout: Layout, remote: Remote) -> bool:
    return os.path.exists(_path(layout, remote))


def note_agreement(layout: Layout, remote: Remote, actor: tuple[str, str]) -> None:
    """Remember that a person has agreed; `OSError` if that cannot be written."""
    path = _path(layout, remote)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    said = {"remote": remote.shown, "address": remote.address, "actor": f"{actor[0]} <{actor[1]}>"}
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        json.dump({**said, "time": datetime.now(UTC).isoformat(timespec="seconds")}, file, ensure_ascii=False)
        file.write("\n")


def _path(layout: Layout, remote: Remote) -> str:
    return os.path.join(state_dir(layout), FOLDER, remote.key)
