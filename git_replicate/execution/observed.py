"""What the probes saw of files, put into a run's record: code that was executed, and data nobody declared.

Asked when the run has ended. It hashes within limits, starts no process but git, and changes nothing.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Final

import tomli
import tomli_w

from git_replicate.capture.environment import packages
from git_replicate.capture.environment.copies import InstalledCopy, copies_in
from git_replicate.capture.environment.extern import collect_extern
from git_replicate.capture.environment.python import describe, package_folders
from git_replicate.capture.executed import (
    MOST_LISTED,
    code_beside,
    code_executed,
    imported_distributions,
    installed_in,
)
from git_replicate.capture.grouping import folders_above, group_files
from git_replicate.capture.hashing import files_below
from git_replicate.capture.inside import Inside
from git_replicate.capture.opened import MOST_IN_FOLDER, Read
from git_replicate.capture.probe_report import ProbeReport
from git_replicate.capture.program import is_python, layers, may_start_anything
from git_replicate.capture.result_folders import folders_of_results
from git_replicate.capture.seen_files import SeenFiles, data_read, read_seen_files
from git_replicate.capture.undeclared import capture_undeclared
from git_replicate.core.errors import GitError
from git_replicate.core.frozen import frozen
from git_replicate.core.paths import quote_path
from git_replicate.core.record import Record
from git_replicate.core.sizes import count
from git_replicate.execution.plan import Plan, started_at
from git_replicate.git.repository import Mode, Oid, Repository, TreeEntry

_GENERATED: Final = re.compile(r"/(?:\.cache|\.triton|\.nv|torchinductor_[^/]*|ipykernel_\d+|_remote_module_[^/]*)/")
"""Folders of code that a compiler or a kernel has written, and writes again."""

_MOST_SECONDS: Final = 1.0
"""How long the files of a folder are looked for in a snapshot."""


@frozen
class ObservedCode:
    """The record with what code ran, the files of it to keep beside, warnings, and what could not be kept."""

    record: Record
    extern: Mapping[str, bytes] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


class SnapshotFiles:
    """What a run's snapshot holds, asked by path relative to the top; folders that were read are remembered."""

    def __init__(self, repo: Repository, tree: str) -> None:
        self._repo = repo
        self._trees: dict[bytes, dict[bytes, TreeEntry]] = {}
        self._tree = Oid(tree) if tree else None

    def entry(self, path: bytes) -> TreeEntry | None:
        folder, _, name = path.rpartition(b"/")
        return self._folder(folder).get(name)

    def _folder(self, path: bytes) -> dict[bytes, TreeEntry]:
        if path not in self._trees:
            found = self.entry(path) if path else None
            oid = self._tree if not path else found.oid if found is not None and found.mode == Mode.TREE else None
            self._trees[path] = {entry.name: entry for entry in self._repo.read_tree(oid)} if oid else {}
        return self._trees[path]

    def has(self, path: str) -> bool:
        """Whether it holds the file or folder."""
        return self.entry(os.fsencode(path)) is not None

    def has_all_of(self, top: str, folder: str, since: float) -> bool:
        """Whether it holds every file of a folder below `top`, but for hidden ones, bytecode and those since then."""
        if not self.has(folder):
            return False
        try:
            files = files_below(os.fsencode(os.path.join(top, folder)), time.monotonic() + _MOST_SECONDS)
        except OSError:  # it has gone, or there is far more in it than in a snapshot
            return False
        for file in files:
            name = os.fsdecode(file.name)
            passed = name.endswith(".pyc") or any(part.startswith(".") for part in name.split("/"))
            if not passed and file.status.st_mtime < since and not self.has(f"{folder}/{name}"):
                return False
        return True

    def content(self, path: str) -> bytes | None:
        """What a file has there; None for what is no file of it."""
        entry = self.entry(os.fsencode(path))
        return None if entry is None or entry.mode in (Mode.TREE, Mode.GITLINK) else self._repo.read_blob(entry.oid)

    def holds_as_it_is(self, top: str, path: str) -> bool:
        """Whether the file below `top` has the content that it has in the snapshot."""
        entry = self.entry(os.fsencode(path))
        try:
            with open(os.path.join(top, path), "rb") as file:
                return entry is not None and self._repo.read_blob(entry.oid) == file.read()
        except OSError:
            return False


