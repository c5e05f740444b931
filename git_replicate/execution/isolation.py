"""Runs in a checkout of their snapshot: made, furnished with data, cleaned, and found again after a crash.

A checkout lies under `replicate/worktrees` of the common git directory. Whoever uses it holds a lock on it, which
the process that holds the command shares: once both have gone, anybody may sweep it. What a run left there and no
record keeps is moved to `replicate/files/<run id>`, never deleted; compiled Python and links of ours are not results.

Not promised: a program that writes into linked data writes into the user's own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from git_replicate.capture import machine
from git_replicate.core.errors import ReplicateError
from git_replicate.core.paths import quote_path
from git_replicate.core.record import Code, WrittenFile
from git_replicate.execution.site import FILES_FOLDER, Site
from git_replicate.execution.spool import spool_root
from git_replicate.git.checkout import (
    Checkout,
    Differences,
    added_files,
    clean,
    create_checkout,
    differences,
    gitlinks,
    head_of,
    lend,
    nested_layout,
    remove_tree,
    switch,
)  # fmt: skip
from git_replicate.git.opening import repository_at, state_dir
from git_replicate.git.repository import Layout, Oid

_OWNER = "owner.json"
_FOREIGN_SECONDS = 86400.0


@dataclass(slots=True)
class Worktree:
    """A checkout that this process holds; one run after another may use it."""

    checkout: Checkout
    origin: Layout
    lock: int
    smudge: bool = True
    nested: bool = False
    """Whether submodules are in it."""

    @property
    def top(self) -> str:
        return self.checkout.top

    def note_run(self, run: str) -> None:
        """Say which run is about to use the checkout."""
        _write_owner(self.checkout.folder, run)


@contextlib.contextmanager
def worktree(origin: Layout, commit: Oid, code: Code, *, smudge: bool = True, name: str = "") -> Iterator[Worktree]:
    """A checkout of a commit for as long as the block lasts; others that nobody holds any more are swept first.

    name: what to call its folder, if that is free.
    """
    root = os.path.join(state_dir(origin), "worktrees")
    os.makedirs(root, exist_ok=True)
    sweep_worktrees(origin)
    folder, lock = _new_folder(root, name)
    _write_owner(folder, "")
    try:
        checkout = create_checkout(origin, folder, commit, smudge=smudge)
        found = Worktree(checkout, origin, lock, smudge)
        _submodules(found, code)
        yield found
    finally:
        if not _run_waits(origin, folder):
            settle(origin, folder)
            remove_tree(folder)
        os.close(lock)


def _new_folder(root: str, name: str) -> tuple[str, int]:
    """A folder and the lock on it; a sweep that comes between the two takes the folder for an abandoned one.

    Where the file system has no locks, the folder is held without one, and nobody sweeps it.
    """
    while True:
        try:
            folder = os.path.join(root, name)
            os.mkdir(folder, 0o700)
        except FileExistsError:
            folder = tempfile.mkdtemp(dir=root)
        lock = -1
        try:
            lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, FileNotFoundError):
            pass  # a sweep has it
        except OSError:
            if lock < 0:
                raise
            return folder, lock
        else:
            if os.path.isdir(folder):
                return folder, lock
        if lock >= 0:
            os.close(lock)


def reuse(held: Worktree, commit: Oid, code: Code) -> None:
    """Make a held checkout that of the next run: nothing of the last one stays."""
    same = head_of(held.checkout) == commit
    if not same:
        switch(held.checkout, commit, smudge=held.smudge)
    clean(held.checkout, smudge=held.smudge)
    if not same or held.nested:
        _submodules(held, code)
    lend(held.checkout)


def _submodules(held: Worktree, code: Code) -> None:
    """Submodules at the commits that ran, from the repositories that are here; `GitError` where one lacks it."""
    snapshots = {sub.path: sub.snapshot for sub in code.submodules if sub.snapshot}
    held.nested = False
    for number, (path, commit) in enumerate(gitlinks(held.checkout)):
        inner = nested_layout(os.path.join(held.origin.top or "", path))
        if inner is None:
            continue
        wanted = Oid(snapshots.get(quote_path(os.fsencode(path)), "") or commit)
        if not repository_at(inner, backend="plumbing").exists(wanted):
            raise ReplicateError(
                f"submodule {path}: commit {wanted[:12]} is not here", f"git -C {path} fetch origin {wanted}"
            )
        held.nested = True
        folder = os.path.join(held.checkout.folder, _nested(number))
        remove_tree(folder)
        os.mkdir(folder)
        inside = create_checkout(inner, folder, wanted, smudge=held.smudge)
        target = os.path.join(held.top, path)
        remove_tree(target)
        os.rename(inside.top, target)


def _nested(number: int | str) -> str:
    """The folder, beside the files, of a submodule's git directory; number: in the order of their paths."""
    return f"nested-{number}"


