"""Giving disk back: what lies in the repository's private folder and nobody needs, found, told, and removed.

Nothing that only one place holds goes without asking: files that isolated runs left are asked about, spools go only
when git has their run's end, and what waits for `recover` stays. Caches go when they were not used for a month.
Checkpoints of ended runs stay: a run's ref only ever moves forward, and packing makes them small.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass

from git_replicate.core.errors import FormatError, GitError, UserError
from git_replicate.core.names import RUNS_PREFIX, TRASH_PREFIX, is_run_id
from git_replicate.core.record import Record
from git_replicate.execution.claims import remove_claims
from git_replicate.execution.isolation import sweep_worktrees
from git_replicate.execution.keeping import drop_unheld
from git_replicate.execution.recover import live_runs
from git_replicate.execution.site import FILES_FOLDER
from git_replicate.execution.spool import Spool, list_spools, spool_root
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Layout, Repository
from git_replicate.store.sharing.elsewhere import elsewhere, mark_elsewhere
from git_replicate.store.store import read_run
from git_replicate.store.tested import read_records

UNUSED_DAYS = 30
_DAY = 86_400
_OLD_SPOOL = 3600.0
_HIDDEN = ".gone-"


@dataclass(frozen=True, slots=True)
class Waste:
    """Something that may go."""

    kind: str
    path: str
    bytes: int
    ask: bool = False
    """Only a person can say that it is not needed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What may go, and how many runs wait to be recovered first."""

    waste: tuple[Waste, ...]
    waiting: int


def find_waste(repo: Repository, *, now: float | None = None, every_cache: bool = False) -> Plan:
    """Look for what may go; changes nothing. `every_cache`: also what was used within the last month."""
    layout = repo.layout
    moment = time.time() if now is None else now
    live = live_runs(repo)
    waiting = sum(run.alive == "none" and not run.session and not _has_ended(repo, run.record) for run in live)
    limit = moment - (0 if every_cache else UNUSED_DAYS * _DAY)
    running = any(run.alive != "none" or run.session for run in live)
    waste = [*_checkouts(layout), *_spools(repo, moment), *_kept_files(layout)]
    if not (running and every_cache):
        waste += [*_environments(layout, limit), *_stage_outputs(layout, limit)]
    return Plan(tuple(waste), waiting)


def remove(waste: Waste) -> bool:
    """Remove one thing; whether it is gone."""
    if os.path.isdir(waste.path) and not os.path.islink(waste.path):
        # Out of the way first: nobody finds half of it.
        hidden = os.path.join(os.path.dirname(waste.path), f"{_HIDDEN}{os.path.basename(waste.path)}-{os.getpid()}")
        with contextlib.suppress(OSError):
            os.rename(waste.path, hidden)
            shutil.rmtree(hidden, ignore_errors=True)
            return not os.path.exists(hidden)
        return False
    with contextlib.suppress(OSError):
        os.unlink(waste.path)
        return True
    return False


def tidy(repo: Repository) -> int:
    """Let go of checkouts that no run uses, marks of runs that have ended, and big files that no run holds; bytes."""
    layout = repo.layout
    before = sum(waste.bytes for waste in _checkouts(layout))
    sweep_worktrees(layout)
    remove_claims(layout)
    freed = before - sum(waste.bytes for waste in _checkouts(layout))
    for root in ("spool", "environments", FILES_FOLDER):  # what was hidden when a removal was cut short
        folder = os.path.join(state_dir(layout), root)
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name.startswith(_HIDDEN):
                freed += size_of(os.path.join(folder, name))
                shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    ended = {record.id for _, record in read_records(repo, _refs(repo)) if record.status.ended}
    there = {ref.rpartition("/")[2] for ref in _refs(repo)}
    for run in elsewhere(layout):
        if run in ended or run not in there:
            mark_elsewhere(layout, run, live=False)
    with contextlib.suppress(OSError, ValueError, TypeError):  # a list that cannot be read may hold anything
        freed += drop_unheld(layout, {*_refs(repo), *(ref for ref, _ in repo.list_refs(TRASH_PREFIX))})
    return freed


def _refs(repo: Repository) -> list[str]:
    return [ref for ref, _ in repo.list_refs(RUNS_PREFIX)]


def _checkouts(layout: Layout) -> Iterator[Waste]:
    """Every checkout there is: which of them are in use only `sweep_worktrees` can tell, by their locks."""
    root = os.path.join(state_dir(layout), "worktrees")
    for name in _listed(root):
        path = os.path.join(root, name)
        yield Waste("checkout", path, size_of(path))


def _spools(repo: Repository, now: float) -> Iterator[Waste]:
    """Spools of runs whose end git has, and of those killed before there was anything to record."""
    for spool in list_spools(spool_root(repo.layout.common_dir)):
        if spool.alive() != "none" or not is_run_id(spool.run):
            continue
        text = spool.read("run.toml")
        if _is_recorded(repo, spool, text) if text else now - _mtime(spool.folder) > _OLD_SPOOL:
            yield Waste("spool", spool.folder, size_of(spool.folder))


def _is_recorded(repo: Repository, spool: Spool, text: bytes) -> bool:
    from git_replicate.core import record as records

    try:
        return _has_ended(repo, records.loads(text))
    except FormatError:
        return False


def _has_ended(repo: Repository, record: Record) -> bool:
    """Whether git has the end of a run that is not going to have another attempt."""
    try:
        stored = read_run(repo, f"{RUNS_PREFIX}{record.experiment}/{record.id}").record
    except (UserError, FormatError, GitError):
        return False
    return stored.status.ended and stored.attempts >= record.attempts


def _kept_files(layout: Layout) -> Iterator[Waste]:
    root = os.path.join(state_dir(layout), FILES_FOLDER)
    for name in _listed(root):
        path = os.path.join(root, name)
        yield Waste("files of a run", path, size_of(path), ask=True)


def _environments(layout: Layout, limit: float) -> Iterator[Waste]:
    """Built environments, by when they were last used: the time of the mark beside them."""
    root = os.path.join(state_dir(layout), "environments")
    for name in _listed(root):
        path = os.path.join(root, name)
        mark = os.path.join(path, "complete.json")
        if os.path.isdir(path) and (_mtime(mark) or _mtime(path)) < limit:
            yield Waste("built environment", path, size_of(path))


def _stage_outputs(layout: Layout, limit: float) -> Iterator[Waste]:
    root = os.path.join(state_dir(layout), "stages")
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if len(name) == 64 and _mtime(path) < limit:
                yield Waste("stage's output", path, size_of(path))


def _listed(root: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(root) if not name.startswith("."))
    except OSError:
        return []


def _mtime(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def size_of(path: str) -> int:
    """Bytes that a file or folder takes on the disk; what vanishes meanwhile counts as nothing."""
    total = 0
    for folder, _, names in [*os.walk(path), (os.path.dirname(path), [], [os.path.basename(path)])]:
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(folder, name))
                total += status.st_blocks * 512
    return total
