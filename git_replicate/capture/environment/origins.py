"""Where a distribution that is not from an index came from: PEP 610's `direct_url.json`, and the state of its source.

No path of this machine is told. A folder inside the worktree is named relative to it: its code is the snapshot. Of a
folder outside, which is code all the same, the commit, the remote and a hash of what is not committed are told.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from git_replicate.capture.environment.indexes import mask_address
from git_replicate.git.state import SourceState, source_state

_MOST_BYTES: Final = 50_000_000
_MOST_FILES: Final = 2_000


def read_origin(path: str, tops: Sequence[str]) -> dict[str, Any]:
    """What a `direct_url.json` says; empty where there is none, as for what an index gave."""
    if not os.access(path, os.F_OK):  # most have none, and asking is cheaper than a failed open
        return {}
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read())
        return _origin(document, tops)
    except OSError:
        return {}
    except (ValueError, AttributeError, TypeError):
        return {"unreadable": True}


def _origin(document: Mapping[str, Any], tops: Sequence[str]) -> dict[str, Any]:
    url = str(document.get("url", ""))
    vcs, archive, folder = (document.get(key) or {} for key in ("vcs_info", "archive_info", "dir_info"))
    origin: dict[str, Any] = {}
    if url and not url.startswith("file:"):
        origin["url"] = mask_address(url)
    if "commit_id" in vcs:
        origin["commit"] = str(vcs["commit_id"])
        if vcs.get("vcs", "git") != "git":
            origin["vcs"] = str(vcs["vcs"])
    if document.get("subdirectory"):
        origin["subdirectory"] = str(document["subdirectory"])
    digest = archive.get("hash") or next((f"{k}={v}" for k, v in (archive.get("hashes") or {}).items()), "")
    if digest:
        origin["hash"] = str(digest).replace("=", ":", 1)
    if folder.get("editable"):
        origin["editable"] = True
    if url.startswith("file:") and not archive:
        from urllib.parse import unquote, urlsplit  # late: most distributions are from an index

        origin.update(describe_source(unquote(urlsplit(url).path), tops))
    return origin or {"local": True}


def describe_source(path: str, tops: Sequence[str]) -> dict[str, Any]:
    """The code in a folder: where in the worktree it is, or else the git state that it is in.

    tops: the worktree, and those that stand for it.
    """
    for top in filter(None, tops):
        inner = os.path.relpath(os.path.realpath(path), os.path.realpath(top))
        if inner != ".." and not inner.startswith("../"):
            return {"folder": inner}
    state = source_state(path) if os.path.isdir(path) else None
    if state is None:
        return {"local": True}
    facts: dict[str, Any] = {}
    if state.url and not state.url.startswith(("/", ".", "file:")):
        facts["url"] = mask_address(state.url)
    if state.commit:
        facts["commit"] = state.commit
    inner = os.path.relpath(os.path.realpath(path), state.top)
    if inner != ".":
        facts["subdirectory"] = inner
    if state.changed:
        facts["dirty"] = hash_changes(state)
    return facts


def hash_changes(state: SourceState) -> str:
    """A hash of all that is not committed, names and contents; of very much, of names and sizes."""
    import blake3

    hasher, total = blake3.blake3(), 0
    for path in state.changed[:_MOST_FILES]:
        hasher.update(os.fsencode(path) + b"\0")
        try:
            size = os.path.getsize(os.path.join(state.top, path))
            total += size
            hasher.update(b"%d\0" % size)
            if total <= _MOST_BYTES:
                with open(os.path.join(state.top, path), "rb") as file:
                    hasher.update(file.read())
        except OSError:  # deleted, or not for us to read: that it changed is all that is known
            hasher.update(b"absent\0")
    return f"blake3:{hasher.hexdigest()}"
