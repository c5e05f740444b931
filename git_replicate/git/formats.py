"""Trees and commits as git writes them: bytes to values and back.

Source: git's `Documentation/gitformat-*` and `fsck.c`; tests compare with `git mktree` and `git commit-tree`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from git_replicate.core.errors import GitError
from git_replicate.git.repository import Commit, Mode, Oid, Signature, TreeEntry

_NOT_IN_A_NAME = dict.fromkeys(map(ord, "\0\n<>"))
_WHEN = re.compile(r"(-?\d+) ([+-])(\d\d)(\d\d)$")


def format_tree(entries: Iterable[TreeEntry]) -> bytes:
    """The content of a tree object; git sorts a folder as if its name ended in a slash.

    `GitError` for a name that no tree can have, and for one name given twice.
    """
    ordered = sorted(entries, key=lambda e: e.name + b"/" if e.mode == Mode.TREE else e.name)
    seen: set[bytes] = set()
    for entry in ordered:
        if entry.name in seen or entry.name in (b"", b".", b"..") or b"/" in entry.name or b"\0" in entry.name:
            raise GitError("write a tree", f"{'twice the name' if entry.name in seen else 'bad name'} {entry.name!r}")
        seen.add(entry.name)
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
    # git refuses NUL in a message, and cuts the message there when it shows it.
    return "\n".join([*lines, commit.message.replace("\0", "\ufffd")]).encode(errors="replace")


def _signature(who: Signature) -> str:
    sign = "-" if who.offset < 0 else "+"
    hours, minutes = divmod(abs(who.offset), 60)
    name, email = (text.translate(_NOT_IN_A_NAME).strip() for text in (who.name, who.email))
    return f"{name} <{email}> {who.time} {sign}{hours:02}{minutes:02}"


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
    """A signature; old histories hold some without a date or with an odd zone, which count as 0, as git shows them."""
    who, _, when = text.rpartition(">")
    name, _, email = who.partition("<")
    found = _WHEN.match(when.strip())
    if found is None:
        return Signature(name.rstrip(), email, 0)
    seconds, sign, hours, minutes = found.groups()
    offset = int(hours) * 60 + int(minutes)
    return Signature(name.rstrip(), email, int(seconds), -offset if sign == "-" else offset)
