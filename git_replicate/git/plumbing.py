"""The backend made of git's own commands: it works wherever git does.

Reads share one long-lived `git cat-file --batch`. Small objects are written loose by `loose`, big files and those of
repositories with permissions of their own by `git hash-object`. Refs move in one `git update-ref --stdin`
transaction, whose compare-and-swap is git's own. A repository is used from one thread at a time.

The processes that write, and the one that reads, are in process groups of their own: a Ctrl-C at the terminal is for
the recorder, which still has to store what happened.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import IO, NamedTuple

from git_replicate.core.errors import GitError, RefLockedError, RefMovedError
from git_replicate.core.patterns import lazy
from git_replicate.git.backoff import wait
from git_replicate.git.command import Git
from git_replicate.git.formats import format_commit, format_tree, parse_commit, parse_tree
from git_replicate.git.loose import LooseObjects, flush_refs, objects_dir, own_permissions, read_loose_ref
from git_replicate.git.repository import Commit, Layout, Oid, RefUpdate, TreeEntry

LOCK_PATIENCE = 10.0
"""Seconds to wait for a ref's lock that somebody else holds."""
_STALE_SECONDS = 60.0
"""A lock of one ref that is older was left behind by a process that is gone."""

_OFFLINE = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
_SMALL = 4_000_000
"""Bytes up to which a file is read into memory to be stored; git streams the bigger ones."""

_MOVED = lazy(r"reference already exists|but expected|unable to resolve reference|reference is missing")
_LOCKED = lazy(
    r"Unable to create '(.*\.lock)': File exists|data is locked|data concurrently modified|cannot lock references",
    re.DOTALL,
)
_FEW = 8
"""Up to so many blobs are asked for one by one, of the process that reads already."""
_AHEAD = 1 << 18
"""Bytes of a stream of blobs that are read at once."""
_OF_ONE_WORKTREE = ("refs/bisect/", "refs/rewritten/", "refs/worktree/")
_DURABLE = ("core.fsync=reference", "core.fsyncMethod=fsync", "core.logAllRefUpdates=false")


