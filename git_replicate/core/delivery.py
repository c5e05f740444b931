"""Whether what a sweep asked for reached the program: told from the record of a run that has ended.

A value that reaches nothing, or differs from what the program parsed, makes a table of runs that lies; so does a
seed that the program replaces by its own, and code that is not the snapshot's. Each is an error of the sweep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from git_replicate.core.errors import UserError
from git_replicate.core.record import Record
from git_replicate.core.sweep import Planned, Sweep


def fault(sweep: Sweep, planned: Planned, record: Record) -> UserError | None:
    """Why no further run of the sweep makes sense, if the run shows that."""
    if record.code.leaked:
        return UserError(
            f"run {record.id} loaded code of your own worktree instead of the snapshot's: the sweep stops",
            f"git replicate show {record.id}",
        )
    return _undelivered(sweep, planned, record)


def _undelivered(sweep: Sweep, planned: Planned, record: Record) -> UserError | None:
    unused = _flat(record.params_unused)
    values = _flat(record.params)
    for name, wanted in planned.point.items():
        seen = values.get(name)
        if name in unused:
            why = f"the run has {name} = {seen!r}" if name in values else "nothing reads it"
        elif record.params_source.get(name) in ("parsed", "api") and not _same(seen, wanted):
            why = f"the program parsed {name} = {seen!r}"
        else:
            continue
        return UserError(
            f"-p {name}={wanted}: {why}, so the runs of this sweep would not differ in it",
            f"hand it over in the command: {_with_placeholder(sweep, name)}",
        )
    return None


def _with_placeholder(sweep: Sweep, name: str) -> str:
    """The command as it would take the param."""
    import shlex

    option = f"--{name.replace('_', '-')}"
    words = list(sweep.command)
    for place, word in enumerate(words):
        if word == option and place + 1 < len(words):
            words[place + 1] = f"{{{name}}}"
            return shlex.join(words).replace(f"'{{{name}}}'", f"{{{name}}}")
        if word.startswith(f"{option}="):
            words[place] = f"{option}={{{name}}}"
            return shlex.join(words).replace(f"'{option}={{{name}}}'", f"{option}={{{name}}}")
    return f"{shlex.join(words)} {option} {{{name}}}"


def _same(seen: Any, wanted: Any) -> bool:
    if isinstance(seen, bool) or isinstance(wanted, bool):
        return type(seen) is type(wanted) and bool(seen == wanted)
    return bool(seen == wanted) or (seen != seen and wanted != wanted) or str(seen) == str(wanted)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
