"""Runs that are one run with some parts of another: put together, run in a checkout, and recorded.

A hybrid is recorded as a rerun of the first run; its record names the second and a key, by which an interrupted
search finds the hybrids it has made already. Nothing is judged here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from git_replicate.core.bisection import FIRST, SECOND, Result
from git_replicate.core.collate import SEED_NAMES
from git_replicate.core.errors import ReplicateError, UserError
from git_replicate.core.hunks import Hunk
from git_replicate.core.nested import flat
from git_replicate.core.paths import quote_path
from git_replicate.core.record import Code, Record, Seeds, Status
from git_replicate.core.verdict import Side
from git_replicate.execution.environment import clean_environment
from git_replicate.execution.isolation import Worktree, reuse, worktree
from git_replicate.execution.place import Place
from git_replicate.execution.replication.changing import set_params
from git_replicate.execution.replication.parts import COMMAND, Part, Parts
from git_replicate.execution.replication.replay import EnvironmentChoice, Setup, replay
from git_replicate.execution.replication.sides import read_side
from git_replicate.git.repository import Oid, Repository
from git_replicate.git.trees import Leaf, edit_tree
from git_replicate.store.snapshot import snapshot_commit
from git_replicate.store.store import list_runs

_PYTHON_KINDS: Final = ("pip", "conda")
_IMPOSSIBLE: Final = "impossible"


@dataclass(frozen=True, slots=True)
class Hybrid:
    """One trial that was made: what it took from the second run, and what came of it."""

    parts: tuple[Part, ...]
    seed: str
    run: str
    result: Result
    reused: bool


class Hybrids:
    """Makes the hybrids of two runs, each at most once; a context that holds their checkout."""

    def __init__(
        self,
        place: Place,
        parts: Parts,
        *,
        metric: str,
        known: Mapping[str, Record],
        environment: EnvironmentChoice = "current",
        tell: Callable[[Hybrid], None],
    ) -> None:
        self.place = place
        self.parts = parts
        self.metric = metric
        self.made: list[Hybrid] = []
        self._known = known
        self._environment_choice = environment
        self._tell = tell
        self._results: dict[str, Result] = {}
        self._stack = contextlib.ExitStack()
        self._held: Worktree | None = None
        self._present = self._present_environments()

    def __enter__(self) -> Hybrids:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def measure(self, chosen: frozenset[str], seed: str, repetition: int) -> Result:
        """The result of the first run with these parts of the second; `UserError` if one of the two cannot be run."""
        seed = self._named(seed)
        key = self._key(chosen, seed, repetition)
        if key in self._results:
            return self._results[key]
        taken = {*chosen, *self.parts.pinned[1]}
        parts = tuple(part for name, part in self.parts.by_key.items() if name in taken)
        record = self._known.get(key)
        run = f"{record.experiment}/{record.id}" if record else ""
        if record is not None:
            result = self._result(record)
        else:
            try:
                record = self._run(parts, seed, key)
                result, run = self._result(record), f"{record.experiment}/{record.id}"
            except UserError as error:
                if not chosen or len(chosen) == sum(map(len, self.parts.groups)):
                    raise
                result = Result(f"{_IMPOSSIBLE}: {error.message}")
        self._results[key] = result
        self.made.append(Hybrid(parts, seed, run, result, key in self._known))
        self._tell(self.made[-1])
        return result

    def _named(self, seed: str) -> str:
        """The seeds by their first name: those of the second run may be the first's."""
        one, two = self.parts.first.record.seeds, self.parts.second.record.seeds
        same = one.run == two.run and self._seed_params(FIRST) == self._seed_params(SECOND)
        return FIRST if same and seed == SECOND else seed

    def _key(self, chosen: frozenset[str], seed: str, repetition: int) -> str:
        one, two = self.parts.first.record, self.parts.second.record
        present = [document for _, document in self._present]
        data = [sorted([p.key, *map(bool, p.sources)] for p in self.parts.by_key.values() if p.place), self.parts.lost]
        text = json.dumps([one.id, two.id, sorted(chosen), seed, repetition, present, data], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def _run(self, parts: Sequence[Part], seed: str, key: str) -> Record:
        """Make one hybrid run; its record as stored."""
        first = self.parts.first
        code = self._code(parts)
        commit = Oid(code.snapshot)
        if self._held is None:
            self._held = self._stack.enter_context(worktree(self.place.repository.layout, commit, code))
        else:
            reuse(self._held, commit, code)
        quiet = replace(self.place, say=lambda line: None, warn=lambda line: None)
        record = replay(first, quiet, self._held, code, self._setup(parts, seed, key)).record
        if record.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        if record.code.leaked:
            raise ReplicateError(
                f"run {record.id} read files of your own worktree instead of the checkout's: nothing can be proved",
                f"which files: git replicate show {record.id}",
            )
        return record

    def _code(self, parts: Sequence[Part]) -> Code:
        """The first run's code with some files, or pieces of files, as the second has them."""
        repo, record = self.place.repository, self.parts.first.record
        pieces: dict[bytes, list[Hunk]] = {}
        for part in parts:
            if part.path:
                pieces.setdefault(part.path, []).extend(part.hunks)
        files = {part.path: part for part in parts if part.path}
        changes: dict[bytes, Leaf | None] = {
            path: self.parts.leaf(part, pieces[path]) for path, part in files.items()
        }  # fmt: skip
        second = {sub.path: sub for sub in self.parts.second.record.code.submodules}
        names = {quote_path(path) for path in files}
        subs = [sub for sub in record.code.submodules if sub.path not in names]
        subs += [sub for path, sub in second.items() if path in names]
        code = replace(record.code.again(), submodules=tuple(subs))
        if not changes:
            return code
        tree = edit_tree(repo, Oid(record.code.tree), changes)
        base = Oid(record.code.base) if record.code.base and repo.exists(Oid(record.code.base)) else None
        commit = repo.write_commit(snapshot_commit(tree, base, repo.read_commit(base) if base else None))
        repo.sync([commit])
        return replace(code, snapshot=commit, tree=tree, dirty=True)

    def _setup(self, parts: Sequence[Part], seed: str, key: str) -> Setup:
        names = {part.key for part in parts}
        command, delivered = self._command(names, seed)
        document = self._environment(parts)
        program, choice = self._interpreter(document)
        if program and command:
            command = (program, *command[1:])
        second = self.parts.second.record
        name = f"{second.experiment}/{second.id}"
        return Setup(
            command, self._seeds(seed), delivered, choice, recorded=document,
            variables=self._variables(names), sources=self._sources(names), data=self._expected_data(names),
            message=f"why --bisect: {describe_parts(parts, seed, second=name)}",
            hybrid={"second": name, "parts": sorted(names), "key": key},
        )  # fmt: skip

    def _command(self, names: set[str], seed: str) -> tuple[tuple[str, ...], dict[str, Any]]:
        base = self.parts.second.record if COMMAND in names else self.parts.first.record
        known = flat(base.params)
        wanted = {n: sides[f"params:{n}" in names] for n, sides in self.parts.params.items()}
        wanted |= self._seed_params(seed)
        changed = {name: value for name, value in wanted.items() if known.get(name) != value}
        command, delivered = set_params(base, changed) if changed else (base.command, {})
        return (self.parts.first.record.command[0], *command[1:]) if command else (), delivered

    def _seed_params(self, seed: str) -> dict[str, Any]:
        """The params that are the seed, by the names that the command gives."""
        a, b = (flat(side.record.params) for side in (self.parts.first, self.parts.second))
        given = {*self.parts.first.record.params_given} & {*a} & {*b}
        names = [name for name in sorted(given) if name.rpartition(".")[2] in SEED_NAMES]
        if seed in (FIRST, SECOND):
            return {name: (a if seed == FIRST else b)[name] for name in names}
        return {name: self._fresh(seed) >> 1 for name in names}

    def _seeds(self, seed: str) -> Seeds:
        if seed in (FIRST, SECOND):
            return (self.parts.first if seed == FIRST else self.parts.second).record.seeds
        fresh = self._fresh(seed)
        return Seeds(run=fresh, mode="given", python_hash=fresh)

    def _fresh(self, seed: str) -> int:
        """A seed that is the same for the same two runs, so that an interrupted search can go on."""
        text = f"{self.parts.first.record.id} {self.parts.second.record.id} {seed}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def _environment(self, parts: Sequence[Part]) -> dict[str, Any]:
        """The first run's environment with some packages as in the second."""
        document = {key: dict(v) if isinstance(v, Mapping) else v for key, v in self.parts.first.environment.items()}
        for table, key in (field for part in parts for field in part.fields):
            source = self.parts.second.environment
            inner = source.get(table, {}) if table else source
            target = document.setdefault(table, {}) if table else document
            if key in inner:
                target[key] = inner[key]
            else:
                target.pop(key, None)
        return {key: value for key, value in document.items() if value != {}}

    def _interpreter(self, document: Mapping[str, Any]) -> tuple[str, EnvironmentChoice]:
        """The program to use and whether an environment has to be built: not where one that is here is the same."""
        for program, present in self._present:
            if not _python_differences(document, present):
                return program, "unchecked"
        if self._environment_choice == "recorded" or any(part.fields for part in self._exchangeable()):
            return "", "recorded"
        return "", "unchecked"

    def _exchangeable(self) -> list[Part]:
        return [p for p in self.parts.by_key.values() if any(table != "variables" for table, _ in p.fields)]

    def _present_environments(self) -> list[tuple[str, dict[str, Any]]]:
        """What the programs of the two commands have here now: the program and its environment."""
        import tomli

        from git_replicate.capture.environment import capture_environment

        settings, top = self.place.settings.environment, self.place.repository.layout.top or ""
        environ = clean_environment(os.environ)
        found: list[tuple[str, dict[str, Any]]] = []
        for side in (self.parts.first, self.parts.second):
            command = side.record.command
            directory = os.path.join(top, side.record.directory)
            if command and command[0] not in [program for program, _ in found]:
                here = directory if os.path.isdir(directory) else top
                text, _ = capture_environment(command, here, environ, settings, top)
                found.append((command[0], tomli.loads(text.decode())))
        return found

    def present_differences(self) -> list[str]:
        """What of the present environment is not as the first run had it, and no hybrid restores."""
        from git_replicate.capture.environment import differences

        present = self._present[0][1] if self._present else {}
        exchanged = {field for part in self._exchangeable() for field in part.fields}
        return [] if exchanged else [str(each) for each in differences(self.parts.first.environment, present)]

    def _variables(self, names: set[str]) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for part in self.parts.by_key.values():
            for table, key in part.fields:
                if table == "variables":
                    value = part.second if part.key in names else part.first
                    found[key] = None if value is None else str(value)
        return found

    def _sources(self, names: set[str]) -> dict[str, str]:
        found = {}
        for part in self.parts.by_key.values():
            if part.kind == "data" and part.place and not os.path.isabs(part.place):
                second = part.key in names or part.key in self.parts.pinned[1]
                found[part.place] = part.sources[second]
        return found

    def _expected_data(self, names: set[str]) -> dict[str, Any]:
        """The data that the hybrid is to find, as far as it is all of one run."""
        expected: dict[str, Any] = {}
        seconds = {*names, *self.parts.pinned[1]}
        for name, entry in self.parts.first.data.items():
            inner = f"data:{name.rstrip('/')}"
            own = [k for k in self.parts.by_key if k == inner or k.startswith(f"{inner}/")]
            chosen = [key for key in own if key in seconds or any(n.startswith(f"{key}#") for n in seconds)]
            if not chosen:
                expected[name] = entry
            elif {*own} <= seconds and name in self.parts.second.data:
                expected[name] = self.parts.second.data[name]
        return expected

    def _result(self, record: Record) -> Result:
        return result_of(self.place.repository, record, self.metric)


def result_of(repo: Repository, record: Record, metric: str, side: Side | None = None) -> Result:
    """What a recorded run came to: the metric or, without one, a mark of its outputs or of what it printed."""
    ending = "finished" if record.exit_code == 0 else f"failed with exit {record.exit_code}"
    if record.signal:
        ending = f"ended by {record.signal}"
    if metric:
        value = record.metrics.get(metric)
        return Result(ending, math.nan if value is not None and value != value else value)
    if record.metrics or record.outputs:
        facts = [sorted(record.metrics.items()), sorted((path, each.hash) for path, each in record.outputs.items())]
        return Result(ending, mark=repr(facts))
    if side is None:
        ref = next((run for run in list_runs(repo) if run.id == record.id), None)
        side = read_side(repo, ref.commit) if ref else None
    lines = sorted((side.log if side else b"").splitlines())
    return Result(ending, mark=hashlib.sha256(b"\n".join(lines)).hexdigest())


def _python_differences(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    from git_replicate.capture.environment import differences

    return [str(each) for each in differences(recorded, present) if each.kind in _PYTHON_KINDS]


def describe_parts(parts: Sequence[Part], seed: str, *, second: str) -> str:
    """What a hybrid has of the second run (called as said), in a line."""
    kinds: dict[str, list[Part]] = {}
    for part in parts:
        kinds.setdefault(part.kind, []).append(part)
    words = []
    for kind, some in kinds.items():
        names = list(dict.fromkeys(part.name + (f":{part.lines}" if part.lines else "") for part in some))
        words.append(f"{kind} {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else ""))
    if seed == SECOND:
        words.append("seeds")
    told = f"with {', '.join(words)} of {second}" if words else "again"
    return told if seed in (FIRST, SECOND) else f"{told}, fresh seed {seed}"
