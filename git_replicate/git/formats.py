"""Trees and commits as git writes them: bytes to values and back.

Source: git's `Documentation/gitformat-*` and `fsck.c`; tests compare with `git mktree` and `git commit-tree`.
"""

from __future__ import annotations

from collections.abc import Iterable

from git_replicate.core.errors import GitError
from git_replicate.git.repository import Commit, Mode, Oid, Signature, TreeEntry


def format_tree(entries: Iterable[TreeEntry]) -> bytes:
    """The content of a tree object; git sorts a folder as if its name ended in a slash."""
    ordered = sorted(entries, key=lambda e: e.name + b"/" if e.mode == Mode.TREE else e.name)
    return b"".join(b"%o %s\0%s" % (e.mode, e.name, bytes.fromhex(e.oid)) for e in ordered)


def parse_tree(content: bytes, width: int) -> list[TreeEntry]:
    """The entries of a tree object; `width` is the size of an object id in bytes."""
    entries = []
    position = 0
    while position < len(content):
        space = content.index(b" ", position)
        end = content.index(b"\0", space)
        oid = Oid(content[end + 1 : end + 1 + width].hex())
        entries.append(TreeEntry(content[space + 1 : end], int(content[position:space], 8), oid))
        position = end + 1 + width
    return entries


def format_commit(commit: Commit) -> bytes:
    """The content of a commit object, in UTF-8."""
    lines = [f"tree {commit.tree}", *(f"parent {parent}" for parent in commit.parents)]
    lines += [f"author {_signature(commit.author)}", f"committer {_signature(commit.committer)}", ""]
    return "\n".join([*lines, commit.message]).encode(errors="replace")


def _signature(who: Signature) -> str:
    sign = "-" if who.offset < 0 else "+"
    hours, minutes = divmod(abs(who.offset), 60)
    return f"{who.name} <{who.email}> {who.time} {sign}{hours:02}{minutes:02}"


def parse_commit(content: bytes) -> Commit:
    """A commit object as a value; headers we have no use for (gpgsig, encoding) are passed over."""
    head, _, message = content.partition(b"\n\n")
    fields: dict[str, list[str]] = {}
    for line in head.decode(errors="replace").split("\n"):
        name, _, value = line.partition(" ")
        if name:
            fields.setdefault(name, []).append(value)
    try:
        return Commit(
            tree=Oid(fields["tree"][0]),
            parents=tuple(Oid(parent) for parent in fields.get("parent", [])),
            author=_parse_signature(fields["author"][0]),
            committer=_parse_signature(fields["committer"][0]),
            message=message.decode(errors="replace"),
        )
    except (KeyError, ValueError) as error:
        raise GitError("read a commit", f"it is malformed ({error})", "git fsck") from error


def _parse_signature(text: str) -> Signature:
    who, _, when = text.rpartition("> ")
    name, _, email = who.partition("<")
    seconds, _, zone = when.partition(" ")
    offset = int(zone[1:3] or 0) * 60 + int(zone[3:5] or 0)
    return Signature(name.rstrip(), email, int(seconds), -offset if zone.startswith("-") else offset)