def observe_code(repo: Repository, record: Record, plan: Plan, seen: SeenFiles, *, scanned: bool) -> ObservedCode:
    """Which code ran. scanned: whether `changed_during_run` is known, else contents are compared."""
    snapshot = SnapshotFiles(repo, record.code.tree)
    changed = set(record.code.changed_during_run)
    found = code_executed(
        seen,
        top=plan.top,
        since=started_at(record, plan),
        origin=plan.origin,
        in_snapshot=snapshot.has,
        same_as_snapshot=lambda path: path not in changed if scanned else snapshot.holds_as_it_is(plan.top, path),
    )
    warnings = []
    leaked = sorted({*found.leaked, *_read_from_worktree(seen, plan, snapshot)})
    if leaked:
        listed = ", ".join(leaked[:5])
        ignored = next((path for path in leaked if not snapshot.has(path)), "")
        hint = f'; what no commit has can be linked: replicate.toml, [isolated] link = ["{ignored}"]' if ignored else ""
        warnings.append(f"files of your own worktree were read instead of the checkout's: {listed}{hint}")
    if found.mixed:
        listed = ", ".join(found.mixed[:5])
        warnings.append(f"loaded after it had been changed, so the run mixes two versions of the code: {listed}")
    copied = _other_copies(seen, plan, snapshot)
    warnings += copied
    code = replace(
        record.code,
        executed=tuple(sorted({*record.code.executed, *found.inside})),
        mixed=record.code.mixed or bool(found.mixed or copied),
        leaked=record.code.leaked or bool(leaked),
    )
    imported = {*record.runtime.get("imported", ()), *imported_distributions(seen.modules, plan.top)}
    runtime = {**record.runtime, "imported": sorted(imported)} if imported else record.runtime
    kept = [path for path in found.outside if not _GENERATED.search(path)]
    record = replace(record, code=code, runtime=runtime)
    notices = [f"code.executed: more was run than is listed, by {count(found.cut, 'file')}"] if found.cut else []
    try:
        extern = collect_extern(kept, plan.top, seen.prefixes)
    except (GitError, OSError) as error:
        notices.append(f"imported code from elsewhere is not kept: {error}")
        return ObservedCode(record, {}, tuple(warnings), tuple(notices))
    return ObservedCode(record, extern.files, tuple(warnings), (*notices, *extern.notices))


def _other_copies(seen: SeenFiles, plan: Plan, snapshot: SnapshotFiles) -> list[str]:
    """In words, the installed copies of the worktree's code that the run imported and that are not the snapshot's."""
    origins = tomli.loads(plan.environment).get("origins", {}) if "origins" in plan.environment else {}
    said = []
    for copy in copies_in(installed_in(seen.modules), origins):
        imported = {os.path.relpath(path, copy.site).split(os.sep)[0] for path in seen.modules.values() if path}
        if not any(file.split("/")[0] in imported for file in copy.files):
            continue
        differ = [source for file in copy.files if (source := _other_source(copy, file, snapshot))]
        if differ:
            more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
            where = f"./{copy.folder}" if copy.folder != "." else "."
            said.append(
                f"{copy.name} is installed from this repository, as a copy, and that ran: the worktree has another "
                f"{', '.join(differ[:3])}{more}; to have them agree: pip install -e {where}"
            )
    return said


def _other_source(copy: InstalledCopy, file: str, snapshot: SnapshotFiles) -> str:
    """The file of the snapshot that an installed one was copied from, if it is not the same now."""
    for source in copy.sources(file):
        content = snapshot.content(source)
        if content is not None:
            try:
                with open(os.path.join(copy.site, file), "rb") as installed:
                    return "" if installed.read() == content else source
            except OSError:
                return source
    return ""


class _Places:
    """Paths as they lie in the run's checkout, and in the user's worktree that it is a checkout of, if it is one."""

    def __init__(self, plan: Plan) -> None:
        self._top = plan.top
        self._in_top = Inside(plan.top)
        self._in_origin = Inside(plan.origin) if plan.origin else None

    def in_checkout(self, path: str) -> str | None:
        """Relative to where the run ran; None if it is not below it."""
        return self._in_top.path(path)

    def in_worktree(self, path: str) -> str | None:
        """Relative to the user's worktree, for a run in a checkout of it."""
        return self._in_origin.path(path) if self._in_origin else None

    def as_in_checkout(self, path: str) -> str:
        """The path of a file of the worktree as that of the checkout, where the same lies there: a record names one."""
        inner = self.in_worktree(path) if self._in_origin and self.in_checkout(path) is None else None
        inside = os.path.join(self._top, inner) if inner else path
        return inside if inner and os.path.realpath(inside) == os.path.realpath(path) else path


def _read_from_worktree(seen: SeenFiles, plan: Plan, snapshot: SnapshotFiles) -> list[str]:
    """Files that a run in a checkout read from the user's worktree, where those are not what the snapshot has."""
    if not plan.origin:
        return []
    places = _Places(plan)
    found = {places.in_worktree(path) for path in seen.reads if places.in_checkout(path) is None}
    return [
        path for path in found if path and snapshot.has(path) and not snapshot.holds_as_it_is(plan.origin, path)
    ]  # fmt: skip


@frozen
class FilesRead:
    """What a run read, but for code: paths of its snapshot, relative to the top and quoted, and what none holds."""

    tracked: tuple[str, ...]
    others: tuple[Read, ...]
    notices: tuple[str, ...] = ()

    def in_record(self, record: Record) -> Record:
        return replace(record, code=replace(record.code, read=tuple(sorted({*record.code.read, *self.tracked}))))


