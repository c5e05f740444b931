"""The working-tree scan: list what differs from the index, then turn the chosen part of it into a tree.

Everything happens on a private copy of the index; the user's own is only read. Two steps, so that the caller can
judge in between: `list_changes` stores nothing at all, `store` writes objects for exactly the paths it is given.
The work is git's own (`diff-files`, `ls-files`, `update-index`, `write-tree`), because only git knows filters,
encodings, sparse and split indexes and submodules. Paths are bytes relative to the top of the worktree.

What ran outranks what git would commit: entries marked assume-unchanged, and entries marked skip-worktree whose file
is there, are compared like all others. A path that git refuses does not lose the others: its raw bytes are stored.
Submodules are seen as git sees them, as the commit they are at; whether they are dirty is the caller's question.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from git_replicate.core.errors import GitError
from git_replicate.core.frozen import frozen
from git_replicate.git.command import Git, failure
from git_replicate.git.plain_indexes import PlainIndexes
from git_replicate.git.repository import Mode, Oid

OFFLINE: Mapping[str, str] = {
    # A partial clone fetches a missing object whenever git looks for one. GIT_NO_LAZY_FETCH is known to git 2.45 and
    # later only; with no protocol allowed the fetch ends before it starts on every git.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}

_DURABLE = ("core.fsync=committed,loose-object", "core.fsyncMethod=batch")
"""Objects are on disk, at one flush a process, before anything names them (git 2.36; older ones ignore it)."""

_BROKEN_FILTER = re.compile(rb"clean filter '(.+)' failed")
_PLAIN_ENTRY = (b"H 100", b"H 120")


@frozen
class Changes:
    """How the working tree differs from the index; nothing of it is stored yet."""

    modified: Mapping[bytes, int]
    """Tracked paths that may differ (git's stat says so) or do, with their mode in the working tree."""
    deleted: tuple[bytes, ...]
    conflicted: tuple[bytes, ...]
    """Paths with a merge conflict; they are also in one of the above."""
    untracked: tuple[bytes, ...]
    """Files and symbolic links that are neither tracked nor ignored."""
    nested: tuple[bytes, ...]
    """Untracked folders that are repositories of their own, without a slash at the end."""
    gitlinks: Mapping[bytes, Oid]
    """Tracked submodules, with the commit that the index names."""
    reserved: tuple[bytes, ...]
    """Tracked paths at or below the reserved name."""


@frozen
class Stored:
    """The tree that `store` wrote, and what git would not take into it."""

    tree: Oid
    raw: tuple[bytes, ...]
    """git's filters or encodings refused these; the tree holds their raw bytes."""
    refused: tuple[bytes, ...]
    """Not in the tree as they are: unreadable, neither file nor link, or of a name git does not allow."""


def copy_index(source: str, target: str) -> None:
    """Copy an index with its modification time to the nanosecond; without a source, there will be no target.

    git compares a file by content when its entry is no older than the index itself. A copy with a time of its own
    would make edits of the same second invisible.
    """
    try:
        with open(source, "rb") as file:
            status, data = os.fstat(file.fileno()), file.read()
    except FileNotFoundError:
        if os.path.lexists(target):
            os.unlink(target)
        return
    with open(target, "wb") as file:
        file.write(data)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def list_changes(git: Git, *, reserved: bytes = b"", plain: str = "") -> Changes:
    """List what differs from `git.index` (a private copy, see `copy_index`); the copy may lose hidden marks.

    plain: a file of ours (see `PlainIndexes`) that remembers which indexes need no second look.
    """
    known = PlainIndexes(plain, reserved)
    key = known.key(git.index)
    listings = [_start(git, *words) for words in (_DIFFERENCES, _UNTRACKED, *(() if key in known else (_ENTRIES,)))]
    # The longest answer first: who waits for a reader makes the others wait.
    entries = _finish(listings[2]) if len(listings) > 2 else b""
    untracked, differences = _finish(listings[1]), _differences(git, listings[0])
    odd = _odd_entries(entries)
    if _reveal(git, odd):
        differences = _differences(git, _start(git, *_DIFFERENCES))
    modified, deleted, conflicted = _parse_differences(differences)
    others = untracked.split(b"\0")[:-1]
    inside = [] if not reserved or b"\t" + reserved not in entries else _below(entries, reserved)
    if entries and not odd and not inside:
        known.add(key)
    return Changes(
        modified=modified,
        deleted=deleted,
        conflicted=conflicted,
        untracked=tuple(path for path in others if not path.endswith(b"/") and not is_below(path, reserved)),
        nested=tuple(path[:-1] for path in others if path.endswith(b"/") and not is_below(path[:-1], reserved)),
        gitlinks=dict(_gitlinks(odd)),
        reserved=tuple(inside),
    )


def list_again(git: Git, *, meanwhile: Callable[[], None] | None = None) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """What changed since `store` wrote `git.index`, by content, and what is untracked now; no object is stored.

    meanwhile: called while git works.
    """
    listings = [_start(git, *words) for words in (_DIFFERENCES, _UNTRACKED)]
    if meanwhile:
        meanwhile()
    untracked, differences = _finish(listings[1]), _differences(git, listings[0])
    modified, deleted, _ = _parse_differences(differences)
    if modified:
        # Only stat differs for files that were merely touched: let git read them. A filter that fails ends the
        # refresh early; then everything not yet compared counts as changed.
        git.run("refresh the index", "update-index", "-q", "--refresh", variables=OFFLINE, accept=range(256))
        modified, deleted, _ = _parse_differences(_differences(git, _start(git, *_DIFFERENCES)))
    return (*modified, *deleted), tuple(untracked.split(b"\0")[:-1])


def store(git: Git, changes: Changes, add: Iterable[bytes], *, meanwhile: Callable[[], None] | None = None) -> Stored:
    """Write the tree of the index with every change to tracked paths, and with the `add`ed untracked ones.

    The private index holds the outcome. `StorageError` when objects cannot be written. meanwhile: called while git
    works.
    """
    chosen = [*changes.modified, *add]
    if gone := [*changes.deleted, *changes.reserved]:
        _update(git, "--force-remove", paths=gone)
        chosen = [path for path in chosen if path not in set(changes.reserved)] if changes.reserved else chosen
    failed = _add(git, chosen)
    raw: list[bytes] = []
    refused: list[bytes] = []
    for path in failed:
        (raw if _store_raw(git, path, changes.modified.get(path)) else refused).append(path)
    if unmerged := set(refused) & set(changes.conflicted):
        _update(git, "--force-remove", paths=sorted(unmerged))  # no tree can be written with these
    done = git.run(
        "write the tree", "write-tree", "--missing-ok", variables=OFFLINE, config=_DURABLE, meanwhile=meanwhile
    )
    tree = done.stdout.decode().strip()
    return Stored(Oid(tree), tuple(raw), tuple(refused))


def is_below(path: bytes, folder: bytes) -> bool:
    """Whether a path is this folder or in it; nothing is below the empty name."""
    return bool(folder) and (path == folder or path.startswith(folder + b"/"))


# --- listing

_DIFFERENCES = ("diff-files", "-z", "--raw", "--no-abbrev", "--no-renames", "--ignore-submodules=dirty")
_UNTRACKED = ("ls-files", "-z", "--others", "--exclude-standard")
_ENTRIES = ("ls-files", "-z", "-v", "--stage")


@frozen
class _Listing:
    name: str
    process: subprocess.Popen[bytes]


def _start(git: Git, *words: str, config: Sequence[str] = ()) -> _Listing:
    """Start a listing; several run side by side, which halves the time of a scan."""
    process = subprocess.Popen(
        git.command(*words, config=config), cwd=git.directory, env={**git.environment(), **OFFLINE},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    return _Listing(words[0], process)


def _finish(listing: _Listing) -> bytes:
    stdout, stderr = listing.process.communicate()
    if listing.process.returncode != 0:
        raise failure(f"list the working tree ({listing.name})", stderr, listing.process.returncode)
    return stdout


def _differences(git: Git, first: _Listing) -> bytes:
    """What `diff-files` lists; `first` is its first attempt.

    To compare an entry as young as the index git runs the file's filter, and ends if a required one fails. Then the
    listing is made without that filter, and the file counts as modified.
    """
    without: list[str] = []
    listing = first
    while True:
        stdout, stderr = listing.process.communicate()
        code = listing.process.returncode
        if code == 0:
            return stdout
        broken = _BROKEN_FILTER.search(stderr)
        name = os.fsdecode(broken[1]) if broken else ""
        settings = [f"filter.{name}.required=false", f"filter.{name}.clean=", f"filter.{name}.process="]
        if not name or settings[0] in without:
            raise failure("list the working tree", stderr, code)
        without += settings
        listing = _start(git, *_DIFFERENCES, config=without)


def _parse_differences(text: bytes) -> tuple[dict[bytes, int], tuple[bytes, ...], tuple[bytes, ...]]:
    """Raw `diff-files` lines as what is there (with its mode), what is gone, and what is in conflict.

    A conflicted path comes twice; its `U` line bears the mode in the working tree, 0 if the file is gone.
    """
    fields = text.split(b"\0")
    modes: dict[bytes, int] = {}
    conflicted: list[bytes] = []
    for meta, path in zip(fields[0::2], fields[1::2], strict=False):
        _, mode, _, _, letter = meta.split(b" ")
        if letter.startswith(b"U"):
            conflicted.append(path)
        if path not in modes or letter.startswith(b"U"):
            modes[path] = 0 if letter.startswith(b"D") else int(mode, 8)
    present = {path: mode for path, mode in modes.items() if mode}
    return present, tuple(path for path in modes if path not in present), tuple(conflicted)


def _odd_entries(entries: bytes) -> list[bytes]:
    """The entries that are other than plain files and links; usually none, and then nothing is split."""
    plain = sum(entries.count(b"\0" + kind) + entries.startswith(kind) for kind in _PLAIN_ENTRY)
    if plain == entries.count(b"\0"):
        return []
    return [entry for entry in entries.split(b"\0") if entry and not entry.startswith(_PLAIN_ENTRY)]


def _reveal(git: Git, odd: Sequence[bytes]) -> bool:
    """Clear the marks in the private index that hide edits: assume-unchanged, and skip-worktree where a file is."""
    assumed = [entry.partition(b"\t")[2] for entry in odd if entry[:1].islower()]
    skipped = [entry.partition(b"\t")[2] for entry in odd if entry[:1] in b"Ss"]
    present = list(_present(git, skipped))
    if assumed:
        _update(git, "--no-assume-unchanged", paths=assumed)
    if present:
        _update(git, "--no-skip-worktree", paths=present)
    return bool(assumed or present)


def _present(git: Git, paths: Iterable[bytes]) -> Iterator[bytes]:
    """Those of many, mostly absent paths that are files or links; one look at each folder that is not there."""
    top = os.fsencode(git.work_tree or git.directory)
    folders: dict[bytes, bool] = {}
    for path in paths:
        folder = path.rpartition(b"/")[0]
        if folder not in folders:
            folders[folder] = os.path.isdir(os.path.join(top, folder))
        if not folders[folder]:
            continue
        full = os.path.join(top, path)
        if os.path.lexists(full) and (os.path.islink(full) or not os.path.isdir(full)):
            yield path


def _gitlinks(odd: Iterable[bytes]) -> Iterator[tuple[bytes, Oid]]:
    for entry in odd:
        meta, _, path = entry.partition(b"\t")
        words = meta.split(b" ")
        if words[1] == b"160000" and words[0].upper() != b"S":
            yield path, Oid(words[2].decode())


def _below(entries: bytes, folder: bytes) -> list[bytes]:
    paths = (entry.partition(b"\t")[2] for entry in entries.split(b"\0"))
    return list(dict.fromkeys(path for path in paths if is_below(path, folder)))


# --- storing


def _update(git: Git, *options: str, paths: Iterable[bytes]) -> None:
    text = b"".join(path + b"\0" for path in paths)
    git.run("update the private index", "update-index", *options, "-z", "--stdin", stdin=text, variables=OFFLINE)


def _add(git: Git, paths: Sequence[bytes]) -> list[bytes]:
    """Add paths to the private index as they are in the working tree; return those that git refused.

    `update-index` takes names as they are (no pathspec, whose matching is quadratic) and reports each as it is done,
    but gives up at the first refusal and keeps nothing. So: what came before is done again, what comes after goes on.
    """
    refused: list[bytes] = []
    batches = [list(paths)] if paths else []
    while batches:
        batch = batches.pop()
        command = git.command(
            "update-index", "--add", "--remove", "--replace", "--verbose", "-z", "--stdin", config=_DURABLE
        )
        done = subprocess.run(
            command, input=b"\0".join(batch) + b"\0", cwd=git.directory, env={**git.environment(), **OFFLINE},
            capture_output=True, check=False,
        )  # fmt: skip
        count, ignored = _progress(done.stdout, batch)
        if done.returncode == 0:
            refused += ignored
            continue
        if count >= len(batch) or done.returncode < 0:
            raise failure("add to the private index", done.stderr, done.returncode)
        refused.append(batch[count])
        batches += [part for part in (batch[count + 1 :], batch[:count]) if part]
    return refused


def _progress(report: bytes, paths: Sequence[bytes]) -> tuple[int, list[bytes]]:
    """How many paths were dealt with, by the lines `add '<path>'`, and which of them were silently ignored."""
    position, ignored = 0, []
    for count, path in enumerate(paths):
        line = b"add '" + path + b"'\n"
        if report.startswith(line, position):
            position += len(line)
        elif position < len(report):
            ignored.append(path)
        else:
            # Either the one that ended it, or ignored with all after it.
            return count, [*ignored, *paths[count:]]
    return len(paths), ignored


def _store_raw(git: Git, path: bytes, mode: int | None) -> bool:
    """Store a refused file's bytes as they are; False if that is impossible (no file: it leaves the index too)."""
    full = os.path.join(os.fsencode(git.work_tree or git.directory), path)
    try:
        status = os.lstat(full)
        if not stat.S_ISREG(status.st_mode):
            _update(git, "--force-remove", paths=[path])
            return False
        with open(full, "rb") as file:
            done = git.run(
                "store a file's raw bytes",
                "hash-object",
                "-w",
                "--stdin",
                stdin=file,
                variables=OFFLINE,
                config=_DURABLE,
            )
    except OSError:
        return False
    if mode is None:
        executable = status.st_mode & 0o100 and _trusts_modes(git)
        mode = Mode.EXECUTABLE if executable else Mode.FILE
    line = b"%o %s\t%s\0" % (mode, done.stdout.strip(), path)
    try:
        git.run("update the private index", "update-index", "-z", "--add", "--replace", "--index-info", stdin=line)
    except GitError:
        return False  # a name that no tree may hold
    return True


def _trusts_modes(git: Git) -> bool:
    done = git.run("read core.fileMode", "config", "--type=bool", "--get", "core.fileMode", accept=(0, 1))
    return done.stdout.strip() != b"false"
