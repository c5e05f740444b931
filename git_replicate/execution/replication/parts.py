"""What differs between two runs, taken apart into the smallest things that can be exchanged.

A part is a file, a hunk of one, a param, a package, a variable or a file of data. Which of them matters is not
decided here, and nothing is run: `hybrids` makes runs that have some parts of one run and the rest of the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from git_replicate.capture.data import CACHE_FILE
from git_replicate.capture.documents import parse_document
from git_replicate.capture.folder_hashes import hash_path
from git_replicate.capture.stat_cache import StatCache
from git_replicate.core.causes import Cause, data_hash, find_causes, written_paths
from git_replicate.core.collate import SEED_NAMES
from git_replicate.core.errors import UserError
from git_replicate.core.hunks import Hunk, apply_hunks, lines_of, parse_hunks, split_hunks
from git_replicate.core.nested import flat
from git_replicate.core.paths import unquote_path
from git_replicate.core.settings import Settings
from git_replicate.core.verdict import Side
from git_replicate.execution.replication.changing import set_params
from git_replicate.execution.replication.sides import changed_files
from git_replicate.git.history import diff_blobs
from git_replicate.git.repository import Mode, Oid, Repository
from git_replicate.git.trees import Leaf, read_path

COMMAND: Final = "params:"
"""Key of the part that is the whole command line, where it does not differ in its params alone."""
_LFS: Final = b"version https://git-lfs.github.com/"
_PYTHON: Final = ("python", "implementation")
_SIBLINGS: Final = 1_000
"""Files of a folder among which the content of another is looked for."""
_MOST_TEXT: Final = 200
"""Characters of a changed line that are shown."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that differs. key: unique among the parts; first and second: the two values as people read them."""

    key: str
    kind: str
    name: str
    first: Any
    second: Any
    score: float = 0.5
    path: bytes = b""
    """Of a file of the snapshots."""
    hunks: tuple[Hunk, ...] = ()
    """Of a file: the pieces meant; none for all of it."""
    fields: tuple[tuple[str, str], ...] = ()
    """Of an environment: tables and keys in `environment.toml` ("" for a key at its top)."""
    sources: tuple[str, str] = ("", "")
    """Of data: where the first and the second content are on this machine, "" if nowhere."""
    place: str = ""
    """Of data: where the command finds it, relative to the top."""

    @property
    def lines(self) -> str:
        """The lines of the second version that are meant, "12" or "12-14"; "" for a whole file."""
        if not self.hunks:
            return ""
        start, stop = self.hunks[0].other_start + 1, self.hunks[-1].other_stop
        return str(start) if stop <= start else f"{start}-{stop}"

    def as_cause(self, *, proved: bool) -> Cause:
        return Cause(self.kind, self.name, self.first, self.second, 1.0 if proved else self.score, proved)


