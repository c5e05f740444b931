"""Whether a version of a file contains a change, told by its content and not by its history.

A change is contained where its lines stand between the lines that surrounded them, or stand anywhere if they could be
from nowhere else; it is not where the lines that it replaced stand. Where neither is so, as much of the change as is
there decides between no and maybe. White space at the ends of lines does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from git_replicate.core.hunks import Hunk

_CONTEXTS: Final = (3, 1)
"""Lines around a change that are looked for with it."""


class Presence(StrEnum):
    """The order is that of certainty."""

    YES = "yes"
    MAYBE = "maybe"
    OTHER = "other version"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Change:
    """One file before and after a change; None where there was none. To ask for what a fix removed, swap the two."""

    path: str
    before: bytes | None
    after: bytes | None
    hunks: tuple[Hunk, ...] = ()

    @cached_property
    def _lines(self) -> tuple[list[bytes], list[bytes]]:
        return _normal(self.before or b""), _normal(self.after or b"")

    def within(self, data: bytes | None) -> Presence:
        """Whether a version of the file (None: it is not there) has the change."""
        if self.after is None:
            return Presence.YES if data is None else Presence.NO
        if data is None:
            return Presence.NO
        if data in (self.after, self.before):
            return Presence.YES if data == self.after else Presence.NO
        text = _joined(_normal(data))
        found = {self._hunk(hunk, text) for hunk in self.hunks} or {Presence.NO}  # none: it is no text
        return next(each for each in Presence if each in found)

    def _hunk(self, hunk: Hunk, text: bytes) -> Presence:
        before, after = self._lines
        removed, added = before[hunk.start : hunk.stop], after[hunk.other_start : hunk.other_stop]
        for width in _CONTEXTS:
            if _stands(after[max(hunk.other_start - width, 0) : hunk.other_stop + width], text):
                return Presence.YES
            if _stands(before[max(hunk.start - width, 0) : hunk.stop + width], text):
                return Presence.NO
        if added and not _stands(added, _joined(before)) and _stands(added, text):
            return Presence.YES
        if removed and not _stands(removed, _joined(after)) and _stands(removed, text):
            return Presence.NO
        return Presence.MAYBE if not added or _half(added, before, text) else Presence.NO


@dataclass(frozen=True)
class Lines:
    """Lines of a file that are looked for in other versions of it; all of the file where `lines` is empty."""

    path: str
    whole: bytes
    start: int = 0
    stop: int = 0
    """From 0, exclusive; 0 and 0 for the whole file."""

    def within(self, data: bytes | None) -> Presence:
        """Whether a version of the file has the lines, one after the other."""
        if data is None:
            return Presence.NO
        if data == self.whole:
            return Presence.YES
        if not self.stop:
            return Presence.OTHER
        lines, text = _normal(self.whole)[self.start : self.stop], _joined(_normal(data))
        if _stands(lines, text):
            return Presence.YES
        return Presence.MAYBE if len(lines) > 1 and _half(lines, (), text) else Presence.NO


Fault = Change | Lines


def united(found: Iterable[Presence]) -> Presence:
    """What several files say together: the surest that one of them has it."""
    ranked = (Presence.YES, Presence.MAYBE, Presence.OTHER, Presence.UNKNOWN, Presence.NO)
    return min(found, key=ranked.index, default=Presence.NO)


def both(first: Presence, second: Presence) -> Presence:
    """Whether two things are so at once."""
    ranked = (Presence.NO, Presence.UNKNOWN, Presence.OTHER, Presence.MAYBE, Presence.YES)
    return min(first, second, key=ranked.index)


def _normal(data: bytes) -> list[bytes]:
    return [line.rstrip() for line in data.split(b"\n")]


def _joined(lines: Sequence[bytes]) -> bytes:
    return b"\n" + b"\n".join(lines) + b"\n"


def _stands(lines: Sequence[bytes], text: bytes) -> bool:
    """Whether lines stand in a text one after the other; nothing but blank lines stands nowhere."""
    return any(lines) and _joined(lines) in text


def _half(added: Sequence[bytes], before: Sequence[bytes], text: bytes) -> bool:
    """Whether half of the telling lines are there, wherever: of those that were not there before."""
    telling = [line for line in added if len(line.strip()) > 3 and line not in before]
    return bool(telling) and 2 * sum(_stands([line], text) for line in telling) >= len(telling)
