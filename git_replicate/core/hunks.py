"""The pieces in which two versions of a file differ, and versions that have some of them.

Where a difference replaces as many lines as it removes, each line is a piece of its own. Finding the differences is
git's part; here they are only ranges of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_HEADER: Final = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines `start` to `stop` (from 0, exclusive) of the first version, and those of the second in their place."""

    start: int
    stop: int
    other_start: int
    other_stop: int


def parse_hunks(diff: bytes) -> list[Hunk]:
    """The hunks of a diff without context of one file, in order; none for a binary file."""
    found = []
    for line in diff.split(b"\n"):
        if match := _HEADER.match(line):
            start, length, other, other_length = (int(part) if part else 1 for part in match.groups())
            start, other = start - bool(length), other - bool(other_length)  # of no lines: the line before it
            found.append(Hunk(start, start + length, other, other + other_length))
    return found


def split_hunks(hunks: Iterable[Hunk]) -> list[Hunk]:
    """The same differences in the smallest pieces: line by line where that is possible."""
    pieces = []
    for hunk in hunks:
        length = hunk.stop - hunk.start
        if length != hunk.other_stop - hunk.other_start or length < 2:
            pieces.append(hunk)
            continue
        a, b = hunk.start, hunk.other_start
        pieces += [Hunk(a + n, a + n + 1, b + n, b + n + 1) for n in range(length)]
    return pieces


def apply_hunks(first: Sequence[bytes], second: Sequence[bytes], chosen: Iterable[Hunk]) -> bytes:
    """The first version (lines with their ends) with the chosen hunks as they are in the second."""
    parts: list[bytes] = []
    position = 0
    for hunk in sorted(chosen, key=lambda hunk: (hunk.start, hunk.other_start)):
        parts += first[position : hunk.start]
        if parts and not parts[-1].endswith(b"\n"):
            parts.append(b"\n")
        parts += second[hunk.other_start : hunk.other_stop]
        position = hunk.stop
    rest = first[position:]
    if rest and parts and not parts[-1].endswith(b"\n"):
        parts.append(b"\n")
    return b"".join([*parts, *rest])


def lines_of(data: bytes) -> list[bytes]:
    """Lines with their ends, as git counts them."""
    return re.findall(rb"[^\n]*\n|[^\n]+", data)