class Parts:
    """All that differs between two runs and can be exchanged."""

    def __init__(self, repo: Repository, first: Side, second: Side, settings: Settings) -> None:
        self.repo = repo
        self.first = first
        self.second = second
        self.settings = settings
        self.trees = (Oid(first.record.code.tree), Oid(second.record.code.tree))
        self._changed = changed_files(repo, first, second)
        causes = find_causes(first, second, [])
        self._scores = {(cause.kind, cause.name): cause.score for cause in causes}
        self.params, self.command_differs = self._params()
        self.lost: list[str] = []
        """Undeclared inputs that differ, and that are here as neither run had them."""
        found = [*self._files(), *self._command(), *self._environment(), *self._data()]
        self.by_key = {part.key: part for part in sorted(found, key=lambda part: (-part.score, part.key))}

    @cached_property
    def groups(self) -> list[list[str]]:
        """The keys of the parts that can be exchanged both ways, a list for each kind, likeliest first."""
        kinds: dict[str, list[str]] = {}
        for part in self.by_key.values():
            if part.key not in self.pinned[0] and part.key not in self.pinned[1]:
                kinds.setdefault(part.kind, []).append(part.key)
        return list(kinds.values())

    @cached_property
    def pinned(self) -> tuple[list[str], list[str]]:
        """The keys of data of which only the first run's content is here, and only the second's."""
        data = [part for part in self.by_key.values() if part.kind == "data" and not part.path]
        gone = [part.name for part in data if not any(part.sources)]
        if gone:
            raise UserError(
                f"neither run's content is here any more: {', '.join(gone)}", "put the data of one of them back"
            )
        return [p.key for p in data if not p.sources[1]], [p.key for p in data if not p.sources[0]]

    def pieces(self, key: str) -> list[str]:
        """The hunks and lines of a text file; none for anything else."""
        part = self.by_key[key]
        if not part.path or part.hunks:
            return []
        found = self._hunk_parts(part, part.kind)
        self.by_key.update({piece.key: piece for piece in found})
        return [piece.key for piece in found]

    def leaf(self, part: Part, chosen: Sequence[Hunk]) -> Leaf | None:
        """What the tree of a hybrid holds at the path of a file: the second's, or the first's with some hunks."""
        entries = [read_path(self.repo, tree, part.path) for tree in self.trees]
        if not part.hunks:
            return Leaf(entries[1].mode, entries[1].oid) if entries[1] else None
        first, second = (lines_of(self.repo.read_blob(entry.oid)) if entry else [] for entry in entries)
        mode = next((entry.mode for entry in entries if entry), Mode.FILE)
        return Leaf(mode, self.repo.write_blob(apply_hunks(first, second, chosen)))

    def _files(self) -> Iterator[Part]:
        causes = find_causes(self.first, self.second, self._changed)
        scores = {cause.name: cause.score for cause in causes if cause.kind == "code"}
        results = {path for side in (self.first, self.second) for path in written_paths(side.record)}
        declared = {*self.first.data, *self.second.data}
        for changed in self._changed:
            name, raw = changed.path, unquote_path(changed.path)
            if name in results:
                continue
            kind = "data" if any(name == d or name.startswith(f"{d.rstrip('/')}/") for d in declared) else "code"
            a, b = (oid[:12] or None for oid in (changed.first, changed.second))
            if a == b:
                a, b = self._modes(raw)
            part = Part(f"{kind}:{name}", kind, name, a, b, scores.get(name, 0.92), path=raw)
            if os.fsdecode(raw) in self.settings.params.files:
                yield from self._hunk_parts(part, "params") or [part]
            else:
                yield part

    def _modes(self, path: bytes) -> list[str]:
        """The modes of a file in both trees, as git writes them."""
        entries = [read_path(self.repo, tree, path) for tree in self.trees]
        return [f"mode {entry.mode:o}" if entry else "" for entry in entries]

    def _hunk_parts(self, part: Part, kind: str) -> list[Part]:
        entries = [read_path(self.repo, tree, part.path) for tree in self.trees]
        modes = {entry.mode if entry else 0 for entry in entries}
        if not modes <= {Mode.FILE, Mode.EXECUTABLE} or len(modes) > 1:
            return []  # of a file that became executable as well, no piece says so
        oids = [entry.oid for entry in entries if entry]
        first, second = (lines_of(self.repo.read_blob(oid)) for oid in oids)
        if any(lines[:1] and lines[0].startswith(_LFS) for lines in (first, second)):
            return []  # a line of the pointer is not a line of the file
        hunks = split_hunks(parse_hunks(diff_blobs(self.repo.layout, oids[0], oids[1])))
        found = []
        for number, hunk in enumerate(hunks, 1):
            name = self._param_of(part, first, second, hunk) if kind == "params" else part.name
            sides = (_text(first[hunk.start : hunk.stop]), _text(second[hunk.other_start : hunk.other_stop]))
            score = 0.95 if kind == "params" else part.score
            found.append(Part(f"{part.key}#{number}", kind, name, *sides, score, part.path, (hunk,)))
        return found

    def _param_of(self, part: Part, first: Sequence[bytes], second: Sequence[bytes], hunk: Hunk) -> str:
        """The param that a piece of a params file changes; the file's name where it is not one."""
        try:
            before, after = (
                flat(parse_document(data, shown=part.name)[0] or {})
                for data in (b"".join(first), apply_hunks(first, second, (hunk,)))
            )
        except (UserError, AttributeError):
            return part.name
        names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
        return names[0] if len(names) == 1 else part.name

    def _params(self) -> tuple[dict[str, tuple[Any, Any]], bool]:
        """The params that the two commands give and that differ; whether the commands differ beyond them."""
        one, two = self.first.record, self.second.record
        a, b = flat(one.params), flat(two.params)
        given = {*one.params_given, *two.params_given}
        given -= {name for name in given if "file" in (one.params_source.get(name), two.params_source.get(name))}
        names = [name for name in sorted(given & {*a, *b}) if a.get(name) != b.get(name)]
        names = [name for name in names if name.rpartition(".")[2] not in SEED_NAMES]
        taken: dict[str, tuple[Any, Any]] = {}
        for name in names:
            if name not in a or name not in b:
                continue
            try:
                set_params(one, {name: b[name]})
                set_params(two, {name: a[name]})
            except UserError:
                continue
            taken[name] = (a[name], b[name])
        seeds = {n: v for n, v in b.items() if n.rpartition(".")[2] in SEED_NAMES and n in a}
        try:
            moved, _ = set_params(one, {**{name: sides[1] for name, sides in taken.items()}, **seeds})
        except UserError:
            return taken, True
        return taken, _words(moved[1:]) != _words(two.command[1:])

    def _command(self) -> Iterator[Part]:
        for name, (a, b) in self.params.items():
            yield Part(f"params:{name}", "params", name, a, b, 0.95)
        if not self.command_differs:
            return
        one, two = self.first.record, self.second.record
        a, b = flat(one.params), flat(two.params)
        given = {*one.params_given, *two.params_given} - {*self.params}
        left = [name for name in sorted(given) if a.get(name) != b.get(name)]
        if len(left) == 1:
            yield Part(COMMAND, "params", left[0], a.get(left[0]), b.get(left[0]), 0.95)
        else:
            yield Part(COMMAND, "params", "command", " ".join(one.command), " ".join(two.command), 0.94)

    def _environment(self) -> Iterator[Part]:
        a, b = self.first.environment, self.second.environment
        for table in ("packages", "conda"):
            before, after = _table(a, table), _table(b, table)
            for name in sorted({*before, *after}):
                changed = [(t, name) for t in _tables(table) if _table(a, t).get(name) != _table(b, t).get(name)]
                if not changed or (table == "conda" and (("packages", name) in changed)):
                    continue
                sides = (before.get(name), after.get(name))
                score = self._scores.get(("environment", name), 0.4)
                yield Part(f"environment:{name}", "environment", name, *sides, score, fields=tuple(changed))
        if any(a.get(key) != b.get(key) for key in _PYTHON):
            fields = tuple(("", key) for key in _PYTHON)
            one, two = (" ".join(str(each.get(key, "")) for key in reversed(_PYTHON)).strip() for each in (a, b))
            yield Part("environment:python", "environment", "python", one, two, 0.6, fields=fields)
        before, after = _table(a, "variables"), _table(b, "variables")
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                where = (("variables", name),)
                sides = (before.get(name), after.get(name))
                yield Part(f"environment:variables.{name}", "environment", f"variables.{name}", *sides, fields=where)

    def _data(self) -> Iterator[Part]:
        tracked = {changed.path for changed in self._changed}
        layout = self.repo.layout
        with StatCache(os.path.join(layout.common_dir, CACHE_FILE)) as cache:
            for name, place, a, b in self._changed_data():
                if name not in tracked:
                    one, two = (find_content(layout.top or "", place, digest, cache) for digest in (a, b))
                    if not one and not two and self._undeclared(name):
                        self.lost.append(name)
                        continue
                    yield Part(f"data:{name}", "data", name, a, b, 0.92, sources=(one, two), place=place)

    def _undeclared(self, name: str) -> bool:
        return bool(self.second.data.get(name, {}).get("undeclared"))

    def _changed_data(self) -> Iterator[tuple[str, str, str | None, str | None]]:
        """Name, path (relative to the top) and both hashes of every file of data, or folder, that differs."""
        for name in sorted(self.first.data.keys() & self.second.data.keys()):
            a, b = self.first.data[name], self.second.data[name]
            if data_hash(a) == data_hash(b):
                continue
            named = self.settings.data.named.get(name)
            path = os.path.expanduser(named.path) if named else os.fsdecode(unquote_path(name))
            before, after = a.get("list"), b.get("list")
            if not isinstance(before, Mapping) or not isinstance(after, Mapping):
                yield name, path, data_hash(a), data_hash(b)
                continue
            for file in sorted({*before, *after}):
                if before.get(file) != after.get(file):
                    place = os.path.join(path, os.fsdecode(unquote_path(file)))
                    yield f"{name.rstrip('/')}/{file}", place, before.get(file), after.get(file)


