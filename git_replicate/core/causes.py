"""What differs between two runs, ranked by how likely it explains that their results differ.

The scores order, nothing more: 1 would be certain. A file that was run or read counts before one of which that is not
known, and that before one that was not; the same holds for packages that were imported.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from git_replicate.core.nested import flat
from git_replicate.core.paths import lies_in, unquote_path
from git_replicate.core.record import Record
from git_replicate.core.table import same
from git_replicate.core.verdict import Side

_DEFAULTS: Final = frozenset(["parsed", "api", None])
_GIVEN: Final = frozenset(["parsed", "command", None])
_SOURCE: Final = re.compile(
    r"\.(py|pyx|pyi|ipynb|c|cc|cpp|cu|cuh|h|hpp|rs|go|jl|r|m|sh|java|kt|scala|lua|pl|js|ts|f90)\Z", re.IGNORECASE
)
_INTERPRETER: Final = re.compile(r"(?:^|/)(?:python|pypy)[\d.]*\Z")
_PROSE: Final = re.compile(r"(^|/)(README|LICENSE|CHANGELOG|\.gitignore|docs/)|\.(md|rst|txt)\Z", re.IGNORECASE)
_COMPUTED_WITH: Final = {"torch": 0.5, "libraries": 0.45, "threads": 0.42, "cpu_features": 0.34}
_OURS: Final = re.compile(r"(packages|origins)\.git-replicate(\.|\Z)")
_HARDWARE: Final = ("cpu", "cpus", "gpu", "gpus", "driver", "memory_gib", "architecture", "machine")


class _Nothing:
    def __str__(self) -> str:
        return "none"


NOTHING: Final = _Nothing()
"""A param that is there and is None, or null; what is not there at all is None."""


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that is not the same in two trees; a side's id is "" where there is none."""

    path: str
    first: str
    second: str
    note: str = ""
    """In words, what differs where the program is the same: comments, say."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is not the same. kind: code, environment, data, params, seeds or hardware; note: more of it."""

    kind: str
    name: str
    first: Any
    second: Any
    score: float
    proved: bool = False
    note: str = ""

    def as_document(self) -> dict[str, Any]:
        first, second = (None if value is NOTHING else value for value in (self.first, self.second))
        return {
            "kind": self.kind, "name": self.name, "from": first, "to": second,
            "score": self.score, "proved": self.proved, **({"note": self.note} if self.note else {}),
        }  # fmt: skip


def find_causes(
    first: Side, second: Side, files: Sequence[ChangedFile], *, not_code: Collection[str] = ()
) -> tuple[Cause, ...]:
    """Everything that differs, likeliest first.

    files: what differs between the code trees; not_code: paths of declared params files, whose values are params. One
    that changed without any param that tells of it is a cause by itself.
    """
    found = [*_code(first, second, files, not_code), *_params(first.record, second.record)]
    found += [*_data(first.data, second.data), *_stages(first, second, files)]
    found += _seeds(first.record, second.record)
    found += [*_input(first.record, second.record), *_environment(first, second)]
    found += _runtime(first.record, second.record)
    return tuple(sorted(found, key=lambda cause: (-cause.score, cause.kind, cause.name)))


def _code(first: Side, second: Side, files: Sequence[ChangedFile], not_code: Collection[str]) -> Iterable[Cause]:
    executed = {*first.record.code.executed, *second.record.code.executed}
    read = {*first.record.code.read, *second.record.code.read, *_stage_inputs(first.stages, second.stages)}
    declared = {*first.data, *second.data}
    results = {path for side in (first, second) for path in written_paths(side.record)}
    explained = _params_may_be_of_files(first.record, second.record)
    used = {folder for path in executed for folder in _folders(path)}  # submodules are changed as a whole
    for file in files:
        if file.path in results:
            continue
        if file.path in not_code:
            if not explained:
                yield Cause("params", file.path, file.first[:12] or None, file.second[:12] or None, 0.6)
            continue
        if lies_in(file.path, declared):
            continue  # it is there as data
        if file.note:
            score = 0.1
        elif file.path in executed or file.path in used or lies_in(file.path, read):
            score = 0.9
        elif is_prose(file.path):
            score = 0.05
        elif _SOURCE.search(name := _plain_name(file.path)):
            score = 0.2 if executed and name.endswith(".py") else 0.8
        else:
            score = 0.5
        sides = (file.first[:12] or None, file.second[:12] or None)
        yield Cause("code", file.path, *sides, score, note=file.note)


