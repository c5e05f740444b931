"""What a person is told of what a snapshot leaves out: lines for `.gitignore`, each said once.

A line is made to match what the next run will leave there too: the folder, where nothing of it is in the snapshot, or
the files that differ in a number. What was said is remembered a worktree; the record has every file, whatever is said.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Sequence
from typing import Final

from git_replicate.core.errors import GitError
from git_replicate.core.frozen import frozen
from git_replicate.core.paths import unquote_path
from git_replicate.core.patterns import lazy
from git_replicate.core.record import LeftOut
from git_replicate.git.repository import Layout, Oid, Repository
from git_replicate.store.left_out import ancestors, ignore_line

NamesIn = Callable[[bytes], Collection[bytes] | None]
"""A folder's path, "" for the top, to the names in it that the snapshot has; None: it has no such folder."""
_NUMBER: Final = lazy(rb"\d+")
_STAMP: Final = lazy(rb"\d{4,}|(?<![0-9a-z])(?=[0-9a-f]*\d)[0-9a-f]{8,}(?![0-9a-z])")
"""What is another one for every run: a time, a process, the digits of an id."""
_RUN_OF_STARS: Final = lazy(rb"\*(?:[-._:T]*\*)+")
_LETTER: Final = lazy(rb"[^\W\d_]")
_WIDEST: Final = 120
"""Characters of lines for `.gitignore` that are said at a time."""
_REMEMBERED: Final = 2_000
_WORDS: Final = {"written-by-run": "written by earlier runs", "bundle": "git objects"}
NOTE: Final = "(each is a line for .gitignore; every file: git replicate show)"


@frozen
class Offer:
    """A line of `.gitignore` for something that is left out, and why it is."""

    reason: str
    line: str
    within: str = ""
    """The nested repository that it is for."""


def make_offers(repo: Repository, tree: Oid, left_out: Sequence[LeftOut]) -> tuple[Offer, ...]:
    """The offers for what a snapshot of this tree leaves out."""
    return offers(left_out, _Names(repo, tree)) if left_out else ()


def offers(left_out: Sequence[LeftOut], names_in: NamesIn) -> tuple[Offer, ...]:
    """Lines that cover these entries and nothing that is in the snapshot; none for what the configuration excludes."""
    found: dict[Offer, None] = {}
    alike: dict[tuple[str, bytes, bytes], list[bytes]] = {}
    for entry in left_out:
        path = unquote_path(entry.path)
        if entry.reason == "excluded":
            continue
        above = [] if entry.reason == "secret" else [*ancestors(path)][::-1]
        folder = next((each for each in above if names_in(each) is None), None)
        if folder is not None:
            found[Offer(entry.reason, ignore_line(folder + b"/"))] = None
        elif entry.reason == "secret" or path.endswith(b"/"):
            found[Offer(entry.reason, ignore_line(path))] = None
        else:
            base, _, name = path.rpartition(b"/")
            alike.setdefault((entry.reason, base, _NUMBER.sub(b"*", name)), []).append(name)
    for (reason, base, _), names in alike.items():
        for line in _lines(base, names, names_in(base) or ()):
            found[Offer(reason, line)] = None
    return tuple(found)


def _lines(base: bytes, names: Sequence[bytes], kept: Collection[bytes]) -> Sequence[str]:
    """The lines for files of one folder that are alike but for their numbers."""
    inside = base + b"/" if base else b""
    pattern = _RUN_OF_STARS.sub(b"*", (_NUMBER if len(names) > 1 else _STAMP).sub(b"*", names[0]))
    pieces = pattern.split(b"*")
    plain = not any(b"*" in name for name in names) and len(pieces) > 1
    matches = re.compile(b".*".join(map(re.escape, pieces)), re.DOTALL)
    if not plain or not _LETTER.search(pattern) or any(matches.fullmatch(name) for name in kept):
        return [ignore_line(inside + name) for name in names]
    first, *others = pieces
    return ["*".join([ignore_line(inside + first), *(ignore_line(piece)[1:] for piece in others)])]


class _Names:
    """The names in the folders of a tree, each folder read once."""

    def __init__(self, repo: Repository, tree: Oid) -> None:
        self._repo = repo
        self._folders: dict[bytes, dict[bytes, Oid] | None] = {b"": self._read(tree)}

    def __call__(self, folder: bytes) -> Collection[bytes] | None:
        if folder not in self._folders:
            above, _, name = folder.rpartition(b"/")
            self(above)
            oid = (self._folders[above] or {}).get(name)
            self._folders[folder] = self._read(oid) if oid else None
        return self._folders[folder]

    def _read(self, tree: Oid) -> dict[bytes, Oid]:
        """Every name in a tree; the id of what is no folder is empty. A partial clone may lack a tree: then none."""
        try:
            entries = self._repo.read_tree(tree)
        except GitError:
            return {}
        return {entry.name: entry.oid if entry.mode == 0o40000 else Oid("") for entry in entries}


def describe(told: Sequence[Offer]) -> tuple[str, ...]:
    """At most two lines for a person: what is left out and why, and what to do with them."""
    if not told:
        return ()
    shown, used = 1, len(told[0].line)
    while shown < len(told) and used + len(told[shown].line) <= _WIDEST:
        used += len(told[shown].line)
        shown += 1
    reasons: dict[tuple[str, str], list[str]] = {}
    for offer in told[:shown]:
        reasons.setdefault((offer.reason, offer.within), []).append(offer.line)
    parts = [
        f"{', '.join(lines)} ({f'in {within}, ' if within else ''}{_WORDS.get(reason, reason)})"
        for (reason, within), lines in reasons.items()
    ]
    more = f" and {len(told) - shown} more" if len(told) > shown else ""
    return f"left out of the snapshot: {', '.join(parts)}{more}", NOTE


def unsaid(layout: Layout, made: Sequence[Offer]) -> tuple[Offer, ...]:
    """The offers that were not yet made in this worktree; they count as made from now on."""
    if not made:
        return ()
    path = os.path.join(layout.common_dir, "replicate", "left-out-said")
    try:
        with open(path, encoding="utf-8") as file:
            said = file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        said = []
    keys = {"\t".join((os.path.basename(layout.git_dir), o.reason, o.within, o.line)): o for o in made}
    fresh = [key for key in keys if key not in set(said)]
    if fresh:
        with contextlib.suppress(OSError):  # then it is said again
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as file:
                file.writelines(f"{key}\n" for key in [*said, *fresh][-_REMEMBERED:])
            os.replace(f"{path}.{os.getpid()}", path)
    return tuple(keys[key] for key in fresh)
