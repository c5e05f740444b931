"""Packing the objects and refs under some prefixes, and nothing else of the repository.

git's own maintenance packs everything there is, when some porcelain command thinks it is time. Here only the objects
that these refs reach and no other ref, reflog or index does go into a pack, and only their loose copies go; only
these refs go into `packed-refs` (before 2.42 `git pack-refs` has no way to choose, and would move the user's as
well), by git's own protocol: `packed-refs.lock`, a new file renamed into place, then each loose ref under its own lock.

Nothing is removed before what replaces it is on disk, so a kill at any moment costs room and nothing more. The locks
are hard links of one file of ours: whoever comes next finds those that a killed process left, and takes them away.
Only one process may be here at a time for a repository; git itself may do whatever it likes meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from git_replicate.core.errors import GitError
from git_replicate.git.command import Git
from git_replicate.git.loose import flush_file, flush_folder, objects_dir, read_loose_ref
from git_replicate.git.repository import Layout

_OFFLINE = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
_HEADER = b"# pack-refs with: peeled fully-peeled sorted \n"
_MANY = 64
"""Fewer loose objects than this are left as they are."""
_MOST_PACKS = 16
_CONFIG = ("core.bigFileThreshold=1m", "core.fsync=committed", "core.fsyncMethod=fsync", "pack.packSizeLimit=0")
# Records of one batch are alike: a window that spans them all halves the pack, for seconds of processor time.
_EFFORT = ("--window=1000", "--window-memory=64m", "--depth=50", "--threads=1")


@dataclass(frozen=True, slots=True)
class Owned:
    """The refs that are ours: whole prefixes, each ending in a slash, and single names."""

    prefixes: Sequence[str]
    names: Sequence[str]


def pack_objects(layout: Layout, owned: Owned, known: Sequence[str] = ()) -> tuple[str, ...]:
    """Pack the loose objects that only these refs reach; their loose copies are left for `drop_loose`.

    `known` are the packs that earlier calls answered, and the answer is those that there are now: when they get many,
    they become one. `GitError` if git cannot read or write; nothing has changed then.
    """
    folder = os.path.join(objects_dir(layout), "pack")
    packs = tuple(name for name in known if _is_plain_pack(folder, name))
    if os.environ.get("GIT_OBJECT_DIRECTORY"):
        return packs  # somebody's quarantine: what is in it may yet be thrown away
    git = Git(layout.common_dir, git_dir=layout.git_dir)
    listed = _list_loose(git, owned)
    if len(listed) >= _MANY:
        packs += tuple(_pack(git, folder, "--incremental", "--local", stdin=b"\n".join(listed) + b"\n"))
    return _unite(git, layout, packs) if len(packs) > _MOST_PACKS else packs


def drop_loose(layout: Layout, packs: Sequence[str]) -> int:
    """Remove the loose copies of what is in these packs of ours; how many there were."""
    git = Git(layout.common_dir, git_dir=layout.git_dir)
    folder = objects_dir(layout)
    loose = set[str]()
    for start in (f"{number:02x}" for number in range(256)):
        with contextlib.suppress(FileNotFoundError):
            loose.update(start + name for name in os.listdir(os.path.join(folder, start)))
    removed = 0
    for name in packs if loose else ():
        for oid in loose.intersection(_contents(git, layout, name)):
            # The folder stays: somebody may be about to write into it.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, oid[:2], oid[2:]))
                removed += 1
    return removed


def _pack(git: Git, folder: str, *options: str, stdin: bytes) -> list[str]:
    """Make a pack and flush it; the names of what was made."""
    done = git.run(
        "pack objects", "pack-objects", "-q", "--delta-base-offset", *_EFFORT, *options, os.path.join(folder, "pack"),
        stdin=stdin, config=_CONFIG, variables=_OFFLINE, apart=True,
    )  # fmt: skip
    names = [f"pack-{text}" for text in done.stdout.decode().split()]
    for name in names:
        if not all(flush_file(os.path.join(folder, name + end)) for end in (".pack", ".idx")):
            raise GitError("pack objects", f"{name} is not there")
    flush_folder(folder)
    return names


def _unite(git: Git, layout: Layout, packs: Sequence[str]) -> tuple[str, ...]:
    """Make one pack of several, and remove those once everything of theirs is in it."""
    folder = os.path.join(objects_dir(layout), "pack")
    if os.path.exists(os.path.join(folder, "multi-pack-index")):
        return tuple(packs)  # it names them, and is not ours
    stdin = "".join(f"{name}.pack\n" for name in packs).encode()
    made = _pack(git, folder, "--stdin-packs", stdin=stdin)
    there = {oid for name in made for oid in _contents(git, layout, name)}
    kept = []
    for name in packs:
        if name in made or not there.issuperset(_contents(git, layout, name)) or not _is_plain_pack(folder, name):
            kept.append(name)
            continue
        for end in (".idx", ".rev", ".pack"):  # without its index nobody opens a pack any more
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name + end))
    return tuple(dict.fromkeys((*kept, *made)))


def _is_plain_pack(folder: str, name: str) -> bool:
    """Whether a pack is there and nobody has put a mark beside it."""
    marks = (".keep", ".bitmap", ".promisor", ".mtimes")
    there = re.fullmatch(r"pack-[0-9a-f]{40,64}", name) and os.path.exists(os.path.join(folder, f"{name}.idx"))
    return bool(there) and not any(os.path.exists(os.path.join(folder, name + mark)) for mark in marks)


def _contents(git: Git, layout: Layout, name: str) -> list[str]:
    """The ids of a pack's objects, as its index on the disk lists them."""
    path = os.path.join(objects_dir(layout), "pack", f"{name}.idx")
    with open(path, "rb") as file:
        listed = git.run("read a pack's index", "show-index", f"--object-format={layout.object_format}", stdin=file)
    return [line.split()[1] for line in listed.stdout.decode().splitlines()]