def files_read(repo: Repository, record: Record, plan: Plan, seen: SeenFiles) -> FilesRead:
    """Tell what the run read of its snapshot from the rest; a folder with too many files stands for them."""
    snapshot = SnapshotFiles(repo, record.code.tree)
    places, in_common = _Places(plan), Inside(repo.layout.common_dir)
    since = started_at(record, plan)
    tracked: list[str] = []
    others: list[Read] = []
    for read in data_read(seen, since, plan.top):
        path = places.as_in_checkout(read.path)
        inner = places.in_checkout(path)
        own = places.in_worktree(path) if inner is None else inner
        if own and read.path in seen.folders:
            is_tracked = snapshot.has_all_of(plan.top if inner else plan.origin, own, since)
        else:
            is_tracked = bool(own) and snapshot.has(own or "")
        if is_tracked and inner:
            tracked.append(path)
        elif not is_tracked and (inner is not None or in_common.path(path) is None):
            others.append(replace(read, path=path))
    grouped = group_files(tracked, MOST_IN_FOLDER, folders_above(plan.top))
    listed = [quote_path(os.fsencode(os.path.relpath(path, plan.top))) for path in grouped]
    more = len(listed) - MOST_LISTED
    notices = (f"code.read: more was read than is listed, by {count(more, 'file')}",) if more > 0 else ()
    return FilesRead(tuple(listed[:MOST_LISTED]), tuple(others), notices)


def with_folders(repo: Repository, record: Record, plan: Plan, seen: SeenFiles) -> Record:
    """The record with the folders that the run wrote into, did not make, and the snapshot does not hold.

    Of a run in a checkout, also those that are in the user's worktree alone: writing into them failed.
    """
    if "/" in seen.made:  # too many were made for all of them to be known
        return record
    snapshot, places = SnapshotFiles(repo, record.code.tree), _Places(plan)
    found = set(record.code.folders)
    for folder in {os.path.dirname(path) for path in (*seen.written, *seen.made)}:
        inner = places.in_checkout(f"{folder}/")
        for path in folders_of_results([inner] if inner else [], plan.origin or plan.top):
            if os.path.join(plan.top, path) in seen.made:
                break
            if not snapshot.has(path):
                found.add(quote_path(os.fsencode(path)))
    return replace(record, code=replace(record.code, folders=tuple(sorted(found)[:MOST_LISTED])))


def observe_data(repo: Repository, record: Record, plan: Plan, seen: SeenFiles, read: FilesRead) -> bytes:
    """The text of `data.toml` with what was read and not declared; the plan's own if there is nothing to add."""
    snapshot = SnapshotFiles(repo, record.code.tree)
    common = repo.layout.common_dir
    declared = [os.path.join(plan.top, path) for path in plan.inputs]
    known = {os.path.normpath(path) for path in declared}
    known |= {os.path.realpath(path) for path in known}
    code = code_beside(seen, top=plan.top, since=started_at(record, plan), in_snapshot=snapshot.has)
    code = [each for each in code if not _GENERATED.search(each.path)]
    entries = {}
    if read.others or code:
        entries = capture_undeclared(read.others, top=plan.top, common_dir=common, known=known, code=code)
    if not entries and not seen.unseen:
        return plan.data.encode()
    document: dict[str, Any] = tomli.loads(plan.data)
    if entries:
        document["data"] = dict(sorted({**entries, **document.get("data", {})}.items()))
    if seen.unseen:
        document["inputs_complete"] = False
    return tomli_w.dumps(document).encode()


def without_report(record: Record, plan: Plan, report: ProbeReport) -> str:
    """In words, that the command is Python and no probe was in it; empty if that is not so."""
    if report.processes or not plan.probe or plan.session:
        return ""
    if not any(is_python(words[0]) for words in layers(record.command)):
        return ""
    unknown = "; whether it read files of your own worktree is not known" if plan.origin else ""
    return (
        f"no probe in the command's Python (started with -I, -E or -S, or older than 3.8): params are guesses{unknown}"
    )


def other_environment(record: Record, plan: Plan, report: ProbeReport) -> str:
    """In words, that a shell or another program started a Python with other packages than are recorded; else empty.

    A command that names its Python is not looked at: that is the one described.
    """
    main = report.main[0] if report.main else None
    if main is None or plan.session or any(is_python(words[0]) for words in layers(record.command)):
        return ""
    directory = os.path.join(plan.top, record.directory)
    found = describe(str(main.facts.get("executable", "")), directory, os.environ)
    if found is None:
        return ""
    versions, _ = packages.capture(package_folders(found, directory, os.environ))
    recorded = tomli.loads(plan.environment)
    if recorded.get("python") == found.version and recorded.get("packages", {}) == versions:
        return ""
    described = f"Python {recorded['python']} as on PATH" if "python" in recorded else "no Python"
    return (
        f"the environment recorded is of {described}, but the program ran in another (Python {found.version},"
        f" {len(versions)} packages): activate it before `git replicate start`"
    )


def read_seen(report: ProbeReport, record: Record) -> tuple[SeenFiles, Record]:
    """What was seen of files, and the record with what may have been read unseen."""
    seen = read_seen_files(report)
    inner = layers(record.command)
    if report.processes and inner and may_start_anything(inner[-1][0]):
        seen.unseen.append(f"program {os.path.basename(inner[-1][0])}")
    if seen.unseen:
        record = replace(record, runtime={**record.runtime, "unseen_readers": seen.unseen})
    return seen, record