def _folders(path: str) -> Iterable[str]:
    """The folders that a file lies in, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _params_may_be_of_files(first: Record, second: Record) -> bool:
    """Whether some param differs for another reason than what the command line gave."""
    given = {*first.params_given, *second.params_given}
    return any(
        name not in given or not {first.params_source.get(name), second.params_source.get(name)} <= _GIVEN
        for name in _different(_known(first), _known(second))
    )


def is_prose(path: str) -> bool:
    """Whether a file is text for people, which no program reads; path: as records write it."""
    return bool(_PROSE.search(_plain_name(path)))


def _plain_name(path: str) -> str:
    """A path as it is on disk, so that its ending tells its kind."""
    return unquote_path(path).decode("utf-8", "surrogateescape")


def written_paths(record: Record) -> Iterable[str]:
    """The files that the run itself wrote: results, even where somebody committed them."""
    yield from record.outputs
    yield from record.metrics_source.values()
    yield from (file.path for file in record.files)


def _params(first: Record, second: Record) -> Iterable[Cause]:
    a, b = _known(first), _known(second)
    given = {*first.params_given, *second.params_given}
    for name in _different(a, b):
        origins = {first.params_source.get(name), second.params_source.get(name)}
        # The default of a parser or of a call of the API is code: if that changed, it explains the param.
        default = name not in given and origins <= _DEFAULTS
        unseen = _is_unseen_default(name, first, second) or _is_unseen_default(name, second, first)
        yield Cause("params", name, a.get(name), b.get(name), 0.1 if unseen else 0.88 if default else 0.95)
    if not given & {*_different(a, b)} and (words := _words(first.command, second.command)):
        parsed = all("parsed" in record.params_source.values() for record in (first, second))
        yield Cause("params", "command", *words, 0.2 if parsed else 0.9)  # what a parser made of them is the same
    if first.directory != second.directory:
        yield Cause("params", "directory", first.directory or ".", second.directory or ".", 0.3)


def _words(first: Sequence[str], second: Sequence[str]) -> tuple[str | None, str | None] | None:
    """The words of two commands from the first to the last that is not the same; not which Python it was."""
    a, b = list(first[1:]), list(second[1:])
    if first[:1] != second[:1] and not all(_INTERPRETER.search(command[0]) for command in (first, second) if command):
        a, b = list(first), list(second)
    while a and b and a[0] == b[0]:
        del a[0], b[0]
    while a and b and a[-1] == b[-1]:
        del a[-1], b[-1]
    return (shlex.join(a) or None, shlex.join(b) or None) if a or b else None


def _known(record: Record) -> dict[str, Any]:
    """The params by dotted name."""
    return {**flat(record.params), **dict.fromkeys(record.params_null, NOTHING)}


def _is_unseen_default(name: str, first: Record, second: Record) -> bool:
    """Whether only the second run's parser was seen, and gave this as a default: the first may have had it too."""
    seen = second.params_source.get(name) == "parsed" and name not in second.params_given
    return seen and name not in first.params_source and "parsed" not in first.params_source.values()


