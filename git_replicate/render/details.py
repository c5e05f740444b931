"""One run as a person reads it: what ran, how it ended, then each part of the record that holds something."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from git_replicate.core.nested import flat
from git_replicate.core.sizes import count
from git_replicate.core.table import human
from git_replicate.core.verdict import describe_verdict
from git_replicate.render.text import width_of

Style = Callable[..., str]
"""(text, style names…) to the text made safe for a terminal, perhaps in colour."""
_BARS = "▁▂▃▄▅▆▇█"
_MOST_PACKAGES = 12
_MOST_NAMES = 20
_MOST_CALLS = 6
_HEAD = re.compile(r"  (?:(?P<name>\S+(?: \S+)*) {2,})?(?=\S)")
_COPIED = frozenset({"command", "message", "comment"})
_LONGEST = 100
"""Characters of a fact about the runtime."""


def describe_run(
    document: Mapping[str, Any],
    curves: Mapping[str, Sequence[Mapping[str, Any]]],
    style: Style,
    git_dir: str = ".git",
    width: int | None = None,
) -> str:
    """`git_dir`: the common git directory as the person would name it; `width`: of their terminal, None without one."""
    style = _in_one_line(style)
    lines = [style(f"run {document['experiment']}/{document['id']}", "yellow")]
    lines += _pairs(_head(document), style)
    for title in ("params", "params_unused", "metrics"):
        values = flat(document.get(title, {}))
        if title == "params":
            values.update(dict.fromkeys(document.get("params_null", ())))
        if values:
            lines += ["", style(title.replace("_", " "), "bold"), *_pairs(_annotated(document, title, values), style)]
    for name, points in curves.items():
        numbers = [point["value"] for point in points]
        if len(numbers) < 2:
            continue  # its value stands above
        lines.append(f"  {style(name)}  {sparkline(numbers)}  {count(len(numbers), 'point')}")
    for title, text in (("code", _code(document)), ("seeds", _seeds(document.get("seeds", {})))):
        if text:
            lines += ["", style(title, "bold"), *_pairs(text, style)]
    if document.get("verdict"):
        lines += ["", style("verdict", "bold"), *(f"  {style(line)}" for line in describe_verdict(document["verdict"]))]
    lines += _trackers(document.get("trackers", {}), style)
    lines += _files(document, style, git_dir)
    lines += _environment(document.get("environment", {}), style)
    runtime = {
        name: value
        for name, value in flat(document.get("runtime", {})).items()
        if not name.startswith(("unseen_readers", "options", "flags", "several"))
    }
    if runtime:
        lines += ["", style("runtime", "bold"), *_pairs({n: _listed(value) for n, value in runtime.items()}, style)]
    missing = document.get("missing", [])
    if missing:
        lines += ["", style("not complete", "bold"), *(f"  {style(entry)}" for entry in missing)]
    return "\n".join(part for line in lines for part in _hung(line, width)) + "\n"


def _hung(line: str, width: int | None) -> list[str]:
    """A line that lists much, as several that fit, each below where the list begins; all others as they are.

    Only a list is parted, at its commas: a command or a path that is copied stays in one piece.
    """
    head = _HEAD.match(line)
    if width is None or head is None or head["name"] in _COPIED or width_of(line) <= width or "\x1b" in line:
        return [line]
    items = line[head.end() :].split(", ")
    shown = [head[0] + items[0]]
    for item in items[1:]:
        if width_of(f"{shown[-1]}, {item},") <= width:
            shown[-1] += f", {item}"
        else:
            shown[-1] += ","
            shown.append(" " * width_of(head[0]) + item)
    return shown


def _in_one_line(style: Style) -> Style:
    """The style for texts that must not look like several lines of the page."""
    return lambda text, *styles: style(_escaped(text), *styles)


def _escaped(text: str) -> str:
    return text.replace("\n", "\\x0a")


def _head(document: Mapping[str, Any]) -> dict[str, Any]:
    status = document["status"] + (f" ({document['reason']})" if document.get("reason") else "")
    head: dict[str, Any] = {"status": status, "command": shlex.join(document.get("command", [])) or "(session)"}
    if stdin := document.get("stdin"):
        head["standard input"] = stdin.get("path") or f"{stdin.get('kind')} (not kept)"
    for name in ("message", "directory", "started", "finished"):
        if name in document:
            head[name] = local(document[name]) if isinstance(document[name], datetime) else document[name]
    if "seconds" in document:
        head["seconds"] = round(document["seconds"], 3)
    process = document.get("process", {})
    if process.get("peak_memory_bytes"):
        head["peak memory"] = f"{process['peak_memory_bytes'] / 1e6:.0f} MB"
    if process.get("cpu_seconds"):
        head["cpu seconds"] = round(process["cpu_seconds"], 3)
    head["by"] = f"{document.get('user', {}).get('name', '')} on {process.get('host', '')}"
    for name in ("tags", "comment", "invalid", "superseded_by", "rerun_of"):
        if document.get(name):
            value = document[name]
            head[name.replace("_", " ")] = ", ".join(value) if isinstance(value, list) else value
    return head


def local(moment: datetime) -> str:
    """A time as the person's clock shows it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _annotated(document: Mapping[str, Any], title: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with where they came from."""
    sources = document.get("params_source" if title == "params" else f"{title}_source", {})
    given = document.get("params_given", ())
    noted = {
        name: "default" if title == "params" and source == "parsed" and name not in given else source
        for name, source in sources.items()
    }
    return {name: f"{_value(value)}{f'  ({noted[name]})' if name in noted else ''}" for name, value in values.items()}


