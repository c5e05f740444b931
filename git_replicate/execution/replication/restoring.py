"""A run's outputs brought back: found in its tree or a store of big files, checked by hash, never over other files.

A record may be somebody else's: its paths are checked before they become paths, and only regular files are made.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from git_replicate.core.errors import FormatError, GitError, UserError
from git_replicate.core.names import RESERVED_FOLDER
from git_replicate.core.paths import unquote_path
from git_replicate.core.record import Output
from git_replicate.git.config import GitConfig
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Mode, Oid, Repository, TreeEntry
from git_replicate.store import blobs
from git_replicate.store.objects import tree_path
from git_replicate.store.store import OUTPUTS_FOLDER, StoredRun

_Trees = Callable[[Oid], Mapping[bytes, TreeEntry]]
"""The entries of a tree by name."""


@dataclass(frozen=True, slots=True)
class Found:
    """An output of a run; `blob` or `file` is where its bytes are on this machine, both empty if nowhere."""

    path: str
    output: Output
    blob: Oid | None = None
    file: str = ""

    @property
    def here(self) -> bool:
        return self.blob is not None or bool(self.file)


def find_outputs(repo: Repository, run: StoredRun, patterns: Sequence[str], config: GitConfig) -> list[Found]:
    """The run's outputs in the order of their paths; `UserError` for a pattern that names none."""
    outputs = run.record.outputs
    chosen = sorted(path for path in outputs if not patterns or any(_names(p, path) for p in patterns))
    for pattern in patterns:
        if not any(_names(pattern, path) for path in outputs):
            raise UserError(f"the run has no output {pattern}", f"git replicate outputs {run.record.id}")
    common = repo.layout.common_dir
    stores = [blobs.default_store(common), os.path.join(state_dir(repo.layout), "store")]
    if configured := config.get("replicate.store"):
        stores.insert(0, os.path.join(repo.layout.top or common, os.path.expanduser(configured)))

    @cache  # a folder is read once, however many of its files are asked for
    def trees(tree: Oid) -> Mapping[bytes, TreeEntry]:
        return {entry.name: entry for entry in repo.read_tree(tree)}

    root = repo.read_commit(run.commit).tree
    return [
        Found(path, output, blob=_blob(trees, root, path))
        if (output := outputs[path]).kept == "tree"
        else _in_stores(path, output, stores)
        for path in chosen
    ]


def _names(pattern: str, path: str) -> bool:
    return path == pattern or fnmatch.fnmatchcase(path, pattern) or path.startswith(pattern.rstrip("/") + "/")


def _in_stores(path: str, output: Output, stores: Sequence[str]) -> Found:
    digest = output.hash.removeprefix("sha256:")
    if output.kept == "store" and len(digest) == 64 and set(digest) <= set("0123456789abcdef"):
        for store in stores:
            file = blobs.path_of(store, digest)
            if os.path.isfile(file):
                return Found(path, output, file=file)
    return Found(path, output)


def _blob(trees: _Trees, tree: Oid, path: str) -> Oid | None:
    """The blob of an output in the run's tree, if it is there."""
    try:
        parts: list[bytes] = [os.fsencode(RESERVED_FOLDER), OUTPUTS_FOLDER.encode(), *tree_path(path)]
        for folder in parts[:-1]:
            entry = trees(tree).get(folder)
            if entry is None or entry.mode != Mode.TREE:
                return None
            tree = entry.oid
        entry = trees(tree).get(parts[-1])
    except (GitError, FormatError):
        return None
    return entry.oid if entry is not None and entry.mode in (Mode.FILE, Mode.EXECUTABLE) else None


def restore(repo: Repository, found: Found, folder: str, *, force: bool = False) -> str:
    """Put an output into a folder, under its own path; "" or in words why it is not there now.

    A file that is there already with the same content is left alone; one with another only goes with `force`.
    """
    if found.output.kept == "no":
        return "not kept with the run"
    if not found.here:
        fetch = found.output.kept == "store"
        return "not on this machine" + (
            f"; try: git lfs fetch, or copy it to {found.output.hash[7:19]}… of the store" if fetch else ""
        )
    try:
        target = _target(folder, found.path)
        if os.path.lexists(target):
            if os.path.isfile(target) and _sha256(target) == found.output.hash:
                return ""
            if not force or not os.path.isfile(target):
                return "another file is there (--force replaces it)" if os.path.isfile(target) else "something is there"
        return _write(repo, found, target)
    except FormatError as error:
        return error.message
    except OSError as error:
        return error.strerror or str(error)


def _write(repo: Repository, found: Found, target: str) -> str:
    parent = os.path.dirname(target)
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".git-replicate-", dir=parent) as scratch:
        temporary = os.path.join(scratch, "content")
        if found.blob is not None:
            with open(temporary, "xb") as file:
                file.write(repo.read_blob(found.blob))
        else:
            blobs.copy_out(found.file, temporary)
        if _sha256(temporary) != found.output.hash:
            return "damaged: its content is not what the record says"
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    return ""


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _target(folder: str, path: str) -> str:
    """Where a path of a record goes; `FormatError` for one that leads out of the folder, or into git's own."""
    raw = unquote_path(path)
    parts = raw.split(b"/")
    bad = {b"", b".", b".."}
    if b"\0" in raw or any(part in bad or part.lower() == b".git" for part in parts):
        raise FormatError(f"not a path that can be restored: {path!r}")
    target = os.path.join(folder, os.fsdecode(raw))
    inside = os.path.realpath(folder)
    if os.path.commonpath([inside, os.path.realpath(os.path.dirname(target))]) != inside:
        raise FormatError(f"a link leads out of the folder: {path!r}")
    return target


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