def _data(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterable[Cause]:
    for name in sorted({*first, *second}):
        a, b = first.get(name), second.get(name)
        if data_hash(a) == data_hash(b) or _unknown(a, b):
            continue
        inner = [(a or {}).get("list", {}), (b or {}).get("list", {})]
        if all(inner):
            for path in _different(*inner):
                yield Cause("data", f"{name.rstrip('/')}/{path}", inner[0].get(path), inner[1].get(path), 0.92)
        else:
            yield Cause("data", name, data_hash(a), data_hash(b), 0.92)


def _stages(first: Side, second: Side, files: Sequence[ChangedFile]) -> Iterable[Cause]:
    """What came into stages that made other things in the two runs, as far as no file of the snapshot tells."""
    changed = {file.path for file in files}
    declared = {*first.data, *second.data}
    for name, one, other in _remade(first.stages, second.stages):
        inputs = one.get("inputs", {}), other.get("inputs", {})
        different = _different(*inputs)
        if one.get("script_hash") != other.get("script_hash"):
            scripts = [str(stage.get("script_hash", "")).partition(":")[2][:12] for stage in (one, other)]
            yield Cause("code", f"stage {name}", scripts[0], scripts[1], 0.85)
        elif not different:
            for path in _different(one.get("outputs", {}), other.get("outputs", {})):
                if not lies_in(path, declared):
                    yield Cause("data", path, one["outputs"].get(path), other["outputs"].get(path), 0.92)
    for path, (a, b) in _stage_inputs(first.stages, second.stages).items():
        if not lies_in(path, declared) and not any(lies_in(file, [path]) for file in changed):
            yield Cause("data", path, a, b, 0.92)


def _stage_inputs(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """The hashes of inputs that differ and that no stage makes, of the stages that made other things."""
    made = {path for stages in (first, second) for stage in stages.values() for path in stage.get("outputs", ())}
    found: dict[str, tuple[str | None, str | None]] = {}
    for _, one, other in _remade(first, second):
        inputs = one.get("inputs", {}), other.get("inputs", {})
        found |= {path: (inputs[0].get(path), inputs[1].get(path)) for path in _different(*inputs)}
    return {path: hashes for path, hashes in found.items() if not lies_in(path, made)}


def _remade(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    """The stages of both runs that have not made the same."""
    for name in sorted(first.keys() & second.keys()):
        if first[name].get("outputs") != second[name].get("outputs"):
            yield name, first[name], second[name]


def _input(first: Record, second: Record) -> Iterable[Cause]:
    """What standard input was; of two pipes nothing is known."""
    a, b = (record.stdin.get("hash", record.stdin.get("path", record.stdin.get("kind"))) for record in (first, second))
    if a != b:
        yield Cause("data", "standard input", a, b, 0.9)


def data_hash(entry: Mapping[str, Any] | None) -> str | None:
    """What identifies a recorded piece of data; None if it is absent."""
    if entry is None or entry.get("missing"):
        return None
    return str(entry.get("hash") or entry.get("revision") or "unhashed")


def _unknown(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> bool:
    """Whether two hashes cannot be compared, for they are of different algorithms."""
    hashes = [str((entry or {}).get("hash", "")).partition(":")[0] for entry in (first, second)]
    return all(hashes) and hashes[0] != hashes[1]


def _seeds(first: Record, second: Record) -> Iterable[Cause]:
    a, b = first.seeds, second.seeds
    if a.run != b.run:
        drawn = "auto" in (a.mode, b.mode)
        yield Cause("seeds", "run", a.run, b.run, 0.3 if drawn else 0.85)
    if a.python_hash != b.python_hash:
        yield Cause("seeds", "python_hash", a.python_hash, b.python_hash, 0.1)
    for ours, theirs in zip(a.calls, b.calls, strict=False):
        name, other = (f"{call.get('library')}.{call.get('function')}" for call in (ours, theirs))
        value, another = ours.get("value"), theirs.get("value")
        if name != other:
            yield Cause("seeds", "calls", name, other, 0.5)
        elif value != another and (value, another) != (a.run, b.run):
            yield Cause("seeds", name, value, another, 0.8)
        else:
            continue
        break  # what comes behind the first follows from it
    if a.deterministic != b.deterministic:
        yield Cause("seeds", "deterministic", a.deterministic, b.deterministic, 0.3)


def _environment(first: Side, second: Side) -> Iterable[Cause]:
    a, b = flat(first.environment), flat(second.environment)
    imported = {*_imported(first.record), *_imported(second.record)}
    for name in _different(a, b):
        if _OURS.match(name) and _normal("git-replicate") not in imported:
            continue  # it records, and has no part in the result
        if name.partition(".")[0] in _HARDWARE:
            yield Cause("hardware", name, a.get(name), b.get(name), 0.35)
        elif name.startswith("packages."):
            package = name.removeprefix("packages.").removesuffix(".version")
            known = _normal(package) in imported
            yield Cause("environment", package, a.get(name), b.get(name), 0.7 if known else 0.15 if imported else 0.4)
        else:
            yield Cause("environment", name, a.get(name), b.get(name), 0.6 if name.startswith("python") else 0.38)


def _runtime(first: Record, second: Record) -> Iterable[Cause]:
    """What the programs were seen to compute with, where both were."""
    for part, score in _COMPUTED_WITH.items():
        if part in first.runtime and part in second.runtime:
            a, b = flat({part: first.runtime[part]}), flat({part: second.runtime[part]})
            for name in _different(a, b):
                kind = "hardware" if part == "cpu_features" else "environment"
                yield Cause(kind, f"runtime.{name}", a.get(name), b.get(name), score)


def _imported(record: Record) -> set[str]:
    return {_normal(str(name)) for name in record.runtime.get("imported", ())}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _different(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return [n for n in sorted({*first, *second}) if not same(first.get(n), second.get(n))]
