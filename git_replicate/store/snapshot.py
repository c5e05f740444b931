"""The snapshot: the commit that holds exactly the code that runs, and what changed by the time the run ended.

    user's index --copy--> private index --list--> judge --add the chosen--> tree --> commit (child of HEAD)

The private index stays in the caller's scratch folder, so that the scan after the run compares with what was stored.
The commit is a pure function of tree and parent: the same code is the same snapshot on every machine. No ref is
made here, save in submodules and embedded repositories, whose own state must outlive their next `git gc`.

Not listed at the end: ignored files (walking them costs more than all the rest) and what is below a folder that was
left out as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Final

from git_replicate.core.errors import IN_A_BARE_ONE, GitError, RefMovedError, ReplicateError, StorageError, UserError
from git_replicate.core.frozen import frozen
from git_replicate.core.names import RESERVED_FOLDER, RUNS_PREFIX
from git_replicate.core.paths import quote_path, unquote_path
from git_replicate.core.patterns import lazy
from git_replicate.core.record import Code, LeftOut, Submodule, WrittenFile
from git_replicate.core.settings import SnapshotSettings
from git_replicate.git.collecting import await_collection
from git_replicate.git.command import LOCAL_VARIABLES, Git
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Commit, Layout, Oid, RefUpdate, Repository, Signature
from git_replicate.git.scan import Changes, Stored, copy_index, list_again, list_changes, store
from git_replicate.git.trees import without
from git_replicate.store.left_out import ANY, Covers, Judgement, Stamp, hash_large, judge
from git_replicate.store.offers import Offer, make_offers
from git_replicate.store.written import read_written, stamp_time

# These make the commit's id: changing any of them makes the same code another snapshot.
_NAME: Final = "git replicate"
_EMAIL: Final = "git-replicate@localhost"
_MESSAGE: Final = "snapshot of the working tree\n"
_UNBORN_TIME: Final = 1_000_000_000

NESTED_SNAPSHOTS: Final = f"{RUNS_PREFIX}snapshots/"
"""Where a submodule's own repository keeps snapshots; what follows is no run id, so that none is taken for a run."""

_RESERVED: Final = RESERVED_FOLDER.encode()
_STATE_FILE: Final = "snapshot.json"


@frozen
class Snapshot:
    """What ran. Paths are text as in records (see `core.paths`)."""

    commit: Oid
    tree: Oid
    base: Oid | None
    """HEAD's commit; None on an unborn branch."""
    branch: str | None
    """Short name of the branch that HEAD was on; None when detached."""
    dirty: bool
    left_out: tuple[LeftOut, ...] = ()
    filter_failed: tuple[str, ...] = ()
    submodules: tuple[Submodule, ...] = ()
    conflicted: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    """What is left out, as lines for `.gitignore`."""
    warnings: tuple[str, ...] = ()
    """Lines for a person, of what is not as it should be."""

    def code(self) -> Code:
        """What a record says of it."""
        return Code(
            snapshot=self.commit,
            tree=self.tree,
            base=self.base or "",
            branch=self.branch or "",
            dirty=self.dirty,
            filter_failed=self.filter_failed,
            conflicted=self.conflicted,
            submodules=self.submodules,
            left_out=self.left_out,
        )


@frozen
class EndScan:
    """What differs once the run has ended."""

    changed: tuple[str, ...]
    """Files of the snapshot that are no longer as they were."""
    written: tuple[WrittenFile, ...]
    """Files not tracked by git that are new or other than they were."""


