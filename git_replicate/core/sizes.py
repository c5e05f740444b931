"""Sizes and counts for people."""

from __future__ import annotations


def size_text(count: int) -> str:
    """Bytes in the largest unit that says something, in powers of a thousand: `950 B`, `12.3 kB`."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 run`, `2 runs`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