def _value(value: Any) -> str:
    """A param or metric; one that is nothing, or empty, is seen to be so."""
    return "none" if value is None else human(value) or '""'


def _code(document: Mapping[str, Any]) -> dict[str, Any]:
    code = document.get("code", {})
    shown: dict[str, Any] = {"snapshot": code.get("snapshot", "none")}
    for name in ("base", "branch", "missing"):
        if code.get(name):
            shown[name] = code[name]
    if code.get("dirty"):
        base, snapshot = code.get("base", "")[:12], code["snapshot"][:12]
        see = f"git diff {base} {snapshot}" if base else f"git show {snapshot}"
        shown["dirty"] = f"uncommitted changes ran; see: {see}" if base != snapshot else "submodules"
    if code.get("submodules"):
        shown["submodules"] = ", ".join(map(_submodule, code["submodules"]))
    if code.get("leaked"):
        shown["leaked"] = "files of the user's own worktree were read"
    if code.get("mixed"):
        shown["mixed"] = "code was loaded after it had been changed"
    for name in ("executed", "read", "changed_during_run", "filter_failed", "conflicted"):
        if code.get(name):
            words = "merge conflicts" if name == "conflicted" else name.replace("_", " ")
            shown[words] = _listed(code[name])
    if code.get("left_out"):
        shown["left out"] = ", ".join(f"{entry['path']} ({entry['reason']})" for entry in code["left_out"])
    return shown


def _submodule(entry: Mapping[str, Any]) -> str:
    """Where a submodule was, and how to see what was not committed in it."""
    commit, snapshot = entry.get("commit", "")[:12], entry.get("snapshot", "")[:12]
    if not snapshot:
        return f"{entry['path']} (could not be recorded)" if entry.get("dirty") else f"{entry['path']} {commit}"
    see = f"git -C {shlex.quote(entry['path'])} diff {commit} {snapshot}"
    return f"{entry['path']} {snapshot}" + (f" (uncommitted changes; see: {see})" if entry.get("dirty") else "")


def _seeds(seeds: Mapping[str, Any]) -> dict[str, Any]:
    """The run's seed, whose generators started from it, and how the program seeded its own."""
    shown: dict[str, Any] = {}
    if "run" in seeds:
        shown["run"] = f"{seeds['run']}  ({seeds.get('mode')})"
    if "python_hash" in seeds and seeds["python_hash"] != seeds.get("run"):
        shown["python hash"] = seeds["python_hash"]
    for status, words in (("imposed", "seeded"), ("own", "seeded by the program"), ("unseen", "not seeded")):
        if names := [name for name, found in seeds.get("libraries", {}).items() if found == status]:
            shown[words] = ", ".join(names)
    calls = [
        f"{call.get('library')}.{call.get('function')}({call.get('value', '')})"
        for call in seeds.get("calls", [])[:_MOST_CALLS]
    ]
    if calls:
        more = seeds.get("calls_seen", 0) - len(calls)
        shown["calls"] = ", ".join(calls) + (f" and {more} more" if more > 0 else "")
    if seeds.get("deterministic"):
        shown["algorithms"] = "deterministic"
    return shown


