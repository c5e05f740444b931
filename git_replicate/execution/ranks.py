"""Ranks that ran without knowing their run: the spool of one, and how it is added to the run afterwards.

    .replicate/ranks/<rank>/rank.toml     rank, host, command, started, exit_code, signal, seconds
    .replicate/ranks/<rank>/output.log    what it printed

The record itself stays as rank 0 wrote it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import tomli_w

from git_replicate.capture import machine
from git_replicate.core.errors import FormatError, GitError, StorageError, UserError
from git_replicate.core.names import RUNS_PREFIX
from git_replicate.core.secrets import mask_command
from git_replicate.execution.hidden import given_secrets, secrets_in, write_secrets
from git_replicate.execution.jobs import JobStart, find_run
from git_replicate.execution.outcome import read_outcome
from git_replicate.execution.plan import Request, load_plan
from git_replicate.execution.reading import OutputReader, most_unread
from git_replicate.execution.spool import Spool, list_spools, spool_root
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Repository
from git_replicate.store.store import Parts, finish, read_run

RANK_FILE: Final = "rank.json"


class Merged(NamedTuple):
    """What became of one rank's spool, in words; `error` if it could not be stored."""

    name: str
    outcome: str
    error: str = ""


def make_rank_spool(start: JobStart, request: Request) -> Spool:
    """A spool for a rank that has no run; `OSError` if it cannot be written."""
    folder = os.path.join(os.path.dirname(start.folder), "spool")
    spool = Spool.create(os.path.join(folder, f"rank-{start.rank}-{start.key}-{os.urandom(4).hex()}"))
    facts = {
        "key": start.key, "rank": start.rank, "host": machine.host(), "job": machine.scheduler(os.environ).job,
        "command": list(mask_command(request.command)), "started": datetime.now(UTC).isoformat(),
    }  # fmt: skip
    spool.write(RANK_FILE, json.dumps(facts).encode("utf-8", "surrogateescape"))
    write_secrets(spool, given_secrets(request.command, environ=os.environ))
    spool.note_process("recorder", os.getpid())
    return spool


def merge_ranks(repo: Repository, *, dry_run: bool = False) -> Iterator[Merged]:
    """Add every rank whose command has ended to its run, where that has ended too; the others are only named."""
    for spool in list_spools(spool_root(repo.layout.common_dir)):
        facts = spool.read_json(RANK_FILE)
        if not facts or spool.alive() == "recorder":
            continue
        yield _merge(repo, spool, facts, dry_run=dry_run)


def _merge(repo: Repository, spool: Spool, facts: Mapping[str, Any], *, dry_run: bool) -> Merged:
    name = f"rank {facts['rank']} of job {facts['job'] or facts['key']}"
    if spool.alive() in ("holder", "command"):
        return Merged(name, "still running, without its recorder; recover it when it has ended")
    if spool.alive() == "elsewhere" and not spool.read_json("exit.json"):
        return Merged(name, "on another machine")
    run = find_run(os.path.join(state_dir(repo.layout), "jobs"), facts["key"])
    if run is None:
        return Merged(name, f"kept in {spool.folder}: rank 0 has recorded no run")
    try:
        found = read_run(repo, RUNS_PREFIX + run.run)
        if not found.record.status.ended:
            return Merged(name, f"waits for the end of {run.run}")
        if dry_run:
            return Merged(name, f"would be added to {run.run}")
        finish(repo, found.record, found.commit, Parts(extra=_files(spool, facts)))
    except (GitError, StorageError, OSError, UserError, FormatError) as error:
        return Merged(name, f"kept in {spool.folder}", str(error))
    spool.remove()
    return Merged(name, f"added to {run.run}")


def _files(spool: Spool, facts: Mapping[str, Any]) -> dict[str, bytes]:
    started = datetime.fromisoformat(facts["started"])
    ended = spool.read_json("exit.json")
    outcome = read_outcome(ended, started, trusted=True) if ended else None
    table: dict[str, Any] = {name: facts[name] for name in ("rank", "host", "command")}
    table["started"] = started
    if outcome is not None:
        table.update({"seconds": outcome.seconds, "peak_memory_bytes": outcome.peak_memory_bytes})
        table.update({"exit_code": outcome.exit_code} if outcome.signal is None else {"signal": outcome.signal})
    folder = f"ranks/{facts['rank']}"
    plan = load_plan(b'{"top": ""}')
    log = OutputReader.of_all(spool, plan, most=most_unread(plan)).close(secrets_in(spool)).data
    return {f"{folder}/rank.toml": tomli_w.dumps(table).encode("utf-8", "replace"), f"{folder}/output.log": log}