class PlumbingRepository:
    """A repository through git's plumbing commands."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._git = Git(layout.common_dir, git_dir=layout.git_dir)
        self._loose = LooseObjects(objects_dir(layout), layout.object_format)
        self._batch: subprocess.Popen[bytes] | None = None

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the reading process, if one was started."""
        batch, self._batch = self._batch, None
        if batch is None or batch.stdin is None or batch.stdout is None:
            return
        # It only reads. Closing its input would not end it while a forked process of ours still holds the pipe.
        batch.kill()
        batch.stdout.close()
        try:
            batch.stdin.close()
        except BrokenPipeError:
            self._batch = None
        batch.wait()

    @property
    def layout(self) -> Layout:
        return self._layout

    def write_blob(self, data: bytes) -> Oid:
        return self._store("blob", data)

    def write_blob_from(self, path: str | bytes) -> Oid:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size <= _SMALL:
                return self.write_blob(file.read())
            return self._hash("blob", file)

    def write_tree(self, entries: Iterable[TreeEntry]) -> Oid:
        return self._store("tree", format_tree(entries))

    def write_commit(self, commit: Commit) -> Oid:
        return self._store("commit", format_commit(commit))

    def _store(self, kind: str, content: bytes) -> Oid:
        return self._loose.write(kind, content) if self._writes_loose else self._hash(kind, content)

    @cached_property
    def _writes_loose(self) -> bool:
        return own_permissions(self._layout)

    def _hash(self, kind: str, content: bytes | IO[bytes]) -> Oid:
        done = self._git.run(
            f"write a {kind}", "hash-object", "-w", "-t", kind, "--no-filters", "--stdin", stdin=content, apart=True
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
        if found.kind != kind:
            raise GitError(f"read {kind} {oid}", f"it is a {found.kind}")
        return found.content

    def _ask(self, name: str) -> _Object | None:
        """An object, through the one reading process; None if it is not there."""
        if "\n" in name:
            return None
        for _ in range(2):
            batch = self._reader()
            assert batch.stdin is not None
            assert batch.stdout is not None
            try:
                batch.stdin.write(os.fsencode(name) + b"\n")
                batch.stdin.flush()
                return _next_object(batch.stdout)
            except (BrokenPipeError, EOFError):
                # Somebody killed it, or git died on this object: it is damaged, or a partial clone never had it.
                self.close()
        raise GitError(f"read {name}", "git cannot: it is damaged, or a partial clone left it out", "git fsck")

    def _reader(self) -> subprocess.Popen[bytes]:
        if self._batch is None:
            self._batch = subprocess.Popen(
                self._git.command("cat-file", "--batch"), cwd=self._git.directory, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**self._git.environment(), **_OFFLINE},
                process_group=0,
            )  # fmt: skip
        return self._batch

    def exists(self, oid: Oid) -> bool:
        return not self.absent([oid])

    def absent(self, oids: Iterable[Oid]) -> set[Oid]:
        packed = sorted({oid for oid in oids if not self._loose.holds(oid)})
        if not packed:
            return set()
        # A process of its own: a long-lived one keeps packs open that somebody's gc has removed since.
        done = self._git.run(
            "look for objects", "cat-file", "--batch-check=%(objectname)", "--buffer",
            stdin="".join(f"{oid}\n" for oid in packed).encode(), variables=_OFFLINE, apart=True,
        )  # fmt: skip
        lines = done.stdout.decode().splitlines()
        return {oid for oid, line in zip(packed, lines, strict=True) if line != oid}

    def read_many(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """The contents of many blobs in one stream, in the order asked; None for what is not there."""
        wanted = [name.replace("\n", " ") for name in names]
        if len(wanted) <= _FEW:
            yield from map(self._content, wanted)
            return
        answered = 0
        while answered < len(wanted):
            for content in self._stream(wanted[answered:]):
                answered += 1
                yield content
            if answered < len(wanted):
                answered += 1
                yield self._content(wanted[answered - 1])

    def _content(self, name: str) -> bytes | None:
        """What a name holds, asked for alone: a stream of many has ended on it."""
        try:
            found = self._ask(name)
        except GitError:
            return None
        return found.content if found else None

    def _stream(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """The answers of one `git cat-file --batch`, which ends early at an object that git dies on."""
        import tempfile

        with tempfile.TemporaryFile() as asked:
            asked.writelines(os.fsencode(name) + b"\n" for name in names)
            asked.seek(0)
            process = subprocess.Popen(
                self._git.command("cat-file", "--batch", "--buffer"), cwd=self._git.directory, stdin=asked,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**self._git.environment(), **_OFFLINE},
                bufsize=_AHEAD,
            )  # fmt: skip
        assert process.stdout is not None
        with process, process.stdout as stream:
            while True:
                try:
                    found = _next_object(stream)
                except EOFError:
                    break
                yield found.content if found else None

    def sync(self, oids: Sequence[Oid]) -> None:
        self._loose.flush(oids)

    def resolve(self, revision: str) -> Oid | None:
        done = self._git.run(
            "resolve a revision", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}",
            accept=(0, 1, 128), variables=_OFFLINE,
        )  # fmt: skip
        text = done.stdout.decode().strip()
        return Oid(text) if done.returncode == 0 and text else None

    def head(self) -> tuple[Oid | None, str | None]:
        """HEAD's commit (None when unborn) and its full ref name (None when detached)."""
        branch = self._branch()
        try:
            found = self._ask("HEAD^{commit}")
        except GitError:
            found = None
        commit = found.oid if found else None
        if commit is None:
            named = self._git.run("read HEAD", "rev-parse", "--verify", "--quiet", "HEAD", accept=(0, 1, 128))
            if named.stdout:
                oid = named.stdout.decode().strip()
                raise GitError("read HEAD", f"its commit {oid} is missing or damaged", "git fsck")
        return commit, branch

    def _branch(self) -> str | None:
        with contextlib.suppress(OSError), open(os.path.join(self._layout.git_dir, "HEAD"), "rb") as file:
            words = file.read().split()
            if self._layout.ref_format == "files" and len(words) == 1:
                return None
            if self._layout.ref_format == "files" and len(words) == 2 and words[0] == b"ref:":
                return os.fsdecode(words[1])
        done = self._git.run("read HEAD", "symbolic-ref", "--quiet", "HEAD", accept=(0, 1))
        return os.fsdecode(done.stdout).removesuffix("\n") or None

    def read_ref(self, name: str) -> Oid | None:
        if self._layout.ref_format == "files" and not name.startswith(_OF_ONE_WORKTREE):
            path = os.path.join(os.fsencode(self._layout.common_dir), os.fsencode(name))
            if oid := read_loose_ref(path):
                return Oid(oid.decode())
        return next((oid for ref, oid in self.list_refs(name) if ref == name), None)

    def list_refs(self, prefix: str) -> list[tuple[str, Oid]]:
        stem = prefix.rstrip("/") or "refs"
        done = self._git.run("list refs", "for-each-ref", "--format=%(objectname) %(refname)", stem)
        pairs = [line.partition(" ") for line in os.fsdecode(done.stdout).split("\n") if line]
        # git takes the stem as a pattern: names that it matches only as one are not meant.
        return sorted((name, Oid(oid)) for oid, _, name in pairs if name == stem or name.startswith(stem + "/"))

    def move_refs(self, updates: Sequence[RefUpdate], reason: str) -> None:
        if not updates:
            return
        zero = "0" * (64 if self._layout.object_format == "sha256" else 40)
        words = "".join(_instruction(update, zero) for update in updates)
        script = os.fsencode(f"start\0{words}prepare\0commit\0")
        deadline = time.monotonic() + LOCK_PATIENCE
        pause = 0.01
        while not self._try_move(script, reason, patient=time.monotonic() < deadline):
            wait(pause)
            pause = min(pause * 2, 0.25)
        if self._layout.ref_format == "files":
            flush_refs(self._layout.common_dir, [update.name for update in updates if update.new is not None])

    def _try_move(self, script: bytes, reason: str, *, patient: bool) -> bool:
        """One attempt; False if a lock is held and the caller has the patience to try again."""
        try:
            self._git.run(
                reason, "update-ref", "--no-deref", "--stdin", "-z", stdin=script, config=_DURABLE, apart=True
            )
        except GitError as error:
            if _MOVED.search(error.detail):
                raise RefMovedError(reason, error.detail) from error
            locked = _LOCKED.search(error.detail)
            if locked is None:
                raise
            lock = locked[1] or os.path.join(self._layout.common_dir, "reftable", "tables.list.lock")
            if patient or _break_stale_lock(lock):
                return False
            hint = f"if no other git is running: rm {shlex.quote(lock)}" if os.path.exists(lock) else "try again"
            raise RefLockedError(reason, error.detail, hint) from error
        return True


