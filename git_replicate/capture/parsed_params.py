"""Hyperparameters after a run: what the program's own parser was seen to make of its arguments.

That is the truth: it comes before what declared files say, and where a parser was seen the guesses from the command
line are dropped. Only the main program's parse is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from git_replicate.capture.params import assemble_params, same_value
from git_replicate.capture.probe_report import ProbeReport, PythonProcess
from git_replicate.capture.values import flatten, placeholder_text, typed
from git_replicate.core.record import Record
from git_replicate.core.secrets import MASK, is_secret_name

_OF_FILES = frozenset(["hydra", "jsonargparse"])
"""Parsers that read files themselves: what they say is nothing is so."""


@dataclass(slots=True)
class Parsed:
    """What the parsers of the main program saw, by dotted name."""

    parser: str = ""
    """The last one's name; empty where none was seen."""
    values: dict[str, Any] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    options: dict[str, str] = field(default_factory=dict)
    """The option that gives a param where it is not spelled as its name, "" where its position does."""
    flags: dict[str, list[str]] = field(default_factory=dict)
    """The options that turn a param on and off, "" where there is none."""


def read_parsed(report: ProbeReport) -> Parsed:
    """The union of all that was parsed, later parses over earlier ones."""
    parsed = Parsed()
    for process in report.main:
        _add(process, parsed)
    return parsed


def _add(process: PythonProcess, parsed: Parsed) -> None:
    jobs: list[dict[str, Any]] = []
    by_parser: dict[str, set[str]] = {}
    for note in process.of_kind("params"):
        values, parser = note.get("values"), str(note.get("parser", ""))
        if not isinstance(values, Mapping):
            continue
        found = {_name(name): value for name, value in flatten(values).items()}
        for name in by_parser.pop(str(note.get("replaces", "")), ()):
            parsed.values.pop(name, None)
            parsed.given.discard(name)
        for name in found:  # a parse after another may know a name as a table that was a value, and the reverse
            for other in [n for n in parsed.values if n.startswith(f"{name}.") or name.startswith(f"{n}.")]:
                del parsed.values[other]
        parsed.parser = parser
        parsed.values.update(found)
        parsed.given |= {_name(str(name)) for name in note.get("given", ())} & {*found}
        for kind, known in (("options", parsed.options), ("flags", parsed.flags)):
            told = note.get(kind)
            known.update({_name(str(name)): value for name, value in told.items()} if isinstance(told, Mapping) else {})
        by_parser.setdefault(parser, set()).update(found)
        jobs += [found] if parser == "hydra" else []
    for name in {name for job in jobs for name in job} if len(jobs) > 1 else ():
        # Several jobs of one process: what differs between them is recorded as the list of what there was.
        seen = [job.get(name) for job in jobs]
        if not all(same_value(seen[0], value) for value in seen[1:]):
            parsed.values[name] = seen


def _name(name: str) -> str:
    """A destination may be spelled with dashes (a positional's); a param never is."""
    return name.replace("-", "_")


def with_parsed(record: Record, parsed: Parsed) -> tuple[Record, list[str]]:
    """The record with the parsed params in place of the guesses, and warnings about requests that came to nothing."""
    if not parsed.parser:
        return record, []
    known = {**flatten(record.params), **dict.fromkeys(record.params_null)}
    origin = record.params_source
    flat = {name: value for name, value in known.items() if origin.get(name) not in ("command", "parsed")}
    source = {name: origin.get(name, "file") for name in flat}
    unused = flatten(record.params_unused)
    warnings = []
    by_file = any("{params_file}" in word for word in record.command)
    for name, value in parsed.values.items():
        if source.get(name) == "requested" and (by_file if _is(value, flat[name]) else name not in parsed.given):
            continue  # the program was handed it in another way, and what was parsed is a default
        if value is None and name not in parsed.given and _has_value(flat, name) and parsed.parser not in _OF_FILES:
            continue  # the option was left out, and the program takes the value from where it is known
        requested = unused.get(name, flat[name] if source.get(name) == "requested" else None)
        if requested is not None and _is(value, requested):
            unused.pop(name, None)
        elif requested is not None:
            unused[name] = requested
            warnings.append(_differs(name, requested, value))
        flat[name], source[name] = value, "parsed"
    told = {name for name in record.params_given if source.get(name) == "api"}
    given = parsed.given | told | {name for name, where in source.items() if where == "requested"}
    params = assemble_params(flat, source, unused, (), given=given)
    runtime = {**record.runtime, "parser": parsed.parser}
    for kind, table in (("options", parsed.options), ("flags", parsed.flags)):
        kept = {name: value for name, value in sorted(table.items()) if name in source}
        runtime.update({kind: kept} if kept else {})
    return replace(record, **params.fields(), runtime=runtime), warnings


def _has_value(flat: Mapping[str, Any], name: str) -> bool:
    """Whether a name stands for a value, or for a table of them."""
    return flat.get(name) is not None or any(known.startswith(f"{name}.") for known in flat)


def _is(value: Any, requested: Any) -> bool:
    """Whether a parsed value is the requested one, whatever type the parser gave it."""
    if same_value(value, requested) or requested == MASK:
        return True
    return same_value(typed(str(value)), typed(str(requested)))


def _differs(name: str, requested: Any, value: Any) -> str:
    shown = MASK if is_secret_name(name) else placeholder_text(requested)
    parsed = MASK if is_secret_name(name) else placeholder_text(value)
    return f"-p {name}={shown} has no effect: the program parsed {name} = {parsed}"
