"""Writing a run's objects: names that are safe in a tree, nested trees, and a list of everything written.

The list is what makes a record durable and complete: all of it is flushed before a ref names it, and all of it is
looked for again afterwards, because somebody's `git gc --prune=now` takes objects that no ref names yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from git_replicate.core.errors import FormatError, GitError, RefLockedError, RefMovedError, StorageError
from git_replicate.core.paths import quote_path, unquote_path
from git_replicate.core.patterns import lazy
from git_replicate.git.collecting import await_collection
from git_replicate.git.repository import Commit, Mode, Oid, RefUpdate, Repository, TreeEntry

Folder = dict[bytes, "Oid | Folder"]
"""Names to blobs and folders: what `ObjectWriter.folder` writes."""

_ATTEMPTS = 5
_HFS_IGNORES = lazy("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_GIT_NAME = lazy(rb"\.git|git~|gi[0-9a-z]{4}~|\.mailmap", re.IGNORECASE)


class ObjectWriter:
    """Writes objects and remembers their ids, each once, in the order written."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._written: dict[Oid, None] = {}

    @property
    def written(self) -> list[Oid]:
        return list(self._written)

    def blob(self, data: bytes) -> Oid:
        return self._note(self._repo.write_blob(data))

    def blob_from(self, path: str) -> Oid:
        return self._note(self._repo.write_blob_from(path))

    def tree(self, entries: Iterable[TreeEntry]) -> Oid:
        return self._note(self._repo.write_tree(entries))

    def folder(self, folder: Folder) -> Oid:
        """A folder with its subfolders; blobs become plain files."""
        return self.tree(
            TreeEntry(name, Mode.TREE, self.folder(item))
            if isinstance(item, dict)
            else TreeEntry(name, Mode.FILE, item)
            for name, item in folder.items()
        )

    def commit(self, commit: Commit) -> Oid:
        return self._note(self._repo.write_commit(commit))

    def _note(self, oid: Oid) -> Oid:
        self._written[oid] = None
        return oid


def store_commit(repo: Repository, build: Callable[[ObjectWriter], Oid], ref: str, old: Oid | None, reason: str) -> Oid:
    """Write the objects that `build` describes, flush them, and move `ref` from `old` to the commit it returns.

    `build` must be a pure function of what it closes over: it is called again if its objects vanish before or
    while the ref is moved. `RefMovedError` if the ref is at neither `old` nor that very commit.
    """
    problem: Exception | None = None
    for _ in range(_ATTEMPTS):
        writer = ObjectWriter(repo)
        commit = build(writer)
        try:
            repo.sync(writer.written)
            _move(repo, RefUpdate(ref, old, commit), reason)
        except (RefMovedError, RefLockedError):
            raise
        except (GitError, FileNotFoundError) as error:
            if not repo.absent(writer.written):
                raise
            problem = error
            continue
        # A collection that looked before the ref was there may be about to remove what it leads to.
        await_collection(repo.layout)
        if not repo.absent(writer.written):
            return commit
    raise StorageError(
        f"{reason}: the objects vanish while they are written", "is a git gc --prune=now running here? wait for it"
    ) from problem


def _move(repo: Repository, update: RefUpdate, reason: str) -> None:
    """Move the ref; that it is already where it should be is no error."""
    try:
        repo.move_refs([update], reason)
    except RefMovedError:
        if update.new is None or repo.read_ref(update.name) != update.new:
            raise


def place(folder: Folder, path: Iterable[bytes], oid: Oid) -> None:
    """Put a blob at a path; `FormatError` if a file is in the way of a folder, or the other way round."""
    *parents, name = path
    for part in parents:
        inner = folder.setdefault(part, {})
        if not isinstance(inner, dict):
            raise FormatError(f"{quote_path(part)} is both a file and a folder")
        folder = inner
    if isinstance(folder.get(name), dict):
        raise FormatError(f"{quote_path(name)} is both a file and a folder")
    folder[name] = oid


def tree_path(path: str) -> tuple[bytes, ...]:
    """The components under which a path of the record lies in the run's tree; `FormatError` for one that cannot.

    A component is its own name, except those that git gives a meaning, or would refuse to check out (`.git`,
    `.gitattributes`, `.gitmodules`, their spellings on other file systems, backslashes): these are percent-encoded,
    beginning with the first byte, and so is a name that begins with a percent sign.
    """
    parts = unquote_path(path).split(b"/")
    for part in parts:
        if part in (b"", b".", b"..") or b"\0" in part:
            raise FormatError(f"not a path that can be kept: {path!r}")
    return tuple(map(_encode, parts))


def _encode(name: bytes) -> bytes:
    seen = _HFS_IGNORES.sub("", name.decode("utf-8", "replace")).encode()
    if not (name.startswith(b"%") or b"\\" in name or _GIT_NAME.match(seen)):
        return name
    rest = name[1:].replace(b"%", b"%25").replace(b"\\", b"%5c")
    return b"%%%02x" % name[0] + rest


def record_path(parts: Iterable[bytes]) -> str:
    """The path of the record that `tree_path` placed at these components: its exact inverse."""
    from urllib.parse import unquote_to_bytes

    return quote_path(b"/".join(unquote_to_bytes(part) if part.startswith(b"%") else part for part in parts))


def read_folder(repo: Repository, tree: Oid) -> Folder:
    """A stored folder, one level deep and the rest as it is: subfolders are read whole."""
    return {
        entry.name: read_folder(repo, entry.oid) if entry.mode == Mode.TREE else entry.oid
        for entry in repo.read_tree(tree)
    }


def added_objects(repo: Repository, tree: Oid, base: Oid | None) -> Iterator[Oid]:
    """The trees and blobs of a tree that are not at the same place in another; `GitError` if a tree is gone."""
    if tree == base:
        return
    yield tree
    known = {entry.name: entry for entry in repo.read_tree(base)} if base is not None else {}
    for entry in repo.read_tree(tree):
        before = known.get(entry.name)
        if entry.mode == Mode.GITLINK or (before is not None and before.oid == entry.oid):
            continue
        if entry.mode == Mode.TREE:
            folder = before.oid if before is not None and before.mode == Mode.TREE else None
            yield from added_objects(repo, entry.oid, folder)
        else:
            yield entry.oid


def find_entry(entries: Iterable[TreeEntry], name: bytes) -> TreeEntry | None:
    return next((entry for entry in entries if entry.name == name), None)


def blobs_of(files: Mapping[str, bytes]) -> dict[tuple[bytes, ...], bytes]:
    """Contents by checked components."""
    return {tree_path(path): data for path, data in files.items()}
