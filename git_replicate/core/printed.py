"""Whether two runs printed the same: without where they ran, and if only that is asked, without times and speeds.

The order of lines does not count, since two streams meet in a log.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from git_replicate.core.patterns import lazy

_MOST_BYTES: Final = 2_000_000
"""Of a log whose lines are compared one by one."""
_LONGEST: Final = 100
_CLOCK = rb"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?"
_UNIT = rb"[num\xb5]?s|sec(?:onds?|s)?|min(?:utes?|s)?|hours?|h|[KMG]?i?B/s|[A-Za-z]{1,12}/s(?:ec)?|s/[A-Za-z]{1,12}"
_VOLATILE: Final = lazy(
    rb"\d{4}-\d\d-\d\d(?:[T ]" + _CLOCK + rb"(?:Z|[+-]\d\d:?\d\d)?)?|" + _CLOCK + rb"|0x[0-9a-fA-F]{4,}"
    rb"|(?<![\w.])\d+(?:\.\d+)?(?:e[-+]?\d+)?[ \t]?(?:" + _UNIT + rb")(?!\w)"
)
"""Dates, times of day, durations, speeds and addresses in memory."""


def same_printed(first: bytes, second: bytes, tops: Collection[str]) -> bool:
    """Whether all lines are the same, whatever their order. tops: where the runs were, which does not count."""
    places = _places(tops)
    return sorted(_lines(first, places)) == sorted(_lines(second, places))


def first_difference(first: bytes, second: bytes, tops: Collection[str]) -> dict[str, str]:
    """The first line on either side that the other has not; times, speeds and addresses in memory do not count.

    Empty where there is none, or where the logs are too long to be worth it. A line is cut to 100 characters.
    """
    if first == second or max(len(first), len(second)) > _MOST_BYTES:
        return {}
    places = _places(tops)
    sides = [[(line, _VOLATILE.sub(b"\0", line).strip()) for line in _lines(log, places)] for log in (first, second)]
    counts = [Counter(key for _, key in side) for side in sides]
    found: dict[str, str] = {}
    for name, side, more in zip(
        ("original", "rerun"), sides, (counts[0] - counts[1], counts[1] - counts[0]), strict=True
    ):
        if line := next((line for line, key in side if key in more and key), b""):
            found[name] = line.replace(b"\0", b"...").decode(errors="replace").strip()[:_LONGEST]
    return found


def only_times(first: bytes, second: bytes) -> dict[str, str]:
    """What to say of logs that differ and have no first difference; empty where they are too long for that."""
    return {"alone": "times, speeds or addresses"} if max(len(first), len(second)) <= _MOST_BYTES else {}


def describe_difference(printed: Mapping[str, str]) -> str:
    """The same as a line for a person."""
    if "alone" in printed:
        return f"  what was printed differs in {printed['alone']} alone"
    sides = [repr(printed[side]) if side in printed else "nothing" for side in ("original", "rerun")]
    return f"  what was printed differs: {sides[0]} -> {sides[1]}"


def _places(tops: Collection[str]) -> re.Pattern[bytes]:
    """Any checkout's folder, or one of these, as the beginning of a path; the checkouts lie in them, so come first."""
    known = [re.escape(os.fsencode(top)) for top in sorted(tops, key=len, reverse=True) if top.strip("/")]
    inner = rb"/replicate/worktrees/[^/\s]+/tree"
    within = rb"/(?!/)[^\s\"':]{0,300}?"  # bounded, and no start in a row of slashes: a line can be very long
    checkouts = [top + rb"/\.git(?:" + within + rb")?" + inner for top in known]
    return re.compile(rb"(?<![\w.-])(?:" + b"|".join([*checkouts, within + inner, *known]) + rb")(?![\w.-])")


def _lines(log: bytes, places: re.Pattern[bytes]) -> list[bytes]:
    return [places.sub(b"\0", line) for line in re.split(rb"\r?\n", log.rstrip())]
