"""Deleting removed runs from another repository: the tombstones are sent first, so that no clone sends them again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from git_replicate.core.errors import UserError
from git_replicate.core.names import RUNS_PREFIX
from git_replicate.git.repository import Repository
from git_replicate.git.transport import Transport, batches
from git_replicate.store.sharing.push import BATCH
from git_replicate.store.sharing.remote import Names, look, send_annotations, take_annotations
from git_replicate.store.trash import removed_names

_ATTEMPTS = 5


@dataclass(slots=True)
class Deleted:
    """What was deleted over there, by name; what was not, with the reason."""

    deleted: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def delete_there(repo: Repository, transport: Transport, names: Names, runs: Iterable[str]) -> Deleted:
    """Delete runs (`experiment/id`) that are removed here. One that goes on there meanwhile is deleted all the same."""
    listing = look(transport, names)
    take_annotations(repo, transport, names, listing.annotations)
    removed = removed_names(repo)
    wanted = list(dict.fromkeys(runs))
    if alive := [name for name in wanted if name not in removed]:
        raise UserError(f"{alive[0]} is not removed here", f"git replicate rm {alive[0]}")
    send_annotations(repo, transport, names, listing.annotations)
    found = Deleted(absent=[name for name in wanted if RUNS_PREFIX + name not in listing.runs])
    left = {names.theirs(RUNS_PREFIX + name): name for name in wanted if name not in found.absent}
    for _ in range(_ATTEMPTS):
        found.refused = {}
        for batch in batches(left, BATCH):
            leases = {ref: listing.runs[RUNS_PREFIX + left[ref]] for ref in batch}
            for answer in transport.push([f":{ref}" for ref in batch], leases=leases).refs:
                if answer.refusal:
                    found.refused[left[answer.ref]] = answer.refusal
                else:
                    found.deleted.append(left[answer.ref])
        if not any(why == "stale info" for why in found.refused.values()):
            break
        listing = look(transport, names)
        left = {ref: name for ref, name in left.items() if name in found.refused and RUNS_PREFIX + name in listing.runs}
    return found
