"""Records as texts: what the index makes of one, and of a text that is none."""

from __future__ import annotations

from typing import Any, Final

import tomli

from git_replicate.core.record import FORMAT

UNREADABLE: Final = "unreadable"
"""Key of the document made in place of a record that this version cannot read; the value says why."""
NO_RECORD: Final = "no record"
SKIPPED: Final = frozenset(["metrics_source", "params_source", "params_unused", "runtime", "trackers", "outputs"])
"""Tables of the record that the index has no use for."""


def read_document(text: bytes | None) -> dict[str, Any]:
    """A record's document, or one that holds only why this version cannot read it."""
    if text is None:
        return {UNREADABLE: NO_RECORD}
    try:
        document = tomli.loads(text.decode())
    except (tomli.TOMLDecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        return {UNREADABLE: str(error) or "not a record"}
    return document if document.get("format") == FORMAT else {UNREADABLE: f"format {document.get('format')}"}


def read_head(text: bytes | None) -> dict[str, Any]:
    """As `read_document`, of what stands before the tables: id, experiment, status, command and times."""
    return read_document(text if text is None else text[: text.find(b"\n[") + 1] or text)
