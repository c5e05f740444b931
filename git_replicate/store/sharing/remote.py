"""Runs and annotations of another clone: what they are called there, which are new, and uniting what is said of them.

Whatever comes from there is untrusted: a name becomes a ref here only if it is one that we would have given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from git_replicate.core.errors import GitError, UserError
from git_replicate.core.names import (
    ANNOTATIONS_REF,
    REMOTES_PREFIX,
    RUNS_PREFIX,
    clean_component,
    experiment_name,
    parse_run_ref,
)  # fmt: skip
from git_replicate.git.backoff import wait
from git_replicate.git.history import is_ancestor
from git_replicate.git.remotes import Remote
from git_replicate.git.repository import Oid, Repository
from git_replicate.git.transport import RefGoneError, Transport
from git_replicate.store.sharing.union import unite
from git_replicate.store.trash import follow

_ATTEMPTS = 20
"""How often annotations are united and sent again while others do the same."""
_PAUSE = 0.2
_HEADS = "refs/heads/"


@dataclass(frozen=True, slots=True)
class Names:
    """How refs are called over there: as here, or below another prefix, for hosts that take only heads."""

    prefix: str = RUNS_PREFIX

    @property
    def annotations(self) -> str:
        return ANNOTATIONS_REF if self.prefix == RUNS_PREFIX else f"{self.prefix.rstrip('/')}-annotations"

    def theirs(self, ref: str) -> str:
        return self.prefix + ref.removeprefix(RUNS_PREFIX)

    def ours(self, theirs: str) -> str | None:
        """The run ref that one of theirs becomes here; None for a ref that is no run's."""
        if not theirs.startswith(self.prefix):
            return None
        ref = RUNS_PREFIX + theirs.removeprefix(self.prefix)
        parsed = parse_run_ref(ref)
        try:
            return ref if parsed and experiment_name(parsed[0]) else None
        except UserError:
            return None


def names_below(prefix: str) -> Names:
    """The names for a prefix that a person gives; `UserError` for one that git would refuse."""
    if not prefix:
        return Names()
    full = prefix if prefix.startswith("refs/") else _HEADS + prefix
    full = full.rstrip("/") + "/"
    try:
        experiment_name(full.removeprefix("refs/").rstrip("/"))
    except UserError as error:
        raise UserError(f"not a prefix of refs: {prefix!r}", "try: --remote-prefix refs/heads/experiments/") from error
    if full == _HEADS:
        raise UserError("runs cannot lie among the branches themselves", "--remote-prefix refs/heads/experiments/")
    return Names(full)


@dataclass(frozen=True, slots=True)
class Listing:
    """What is over there: its runs by our names, its annotations, and the commits of all its refs."""

    runs: Mapping[str, Oid]
    annotations: Oid | None
    tips: frozenset[Oid]
    odd: frozenset[str] = frozenset()
    """Refs below the prefix that are no run's, by the names that they would have here."""


def look(transport: Transport, names: Names) -> Listing:
    """List another repository."""
    refs = transport.list_refs()
    below = {ref: names.ours(ref) for ref in refs if ref.startswith(names.prefix)}
    runs = {ours: refs[ref] for ref, ours in below.items() if ours}
    odd = frozenset(RUNS_PREFIX + ref.removeprefix(names.prefix) for ref, ours in below.items() if not ours)
    return Listing(runs, refs.get(names.annotations), frozenset(refs.values()), odd)


@dataclass(frozen=True, slots=True)
class United:
    """What uniting the annotations has changed here."""

    removed: Sequence[str] = ()
    """Runs that another clone has removed."""
    restored: Sequence[str] = ()
    """Runs that another clone has brought back."""


def take_annotations(repo: Repository, transport: Transport, names: Names, theirs: Oid | None) -> United:
    """Take the other side's annotations, unite them with ours, and remove or bring back runs as they say."""
    if theirs is not None and not _holds(repo, theirs):
        target = _tracking_ref(transport.remote)
        # Only what is there now is wanted, whatever it was: a place of ours alone may be forced.
        try:
            transport.fetch([f"+{names.annotations}:{target}"])
        except RefGoneError:
            return United()
        theirs = repo.read_ref(target)
        if theirs is not None:
            unite(repo, theirs)
    return United(*follow(repo))


