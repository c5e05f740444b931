"""The interface to a repository that both backends offer, and the values it speaks in.

`libgit2` is one backend, `plumbing` (git's own commands) the other, for repositories that libgit2 cannot open:
SHA-256, reftable, sparse index, partial clones with missing objects. One contract test runs over both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import NewType, Protocol

from git_replicate.core.frozen import frozen

Oid = NewType("Oid", str)
"""An object's id, in hex: 40 digits for SHA-1, 64 for SHA-256."""


class Mode(IntEnum):
    """The modes that git writes into trees."""

    TREE = 0o040000
    FILE = 0o100644
    EXECUTABLE = 0o100755
    SYMLINK = 0o120000
    GITLINK = 0o160000


@frozen
class TreeEntry:
    name: bytes
    mode: int
    oid: Oid


@frozen
class Signature:
    """Who and when; `offset` is minutes east of UTC."""

    name: str
    email: str
    time: int
    offset: int = 0


@frozen
class Commit:
    tree: Oid
    parents: tuple[Oid, ...]
    author: Signature
    committer: Signature
    message: str


@frozen
class RefUpdate:
    """One compare-and-swap: `old` None means the ref must not exist, `new` None deletes it."""

    name: str
    old: Oid | None
    new: Oid | None


@frozen
class Layout:
    """Where a repository keeps things. Paths are absolute; `top` is None in a bare repository."""

    git_dir: str
    common_dir: str
    top: str | None
    object_format: str  # "sha1" or "sha256"
    ref_format: str  # "files" or "reftable"
    prefix: str = ""  # the current directory relative to top, "" or ending in a slash
    shallow: bool = False


class Repository(Protocol):
    """Objects and refs. Reading what is not there raises `GitError`, unless None is in the return type."""

    @property
    def layout(self) -> Layout: ...

    # objects; writes are idempotent, and durable only after `sync`
    def write_blob(self, data: bytes) -> Oid: ...
    def write_blob_from(self, path: str | bytes) -> Oid:
        """The file's raw bytes, no filter and no conversion, streamed."""
        ...

    def write_tree(self, entries: Iterable[TreeEntry]) -> Oid:
        """One level of a tree; the entries in any order."""
        ...

    def write_commit(self, commit: Commit) -> Oid: ...
    def read_blob(self, oid: Oid) -> bytes: ...
    def read_tree(self, oid: Oid) -> list[TreeEntry]:
        """One level, in git's order."""
        ...

    def read_commit(self, oid: Oid) -> Commit: ...
    def exists(self, oid: Oid) -> bool: ...
    def absent(self, oids: Iterable[Oid]) -> set[Oid]:
        """Those of these objects that are not there, as a fresh look at the repository finds."""
        ...

    def read_many(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """The contents of many blobs in one stream, in the order asked; None for what is not there.

        A name is an object id or anything `git cat-file --batch` resolves, such as `<commit>:<path>`.
        """
        ...

    def sync(self, oids: Sequence[Oid]) -> None:
        """Flush these objects to disk, loose ones and the directories that hold them."""
        ...

    # names
    def resolve(self, revision: str) -> Oid | None:
        """The commit that a revision names (peeled), or None; never guesses from an option-like name."""
        ...

    def head(self) -> tuple[Oid | None, str | None]:
        """HEAD's commit (None when unborn) and its full ref name (None when detached)."""
        ...

    def read_ref(self, name: str) -> Oid | None: ...
    def list_refs(self, prefix: str) -> list[tuple[str, Oid]]:
        """All refs under a prefix that ends in a slash, or the one ref of that name; sorted; opens no object."""
        ...

    def move_refs(self, updates: Sequence[RefUpdate], reason: str) -> None:
        """All of the updates or none, each a compare-and-swap.

        Retries a held lock with back-off for some seconds, then `RefLockedError`; `RefMovedError` when a ref
        is not at its old value. Writes no reflog. The refs are flushed to disk.
        """
        ...
