"""Taking runs, and what is said of them, from another repository or from a bundle.

Annotations come first, so that runs with a tombstone are not taken at all. A run's ref is only made or moved forward.
What came is untrusted: names are checked before, records are read as data, and nothing is executed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from git_replicate.core.errors import UserError
from git_replicate.core.names import RUNS_PREFIX
from git_replicate.core.record import Record
from git_replicate.core.sizes import count
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Oid, Repository
from git_replicate.git.transport import RefGoneError, Transport
from git_replicate.store.due import count_runs
from git_replicate.store.notes import mark_pending, rebuild_notes, write_notes
from git_replicate.store.sharing.elsewhere import mark_elsewhere
from git_replicate.store.sharing.refspecs import make_batches
from git_replicate.store.sharing.remote import (
    Listing,
    Names,
    compare,
    look,
    of_experiments,
    take_annotations,
    unknown_experiments,
)  # fmt: skip
from git_replicate.store.tested import read_records, remember_tree
from git_replicate.store.trash import removed_names, settle

BATCH = 1000
_ATTEMPTS = 5
_COMING = "coming"
_FEW = 200
"""More runs than this get their notes from one look at all of them."""


@dataclass(slots=True)
class Taken:
    """What a fetch did."""

    new: list[str] = field(default_factory=list)
    """Names of the runs that were not here."""
    moved: list[str] = field(default_factory=list)
    """Names of those that have gone forward."""
    parted: list[str] = field(default_factory=list)
    """Names of those that have another history here, which stays."""
    failed: list[str] = field(default_factory=list)
    hidden: int = 0
    """Runs that stayed there, for their tombstones came now; those that were here are `removed`."""
    removed: Sequence[str] = ()
    restored: Sequence[str] = ()
    odd: int = 0
    """Refs over there that are no run's."""
    unreadable: int = 0
    records: list[Record] = field(default_factory=list)


def fetch_runs(
    repo: Repository, transport: Transport, names: Names, *, experiments: Sequence[str], say: Callable[[str], None]
) -> Taken:
    """Take the runs of these experiments (all if none is named) and all annotations."""
    taken = Taken()
    _welcome_late(repo)
    told = removed_names(repo)
    before = dict(repo.list_refs(RUNS_PREFIX))
    wanted: set[str] = set()
    for attempt in range(_ATTEMPTS):
        listing = look(transport, names)
        if unknown := unknown_experiments([*listing.runs, *before], experiments):
            hint = f"git remote -v; git ls-remote {transport.remote.quoted}"
            raise UserError(f"no remote, and no experiment of {transport.remote.shown}, is called {unknown[0]!r}", hint)
        united = take_annotations(repo, transport, names, listing.annotations)
        taken.removed, taken.restored, taken.odd = united.removed, united.restored, len(listing.odd)
        runs, others, left = _choose(repo, listing, experiments, taken)
        wanted.update(runs)
        _note_coming(repo, wanted)
        try:
            _take(transport, names, runs, others, say)
            break
        except RefGoneError:  # somebody has removed a run there since we looked
            if attempt == _ATTEMPTS - 1:
                raise
    # A tombstone may have come after its run was chosen, or not say which run it is of.
    gone = settle(repo)
    taken.removed = [*taken.removed, *(name for name in gone if RUNS_PREFIX + name in before)]
    told.update(taken.removed)
    taken.hidden = sum(ref.removeprefix(RUNS_PREFIX) not in told for ref in left)
    _sort(repo, wanted, before, taken, {RUNS_PREFIX + name for name in gone})
    _welcome(repo, taken)
    _note_coming(repo, ())
    return taken


def _choose(
    repo: Repository, listing: Listing, experiments: Sequence[str], taken: Taken
) -> tuple[list[str], set[str], set[str]]:
    """The refs to take - of these experiments, not removed, and not here yet - those to leave, and the removed ones."""
    chosen = of_experiments(listing.runs, experiments)
    removed = {RUNS_PREFIX + name for name in removed_names(repo)}
    runs = {ref: oid for ref, oid in chosen.items() if ref not in removed}
    found = compare(repo, runs, dict(repo.list_refs(RUNS_PREFIX)))
    taken.parted = [ref.removeprefix(RUNS_PREFIX) for ref in found.parted]
    return (
        list(found.new),
        listing.runs.keys() - found.new.keys() - set(found.same) | listing.odd,
        chosen.keys() & removed,
    )


def _take(
    transport: Transport, names: Names, refs: Sequence[str], others: set[str], say: Callable[[str], None]
) -> None:
    done = 0
    for batch in make_batches(refs, others, lambda ref: f"{names.theirs(ref)}:{ref}", BATCH):
        transport.fetch(batch.specs)
        done += len(batch.refs)
        if len(refs) > BATCH:
            say(f"{done:,} of {count(len(refs), 'run')}")


def _sort(repo: Repository, wanted: set[str], before: Mapping[str, Oid], taken: Taken, gone: set[str]) -> None:
    """Tell what became of the refs that were wanted: git does not, in a form that lasts."""
    now = dict(repo.list_refs(RUNS_PREFIX)) if wanted else {}
    for ref in sorted(wanted - gone):
        name = ref.removeprefix(RUNS_PREFIX)
        if ref not in now:
            taken.failed.append(name)
        elif ref not in before:
            taken.new.append(name)
        elif now[ref] != before[ref]:
            taken.moved.append(name)
        elif name not in taken.parted:
            taken.parted.append(name)


def _welcome(repo: Repository, taken: Taken) -> None:
    """Give what came its notes, and remember which code it tested and what goes on elsewhere."""
    came = [RUNS_PREFIX + name for name in (*taken.new, *taken.moved)]
    tips = dict(repo.list_refs(RUNS_PREFIX)) if came else {}
    came = [ref for ref in came if ref in tips]
    for ref, record in read_records(repo, came):
        taken.records.append(record)
        mark_elsewhere(repo.layout, ref.rpartition("/")[2], live=not record.status.ended)
        if record.code.tree:
            remember_tree(repo.layout, record.code.tree, ref)
        if record.status.ended and len(came) <= _FEW:
            with contextlib.suppress(OSError):  # a missing note is no error
                mark_pending(repo.layout.common_dir, [tips[ref]], ref)
    taken.unreadable = len(came) - len(taken.records)
    if len(came) > _FEW:
        rebuild_notes(repo)
        count_runs(repo.layout, len(came))
    elif came:
        write_notes(repo)


def _note_coming(repo: Repository, refs: Collection[str]) -> None:
    """Note which runs are about to come, so that a fetch that is killed leaves none of them without its notes."""
    path = os.path.join(state_dir(repo.layout), _COMING, str(os.getpid()))
    with contextlib.suppress(OSError):
        if refs:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(f"{ref}\n" for ref in sorted(refs))
        elif os.path.exists(path):
            os.unlink(path)


def _welcome_late(repo: Repository) -> None:
    """Do what a fetch that was killed has left undone."""
    folder = os.path.join(state_dir(repo.layout), _COMING)
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.isdigit() and not _is_there(int(name)):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    _welcome(repo, Taken(new=[line.strip().removeprefix(RUNS_PREFIX) for line in file]))
                os.unlink(path)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