def link_paths(held: Worktree, paths: Iterable[str]) -> list[str]:
    """Link what the commit lacks of these paths (relative to the top) from the worktree; the links made."""
    made: list[str] = []
    for path in dict.fromkeys(os.path.normpath(p) for p in paths if not os.path.isabs(p)):
        if path != "." and not path.startswith(".."):
            _link(held.origin.top or "", held.top, path, made)
    return made


def place_data(held: Worktree, sources: Mapping[str, str]) -> list[str]:
    """Link these paths of the checkout to files or folders elsewhere, instead of to the worktree; the links made."""
    for path, source in sources.items():
        target = os.path.join(held.top, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.islink(target) or os.path.isfile(target):
            os.unlink(target)
        os.symlink(source, target)
    return list(sources)


def _link(origin: str, top: str, path: str, made: list[str]) -> None:
    source, target = os.path.join(origin, path), os.path.join(top, path)
    if not os.path.lexists(source):
        return
    if not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(source, target)
        made.append(path)
    elif os.path.isdir(target) and not os.path.islink(target) and os.path.isdir(source):
        for name in sorted(os.listdir(source)):
            if name != ".git":
                _link(origin, top, os.path.join(path, name), made)


def isolated_environment(environ: Mapping[str, str], site: Site) -> dict[str, str]:
    """The command's variables in a checkout; that imports come from there is the probe's part."""
    env = {**environ, "PWD": site.directory}
    env.pop("OLDPWD", None)
    return env


def look(held: Worktree, written: Mapping[str, bytes]) -> Differences:
    """What a run left in the checkout, in one look; files that were written for it count if it changed them."""
    seen = _differences(held.checkout)
    ours = {path for path, content in written.items() if _holds(os.path.join(held.top, path), content)}
    return replace(seen, changed=tuple(path for path in seen.changed if path not in ours))


def _differences(checkout: Checkout) -> Differences:
    """How the files differ from the commit, those of submodules with them."""
    seen = differences(checkout)
    if not any(name.startswith(_nested("")) for name in os.listdir(checkout.folder)):
        return seen
    added, changed = set(seen.added), set(seen.changed)
    for number, (path, _) in enumerate(gitlinks(checkout)):
        folder, top = os.path.join(checkout.folder, _nested(number)), os.path.join(checkout.top, path)
        if not os.path.isfile(os.path.join(folder, "git", "index")) or os.path.islink(top) or not os.path.isdir(top):
            continue
        layout = replace(checkout.layout, git_dir=os.path.join(folder, "git"), top=top, prefix="")
        inner = differences(Checkout(folder, layout, top))
        added |= {f"{path}/{name}" for name in inner.added}
        changed |= {f"{path}/{name}" for name in inner.changed}
    return Differences(tuple(sorted(added)), tuple(sorted(changed)))


def _holds(path: str, content: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read() == content
    except OSError:
        return False


def left_behind(held: Worktree, seen: Differences, links: Sequence[str]) -> tuple[WrittenFile, ...]:
    """Every file that the run wrote into the checkout, ignored ones too."""
    linked = set(links)
    found = []
    for path in added_files(held.checkout, seen):
        whole = os.path.join(held.top, path)
        if path in linked or _is_compiled(path) or not os.path.isfile(whole):
            continue
        status = os.stat(whole)
        moment = datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1e6, UTC)
        found.append(WrittenFile(quote_path(os.fsencode(path)), status.st_size, moment))
    return tuple(found)


def moved(files: Iterable[WrittenFile], run: str) -> tuple[WrittenFile, ...]:
    """The files with the place that they will be moved to, relative to the common git directory."""
    return tuple(replace(file, moved_to=f"replicate/{FILES_FOLDER}/{run}/{file.path}") for file in files)


def _is_compiled(path: str) -> bool:
    return path.endswith((".pyc", ".pyo")) or "__pycache__" in path.split("/")


def settle(origin: Layout, folder: str, keep: Iterable[str] = (), seen: Differences | None = None) -> None:
    """Move what a run left in a checkout to the files of that run.

    keep: names what its record holds already; seen: what there is, if somebody has looked.
    """
    run = _read_owner(folder)
    top = os.path.join(folder, "tree")
    if not run or not os.path.isfile(os.path.join(folder, "git", "index")):
        return
    checkout = Checkout(folder, replace(origin, git_dir=os.path.join(folder, "git"), top=top, prefix=""))
    kept = set(keep)
    for path in added_files(checkout, seen or _differences(checkout)):
        whole = os.path.join(top, path)
        if path in kept or os.path.islink(whole) or _is_compiled(path):
            continue
        target = os.path.join(state_dir(origin), FILES_FOLDER, run, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _move(whole, target)
    _write_owner(folder, "")


def _move(source: str, target: str) -> None:
    """Rename a file, out of a folder that the run has made read-only too."""
    try:
        os.rename(source, target)
    except PermissionError:
        os.chmod(os.path.dirname(source), 0o700)
        os.rename(source, target)


def bring_back(held: Worktree, run: str) -> None:
    """Move what an earlier attempt of a run left into the checkout of its next one: checkpoints, say."""
    root = os.path.join(state_dir(held.origin), FILES_FOLDER, run)
    for folder, _, names in os.walk(root):
        for name in names:
            source = os.path.join(folder, name)
            target = os.path.join(held.top, os.path.relpath(source, root))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.replace(source, target)
    shutil.rmtree(root, ignore_errors=True)


def sweep_worktrees(origin: Layout, *, restarted: str = "") -> None:
    """Remove the checkouts whose processes have gone and whose runs are recorded; what they left is moved first.

    A shared file system need not show one machine the locks of another: checkouts made elsewhere are left alone for
    a day, but for that of a run whose scheduler has restarted it.
    """
    root = os.path.join(state_dir(origin), "worktrees")
    for name in os.listdir(root) if os.path.isdir(root) else []:
        folder = os.path.join(root, name)
        if _is_foreign(folder) and not (restarted and _read_owner(folder) == restarted):
            continue
        lock = _lock(folder)
        if lock is None:
            continue
        try:
            if not _run_waits(origin, folder):
                settle(origin, folder)
                remove_tree(folder)
        finally:
            os.close(lock)


def _run_waits(origin: Layout, folder: str) -> bool:
    """Whether a run that used the checkout is not recorded to its end yet."""
    run = _read_owner(folder)
    return bool(run) and os.path.isdir(os.path.join(spool_root(origin.common_dir), run))


def _lock(folder: str) -> int | None:
    """The lock on a checkout, or None if somebody holds it or it has gone."""
    try:
        descriptor = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _read_owner(folder: str) -> str:
    return str(_owner(folder).get("run", ""))


def _owner(folder: str) -> dict[str, Any]:
    try:
        with open(os.path.join(folder, _OWNER), encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError, TypeError):
        return {}


def _is_foreign(folder: str) -> bool:
    """Whether another machine made a checkout, not long ago."""
    host = _owner(folder).get("host", machine.host())
    try:
        return (
            host != machine.host() and time.time() - os.stat(os.path.join(folder, _OWNER)).st_mtime < _FOREIGN_SECONDS
        )
    except OSError:
        return False


def _write_owner(folder: str, run: str) -> None:
    temporary = os.path.join(folder, f".{_OWNER}")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump({"run": run, "pid": os.getpid(), "host": machine.host()}, file)
    os.replace(temporary, os.path.join(folder, _OWNER))
