"""Replicating a run: its code in a checkout, its data checked, its seeds and params again, and the verdict.

Also any other run that takes place in a checkout: `start --isolated` and `start --at`. What a replication cannot do
it says before anything runs: the snapshot is not here, data is missing or different, a masked secret is not known.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from git_replicate.capture.values import flatten, nest, placeholder_text
from git_replicate.core.errors import GitError, UserError
from git_replicate.core.record import Code, Record, Seeds, Status
from git_replicate.core.secrets import MASK
from git_replicate.core.settings import Settings, Tolerance
from git_replicate.core.verdict import Side, Verdict
from git_replicate.execution.isolation import Worktree, reuse, worktree
from git_replicate.execution.place import Place
from git_replicate.execution.plan import Request
from git_replicate.execution.prepare import record_code
from git_replicate.execution.replication.changing import set_params
from git_replicate.execution.replication.delivery import not_as_set
from git_replicate.execution.replication.missed import find_needs, hint_at_missing
from git_replicate.execution.replication.replay import EnvironmentChoice, Setup, furnish, inside, replay
from git_replicate.execution.replication.sides import judge_rerun, read_side
from git_replicate.execution.run import Ran, run_at
from git_replicate.execution.site import Site
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.held import held
from git_replicate.store.store import Parts, finish, list_runs


@dataclass(frozen=True, slots=True)
class Changes:
    """What a rerun is to have other than its original."""

    params: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 0
    """Fresh seeds to run with, so many times; 0: the original's seed, once."""
    onto: Oid | None = None
    different_data: bool = False
    environment: EnvironmentChoice = "current"
    online: bool = False
    given: Tolerance | None = None


@dataclass(frozen=True, slots=True)
class Rerun:
    """A rerun and how it compares."""

    original: Record
    record: Record
    verdict: Verdict


def start_isolated(request: Request, place: Place, at: str = "") -> Ran:
    """Record the code as it is now (or take a commit), and run the command in a checkout of it."""
    needs, prefix = find_needs(place, request.command), place.repository.layout.prefix
    request = replace(request, linked=needs.linked)
    with (
        held(place.repository, lambda: frozen_code(place, at)) as code,
        in_checkout(place, request, needs.with_folders(code), prefix) as there,
    ):
        ran = run_at(there.site, request, there.place, there.held, there.links)
        hint_at_missing(ran.record, there.site, place)
        return ran


@dataclass(frozen=True, slots=True)
class Furnished:
    """A checkout ready for a run: the repository as seen from it, and the links in it that lead out."""

    held: Worktree
    place: Place
    site: Site
    links: Sequence[str]

    def anew(self, request: Request) -> Furnished:
        """The same checkout for another request of the same code."""
        site, links = furnish(self.held, self.place, request, os.environ, self.site.code)
        return replace(self, site=site, links=links)


@contextlib.contextmanager
def in_checkout(place: Place, request: Request, code: Code, prefix: str, name: str = "") -> Iterator[Furnished]:
    """A checkout of a snapshot for as long as the block lasts; `name`: of its folder, if nobody has that."""
    with worktree(place.repository.layout, Oid(code.snapshot), code, name=name) as held:
        inner = inside(place, held, prefix)
        site, links = furnish(held, inner, request, os.environ, code)
        yield Furnished(held, inner, site, links)


def frozen_code(place: Place, at: str = "") -> Code:
    """The code as it is now, stored; or that of a commit."""
    if at:
        return code_of(place.repository, at)
    folder = state_dir(place.repository.layout)
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="scratch-") as scratch:
        return record_code(place, scratch)


def code_of(repo: Repository, revision: str) -> Code:
    """The code of a commit; `UserError` if there is none of that name."""
    commit = repo.resolve(revision)
    if commit is None:
        raise UserError(f"no commit is called {revision!r}", "git log --oneline")
    return Code(snapshot=commit, tree=repo.read_commit(commit).tree, base=commit)


