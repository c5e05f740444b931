"""The backend made of git's own commands: it works wherever git does.

Reads share one long-lived `git cat-file --batch`; writes are one process each, except that small objects are written
as loose objects by git's `hash-object`. Refs move in one `git update-ref --stdin` transaction, whose compare-and-swap
is git's own.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from git_replicate.core.errors import GitError, RefLockedError, RefMovedError
from git_replicate.git.command import Git
from git_replicate.git.durability import flush_objects
from git_replicate.git.formats import format_commit, format_tree, parse_commit, parse_tree
from git_replicate.git.repository import Commit, Layout, Oid, RefUpdate, TreeEntry

LOCK_PATIENCE = 10.0
"""Seconds to wait for a ref's lock that somebody else holds."""

_OFFLINE = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
_MOVED = re.compile(r"reference already exists|but expected|unable to resolve reference|reference is missing")
_LOCKED = re.compile(r"Unable to create '.*\.lock': File exists")
_DURABLE = ("core.fsync=reference", "core.fsyncMethod=fsync", "core.logAllRefUpdates=false")


class PlumbingRepository:
    """A repository through git's plumbing commands."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._git = Git(layout.common_dir, git_dir=layout.git_dir)
        self._batch: subprocess.Popen[bytes] | None = None

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the reading process, if one was started."""
        batch, self._batch = self._batch, None
        if batch is not None and batch.stdin is not None and batch.stdout is not None:
            batch.stdin.close()
            batch.stdout.close()
            batch.wait()

    @property
    def layout(self) -> Layout:
        return self._layout

    def write_blob(self, data: bytes) -> Oid:
        return self._hash("blob", data)

    def write_blob_from(self, path: str | bytes) -> Oid:
        with open(path, "rb") as file:
            return self._hash("blob", file)

    def write_tree(self, entries: Iterable[TreeEntry]) -> Oid:
        return self._hash("tree", format_tree(entries))

    def write_commit(self, commit: Commit) -> Oid:
        return self._hash("commit", format_commit(commit))

    def _hash(self, kind: str, content: bytes | IO[bytes]) -> Oid:
        done = self._git.run(
            f"write a {kind}", "hash-object", "-w", "-t", kind, "--no-filters", "--stdin", stdin=content
        )
        return Oid(done.stdout.decode().strip())

    def read_blob(self, oid: Oid) -> bytes:
        return self._read(oid, "blob")

    def read_tree(self, oid: Oid) -> list[TreeEntry]:
        return parse_tree(self._read(oid, "tree"), len(oid) // 2)

    def read_commit(self, oid: Oid) -> Commit:
        return parse_commit(self._read(oid, "commit"))

    def _read(self, oid: Oid, kind: str) -> bytes:
        found = self._ask(oid)
        if found is None:
            raise GitError(f"read {kind} {oid}", "there is no such object here")
        if found[0] != kind:
            raise GitError(f"read {kind} {oid}", f"it is a {found[0]}")
        return found[1]

    def _ask(self, name: str) -> tuple[str, bytes] | None:
        """Kind and content of an object, through the one reading process."""
        if "\n" in name:
            return None
        batch = self._reader()
        assert batch.stdin is not None
        assert batch.stdout is not None
        try:
            batch.stdin.write(os.fsencode(name) + b"\n")
            batch.stdin.flush()
            return _next_object(batch.stdout)
        except (BrokenPipeError, EOFError) as error:
            self.close()
            raise GitError(f"read {name}", "git cat-file ended early", "git fsck") from error

    def _reader(self) -> subprocess.Popen[bytes]:
        if self._batch is None:
            self._batch = subprocess.Popen(
                self._git.command("cat-file", "--batch"), cwd=self._git.directory, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**self._git.environment(), **_OFFLINE},
            )  # fmt: skip
        return self._batch

    def exists(self, oid: Oid) -> bool:
        if os.path.exists(os.path.join(self._layout.common_dir, "objects", oid[:2], oid[2:])):
            return True
        # A process of its own: a long-lived one keeps packs open that somebody's gc has removed since.
        done = self._git.run("look for an object", "cat-file", "-e", oid, accept=(0, 1, 128), variables=_OFFLINE)
        return done.returncode == 0

    def read_many(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """The contents of many blobs in one stream, in the order asked; None for what is not there."""
        import tempfile

        with tempfile.TemporaryFile() as asked:
            for name in names:
                asked.write(os.fsencode(name.replace("\n", " ")) + b"\n")
            asked.seek(0)
            process = subprocess.Popen(
                self._git.command("cat-file", "--batch", "--buffer"), cwd=self._git.directory, stdin=asked,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**self._git.environment(), **_OFFLINE},
            )  # fmt: skip
        assert process.stdout is not None
        with process, process.stdout as stream:
            while True:
                try:
                    found = _next_object(stream)
                except EOFError:
                    break
                yield found[1] if found else None

    def sync(self, oids: Sequence[Oid]) -> None:
        flush_objects(self._layout.common_dir, oids)

    def resolve(self, revision: str) -> Oid | None:
        done = self._git.run(
            "resolve a revision", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}",
            accept=(0, 1, 128), variables=_OFFLINE,
        )  # fmt: skip
        text = done.stdout.decode().strip()
        return Oid(text) if done.returncode == 0 and text else None

    def head(self) -> tuple[Oid | None, str | None]:
        """HEAD's commit (None when unborn) and its full ref name (None when detached)."""
        done = self._git.run("read HEAD", "symbolic-ref", "--quiet", "HEAD", accept=(0, 1))
        return self.resolve("HEAD"), os.fsdecode(done.stdout).strip() or None

    def read_ref(self, name: str) -> Oid | None:
        return next((oid for ref, oid in self.list_refs(name) if ref == name), None)

    def list_refs(self, prefix: str) -> list[tuple[str, Oid]]:
        done = self._git.run(
            "list refs", "for-each-ref", "--format=%(objectname) %(refname)", prefix.rstrip("/") or "refs"
        )
        lines = os.fsdecode(done.stdout).splitlines()
        return sorted((name, Oid(oid)) for oid, _, name in (line.partition(" ") for line in lines))

    def move_refs(self, updates: Sequence[RefUpdate], reason: str) -> None:
        if not updates:
            return
        zero = "0" * (64 if self._layout.object_format == "sha256" else 40)
        words = "".join(_instruction(update, zero) for update in updates)
        script = os.fsencode(f"start\0{words}prepare\0commit\0")
        deadline = time.monotonic() + LOCK_PATIENCE
        pause = 0.005
        while True:
            try:
                self._git.run(reason, "update-ref", "--no-deref", "--stdin", "-z", stdin=script, config=_DURABLE)
            except GitError as error:
                if _MOVED.search(error.detail):
                    raise RefMovedError(reason, error.detail) from error
                if not _LOCKED.search(error.detail):
                    raise
                if time.monotonic() > deadline:
                    raise RefLockedError(
                        reason, error.detail, "if no other git is running, remove the lock file it names"
                    ) from error
            else:
                return
            time.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 2, 0.25)


def _instruction(update: RefUpdate, zero: str) -> str:
    if update.new is None:
        return f"delete {update.name}\0{update.old or ''}\0"
    return f"update {update.name}\0{update.new}\0{update.old or zero}\0"


def _next_object(stream: IO[bytes]) -> tuple[str, bytes] | None:
    """One answer of `cat-file --batch`: kind and content, None for a missing object; EOFError at the end."""
    header = stream.readline()
    if not header:
        raise EOFError
    words = header.split()
    if len(words) < 3 or words[-1] in (b"missing", b"ambiguous") or not words[-1].isdigit():
        return None
    size = int(words[-1])
    content = stream.read(size)
    if len(content) != size:
        raise EOFError
    stream.read(1)
    return words[-2].decode(), content
