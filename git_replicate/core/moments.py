"""Dates and times as people write them in a query, and as the index keeps them.

A written time stands for a stretch: `2024-05-01` for that whole day, `2024-05-01 12:30` for that minute, `2024-05`
for the month. It is local unless it names its zone. The index keeps UTC texts of one width, which sort as times do.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from git_replicate.core.errors import UserError

_WRITTEN = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d{2})(?:-(?P<day>\d{2})(?:[T ]+(?P<hour>\d{2}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?P<fraction>\.\d{1,9})?)?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?)?)?",
    re.IGNORECASE,
)
_AGO = re.compile(r"(\d+)\s*(s|sec|second|min|minute|h|hour|d|day|w|week)s?\s+ago", re.IGNORECASE)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def timestamp(when: datetime) -> str:
    """A time as the index keeps it: UTC, fixed width, so that texts sort as times do."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def stretch(text: str, *, now: datetime | None = None) -> tuple[str, str]:
    """First moment of a written time, and the first after it; `UserError` if it is none."""
    try:
        start, end = _stretch(text.strip(), now or datetime.now(UTC))
        return timestamp(start), timestamp(end)
    except (ValueError, OverflowError) as error:
        reason = f" ({error})" if _WRITTEN.fullmatch(text.strip()) else ""
        raise UserError(
            f"--where: {text!r} is not a date or time{reason}", "try: '2024-05-01', '2024-05-01 12:30', '2 days ago'"
        ) from error


def of_milliseconds(number: str) -> str:
    """Milliseconds since 1970, as other trackers' queries have them, as the index keeps times."""
    try:
        return timestamp(datetime.fromtimestamp(float(number) / 1000, UTC))
    except (ValueError, OverflowError, OSError) as error:
        raise UserError(f"--where: {number} is not a time", "try: started > '2024-05-01'") from error


def _stretch(text: str, now: datetime) -> tuple[datetime, datetime]:
    word = text.lower()
    if word == "now":
        return now, now
    if found := _AGO.fullmatch(text):
        then = now - timedelta(**{_UNITS[found[2][0].lower()]: int(found[1])})
        return then, then
    if word in ("today", "yesterday"):
        day = now.astimezone().replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
        day -= timedelta(days=word == "yesterday")
        return day, day + timedelta(days=1)
    found = _WRITTEN.fullmatch(text)
    if not found:
        raise ValueError("unreadable")
    return _parsed(found)


def _parsed(found: re.Match[str]) -> tuple[datetime, datetime]:
    """The stretch of a written time by how much of it is written; naive where it names no zone, which is local."""
    parts = {
        name: int(value) for name, value in found.groupdict().items() if value and name not in ("fraction", "zone")
    }
    start = datetime(**{"day": 1, **parts})  # type: ignore[arg-type]  # noqa: DTZ001
    if found["day"] is None:
        end = (start + timedelta(days=31)).replace(day=1)
    elif found["hour"] is None:
        end = start + timedelta(days=1)
    elif found["second"] is None:
        end = start + timedelta(minutes=1)
    elif found["fraction"] is None:
        end = start + timedelta(seconds=1)
    else:
        start = start.replace(microsecond=int(found["fraction"][1:7].ljust(6, "0")))
        end = start + timedelta(microseconds=1)
    if found["zone"]:
        zone = datetime.strptime(found["zone"].upper(), "%z").tzinfo
        start, end = start.replace(tzinfo=zone), end.replace(tzinfo=zone)
    return start, end


def compare(sql: str, operator: str, first: str, after: str) -> str:
    """A time in SQL against a written one, which is a stretch: equal is within, above is after its end."""
    if operator in ("=", "<>"):
        within = f"({sql} >= '{first}' AND {sql} < '{after}')" if first != after else f"{sql} = '{first}'"
        return within if operator == "=" else f"NOT ({within})"
    if first == after:
        return f"{sql} {operator} '{first}'"
    sign, bound = {"<": ("<", first), "<=": ("<", after), ">": (">=", after), ">=": (">=", first)}[operator]
    return f"{sql} {sign} '{bound}'"
