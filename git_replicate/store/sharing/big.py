"""Big outputs on their way to another clone: what there is of them, sent by git-lfs where that is possible."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from git_replicate.core.record import Record
from git_replicate.core.sizes import size_text
from git_replicate.git import lfs
from git_replicate.git.opening import state_dir
from git_replicate.git.remotes import Remote
from git_replicate.git.repository import Layout
from git_replicate.store.blobs import Kept, default_store, path_of, pointer

_ALGORITHM = "sha256:"


@dataclass(frozen=True, slots=True)
class BigOutput:
    """One big output of a run."""

    run: str
    path: str
    sha256: str
    bytes: int

    @property
    def shown(self) -> str:
        return f"{self.path} of {self.run} ({size_text(self.bytes)})"


@dataclass(frozen=True, slots=True)
class Big:
    """How many big outputs went along, and those that did not, and why."""

    sent: int = 0
    left: tuple[BigOutput, ...] = ()
    reason: str = ""


def big_outputs(records: Iterable[Record]) -> list[BigOutput]:
    """The outputs of these runs that lie in a store, each content once."""
    found: dict[str, BigOutput] = {}
    for record in records:
        for path, output in record.outputs.items():
            if output.kept == "store" and output.hash.startswith(_ALGORITHM) and is_sha256(output.hash[7:]):
                name = f"{record.experiment}/{record.id}"
                found.setdefault(output.hash, BigOutput(name, path, output.hash[7:], output.bytes))
    return list(found.values())


def is_sha256(text: str) -> bool:
    """Whether a text is a hash in hex: one of a record that was fetched may be anything, and becomes a path."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def send_big(layout: Layout, remote: Remote, records: Iterable[Record], *, store: str) -> Big:
    """Send the big outputs of runs, and those that could not be sent before.

    `store` is the folder configured for them, "" for git-lfs's own.
    """
    every = {output.sha256: output for output in (*_unsent(layout, remote), *big_outputs(records))}
    if not every:
        return Big()
    big = _send(layout, remote, list(every.values()), store)
    _remember_unsent(layout, remote, big.left)
    return big


def _unsent(layout: Layout, remote: Remote) -> list[BigOutput]:
    """What an earlier push to the same address left."""
    try:
        with open(_list_of(layout, remote), encoding="utf-8") as file:
            found = [BigOutput(**table) for table in json.load(file)]
    except (OSError, ValueError, TypeError):
        return []
    return [output for output in found if is_sha256(output.sha256)]


def _remember_unsent(layout: Layout, remote: Remote, left: Iterable[BigOutput]) -> None:
    path = _list_of(layout, remote)
    table = [asdict(output) for output in left]
    with contextlib.suppress(OSError):  # they are named in a warning all the same
        if table:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                json.dump(table, file)
        elif os.path.exists(path):
            os.unlink(path)


def _list_of(layout: Layout, remote: Remote) -> str:
    return os.path.join(state_dir(layout), "unsent", remote.key)


def _send(layout: Layout, remote: Remote, every: Sequence[BigOutput], store: str) -> Big:
    own = default_store(layout.common_dir)
    here = [output for output in every if os.path.exists(path_of(own, output.sha256))]
    elsewhere = tuple(output for output in every if store and os.path.exists(path_of(store, output.sha256)))
    elsewhere = tuple(output for output in elsewhere if output not in here)
    if not here:
        return Big(0, elsewhere, f"they lie in {store} (replicate.store)" if elsewhere else "")
    if not lfs.is_installed():
        return Big(0, (*here, *elsewhere), "git-lfs is not installed")
    reason = lfs.push_objects(layout, remote, [output.sha256 for output in here])
    if reason:
        return Big(0, (*here, *elsewhere), reason)
    return Big(len(here), elsewhere, f"they lie in {store} (replicate.store)" if elsewhere else "")


def get_big(layout: Layout, remote: Remote, records: Iterable[Record], *, store: str) -> Big:
    """Get the big outputs of runs that are not here."""
    own = default_store(layout.common_dir)
    folders = [own, *([store] if store else [])]
    missing = [
        output for output in big_outputs(records)
        if not any(os.path.exists(path_of(folder, output.sha256)) for folder in folders)
    ]  # fmt: skip
    if missing and not lfs.is_installed():
        return Big(0, tuple(missing), "git-lfs is not installed")
    left, reason = [], ""
    for output in missing:
        problem = lfs.fetch_object(layout, remote, pointer(Kept(output.sha256, output.bytes, "")))
        if problem or not os.path.exists(path_of(own, output.sha256)):
            left.append(output)
            reason = problem or "it did not come"
    return Big(len(missing) - len(left), tuple(left), reason)