@frozen
class _Nested:
    """What the submodules and embedded repositories added to a snapshot."""

    submodules: tuple[Submodule, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    offers: tuple[Offer, ...] = ()
    warnings: tuple[str, ...] = ()
    scratches: Mapping[str, str] = field(default_factory=dict)
    commits: tuple[bytes, ...] = ()


_ATTEMPTS = 4
_VANISHED = lazy(r"unable to (?:write|create|read).*No such file|invalid object|error building trees|no such object")


def take_snapshot(
    repo: Repository,
    settings: SnapshotSettings,
    *,
    scratch: str,
    meanwhile: Callable[[], None] | None = None,
    outputs: Collection[bytes] = (),
) -> Snapshot:
    """Store the working tree as a commit and say what is not in it.

    `scratch` is an existing folder of the caller's own; `scan_end` needs it as it is left. `meanwhile` is called while
    git writes the tree, and again if that has to be done again. `outputs`: files that are being written; those that
    git does not hold are left out. Raises `UserError` in a bare repository, `StorageError` or `GitError` when git
    cannot read or write.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _take(repo, settings, scratch, meanwhile, outputs)
        except (GitError, StorageError) as error:
            # A `git gc --prune=now` also removes what git is just writing.
            if not _VANISHED.search(str(error)):
                raise
            await_collection(repo.layout)
    return _take(repo, settings, scratch, meanwhile, outputs)


def _take(
    repo: Repository, settings: SnapshotSettings, scratch: str, meanwhile: Callable[[], None] | None,
    outputs: Collection[bytes],
) -> Snapshot:  # fmt: skip
    top = _top(repo.layout)
    git = _private_git(repo.layout, scratch)
    copy_index(_user_index(repo.layout), str(git.index))
    changes = list_changes(git, reserved=_RESERVED, plain=_plain_indexes(repo.layout))
    known = {**read_written(repo.layout), **{path: {ANY} for path in outputs}}
    judgement = judge(top, changes.untracked, settings, known)
    left_out = hash_large(top, judgement.left_out, _hash_cache(repo.layout))
    covered = judgement.covers()
    embedded = [path for path in changes.nested if path + b"/." not in covered]
    with _without_git_variables():
        nested = _snapshot_nested(repo, [*changes.gitlinks], embedded, settings, scratch)
    stored = store(git, changes, [*judgement.chosen, *nested.commits], meanwhile=meanwhile)
    base, ref = repo.head()
    base_commit = repo.read_commit(base) if base else None
    own = base_commit is not None and base_commit.tree == stored.tree
    commit = base if own and base else repo.write_commit(snapshot_commit(stored.tree, base, base_commit))
    offered = [entry for entry in left_out if unquote_path(entry.path) not in outputs]
    refused = [LeftOut(quote_path(path), "refused") for path in stored.refused]
    _write_state(scratch, top, judgement, stored, nested.scratches, known)
    return Snapshot(
        commit=commit,
        tree=stored.tree,
        base=base,
        branch=ref.removeprefix("refs/heads/") if ref else None,
        dirty=_differs(repo, base_commit, stored.tree, changes) or any(sub.dirty for sub in nested.submodules),
        left_out=(*left_out, *refused, *nested.left_out),
        filter_failed=tuple(quote_path(path) for path in stored.raw),
        submodules=nested.submodules,
        conflicted=tuple(map(quote_path, changes.conflicted)),
        offers=(*make_offers(repo, stored.tree, offered), *nested.offers),
        warnings=(*_warnings(changes, stored), *nested.warnings),
    )


def snapshot_commit(tree: Oid, parent: Oid | None, parent_commit: Commit | None) -> Commit:
    """The commit of a tree: who, when and why are constants, or the parent's."""
    committer = parent_commit.committer if parent_commit else None
    moment = (committer.time, committer.offset) if committer else (_UNBORN_TIME, 0)
    signature = Signature(_NAME, _EMAIL, *moment)
    return Commit(tree, (parent,) if parent else (), signature, signature, _MESSAGE)


def _top(layout: Layout) -> bytes:
    if layout.top is None:
        raise UserError("this repository is bare: there is no working tree to record", IN_A_BARE_ONE)
    return os.fsencode(layout.top)


def _private_git(layout: Layout, scratch: str) -> Git:
    top = os.fsdecode(_top(layout))
    return Git(top, git_dir=layout.git_dir, work_tree=top, index=os.path.join(scratch, "index"))


def _user_index(layout: Layout) -> str:
    """The index the user works with; `GIT_INDEX_FILE` counts, unless what it names is gone (a hook's, say)."""
    own = os.path.join(layout.git_dir, "index")
    named = os.environ.get("GIT_INDEX_FILE")
    chosen = os.path.join(layout.top or "", named) if named else own
    return chosen if os.path.exists(chosen) else own


def _hash_cache(layout: Layout) -> str:
    folder = os.path.join(layout.common_dir, "replicate")
    return os.path.join(folder, "left-out-hashes")


def _plain_indexes(layout: Layout) -> str:
    return os.path.join(layout.common_dir, "replicate", "plain-indexes")


def _differs(repo: Repository, base: Commit | None, tree: Oid, changes: Changes) -> bool:
    """Whether the snapshot's tree is other than HEAD's; the reserved folder is no difference."""
    if base is None:
        return True
    expected = without(repo, base.tree, _RESERVED) if changes.reserved else base.tree
    return expected != tree


def _warnings(changes: Changes, stored: Stored) -> tuple[str, ...]:
    lines: list[str] = []
    if changes.reserved:
        lines.append(
            f"{RESERVED_FOLDER}/ is tracked, but reserved for records; it is not part of the snapshot: "
            f"git rm -r --cached {RESERVED_FOLDER}"
        )
    if changes.conflicted:
        lines.append(f"recorded with merge conflicts as they are in the files: {_names(changes.conflicted)}")
    if stored.raw:
        lines.append(f"git's filters failed; raw bytes are recorded: {_names(stored.raw)}")
    if stored.refused:
        lines.append(f"git cannot store these; they are not in the snapshot: {_names(stored.refused)}")
    return tuple(lines)


def _names(paths: Sequence[bytes], shown: int = 5) -> str:
    more = f" and {len(paths) - shown} more" if len(paths) > shown else ""
    return ", ".join(map(quote_path, paths[:shown])) + more


# --- repositories inside the repository


def _snapshot_nested(
    repo: Repository, gitlinks: Sequence[bytes], embedded: Sequence[bytes], settings: SnapshotSettings, scratch: str
) -> _Nested:
    """Snapshot every populated submodule and embedded repository that is dirty or not pushed, in its own repository."""
    if not gitlinks and not embedded:
        return _Nested()
    top = _top(repo.layout)
    submodules: list[Submodule] = []
    left_out: list[LeftOut] = []
    offers: list[Offer] = []
    warnings: list[str] = []
    scratches: dict[str, str] = {}
    commits: list[bytes] = []
    for number, path in enumerate([*gitlinks, *embedded]):
        full = os.path.join(top, path)
        if not os.path.lexists(os.path.join(full, b".git")):
            continue
        name = quote_path(path)
        try:
            inner = open_repository(os.fsdecode(full), backend="plumbing")
            if inner.layout.common_dir == repo.layout.common_dir:
                commits += [path] if path in embedded else []  # another worktree of this very repository
                continue
            folder = os.path.join(scratch, f"nested-{number}")
            os.makedirs(folder, exist_ok=True)
            snapshot = take_snapshot(inner, settings, scratch=folder)
            kept = _keep(inner, snapshot)
        except ReplicateError as error:
            warnings.append(f"{name} is a repository of its own that could not be recorded: {error.message}")
            submodules.append(Submodule(name, dirty=True))
            continue
        scratches[name] = folder
        if snapshot.base and path in embedded:
            commits.append(path)
        if kept or path in embedded:
            submodules.append(Submodule(name, snapshot.base or "", snapshot.commit if kept else "", snapshot.dirty))
        submodules += [replace(sub, path=_joined(path, sub.path)) for sub in snapshot.submodules]
        left_out += [replace(entry, path=_joined(path, entry.path)) for entry in snapshot.left_out]
        offers += [replace(o, within=_joined(path, o.within) if o.within else name) for o in snapshot.offers]
        warnings += [f"{name}: {line}" for line in snapshot.warnings]
    return _Nested(tuple(submodules), tuple(left_out), tuple(offers), tuple(warnings), scratches, tuple(commits))


@contextlib.contextmanager
def _without_git_variables() -> Iterator[None]:
    """Hide the variables that name *this* repository (`GIT_DIR`, …) while git looks into others; `-c` settings stay."""
    names = [name for name in LOCAL_VARIABLES if name in os.environ and not name.startswith("GIT_CONFIG")]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _joined(folder: bytes, path: str) -> str:
    return quote_path(folder + b"/" + unquote_path(path))


def _keep(repo: Repository, snapshot: Snapshot) -> bool:
    """Name the snapshot in its repository if nobody else has that code; whether that was needed."""
    if snapshot.commit == snapshot.base and _is_pushed(repo.layout, snapshot.commit):
        return False
    try:
        ref = NESTED_SNAPSHOTS + snapshot.commit
        repo.move_refs([RefUpdate(ref, None, snapshot.commit)], "snapshot of the working tree")
    except RefMovedError:
        return True  # named by an earlier run
    return True


def _is_pushed(layout: Layout, commit: Oid) -> bool:
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir)
    found = git.run("look for pushed commits", "for-each-ref", "--count=1", "--contains", commit, "refs/remotes")
    return bool(found.stdout.strip())


