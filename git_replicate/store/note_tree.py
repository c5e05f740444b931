"""Trees of notes, read and written with whatever fan-out they have.

git spreads notes over folders of two hex digits as they grow and gathers them as they go, so a note's name is its
object's id with slashes in any of several places. Here only the levels along an object's path are read, and a
level that grows too large is split, so that adding a note costs the same however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from git_replicate.git.repository import Mode, Oid, Repository, TreeEntry

_MOST_ENTRIES = 256


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


def list_notes(repo: Repository, tree: Oid | None, prefix: str = "") -> Iterator[tuple[Oid, Oid]]:
    """Every note: the object it is on, and its blob."""
    for entry in repo.read_tree(tree) if tree is not None else []:
        name = prefix + entry.name.decode(errors="replace")
        if entry.mode == Mode.TREE:
            yield from list_notes(repo, entry.oid, name)
        else:
            yield Oid(name), entry.oid


def write_notes_tree(repo: Repository, tree: Oid | None, notes: Mapping[Oid, Oid | None]) -> Oid:
    """The tree with these notes set (None removes one); what else is in it stays."""
    return _write_level(repo, tree, {target.encode(): blob for target, blob in notes.items()})


def _write_level(repo: Repository, tree: Oid | None, notes: Mapping[bytes, Oid | None]) -> Oid:
    entries = {entry.name: entry for entry in repo.read_tree(tree)} if tree is not None else {}
    below: dict[bytes, dict[bytes, Oid | None]] = {}
    for name, blob in notes.items():
        folder = entries.get(name[:2])
        is_folder = folder is not None and folder.mode == Mode.TREE and len(name) > 2
        if is_folder:
            # An entry on this level for the same object would be a second note of it.
            entries.pop(name, None)
            below.setdefault(name[:2], {})[name[2:]] = blob
        elif blob is None:
            entries.pop(name, None)
        else:
            entries[name] = TreeEntry(name, Mode.FILE, blob)
    if len(entries) > _MOST_ENTRIES:
        for name in [n for n, e in entries.items() if e.mode != Mode.TREE and _is_hex(n)]:
            below.setdefault(name[:2], {}).setdefault(name[2:], entries.pop(name).oid)
    for name, inner in below.items():
        known = entries.get(name)
        subtree = _write_level(repo, known.oid if known else None, inner)
        if repo.read_tree(subtree):
            entries[name] = TreeEntry(name, Mode.TREE, subtree)
        else:
            entries.pop(name, None)
    return repo.write_tree(entries.values())


def _is_hex(name: bytes) -> bool:
    return len(name) > 2 and all(digit in b"0123456789abcdef" for digit in name)
