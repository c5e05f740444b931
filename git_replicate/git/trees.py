"""Trees made from a base and a mapping of paths, on either backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from git_replicate.core.frozen import frozen
from git_replicate.git.repository import Mode, Oid, Repository, TreeEntry


@frozen
class Leaf:
    """What a path in a tree holds."""

    mode: int
    oid: Oid


def edit_tree(repo: Repository, base: Oid | None, changes: Mapping[bytes, Leaf | None]) -> Oid:
    """The tree that `base` (empty if None) becomes by `changes`: slash-separated paths to what they hold then.

    None deletes a path and all below it; a file in the way of a folder gives way; folders left empty disappear.
    Writes only the levels that change.
    """
    edited = _edit(repo, base, changes)
    return repo.write_tree([]) if edited is None else edited


def _edit(repo: Repository, base: Oid | None, changes: Mapping[bytes, Leaf | None]) -> Oid | None:
    """The edited tree, None if nothing is left in it."""
    entries = {entry.name: entry for entry in repo.read_tree(base)} if base is not None else {}
    below: dict[bytes, dict[bytes, Leaf | None]] = {}
    for path, leaf in changes.items():
        name, slash, rest = path.partition(b"/")
        if slash:
            below.setdefault(name, {})[rest] = leaf
        elif leaf is None:
            entries.pop(name, None)
        else:
            entries[name] = TreeEntry(name, leaf.mode, leaf.oid)
    for name, inner in below.items():
        known = entries.get(name)
        subtree = known.oid if known is not None and known.mode == Mode.TREE else None
        if subtree is None and all(leaf is None for leaf in inner.values()):
            continue
        edited = _edit(repo, subtree, inner)
        if edited is None:
            entries.pop(name, None)
        else:
            entries[name] = TreeEntry(name, Mode.TREE, edited)
    return repo.write_tree(entries.values()) if entries else None


def read_path(repo: Repository, tree: Oid, path: bytes) -> TreeEntry | None:
    """What a tree holds at a path, or None."""
    *folders, last = path.split(b"/")
    for name in folders:
        entry = _entry(repo, tree, name)
        if entry is None or entry.mode != Mode.TREE:
            return None
        tree = entry.oid
    return _entry(repo, tree, last)


def _entry(repo: Repository, tree: Oid, name: bytes) -> TreeEntry | None:
    return next((entry for entry in repo.read_tree(tree) if entry.name == name), None)


def walk(repo: Repository, tree: Oid, prefix: bytes = b"") -> Iterator[tuple[bytes, TreeEntry]]:
    """Every path below a tree that is not a folder, in git's order."""
    for entry in repo.read_tree(tree):
        path = prefix + entry.name
        if entry.mode == Mode.TREE:
            yield from walk(repo, entry.oid, path + b"/")
        else:
            yield path, entry


def without(repo: Repository, tree: Oid, name: bytes) -> Oid:
    """The tree less one name at its top; the same tree if it has none such."""
    entries = repo.read_tree(tree)
    kept = [entry for entry in entries if entry.name != name]
    return tree if len(kept) == len(entries) else repo.write_tree(kept)