# --- after the run


def _write_state(
    scratch: str, top: bytes, judgement: Judgement, stored: Stored, scratches: Mapping[str, str],
    known: Collection[bytes],
) -> None:  # fmt: skip
    """What the scan after the run must know beyond the private index."""
    odd = {path: stamp for path in (*stored.raw, *stored.refused) if (stamp := Stamp.at(top, path))}
    files = [unquote_path(entry.path) for entry in judgement.left_out if not entry.path.rstrip('"').endswith("/")]
    state = {
        "added": [quote_path(path) for path in judgement.chosen],
        "empty": [quote_path(path) for path in judgement.empty],
        # What runs have written before is theirs again once a run rewrites it, be it with the same content.
        "known": _stamps(
            {path: stamp for path in judgement.chosen if path in known and (stamp := Stamp.at(top, path))}
        ),
        "folders": [entry.path for entry in judgement.left_out if entry.path.rstrip('"').endswith("/")],
        "left_out": _stamps({path: stamp for path in files if (stamp := Stamp.at(top, path))}),
        "odd": _stamps(odd),
        "nested": dict(scratches),
    }
    with open(os.path.join(scratch, _STATE_FILE), "w", encoding="utf-8") as file:
        json.dump(state, file)


def _stamps(stamps: Mapping[bytes, Stamp]) -> dict[str, list[int]]:
    return {quote_path(path): [stamp.size, stamp.mtime_us] for path, stamp in stamps.items()}