def _trackers(trackers: Mapping[str, Sequence[Mapping[str, Any]]], style: Style) -> list[str]:
    """The runs of other trackers: id, and the address or folder where it is."""
    lines = []
    for library, entries in trackers.items():
        for entry in entries[:_MOST_NAMES]:
            where = entry.get("url") or entry.get("directory") or entry.get("tracking_uri") or ""
            offline = "  (offline)" if entry.get("offline") else ""
            lines.append(f"  {style(library)}  {style(' '.join(filter(None, [entry.get('id', ''), where])))}{offline}")
        if len(entries) > _MOST_NAMES:
            lines.append(f"  {style(library)}  and {len(entries) - _MOST_NAMES} more")
    return ["", style("trackers", "bold"), *lines] if lines else []


def _files(document: Mapping[str, Any], style: Style, git_dir: str) -> list[str]:
    lines: list[str] = []
    outputs = document.get("outputs", {})
    if outputs:
        lines += ["", style("outputs", "bold")]
        for path, entry in outputs.items():
            lines.append(
                f"  {style(path)}  {count(entry.get('bytes', 0), 'byte')}  kept: {style(entry.get('kept', 'no'))}"
            )
    if document.get("data"):
        lines += ["", style("data", "bold")]
        for name, entry in document["data"].items():
            nothing = "missing" if entry.get("missing") else "no hash"
            known = entry.get("hash") or entry.get("revision") or nothing
            lines.append(f"  {style(name)}  {style(str(known))}{'  (not declared)' if entry.get('undeclared') else ''}")
    if document.get("inputs_complete") is False:
        readers = ", ".join(document.get("runtime", {}).get("unseen_readers", ()))
        lines += [] if document.get("data") else ["", style("data", "bold")]
        lines.append(f"  there may be more, read unseen by {style(readers)}")
    if document.get("stages"):
        lines += ["", style("stages", "bold")]
        lines += [
            f"  {style(name)}  {'reused' if stage.get('reused') else 'run'}"
            for name, stage in document["stages"].items()
        ]
    if document.get("files"):
        moved = [entry.get("moved_to", "") for entry in document["files"]]
        names = [
            f"{git_dir}/{place}" if place else entry["path"]
            for place, entry in zip(moved, document["files"], strict=True)
        ]
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        lines += ["", style("written, not kept", "bold"), f"  {style(', '.join(names[:10]))}{more}"]
    return lines


def _environment(environment: Mapping[str, Any], style: Style) -> list[str]:
    if not environment:
        return []
    packages = environment.get("packages", {})
    facts = {name: value for name, value in flat(environment).items() if not name.startswith("packages.")}
    lines = ["", style("environment", "bold"), *_pairs(facts, style)]
    if packages:
        names = [f"{name} {value}" for name, value in packages.items() if isinstance(value, str)]
        more = f" and {len(packages) - _MOST_PACKAGES} more" if len(packages) > _MOST_PACKAGES else ""
        lines.append(f"  packages  {style(', '.join(names[:_MOST_PACKAGES]))}{more}")
    return lines


def _listed(value: Any) -> Any:
    """A list in words, or a text, cut where it is long."""
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[: _LONGEST - 1].rpartition(' ')[0] or value[: _LONGEST - 1]}… ({len(value)} characters)"
    if not isinstance(value, list | tuple):
        return value
    more = f" and {len(value) - _MOST_NAMES} more" if len(value) > _MOST_NAMES else ""
    return ", ".join(map(str, value[:_MOST_NAMES])) + more


def _pairs(values: Mapping[str, Any], style: Style) -> list[str]:
    """Names and values in two columns; a value of several lines (a comment, a script) stays in its own."""
    values = {_escaped(name): value for name, value in values.items()}
    width = max((len(name) for name in values), default=0)
    below = "\n" + " " * (width + 4)
    return [
        f"  {style(name.ljust(width))}  {below.join(map(style, human(value).split(chr(10))))}"
        for name, value in values.items()
    ]


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """A curve in one line of block characters; NaN and infinities are gaps."""
    step = max(len(values) / width, 1)
    sampled = [values[min(int(i * step), len(values) - 1)] for i in range(min(width, len(values)))]
    finite = [value for value in sampled if value == value and abs(value) != float("inf")]
    if not finite:
        return " " * len(sampled)
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join(_BARS[round((v - low) / span * 7)] if v == v and abs(v) != float("inf") else " " for v in sampled)
