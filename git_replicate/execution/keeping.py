"""Which runs' outputs stay, where the configuration says that not all do.

With `last N` or `best:METRIC` big outputs go to a store of our own, beside git-lfs's, so that nothing but runs
refers to what lies there. One small file a run tells what it holds. When a run ends, those that no longer count are
released: their record says so in a commit of its own, and a stored file goes when no other run holds it. Outputs in
a run's tree are a part of git's history and stay.

    <common git dir>/replicate/store/ab/cd/<sha256>     the files
    <common git dir>/replicate/kept/<run id>            which run holds which of them
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator
from dataclasses import asdict, replace

from git_replicate.core.errors import FormatError, GitError, UserError
from git_replicate.core.frozen import frozen
from git_replicate.core.names import parse_run_ref, run_ref, trash_ref
from git_replicate.core.record import Record
from git_replicate.execution.plan import Plan
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Layout, Repository
from git_replicate.store import blobs
from git_replicate.store.lock import wait_lock
from git_replicate.store.store import Parts, finish, read_run


@frozen
class Holding:
    """A run that holds files of the store.

    started: seconds since 1970 (ids tell the order of runs only to the second); value: its metric, where the best one
    is kept.
    """

    run: str
    ref: str
    started: float
    files: tuple[str, ...]
    value: float | None = None

    @property
    def experiment(self) -> str:
        parsed = parse_run_ref(self.ref)
        return parsed[0] if parsed else ""


def store_of(layout: Layout, plan: Plan) -> str:
    """The folder for big outputs: ours where some may go again, the one configured, or "" for git-lfs's own."""
    if _releases(plan):
        return os.path.join(state_dir(layout), "store")
    return os.path.join(plan.top, os.path.expanduser(plan.store)) if plan.store else ""


def _releases(plan: Plan) -> bool:
    return bool(_number(plan) or _metric(plan))


def nearly_full(layout: Layout, plan: Plan) -> str:
    """In words, that big outputs have hardly room any more; "" if they have."""
    return blobs.scarce(store_of(layout, plan) or blobs.default_store(layout.common_dir))


@contextlib.contextmanager
def keeping(layout: Layout, plan: Plan) -> Iterator[None]:
    """Around storing outputs: where files may be released, one run at a time stores and releases."""
    if _releases(plan):
        with wait_lock(os.path.join(state_dir(layout), "kept.lock")):
            yield
    else:
        yield


def wanted(layout: Layout, plan: Plan, record: Record) -> tuple[str, str]:
    """What to keep of this run's outputs, "all" or "hash", and a notice."""
    if plan.keep == "last 0":
        return "hash", ""
    if not (metric := _metric(plan)):
        return ("hash" if plan.keep == "hash" else "all"), ""
    value = record.metrics.get(metric)
    if value is None or value != value:
        return "hash", f"outputs are not kept: the run has no {metric}"
    others = [h for h in _holdings(layout) if h.experiment == record.experiment and h.run != record.id]
    best = max((_rank(h, plan) for h in others), default=None)
    if best is not None and _rank_value(value, plan) <= best:
        return "hash", ""
    return "all", ""


def note_and_release(repo: Repository, plan: Plan, record: Record) -> list[str]:
    """Remember what a run that has just been stored holds, and release what no longer counts; notices."""
    if not _releases(plan):
        return []
    stored = tuple(sorted({o.hash.removeprefix("sha256:") for o in record.outputs.values() if o.kept == "store"}))
    holds = bool(stored) or any(output.kept == "tree" for output in record.outputs.values())
    if not holds:
        return []
    value = record.metrics.get(_metric(plan))
    started = record.started.timestamp() if record.started else 0.0
    _write(repo.layout, Holding(record.id, run_ref(record.experiment, record.id), started, stored, value))
    own = [h for h in _holdings(repo.layout) if h.experiment == record.experiment]
    if number := _number(plan):
        gone = own[:-number]
    else:
        best = max(own, key=lambda h: (_rank(h, plan), h.run == record.id))
        gone = [h for h in own if h.run != best.run]
    return [notice for holding in gone if (notice := _release(repo, holding))]


def _release(repo: Repository, holding: Holding) -> str:
    """Let go of what a run holds: first its record, then the files that nobody else holds."""
    try:
        if holding.files:
            _record_release(repo, holding)
    except (GitError, FormatError, UserError) as error:
        return f"the outputs of {holding.run} are still kept: {error}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(_folder(repo.layout), holding.run))
    held = {name for other in _holdings(repo.layout) for name in other.files}
    store = os.path.join(state_dir(repo.layout), "store")
    for name in holding.files:
        if name not in held:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(blobs.path_of(store, name))
    return ""


def drop_unheld(layout: Layout, refs: Collection[str]) -> int:
    """Remove the stored files that no run of these refs holds; bytes. A crash, or a run that was removed, left them."""
    store, freed = os.path.join(state_dir(layout), "store"), 0
    if not os.path.isdir(store):
        return 0
    with wait_lock(os.path.join(state_dir(layout), "kept.lock")):
        holdings = _holdings(layout)
        for holding in holdings:
            parsed = parse_run_ref(holding.ref)
            if holding.ref not in refs and not (parsed and trash_ref(*parsed) in refs):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(_folder(layout), holding.run))
        held = {name for holding in _holdings(layout) for name in holding.files}
        for folder, _, names in os.walk(store):
            for path in (os.path.join(folder, name) for name in names if len(name) == 64 and name not in held):
                freed += os.path.getsize(path)
                os.unlink(path)
    return freed


def _record_release(repo: Repository, holding: Holding) -> None:
    parsed = parse_run_ref(holding.ref)
    refs = (holding.ref, trash_ref(*parsed)) if parsed else (holding.ref,)
    for ref in refs:
        if repo.read_ref(ref) is None:
            continue
        found = read_run(repo, ref)
        outputs = {
            path: replace(output, kept="no" if output.kept == "store" else output.kept)
            for path, output in found.record.outputs.items()
        }
        finish(repo, replace(found.record, outputs=outputs), found.commit, Parts())
        return


def _number(plan: Plan) -> int:
    return int(plan.keep.removeprefix("last ")) if plan.keep.startswith("last ") else 0


def _metric(plan: Plan) -> str:
    return plan.keep.removeprefix("best:").removeprefix("metrics.") if plan.keep.startswith("best:") else ""


def _rank(holding: Holding, plan: Plan) -> float:
    return float("-inf") if holding.value is None else _rank_value(holding.value, plan)


def _rank_value(value: float, plan: Plan) -> float:
    return -value if plan.smallest else value


def _folder(layout: Layout) -> str:
    return os.path.join(state_dir(layout), "kept")


def _holdings(layout: Layout) -> list[Holding]:
    """Every run that holds something, oldest first; one that cannot be read is an error: it may hold anything."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(_folder(layout)):
            if not name.startswith("."):
                with open(os.path.join(_folder(layout), name), encoding="utf-8") as file:
                    table = json.load(file)
                found.append(Holding(**{**table, "files": tuple(table["files"])}))
    return sorted(found, key=lambda holding: (holding.started, holding.run))


def _write(layout: Layout, holding: Holding) -> None:
    folder = _folder(layout)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{holding.run}.{os.getpid()}")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(asdict(holding), file)
    os.replace(temporary, os.path.join(folder, holding.run))