def find_content(top: str, path: str, digest: str | None, cache: StatCache) -> str:
    """Where content of this hash is: at its path, or beside it under another name if that is in the worktree; or ""."""
    whole = os.path.join(top, os.path.expanduser(path))
    if digest is None:
        return ""
    folder = os.path.dirname(whole)
    names = sorted(os.listdir(folder))[:_SIBLINGS] if os.path.isdir(folder) and not os.path.isabs(path) else []
    beside = [os.path.join(folder, name) for name in names]
    for candidate in dict.fromkeys([whole, *(file for file in beside if os.path.isfile(file))]):
        try:
            if hash_path(os.fsencode(candidate), cache) == digest:
                return candidate
        except OSError:
            continue
    return ""


def _text(lines: Sequence[bytes]) -> str | None:
    """Lines as people read them; None for none."""
    text = " ".join(line.decode(errors="replace").strip() for line in lines)
    return (text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…") if lines else None


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    return value if isinstance(value, Mapping) else {}


def _tables(name: str) -> tuple[str, ...]:
    """The tables that say something of one package."""
    return ("packages", "origins", "conda") if name == "packages" else (name,)


def _words(words: Sequence[str]) -> list[str]:
    """A command's words in a form in which `--a=b` and `--a b` are the same."""
    return [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