def _list_loose(git: Git, owned: Owned) -> list[bytes]:
    """Lines of id and name: the objects in no pack that our refs reach, and nothing of the user's does."""
    excluded = [*(f"--exclude={prefix}*" for prefix in owned.prefixes), *(f"--exclude={n}" for n in owned.names)]
    others = ["--not", *excluded, "--all", "--reflog", "--indexed-objects"]
    ours = [f"--glob={prefix}*" for prefix in owned.prefixes]
    ours += [f"--glob={name[:-1]}[{name[-1]}]" for name in owned.names]  # a pattern, so that it may be absent
    done = git.run(
        "list objects", "rev-list", "--objects", "--unpacked", "--exclude-promisor-objects", *ours, *others,
        variables=_OFFLINE, apart=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def pack_refs(layout: Layout, prefix: str, scratch: str) -> int:
    """Move the loose refs below a prefix into `packed-refs`; how many loose files went.

    `scratch` is a file of the caller's own, which the locks are links of. Refs that others hold locked stay loose;
    nothing is done while somebody else writes `packed-refs`.
    """
    packed = os.path.join(layout.common_dir, "packed-refs")
    if layout.ref_format != "files" or os.path.islink(packed):
        return 0
    _drop_stale_locks(layout, prefix, scratch)
    with open(scratch, "wb"), _locked(packed, scratch) as held:
        loose = _commits_only(layout, dict(_loose_refs(layout, prefix))) if held else {}
        if loose:
            _write_packed(packed, loose, os.path.join(layout.common_dir, "HEAD"))
    pruned = sum(_prune(layout, name, oid, scratch) for name, oid in loose.items())
    os.unlink(scratch)
    return pruned


@contextlib.contextmanager
def _locked(path: str, scratch: str) -> Iterator[bool]:
    """Hold git's lock on a file of refs for the body, if nobody else does."""
    lock = f"{path}.lock"
    try:
        os.link(scratch, lock)
    except OSError:  # somebody holds it, or the file system has no links
        yield False
        return
    try:
        yield True
    finally:
        os.unlink(lock)


def _drop_stale_locks(layout: Layout, prefix: str, scratch: str) -> None:
    """Take away the locks that are links of our own file: whoever made them is dead."""
    try:
        mine = os.stat(scratch)
    except FileNotFoundError:
        return
    if mine.st_nlink > 1:
        locks = [os.path.join(layout.common_dir, "packed-refs.lock")]
        for folder, _, names in os.walk(os.path.join(layout.common_dir, prefix)):
            locks += [os.path.join(folder, name) for name in names if name.endswith(".lock")]
        for lock in locks:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.lstat(lock), mine):
                    os.unlink(lock)
    os.unlink(scratch)


def _loose_refs(layout: Layout, prefix: str) -> Iterator[tuple[bytes, bytes]]:
    """Name and value of the loose refs below a prefix; symbolic and broken ones are passed over."""
    root = os.fsencode(layout.common_dir)
    for folder, _, names in os.walk(os.path.join(root, prefix.encode())):
        for name in names:
            path = os.path.join(folder, name)
            if not name.endswith(b".lock") and (oid := read_loose_ref(path)):
                yield os.path.relpath(path, root), oid


def _commits_only(layout: Layout, refs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Those that name a commit that is there: a tag would need its peeled value beside it."""
    git = Git(layout.common_dir, git_dir=layout.git_dir)
    asked = b"".join(oid + b"\n" for oid in refs.values())
    done = git.run(
        "look at refs", "cat-file", "--batch-check=%(objecttype)", "--buffer", stdin=asked, variables=_OFFLINE,
        apart=True,
    )  # fmt: skip
    kinds = done.stdout.splitlines()
    return {name: oid for (name, oid), kind in zip(refs.items(), kinds, strict=True) if kind == b"commit"}


def _write_packed(path: str, refs: Mapping[bytes, bytes], model: str) -> None:
    """Put refs into `packed-refs`, with everything that is in it; the caller holds its lock."""
    header, blocks = _HEADER, dict[bytes, bytes]()
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        header, blocks = _read_packed(file.read())
        model = path
    blocks.update({name: b"%s %s\n" % (oid, name) for name, oid in refs.items()})
    new = f"{path}.new"
    with open(new, "wb") as file:
        os.fchmod(file.fileno(), os.stat(model).st_mode & 0o777)
        file.write(header + b"".join(blocks[name] for name in sorted(blocks)))
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, path)
    flush_folder(os.path.dirname(path))


def _read_packed(text: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """The header, and each ref's lines: its value, and that of the object its tag peels to."""
    header, blocks, name = b"# pack-refs with: sorted \n", dict[bytes, bytes](), b""
    for line in text.splitlines(keepends=True):
        if line.startswith(b"#"):
            header = line if b" sorted" in line else line.rstrip() + b" sorted \n"
        elif line.startswith(b"^"):
            blocks[name] += line
        else:
            name = line.split(b" ", 1)[1].rstrip(b"\n")
            blocks[name] = line
    return header, blocks


def _prune(layout: Layout, name: bytes, oid: bytes, scratch: str) -> bool:
    """Remove a loose ref that is packed, unless it is locked or has moved on."""
    path = os.path.join(os.fsencode(layout.common_dir), name)
    with _locked(os.fsdecode(path), scratch) as held:
        if not held or read_loose_ref(path) != oid:
            return False
        os.unlink(path)
        return True