def _read_stamps(table: Mapping[str, Sequence[int]]) -> dict[bytes, Stamp]:
    return {unquote_path(path): Stamp(*numbers) for path, numbers in table.items()}


def scan_end(
    repo: Repository, snapshot: Snapshot, *, scratch: str, meanwhile: Callable[[], None] | None = None
) -> EndScan:
    """Compare the working tree with the snapshot taken with this `scratch`; stores no object.

    `snapshot` is that snapshot; a scratch of another one is an error of the caller. `meanwhile` is called while git
    looks.
    """
    with open(os.path.join(scratch, _STATE_FILE), encoding="utf-8") as file:
        state: dict[str, Any] = json.load(file)
    top = _top(repo.layout)
    changed, untracked = list_again(_private_git(repo.layout, scratch), meanwhile=meanwhile)
    odd, before = _read_stamps(state["odd"]), _read_stamps(state["left_out"])
    changed = tuple(path for path in changed if path not in odd or odd[path] != Stamp.at(top, path))
    added = frozenset(map(unquote_path, state["added"]))
    folders = Covers(map(unquote_path, state["folders"]))
    written = _written(top, [path for path in changed if path in added], {})
    known = _read_stamps(state.get("known", {}))
    written += _written(top, known.keys() - set(changed), known)
    new = (path for path in untracked if not path.endswith(b"/") and path not in folders and path not in odd)
    written += _written(top, (path for path in new if not path.startswith(_RESERVED + b"/")), before)
    # A file that git does not hold, that was empty, and that something is written into, is a result (`| tee log`).
    empty = frozenset(unquote_path(name) for name in state.get("empty", ()) if not name.rstrip('"').endswith(".py"))
    names = [quote_path(path) for path in changed if not (path in empty and Stamp.at(top, path))]
    for name, folder in state["nested"].items():
        path = unquote_path(name)
        with _without_git_variables():
            inner_repo = open_repository(os.fsdecode(os.path.join(top, path)), backend="plumbing")
            inner = scan_end(inner_repo, snapshot, scratch=folder)
        names += [_joined(path, item) for item in inner.changed]
        written += [replace(item, path=_joined(path, item.path)) for item in inner.written]
    return EndScan(tuple(sorted(names)), tuple(sorted(written, key=lambda item: item.path)))


def _written(top: bytes, paths: Iterable[bytes], before: Mapping[bytes, Stamp]) -> list[WrittenFile]:
    """Those of the paths that exist and are not as they were before."""
    found = ((path, Stamp.at(top, path)) for path in paths)
    return [
        WrittenFile(quote_path(path), stamp.size, stamp_time(stamp))
        for path, stamp in found
        if stamp and before.get(path) != stamp
    ]