def _break_stale_lock(path: str) -> bool:
    """Remove the lock of one loose ref that a killed git left; git itself holds one for milliseconds."""
    if f"{os.sep}refs{os.sep}" not in path:
        return False  # that of all packed refs, or of all reftables, is for the person to judge
    try:
        if time.time() - os.stat(path).st_mtime < _STALE_SECONDS:
            return False
        os.unlink(path)
    except OSError:
        return False
    return True


def _instruction(update: RefUpdate, zero: str) -> str:
    if not update.name.startswith("refs/") or "\0" in update.name:
        raise GitError("move a ref", f"not the full name of a ref: {update.name!r}")
    if update.new is None:
        verb = "verify" if update.old is None else "delete"
        return f"{verb} {update.name}\0{update.old or zero}\0"
    return f"update {update.name}\0{update.new}\0{update.old or zero}\0"


class _Object(NamedTuple):
    oid: Oid
    kind: str
    content: bytes


def _next_object(stream: IO[bytes]) -> _Object | None:
    """One answer of `cat-file --batch`, None for a missing object; EOFError at the end."""
    header = stream.readline()
    if not header:
        raise EOFError
    words = header.split()
    if len(words) < 3 or words[-1] in (b"missing", b"ambiguous") or not words[-1].isdigit():
        return None
    size = int(words[-1])
    content = stream.read(size + 1)  # and the end of its line
    if len(content) <= size:
        raise EOFError
    return _Object(Oid(words[0].decode()), words[-2].decode(), content[:-1])
