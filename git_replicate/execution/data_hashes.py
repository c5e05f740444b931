"""Hashing what a run read and nobody had the time to hash when it ended."""

from __future__ import annotations

from typing import Any

import tomli
import tomli_w

from git_replicate.capture.undeclared import complete_entries
from git_replicate.core.errors import UserError
from git_replicate.git.repository import Repository
from git_replicate.store.store import Parts, StoredRun, finish, read_files


def complete_hashes(repo: Repository, run: StoredRun) -> tuple[int, list[str]]:
    """Hash the `unhashed` data of a run that are still as they were, in a commit of its own.

    How many were hashed, and in words which could not be. `UserError` for a run that has not ended.
    """
    if not run.record.status.ended:
        raise UserError(f"run {run.record.id} has not ended", "git replicate status")
    text = read_files(repo, run.commit).data
    document: dict[str, Any] = tomli.loads(text.decode()) if text else {}
    layout = repo.layout
    done, problems = complete_entries(
        document.get("data", {}), top=layout.top or layout.common_dir, common_dir=layout.common_dir
    )
    if done:
        document["data"] = {**document["data"], **done}
        finish(repo, run.record, run.commit, Parts(data=tomli_w.dumps(document).encode()))
    return len(done), problems
