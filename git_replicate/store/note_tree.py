"""Refs of notes, read and written with whatever fan-out their trees have.

git spreads notes over folders of two hex digits as they grow and gathers them as they go, so a note's name is its
object's id with slashes in any of several places. Here only the levels along an object's path are read, and a
level that grows too large is split, so that adding a note costs the same however many there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from git_replicate.core.errors import GitError, RefLockedError, RefMovedError
from git_replicate.git.backoff import wait
from git_replicate.git.repository import Commit, Mode, Oid, Repository, Signature, TreeEntry
from git_replicate.store.objects import ObjectWriter, store_commit

_MOST_ENTRIES = 256
_PATIENCE = 30.0
"""Seconds to go on trying while others keep moving the ref."""
_LONGEST_PAUSE = 0.1
_REFUSALS = 5
"""How often in a row git may find a ref there that cannot be read, before it counts as damaged."""
_HEX = frozenset(b"0123456789abcdef")

Notes = Mapping[Oid, "Oid | bytes | None"]
"""Objects to their notes: a blob that is there already, the text of one to be written, or None to remove it."""


def put_notes(
    repo: Repository, ref: str, decide: Callable[[Oid | None], Notes], *, who: tuple[str, str], when: int, message: str
) -> Oid | None:
    """Set notes in one commit on top of whatever the ref holds; its new value.

    `decide` gets the tree of notes as it is, and is asked again whenever somebody else was faster, so that nothing of
    other writers is lost. Nothing is written when it wants nothing. `RefMovedError` when others keep winning.
    """
    deadline = time.monotonic() + _PATIENCE
    pause, refused = 0.001, 0
    while True:
        tip = repo.read_ref(ref)
        base = _read_tip(repo, ref, tip) if tip else None
        tree = base.tree if base else None
        notes = decide(tree)
        if not notes:
            return tip
        # git's own order of commits is by time, and a clock may have been set back.
        signature = Signature(*who, max(when, base.committer.time if base else 0))
        try:
            return store_commit(repo, _builder(repo, tip, tree, notes, signature, message), ref, tip, "write notes")
        except (RefMovedError, RefLockedError) as error:
            refused = refused + 1 if tip is None and isinstance(error, RefMovedError) else 0
            if refused >= _REFUSALS:
                raise _damaged(ref, "its file names no object") from error
            if time.monotonic() > deadline:
                raise
        wait(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _read_tip(repo: Repository, ref: str, tip: Oid) -> Commit:
    try:
        return repo.read_commit(tip)
    except GitError as error:
        raise _damaged(ref, f"its commit {tip[:12]} is missing or damaged") from error


def _damaged(ref: str, why: str) -> GitError:
    return GitError("write notes", f"{ref} cannot be read: {why}", "git fsck, or fetch it from another clone")


def _builder(
    repo: Repository, tip: Oid | None, tree: Oid | None, notes: Notes, who: Signature, message: str
) -> Callable[[ObjectWriter], Oid]:
    def build(writer: ObjectWriter) -> Oid:
        blobs = {target: writer.blob(note) if isinstance(note, bytes) else note for target, note in notes.items()}
        new = write_notes_tree(repo, writer, tree, blobs)
        if tip is not None and new == tree:
            return tip
        return writer.commit(Commit(new, (tip,) if tip else (), who, who, message + "\n"))

    return build


def tree_of(repo: Repository, ref: str) -> Oid | None:
    """The tree of notes that a ref holds; None without one."""
    tip = repo.read_ref(ref)
    return repo.read_commit(tip).tree if tip else None


def read_note(repo: Repository, tree: Oid | None, target: Oid) -> Oid | None:
    """The blob of an object's note, or None."""
    name = target.encode()
    while tree is not None:
        entries = {entry.name: entry for entry in repo.read_tree(tree)}
        if (leaf := entries.get(name)) is not None and leaf.mode != Mode.TREE:
            return leaf.oid
        folder = entries.get(name[:2])
        if folder is None or folder.mode != Mode.TREE:
            return None
        tree, name = folder.oid, name[2:]
    return None


def list_notes(repo: Repository, tree: Oid | None) -> Iterator[tuple[Oid, Oid]]:
    """Every note: the object it is on, and its blob. Files that others put among them are passed over."""
    width = 64 if repo.layout.object_format == "sha256" else 40
    yield from _list_level(repo, tree, b"", width)


def _list_level(repo: Repository, tree: Oid | None, prefix: bytes, width: int) -> Iterator[tuple[Oid, Oid]]:
    for entry in repo.read_tree(tree) if tree is not None else []:
        if not _HEX.issuperset(entry.name):
            continue
        if entry.mode == Mode.TREE and len(entry.name) == 2:
            yield from _list_level(repo, entry.oid, prefix + entry.name, width)
        elif entry.mode != Mode.TREE and len(prefix) + len(entry.name) == width:
            yield Oid((prefix + entry.name).decode()), entry.oid


def write_notes_tree(repo: Repository, writer: ObjectWriter, tree: Oid | None, notes: Mapping[Oid, Oid | None]) -> Oid:
    """The tree with these notes set (None removes one); what else is in it stays."""
    written = _write_level(repo, writer, tree, {target.encode(): blob for target, blob in notes.items()})
    return written or writer.tree([])


def _write_level(
    repo: Repository, writer: ObjectWriter, tree: Oid | None, notes: Mapping[bytes, Oid | None]
) -> Oid | None:
    """One level with the notes below it; None if nothing is left in it. The names of all notes are equally long."""
    entries = {entry.name: entry for entry in repo.read_tree(tree)} if tree is not None else {}
    width = len(next(iter(notes), b""))
    below: dict[bytes, dict[bytes, Oid | None]] = {}
    for name, blob in notes.items():
        folder = entries.get(name[:2])
        if folder is not None and folder.mode == Mode.TREE and width > 2:
            # An entry on this level for the same object would be a second note of it.
            entries.pop(name, None)
            below.setdefault(name[:2], {})[name[2:]] = blob
        elif blob is None:
            entries.pop(name, None)
        else:
            entries[name] = TreeEntry(name, Mode.FILE, blob)
    if len(entries) > _MOST_ENTRIES:
        for name in [n for n, e in entries.items() if _is_note(e, width) and width > 2]:
            below.setdefault(name[:2], {}).setdefault(name[2:], entries.pop(name).oid)
    for name, inner in below.items():
        known = entries.get(name)
        subtree = _write_level(repo, writer, known.oid if known else None, inner)
        if subtree is not None:
            entries[name] = TreeEntry(name, Mode.TREE, subtree)
        else:
            entries.pop(name, None)
    return writer.tree(entries.values()) if entries else None


def _is_note(entry: TreeEntry, width: int) -> bool:
    return entry.mode != Mode.TREE and len(entry.name) == width and _HEX.issuperset(entry.name)
