"""Hyperparameters after a run: what the program's own parser was seen to make of its arguments.

That is the truth: it comes before what declared files say. The guesses from the command line go where the parser is
that of the command's own program, and stay where a script handed its words on as it liked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from git_replicate.capture.params import assemble_params, same_value
from git_replicate.capture.probe_report import ProbeReport, PythonProcess
from git_replicate.capture.program import Program, find_program
from git_replicate.capture.programs import is_handed_on, is_of_python, is_same_program, table_names
from git_replicate.capture.values import flatten, placeholder_text, typed
from git_replicate.core.record import Record
from git_replicate.core.secrets import MASK, is_secret_name

_OF_FILES = frozenset(["hydra", "jsonargparse"])
"""Parsers that read files themselves: what they say is nothing is so."""
_SPELLINGS = ("options", "flags", "several")


@dataclass(slots=True)
class Parsed:
    """What the parsers of the run's programs saw, by dotted name."""

    parser: str = ""
    """The last one's name, of the command's own program; empty where none of its was seen."""
    values: dict[str, Any] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    options: dict[str, str] = field(default_factory=dict)
    """The option that gives a param where it is not spelled as its name, "" where its position does."""
    flags: dict[str, list[str]] = field(default_factory=dict)
    """The options that turn a param on and off, "" where there is none."""
    several: dict[str, str] = field(default_factory=dict)
    """How an option takes several values: "words" behind it, "repeat" it, or "count" it."""
    varying: set[str] = field(default_factory=set)
    """Names with a list of what the program was given, one time it ran after the other."""
    others: dict[str, str] = field(default_factory=dict)
    """Parsers of other programs than the command's own, by the program's name."""


def read_parsed(report: ProbeReport, command: Sequence[str] = ()) -> Parsed:
    """All that was parsed, later parses over earlier ones.

    One program's params have their plain names, and so have those of the command's own program; where several
    parsed, those of the others stand in a table each (`evaluate.lr`).
    """
    own = find_program(command)
    groups: list[tuple[Program, list[PythonProcess]]] = []
    for process in report.main:
        if next(process.of_kind("params"), None) is None:
            continue
        program = find_program(process.words)
        known = next((group for group in groups if is_same_program(group[0], program)), None)
        if known is None:
            groups.append((program, [process]))
        else:
            known[1].append(process)
    groups = [group for group in groups if not is_of_python(group[1][0].words)] or groups
    names = table_names([program for program, _ in groups])
    found = Parsed()
    for (program, processes), name in zip(groups, names, strict=True):
        seen = [find_program(process.words) for process in processes]
        is_own = is_same_program(own, program) or any(is_handed_on(own, one) for one in seen)
        _merge(found, _of_program(processes), name, own=is_own or not command, alone=len(groups) == 1)
    return found


def _merge(found: Parsed, parsed: Parsed, name: str, *, own: bool, alone: bool) -> None:
    """Add what one program parsed; of another than the command's own the spellings of options are of no use."""
    prefix = "" if own or alone else f"{name}."
    found.values.update({f"{prefix}{key}": value for key, value in parsed.values.items()})
    found.given |= {f"{prefix}{key}" for key in parsed.given}
    found.varying |= {f"{prefix}{key}" for key in parsed.varying}
    if own:
        found.parser = parsed.parser
        found.options.update(parsed.options)
        found.flags.update(parsed.flags)
        found.several.update(parsed.several)
    else:
        found.others[name] = parsed.parser


def _of_program(processes: Sequence[PythonProcess]) -> Parsed:
    """What one program parsed; where it ran several times, a list of what differs."""
    times = []
    parsed = Parsed()
    for process in processes:
        one = Parsed()
        _add(process, one)
        times.append(one.values)
        parsed.parser = one.parser
        parsed.values.update(one.values)
        parsed.given |= one.given
        parsed.varying |= one.varying
        parsed.options.update(one.options)
        parsed.flags.update(one.flags)
        parsed.several.update(one.several)
    _list_differences(times, parsed)
    return parsed


def _list_differences(times: Sequence[Mapping[str, Any]], parsed: Parsed) -> None:
    """Several jobs of one program: what differs between them is recorded as the list of what there was."""
    for name in {name for values in times for name in values} if len(times) > 1 else ():
        seen = [values.get(name) for values in times]
        if not all(same_value(seen[0], value) for value in seen[1:]):
            parsed.values[name] = seen
            parsed.varying.add(name)


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
        for kind in _SPELLINGS:
            told = note.get(kind)
            known = {_name(str(name)): value for name, value in told.items()} if isinstance(told, Mapping) else {}
            getattr(parsed, kind).update(known)
        by_parser.setdefault(parser, set()).update(found)
        jobs += [found] if parser == "hydra" else []
    _list_differences(jobs, parsed)


def _name(name: str) -> str:
    """A destination may be spelled with dashes (a positional's); a param never is."""
    return name.replace("-", "_")


def with_parsed(record: Record, parsed: Parsed) -> tuple[Record, list[str]]:
    """The record with the parsed params in place of the guesses, and warnings about requests that came to nothing."""
    if not (parsed.parser or parsed.others):
        return record, []
    known = {**flatten(record.params), **dict.fromkeys(record.params_null)}
    origin = record.params_source
    replaced = ("command", "parsed") if parsed.parser else ("parsed",)
    flat = {name: value for name, value in known.items() if origin.get(name) not in replaced}
    source = {name: origin.get(name, "file") for name in flat}
    unused = flatten(record.params_unused)
    warnings = []
    by_file = any("{params_file}" in word for word in record.command)
    for name, value in _beside_the_guesses(flat, source, parsed):
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
    told = {name for name in record.params_given if source.get(name) in ("api", "command")}
    given = parsed.given | told | {name for name, where in source.items() if where == "requested"}
    params = assemble_params(flat, source, unused, (), given=given & {*source})
    return replace(record, **params.fields(), runtime=_runtime(record, parsed, source)), warnings


def _beside_the_guesses(
    flat: Mapping[str, Any], source: Mapping[str, str], parsed: Parsed
) -> Iterable[tuple[str, Any]]:
    """Parsed names and values, where a script in between was given another value under the same name as its program.

    Then both are recorded: the script's under the plain name, and the program's in the table of its name.
    """
    alone = next(iter(parsed.others)) if len(parsed.others) == 1 and not parsed.parser else ""
    for name, value in parsed.values.items():
        kept = source.get(name) == "command" or (source.get(name) == "requested" and name in parsed.varying)
        if alone and kept and not _is(value, flat[name]):
            yield f"{alone}.{name}", value
        else:
            yield name, value


def _runtime(record: Record, parsed: Parsed, source: Mapping[str, str]) -> dict[str, Any]:
    runtime = {**record.runtime, **({"parser": parsed.parser} if parsed.parser else {})}
    if parsed.others:
        runtime["parsers"] = dict(sorted(parsed.others.items()))
    for kind in _SPELLINGS:
        kept = {name: value for name, value in sorted(getattr(parsed, kind).items()) if name in source}
        runtime.update({kind: kept} if kept else {})
    return runtime


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
