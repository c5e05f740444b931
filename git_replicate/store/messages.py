"""What a run's commits say to people who read them with git alone: who, when, and what in a line."""

from __future__ import annotations

import re
from datetime import datetime

from git_replicate.core.record import Record
from git_replicate.git.repository import Signature

_SUBJECT_COMMAND = 72
_HEADLINE_METRICS = 4


def signature(record: Record, when: datetime | None) -> Signature:
    """The record's user at a moment, in a form that git takes whatever is configured; UTC."""
    name = re.sub(r"[\x00-\x1f\x7f<>\ud800-\udfff]+", " ", record.user.name).strip(" .,:;\"'\\")
    email = re.sub(r"[\x00-\x20\x7f<>\ud800-\udfff]+", "", record.user.email)
    return Signature(name or "unknown", email or "unknown@localhost", int(when.timestamp()) if when else 0)


def commit_message(record: Record) -> str:
    """What `git log` shows: command, status and headline metrics; then the user's words and the run's name."""
    command = _line(" ".join(record.command)) or "session"
    if len(command) > _SUBJECT_COMMAND:
        command = command[: _SUBJECT_COMMAND - 1] + "…"
    facts = [f"{_line(name)} {value:.6g}" for name, value in list(record.metrics.items())[:_HEADLINE_METRICS]]
    paragraphs = [f"{command}: {', '.join([str(record.status), *facts])}"]
    if record.message.strip():
        paragraphs.append("\n".join(map(_line, record.message.strip().splitlines())))
    return "\n\n".join([*paragraphs, f"Run: {record.experiment}/{record.id}"]) + "\n"


def _line(text: str) -> str:
    """Text on one line, without control characters or what is not UTF-8."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+", " ", text).strip()
