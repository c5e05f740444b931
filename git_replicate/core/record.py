"""The record of a run: what is known about it, as an immutable value and as TOML.

`to_document` and `from_document` are exact inverses, and `dumps`/`loads` are them with TOML text around. A field at
its default is not written, so that a record holds what was seen and nothing else. Fields that a newer version of
the same format wrote are kept in `extra` and written back. Every field's metadata carries one line of
documentation (unit and origin); the format page is generated from it.

What is not here: environment and data, which are files of their own because equal ones must be the same blob, and
curves, which are CSV.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import tomli
import tomli_w

from git_replicate.core.errors import FormatError
from git_replicate.core.frozen import frozen
from git_replicate.core.installing import checkout
from git_replicate.core.names import ExperimentName, RunId

FORMAT: Final = 1
"""The version of everything stored under `.replicate/`; docs/format.md publishes it."""

Document = dict[str, Any]
"""A TOML document: strings, integers, floats, booleans, datetimes, lists and tables."""


class Status(StrEnum):
    """How a run stands; the words and their meaning are published in docs/format.md."""

    QUEUED = "queued"  # submitted, not begun
    RUNNING = "running"
    FINISHED = "finished"  # exit 0
    FAILED = "failed"  # any other exit, a signal, a timeout
    INTERRUPTED = "interrupted"  # SIGINT or SIGTERM from outside
    PRUNED = "pruned"  # ended early by a sweep
    LOST = "lost"  # the machine or the processes went away and nobody saw the end

    @property
    def ended(self) -> bool:
        return self not in (Status.QUEUED, Status.RUNNING)


def _doc(line: str, **options: Any) -> Any:
    """A field with its line of documentation."""
    return field(metadata={"doc": line}, **options)


def _mapping(line: str) -> Any:
    return _doc(line, default_factory=dict)


@frozen
class User:
    name: str = _doc("git's user.name, or the login name", default="")
    email: str = _doc("git's user.email, or login@host", default="")


@frozen
class Process:
    host: str = _doc("host name of the machine that ran the command", default="")
    pid: int = _doc("process id of the command (of the recorder until the command starts)", default=0)
    boot_id: str = _doc("kernel boot id of that machine: with host and pid, names the process for good", default="")
    peak_memory_bytes: int = _doc(
        "largest resident set of any one process of the run, bytes: the kernel's figure for the command and those that "
        "it waited for; below some 20 MB, what was seen while they ran",
        default=0,
    )
    cpu_seconds: float = _doc("user + system time of the command and the children it waited for, seconds", default=0.0)


@frozen
class Scheduler:
    cluster: str = _doc("name of the cluster", default="")
    job: str = _doc("job id as the scheduler gives it", default="")
    task: str = _doc("array task id", default="")
    restart: int = _doc("how often the scheduler restarted the job", default=0)


@frozen
class LeftOut:
    """A file or folder of the working tree that is not in the snapshot."""

    path: str = _doc("relative to the top of the worktree; a folder ends in a slash")
    reason: str = _doc(
        "why: large, secret, environment, cache, tracker, written-by-run, folder, excluded, refused (by git)"
    )
    size: int = _doc("bytes", default=0)
    hash: str = _doc("blake3:hex, where it was within the limits", default="")


@frozen
class Submodule:
    """A submodule or embedded repository whose state the gitlink alone does not hold."""

    path: str = _doc("relative to the top of the worktree")
    commit: str = _doc("the commit that the gitlink names", default="")
    snapshot: str = _doc("snapshot commit in the submodule's own repository, if it was dirty or unpushed", default="")
    dirty: bool = _doc("it had uncommitted changes", default=False)

    @property
    def state(self) -> str:
        """The commit that holds what ran; "" if it could not be recorded."""
        return self.snapshot or self.commit


@frozen
class Code:
    snapshot: str = _doc("commit that holds exactly the code that ran", default="")
    tree: str = _doc("tree of that commit", default="")
    base: str = _doc("HEAD when the run started; absent on an unborn branch", default="")
    branch: str = _doc("branch HEAD was on; absent when detached", default="")
    dirty: bool = _doc("the snapshot differs from HEAD, or a submodule was dirty", default=False)
    changed_during_run: tuple[str, ...] = _doc("files of the snapshot that differed when the run ended", default=())
    mixed: bool = _doc(
        "code was loaded after it had been changed, or from an installed copy that differs: the run mixes two versions",
        default=False,
    )
    leaked: bool = _doc(
        "an isolated run read code, or other tracked files that are not the snapshot's, from the user's own worktree",
        default=False,
    )
    missing: str = _doc("why the snapshot is missing or incomplete, if it is", default="")
    folders: tuple[str, ...] = _doc(
        "folders that results were written to and the run did not make, and that the snapshot does not hold",
        default=(),
    )
    executed: tuple[str, ...] = _doc("files of the worktree that were run or imported", default=())
    read: tuple[str, ...] = _doc(
        "files of the snapshot that were read, and folders with more than 1,000 of them: data and settings", default=()
    )
    filter_failed: tuple[str, ...] = _doc("files git's filters refused; their raw bytes are in the tree", default=())
    conflicted: tuple[str, ...] = _doc("files with a merge conflict, recorded as they were", default=())
    submodules: tuple[Submodule, ...] = _doc("dirty or unpushed submodules and embedded repositories", default=())
    left_out: tuple[LeftOut, ...] = _doc("what the snapshot leaves out, and why", default=())

    def again(self) -> Code:
        """The same code for another run, without what was seen of this one."""
        return dataclasses.replace(self, changed_during_run=(), mixed=False, leaked=False, executed=(), read=())


@frozen
class Seeds:
    run: int | None = _doc("the run's seed, 0 to 2^32-1", default=None)
    mode: str = _doc("auto: drawn for the run; given: asked for; none: only observed", default="none")
    python_hash: int | None = _doc("PYTHONHASHSEED that the command got", default=None)
    libraries: Mapping[str, Any] = _mapping(
        "per library: imposed (seeded for the program), own (the program seeded it), unseen (neither was seen)"
    )
    calls: tuple[Mapping[str, Any], ...] = _doc(
        "the program's seeding calls, the first 100: library, function, value", default=()
    )
    calls_seen: int = _doc("how many seeding calls there were", default=0)
    deterministic: bool = _doc("libraries were told to use deterministic algorithms only", default=False)


@frozen
class Best:
    min: float = _doc("smallest value of the curve")
    min_step: int | None = _doc("its step", default=None)
    max: float = _doc("largest value of the curve", default=0.0)
    max_step: int | None = _doc("its step", default=None)


@frozen
class Output:
    """A declared output."""

    hash: str = _doc("algorithm:hex", default="")
    bytes: int = _doc("size", default=0)
    kept: str = _doc("where the bytes are: tree (in the run's tree), store (git-lfs layout), or no", default="no")


@frozen
class WrittenFile:
    """A file that the run wrote and that is not kept."""

    path: str = _doc("relative to the top of the worktree")
    bytes: int = _doc("size", default=0)
    mtime: datetime | None = _doc("time of its last change, UTC", default=None)
    moved_to: str = _doc("where an isolated run's file was moved", default="")


@frozen
class Record:
    """One recorded execution of one command."""

    id: RunId = _doc("run id: UTC start time and eight random hex digits")
    experiment: ExperimentName = _doc("name of the series that the run belongs to")
    status: Status = _doc("queued, running, finished, failed, interrupted, pruned or lost")
    command: tuple[str, ...] = _doc("the command and its arguments, secrets masked", default=())
    directory: str = _doc("where it ran, relative to the top of the worktree", default="")
    stdin: Mapping[str, Any] = _mapping(
        "what standard input was: kind (pipe, of which nothing is kept, or file), and of a file path, bytes and hash; "
        "absent for a terminal or /dev/null"
    )
    started: datetime | None = _doc("UTC; of a queued run, when it was queued", default=None)
    finished: datetime | None = _doc("UTC", default=None)
    seconds: float | None = _doc("wall-clock time of the command, seconds", default=None)
    exit_code: int | None = _doc("exit status of the command; absent when a signal ended it", default=None)
    signal: str = _doc("name of the signal that ended the command, SIGKILL say", default="")
    reason: str = _doc("why a run failed, was interrupted, pruned or lost, in words", default="")
    message: str = _doc("the user's words, from -m", default="")
    attempts: int = _doc("how often a scheduler started the run", default=1)
    rerun_of: str = _doc("run that this one replicates", default="")
    hybrid: Mapping[str, Any] = _mapping("of why --bisect: the second run, and what was taken from it")
    missing: tuple[str, ...] = _doc("parts of the record that could not be captured or stored, in words", default=())
    user: User = _doc("who", default=User())
    process: Process = _doc("where, and at what cost", default=Process())
    scheduler: Scheduler = _doc("the job it was part of", default=Scheduler())
    code: Code = _doc("what code ran", default=Code())
    params: Mapping[str, Any] = _mapping("hyperparameters, typed and nested")
    params_given: tuple[str, ...] = _doc("dotted names that the user gave (the others are defaults)", default=())
    params_null: tuple[str, ...] = _doc("dotted names whose value is None", default=())
    params_unused: Mapping[str, Any] = _mapping("requested with -p, but nothing read them")
    params_source: Mapping[str, str] = _mapping("dotted name to origin: parsed, api, file, command, requested")
    seeds: Seeds = _doc("what the random number generators started from", default=Seeds())
    metrics: Mapping[str, float | int] = _mapping("last value of each metric")
    metrics_best: Mapping[str, Best] = _mapping(
        "extremes of each metric's curve; where one is absent, both are the metric's last value, which has no step"
    )
    metrics_source: Mapping[str, str] = _mapping("metric to origin: api, a tracker, tensorboard, a file, stdout")
    outputs: Mapping[str, Output] = _mapping("declared outputs by path")
    files: tuple[WrittenFile, ...] = _doc("files that the run wrote and that are not kept", default=())
    stages_run: tuple[str, ...] = _doc(
        "stages that were run, or restored, for this run; the others were fresh", default=()
    )
    trackers: Mapping[str, Any] = _mapping("ids and addresses of other trackers' runs")
    runtime: Mapping[str, Any] = _mapping("what the process really loaded; not part of the environment's identity")
    sweep: Mapping[str, Any] = _mapping(
        "the sweep the run belongs to: id, command, space, zip, strategy, strategy_seed, trials, seeds, objectives, "
        "metric, direction, pruner, options, repeat; and the run's own trial, point, point_null"
    )
    verdict: Mapping[str, Any] = _mapping("how a rerun compares with its original")
    extra: Mapping[str, Any] = _mapping("fields of a newer version, kept as they are")


_NESTED: Final[Mapping[str, type]] = {
    "user": User, "process": Process, "scheduler": Scheduler, "code": Code, "seeds": Seeds,
}  # fmt: skip
_ITEMS: Final[Mapping[str, type]] = {
    "code.submodules": Submodule, "code.left_out": LeftOut, "files": WrittenFile,
    "metrics_best": Best, "outputs": Output,
}  # fmt: skip


def to_document(record: Record) -> Document:
    """The record as a TOML document: `format` first, then every field that is not at its default."""
    document: Document = {"format": FORMAT}
    document.update(_plain(record))
    document.update(document.pop("extra", {}))
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_text(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return _text(value)
    if not dataclasses.is_dataclass(value):
        return value
    return {f.name: _plain(item) for f in dataclasses.fields(value) if (item := getattr(value, f.name)) != _default(f)}


def _text(text: str) -> str:
    """Text that TOML can hold: bytes that are not UTF-8 become backslash escapes."""
    if text.isascii():
        return str(text)
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "replace").decode()


def _default(f: dataclasses.Field[Any]) -> Any:
    return f.default if f.default_factory is dataclasses.MISSING else f.default_factory()


def from_document(document: Mapping[str, Any]) -> Record:
    """The inverse of `to_document`; `FormatError` for a newer format or a document that is no record."""
    version = document.get("format")
    if version != FORMAT:
        newer = isinstance(version, int) and version > FORMAT
        raise FormatError(
            f"the record is of format {version}; this version reads format {FORMAT}",
            f"a newer git replicate reads it; this one is in {checkout()}" if newer else "",
        )
    known = {f.name for f in dataclasses.fields(Record)} - {"extra"}
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name in known:
            values[name] = _value(name, value)
    values["extra"] = {k: v for k, v in document.items() if k not in known and k != "format"}
    try:
        values["status"] = Status(values["status"])
        return Record(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"not a run's record: {error}") from error


def _value(path: str, value: Any) -> Any:
    """A plain value as the field's own type, tables of a known shape as their dataclass."""
    if path in _NESTED:
        return _build(_NESTED[path], path, value)
    if path in _ITEMS:
        if isinstance(value, Mapping):
            return {key: _build(_ITEMS[path], path, item) for key, item in value.items()}
        return tuple(_build(_ITEMS[path], path, item) for item in value)
    return tuple(value) if isinstance(value, list) else value


def _build(kind: type, path: str, table: Mapping[str, Any]) -> Any:
    names = {f.name for f in dataclasses.fields(kind)}
    return kind(**{k: _value(f"{path}.{k}", v) for k, v in table.items() if k in names})


def dumps(record: Record) -> bytes:
    """The text of `.replicate/run.toml`; bytes of a command or path that are no UTF-8 become U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", tomli_w.dumps(to_document(record))).encode()


def loads(text: bytes) -> Record:
    """Read `.replicate/run.toml`; `FormatError` if it is not one."""
    try:
        return from_document(tomli.loads(text.decode()))
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"read the record: {error}") from error
