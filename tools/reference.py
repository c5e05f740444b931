"""Pages of the docs that are made: the commands, as their `-h`, and the fields of the record."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from git_replicate.core import record
from tools.options import Described

_TABLE = re.compile(r"<!-- fields of (\w+) -->\n.*?<!-- end of fields -->", re.DOTALL)


def commands_page(commands: Sequence[Described]) -> str:
    """docs/commands.md."""
    lines = ["# Commands", "", "What each command prints with `-h`. This page is made by `make pages`.", ""]
    lines += [f"- [{c.command.name}](#{c.command.name}): {c.command.summary}" for c in commands]
    for described in commands:
        lines += ["", f"## {described.command.name}", "", "```text", described.help.rstrip(), "```"]
    return "\n".join(lines) + "\n"


def format_page(text: str) -> str:
    """docs/format.md with its tables of fields made anew from the record's own documentation."""
    return _TABLE.sub(lambda found: _fields(found[1]), text)


def _fields(name: str) -> str:
    lines = [f"<!-- fields of {name} -->", "| field | what it is |", "|---|---|"]
    fields = (field for field in dataclasses.fields(getattr(record, name)) if field.name != "extra")
    lines += [f"| `{field.name}` | {str(field.metadata['doc']).replace('|', chr(92) + '|')} |" for field in fields]
    return "\n".join([*lines, "<!-- end of fields -->"])
