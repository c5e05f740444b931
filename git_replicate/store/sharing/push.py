"""Sending runs, and what is said of them, to another repository.

First the annotations over there are united with ours, so that nothing removed is sent; then big files, then runs in
batches, then the annotations. Nothing is forced: a run's ref only ever moves forward. Runs that are live are sent as
far as they are stored; the next push sends the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from git_replicate.core.errors import UserError
from git_replicate.core.names import ANNOTATIONS_REF, RUNS_PREFIX, parse_run_ref
from git_replicate.core.sizes import count
from git_replicate.git.backoff import wait
from git_replicate.git.repository import Oid, Repository
from git_replicate.git.transport import RefPush, Transport
from git_replicate.store.sharing.big import Big, send_big
from git_replicate.store.sharing.published import Published, published
from git_replicate.store.sharing.refspecs import Batch, make_batches
from git_replicate.store.sharing.remote import (
    Comparison,
    Listing,
    Names,
    advice,
    compare,
    look,
    of_experiments,
    send_annotations,
    take_annotations,
    unknown_experiments,
)  # fmt: skip
from git_replicate.store.tested import read_records
from git_replicate.store.trash import removed_names

BATCH = 1000
_ATTEMPTS = 8
_PAUSE = 0.3


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What a push would do."""

    listing: Listing
    runs: Comparison
    said: bool
    """Whether there are annotations that the other side has not."""
    hidden: int
    """Runs over there that were removed here."""

    def published(self, repo: Repository) -> Published:
        """What of the user's own it would publish."""
        return published(repo, set(self.runs.new.values()), self.listing.tips)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which runs are meant: those of experiments, or these refs; all if both are empty."""

    experiments: Sequence[str] = ()
    refs: frozenset[str] | None = None


@dataclass(slots=True)
class Sent:
    """What a push did."""

    runs: int = 0
    annotations: bool = False
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Names of runs, and why the other side would not have them."""
    said: list[str] = field(default_factory=list)
    """What the other side said to people."""
    big: Big = field(default_factory=Big)
    advice: str = ""


def plan_push(repo: Repository, transport: Transport, names: Names, choice: Choice) -> PushPlan:
    """Look at the other side, unite annotations, and compare; sends nothing."""
    listing = look(transport, names)
    take_annotations(repo, transport, names, listing.annotations)
    ours = {ref: oid for ref, oid in repo.list_refs(RUNS_PREFIX) if parse_run_ref(ref)}
    if unknown := unknown_experiments(ours, choice.experiments):
        raise UserError(
            f"no remote and no experiment here is called {unknown[0]!r}", "git remote -v; git replicate log"
        )
    hidden = sum(RUNS_PREFIX + name in listing.runs for name in removed_names(repo))
    chosen = of_experiments(ours, choice.experiments)
    if choice.refs is not None:
        chosen = {ref: oid for ref, oid in chosen.items() if ref in choice.refs}
    said = repo.read_ref(ANNOTATIONS_REF) not in (None, listing.annotations)
    return PushPlan(listing, compare(repo, chosen, listing.runs), said, hidden)


def send(
    repo: Repository, transport: Transport, names: Names, plan: PushPlan, *, store: str, say: Callable[[str], None]
) -> Sent:
    """Do it. `store` is the folder of big files that is configured, "" for git-lfs's own."""
    sent = Sent()
    runs = plan.runs.new
    records = (record for _, record in read_records(repo, runs.values()))
    sent.big = send_big(repo.layout, transport.remote, records, store=store)
    others = {ref for ref, _ in repo.list_refs(RUNS_PREFIX)} - runs.keys() - set(plan.runs.same)
    done = 0
    for batch in make_batches(runs, others, lambda ref: f"{ref}:{names.theirs(ref)}", BATCH):
        for answer in _push_batch(transport, names, runs, batch, sent.said):
            if not answer.refusal:
                sent.runs += 1
                continue
            ours = names.ours(answer.ref) or answer.ref
            sent.refused.append((ours.removeprefix(RUNS_PREFIX), answer.refusal))
            sent.advice = sent.advice or advice(answer.refusal, transport.remote)
        done += len(batch.refs)
        if len(runs) > BATCH:
            say(f"{done:,} of {count(len(runs), 'run')}")
    if not (sent.refused and not sent.runs):
        sent.annotations = send_annotations(repo, transport, names, plan.listing.annotations)
    return sent


def _push_batch(
    transport: Transport, names: Names, runs: Mapping[str, Oid], batch: Batch, said: list[str]
) -> Iterator[RefPush]:
    """Push some runs; those that met somebody else's lock over there are tried again."""
    waiting = {names.theirs(ref): ref for ref in batch.refs}
    specs: Sequence[str] = batch.specs
    for attempt in range(_ATTEMPTS):
        pushed = transport.push(specs)
        said += [line for line in pushed.said if line not in said]
        last = attempt == _ATTEMPTS - 1
        answers = [answer for answer in pushed.refs if answer.ref in waiting]
        yield from (answer for answer in answers if last or not answer.passing)
        waiting = {answer.ref: waiting[answer.ref] for answer in answers if answer.passing}
        if not waiting or last:
            return
        specs = [f"{runs[ref]}:{theirs}" for theirs, ref in waiting.items()]
        wait(_PAUSE)