def _holds(repo: Repository, theirs: Oid) -> bool:
    ours = repo.read_ref(ANNOTATIONS_REF)
    return ours is not None and (ours == theirs or (repo.exists(theirs) and is_ancestor(repo.layout, theirs, ours)))


def _tracking_ref(remote: Remote) -> str:
    """Where the other side's annotations are kept: a place a remote, in a form that git takes for any address."""
    key = hashlib.sha256(remote.name.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    plain = remote.configured and remote.name == clean_component(remote.name)
    return f"{REMOTES_PREFIX}{remote.name if plain else key}/annotations"


def send_annotations(repo: Repository, transport: Transport, names: Names, theirs: Oid | None) -> bool:
    """Send ours until the other side has them, uniting again when somebody was faster; whether anything was new.

    `GitError` with its reason if it will not have them.
    """
    refusal = ""
    for attempt in range(_ATTEMPTS):
        ours = repo.read_ref(ANNOTATIONS_REF)
        if ours is None or ours == theirs:
            return attempt > 0
        (answer,) = transport.push([f"{ours}:{names.annotations}"]).refs or (None,)
        if answer is None or not answer.refusal:
            return True
        refusal = answer.refusal
        if not (answer.passing or "fetch first" in refusal or "non-fast-forward" in refusal):
            break
        wait(_PAUSE)
        theirs = look(transport, names).annotations
        take_annotations(repo, transport, names, theirs)
    raise GitError(f"send annotations to {transport.remote.shown}", refusal, advice(refusal, transport.remote))


def advice(refusal: str, remote: Remote) -> str:
    """What helps against a refusal of the other side; "" if only its owner knows."""
    if "shallow" in refusal:
        return f"this clone is shallow: git fetch --unshallow {remote.quoted}"
    if any(word in refusal for word in ("hidden ref", "funny refname", "not allowed", "prohibited", "deny")):
        return f"it may take only branches: git replicate push --remote-prefix refs/heads/experiments/ {remote.quoted}"
    if "hook declined" in refusal:
        return "a hook over there refuses; its words are above"
    if "non-fast-forward" in refusal or "fetch first" in refusal:
        return f"git replicate fetch {remote.quoted}"
    return ""


@dataclass(slots=True)
class Comparison:
    """Runs of one clone beside those of another, by our ref names."""

    new: dict[str, Oid] = field(default_factory=dict)
    """Not in the other, or there in an earlier state."""
    same: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    """In the other in a later state."""
    parted: list[str] = field(default_factory=list)
    """In both, in states of which neither comes before the other."""


def compare(repo: Repository, runs: Mapping[str, Oid], others: Mapping[str, Oid]) -> Comparison:
    """How one clone's runs stand to another's; a state that is not here counts as the later one."""
    found = Comparison()
    differing = []
    for ref, oid in runs.items():
        other = others.get(ref)
        if other is None:
            found.new[ref] = oid
        elif other == oid:
            found.same.append(ref)
        else:
            differing.append((ref, oid, other))
    absent = repo.absent([oid for pair in differing for oid in pair[1:]])
    for ref, oid, other in differing:
        if oid in absent or (other not in absent and is_ancestor(repo.layout, other, oid)):
            found.new[ref] = oid
        elif other in absent or is_ancestor(repo.layout, oid, other):
            found.behind.append(ref)
        else:
            found.parted.append(ref)
    return found


def of_experiments(refs: Mapping[str, Oid], experiments: Iterable[str]) -> dict[str, Oid]:
    """The runs of these experiments, and of those whose names go on below theirs; all runs for none."""
    prefixes = tuple(f"{RUNS_PREFIX}{name.strip('/')}/" for name in experiments)
    return {ref: oid for ref, oid in refs.items() if not prefixes or ref.startswith(prefixes)}


def unknown_experiments(refs: Iterable[str], experiments: Iterable[str]) -> list[str]:
    """The experiments of which there is no run among these."""
    known = list(refs)
    return [
        name for name in experiments if not any(ref.startswith(f"{RUNS_PREFIX}{name.strip('/')}/") for ref in known)
    ]
