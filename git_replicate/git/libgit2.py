"""The backend on libgit2, through pygit2, which is imported when the first object is read or written.

Objects, trees and commits are libgit2's: one import (some 70 ms), then microseconds each, from packs as well as loose,
which pays for whoever reads or writes thousands. What libgit2 was measured to do wrong or slowly stays with git:
moving refs (`references.create` is not atomic), streams of many blobs, listing refs in bulk, revisions.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from git_replicate.core.errors import GitError, StorageError
from git_replicate.git.formats import parse_commit, parse_tree
from git_replicate.git.loose import objects_dir
from git_replicate.git.plumbing import PlumbingRepository
from git_replicate.git.repository import Commit, Oid, TreeEntry

_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
"""libgit2's numbers (`git_object_t`), which are git's own."""
_ATTEMPTS = 5
"""How often an object is written while its file vanishes."""


class Libgit2Repository(PlumbingRepository):
    """A repository whose objects go through libgit2 and whose refs and revisions through git."""

    @cached_property
    def _odb(self) -> Any:
        import pygit2

        try:
            return pygit2.Odb(objects_dir(self.layout))
        except pygit2.GitError as error:
            raise GitError("open the object database", str(error), "git fsck") from error

    def _store(self, kind: str, content: bytes) -> Oid:
        import pygit2

        number = next(number for number, name in _KINDS.items() if name == kind)
        left = _ATTEMPTS
        while True:
            left -= 1
            try:
                return Oid(str(self._odb.write(number, content)))
            except (pygit2.GitError, OSError) as error:
                # Somebody's `git gc --prune=now` takes the file before it has its name, or the folder, now empty.
                if not left or "No such file or directory" not in str(error):
                    raise StorageError(f"write a {kind}: {error}", "df -h .git") from error

    def read_blob(self, oid: Oid) -> bytes:
        return self._load(oid, 3)

    def read_tree(self, oid: Oid) -> list[TreeEntry]:
        return parse_tree(self._load(oid, 2), len(oid) // 2)

    def read_commit(self, oid: Oid) -> Commit:
        return parse_commit(self._load(oid, 1))

    def _load(self, oid: Oid, kind: int) -> bytes:
        name = _KINDS[kind]
        try:
            found, content = self._odb.read(oid)
        except (KeyError, ValueError) as error:
            raise GitError(f"read {name} {oid}", "there is no such object here") from error
        if int(found) != kind:
            raise GitError(f"read {name} {oid}", f"it is a {_KINDS.get(int(found), 'another kind')}")
        return bytes(content)