def rerun(commit: Oid, place: Place, changes: Changes) -> list[Rerun]:
    """Run what a run ran again, as often as asked; each time with its verdict."""
    repo = place.repository
    original = read_side(repo, commit)
    record = original.record
    if not record.command:
        raise UserError(
            f"{record.experiment}/{record.id} was a session: there is no command to run again",
            f"its code: git replicate branch {record.id} NAME",
        )
    code = _code_to_run(repo, record, changes)
    if any(MASK in word for word in record.command):
        raise UserError(
            f"the command of {record.id} had a secret, which is not recorded", "run it anew: git replicate start"
        )
    if record.stdin:
        place.warn(_without_input(record.stdin))
    found = []
    with worktree(repo.layout, Oid(code.snapshot), code) as held:
        for number in range(max(changes.seeds, 1)):
            if number:
                reuse(held, Oid(code.snapshot), code)
            found.append(_once(original, place, held, code, changes))
    return found


def _without_input(stdin: Mapping[str, Any]) -> str:
    if path := stdin.get("path"):
        return f"its standard input was the file {path}; this run has the one that you give it: < {path}"
    return "its standard input was a pipe, which is not kept; this run has the one that you give it"


def _code_to_run(repo: Repository, record: Record, changes: Changes) -> Code:
    if changes.onto is not None:
        return code_of(repo, changes.onto)
    snapshot = record.code.snapshot
    if not snapshot:
        raise UserError(f"the code of {record.id} was not recorded", "git replicate show " + record.id)
    if not repo.exists(Oid(snapshot)):
        raise UserError(f"the code of {record.id} is not in this clone", "git fetch --unshallow, or fetch the run")
    return record.code.again()


def _once(original: Side, place: Place, held: Worktree, code: Code, changes: Changes) -> Rerun:
    record = original.record
    set_to = dict(changes.params)
    seeds = record.seeds
    if changes.seeds:
        seed = int.from_bytes(os.urandom(4), "big")
        seeds = Seeds(run=seed, mode="given", python_hash=seed, deterministic=seeds.deterministic)
        if isinstance(record.params.get("seed"), int):
            set_to.setdefault("seed", seed)
    command, delivered = set_params(record, set_to) if set_to else (record.command, {})
    setup = Setup(
        command, seeds, delivered, changes.environment, different_data=changes.different_data, online=changes.online
    )
    ran = replay(original, place, held, code, setup)
    if record.status is Status.FINISHED:
        directory = os.path.normpath(os.path.join(held.top, record.directory))
        # With the rerun's own folders: reruns of this original do not find them the next time either.
        site = Site(held.origin.top or "", held.top, directory, os.environ, ran.record.code)
        hint_at_missing(ran.record, site, place)
    unused = not_as_set(ran.record, changes.params)
    for name, value in unused.items():
        seen = flatten(ran.record.params).get(name)
        why = "the program has no such param" if seen is None else f"the program has {name} = {placeholder_text(seen)}"
        place.warn(f"--set {name}={placeholder_text(value)} has no effect: {why}")
    settings = inside(place, held, record.directory).settings
    return _judged(original, ran.record, place, settings, changes, unused)


def _judged(
    original: Side, record: Record, place: Place, settings: Settings, changes: Changes, unused: Mapping[str, Any]
) -> Rerun:
    """Compare, and store the verdict in the rerun's record."""
    repo = place.repository
    ref = next((run for run in list_runs(repo) if run.id == record.id), None)
    if ref is None:
        raise GitError("store the verdict", "the run is not in the repository", "git replicate recover")
    again = read_side(repo, ref.commit)
    verdict = judge_rerun(repo, original, again, settings, changes.given)
    missed = nest({**flatten(again.record.params_unused), **unused})
    judged = replace(again.record, verdict=verdict.as_document(), params_unused=missed)
    finish(repo, judged, ref.commit, Parts())
    return Rerun(original.record, judged, verdict)
