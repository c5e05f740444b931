"""Refspecs for many refs: patterns where runs lie close together, names where they do not.

git compares every refspec that names a ref with every ref there is: 1,000 names among 10,000 refs take it ten seconds.
A pattern is compared once with each. Run ids begin with their time, so runs that go together mostly share a prefix; a
pattern is used only where nothing else of this side matches it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

_DIGITS = (0, 4, 6, 8, 11, 13, 15, 17)
"""Lengths of prefixes of an id: none, its year, month, day, hour, minute, second, and one of random digits."""
_FEW = 4
"""Fewer refs than this are named."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Refspecs for one push or fetch, and the refs that they are for."""

    specs: tuple[str, ...]
    refs: tuple[str, ...]


def make_batches(
    refs: Collection[str], others: Collection[str], spec: Callable[[str], str], size: int
) -> Iterator[Batch]:
    """Batches of about `size` refs, for run refs; `others` are those that must not match.

    `spec` makes the refspec of a ref, or of a pattern of refs.
    """
    specs: list[str] = []
    covered: list[str] = []
    apart = sorted(others)
    for pattern, group in _groups(sorted(refs), apart, size):
        if covered and len(covered) + len(group) > size:
            yield Batch(tuple(specs), tuple(covered))
            specs, covered = [], []
        specs += [spec(pattern)] if pattern else map(spec, group)
        covered += group
    if covered:
        yield Batch(tuple(specs), tuple(covered))


def _groups(refs: Sequence[str], apart: Sequence[str], size: int) -> Iterator[tuple[str, Sequence[str]]]:
    """The refs in groups, each with its pattern; "" for a group that has none."""
    start = 0
    while start < len(refs):
        folder = refs[start].rpartition("/")[0] + "/"
        end = start
        while end < len(refs) and refs[end].startswith(folder) and "/" not in refs[end][len(folder) :]:
            end += 1
        yield from _split(folder, refs[start:end], apart, size, 0)
        start = end


def _split(
    folder: str, refs: Sequence[str], apart: Sequence[str], size: int, level: int
) -> Iterator[tuple[str, Sequence[str]]]:
    """The refs of one experiment that share the digits before this level."""
    if len(refs) < _FEW or level == len(_DIGITS):
        for start in range(0, len(refs), size):
            yield "", refs[start : start + size]
        return
    length = len(folder) + _DIGITS[level]
    start = 0
    while start < len(refs):
        prefix = refs[start][:length]
        end = start
        while end < len(refs) and refs[end].startswith(prefix):
            end += 1
        group = refs[start:end]
        if _FEW <= len(group) <= size and not _any_below(apart, prefix):
            yield f"{prefix}*", group
        else:
            yield from _split(folder, group, apart, size, level + 1)
        start = end


def _any_below(names: Sequence[str], prefix: str) -> bool:
    position = bisect_left(names, prefix)
    return position < len(names) and names[position].startswith(prefix)
