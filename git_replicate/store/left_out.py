"""What a snapshot leaves out: which untracked files, and why. Decided from names, sizes and first bytes alone.

Tracked files are never judged. What is left out is not stored in git, but named in the record; what a person is told
of it is made in `offers`. Folders that are left out as a whole are one entry, its path ending in a slash; a
folder that is too big is the deepest one, so that `project/data/` goes and the code beside it stays.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from git_replicate.core.frozen import frozen
from git_replicate.core.paths import quote_path, unquote_path
from git_replicate.core.patterns import lazy
from git_replicate.core.record import LeftOut
from git_replicate.core.secrets import find_secret, looks_secret_name
from git_replicate.core.settings import SnapshotSettings

_FOLDERS: Final[Mapping[bytes, str]] = {
    **dict.fromkeys((b"node_modules", b"__pypackages__", b"conda-meta", b"site-packages"), "environment"),
    **dict.fromkeys(
        (b"__pycache__", b".pytest_cache", b".mypy_cache", b".ruff_cache", b".ipynb_checkpoints", b".cache", b".tox",
         b".nox", b".hypothesis", b".eggs", b".gradle", b".dvc-cache", b".numba_cache", b".joblib_cache"),
        "cache",
    ),
    **dict.fromkeys((b"wandb", b"mlruns", b"mlartifacts", b".aim", b".neptune", b".cometml-runs"), "tracker"),
}  # fmt: skip
_ENVIRONMENT_PROGRAM: Final = lazy(rb"activate(?:\.\w+)?|Activate\.ps1|(?:python|pip)[\d.]*")
_CACHE_FILES: Final = (b".pyc", b".pyo", b".pyd~")
_BUNDLE: Final = lazy(rb"# v\d+ git bundle\n")
_HEAD_BYTES: Final = 1_000_000  # of a file, searched for secrets
_HASH_SECONDS: Final = 5.0
_HASH_BYTES: Final = 2_000_000_000


@frozen
class Stamp:
    """A file's size and time of last change, which tell whether somebody changed it since."""

    size: int
    mtime_us: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_size, status.st_mtime_ns // 1000)

    @classmethod
    def at(cls, top: bytes, path: bytes) -> Stamp | None:
        """Of the file or link at a path below `top`; None if there is nothing."""
        try:
            return cls.of(os.lstat(os.path.join(top, path)))
        except OSError:
            return None


ANY: Final = Stamp(0, -1)
"""Of a file that is being written: whatever is in it is the run's."""


@frozen
class Judgement:
    """Every untracked file is in `chosen` or below an entry of `left_out`; empty: those chosen without content."""

    chosen: tuple[bytes, ...]
    left_out: tuple[LeftOut, ...]
    empty: tuple[bytes, ...] = ()

    def covers(self) -> Covers:
        return Covers(unquote_path(entry.path) for entry in self.left_out)


class Covers:
    """Tells whether a path is one of these files or below one of these folders (which end in a slash)."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        self._paths = frozenset(paths)

    def __contains__(self, path: bytes) -> bool:
        return path in self._paths or any(folder + b"/" in self._paths for folder in ancestors(path))


@dataclass(slots=True)
class _Pile:
    """The untracked files directly in and below a folder that nothing else has left out."""

    files: int = 0
    size: int = 0
    paths: list[bytes] = field(default_factory=list)


def judge(
    top: bytes, untracked: Sequence[bytes], settings: SnapshotSettings, written: Mapping[bytes, Collection[Stamp]]
) -> Judgement:
    """Decide which untracked paths go into the snapshot.

    `written` are files that earlier runs wrote, as they left them. A file that vanishes meanwhile is not mentioned.
    """
    excluded = exclusion(settings.exclude)
    environments = _environments(untracked)
    at_top = b"pyvenv.cfg" in untracked
    entries: dict[bytes, LeftOut] = {}
    sizes: dict[bytes, int] = {}
    links: list[bytes] = []
    for path in untracked:
        if folder := _named_folder(path, environments):
            name, reason = folder
            if name not in entries and not _is_package(top, name, reason):
                entries[name] = LeftOut(quote_path(name), reason)
            if name in entries:
                continue
        try:
            status = os.lstat(os.path.join(top, path))
        except OSError:
            continue
        reason = _file_reason(path, status, settings, excluded, written)
        if at_top and not reason and _is_of_environment(top, path):
            reason = "environment"
        if reason:
            entries[path] = LeftOut(quote_path(path), reason, status.st_size)
        elif stat.S_ISREG(status.st_mode):
            sizes[path] = status.st_size
        else:
            links.append(path)
    _leave_out_folders(sizes, settings, entries)
    for path, size in list(sizes.items()):
        if reason := _head_reason(os.path.join(top, path)):
            entries[path] = LeftOut(quote_path(path), reason, size)
            del sizes[path]
    empty = tuple(path for path, size in sizes.items() if not size)
    return Judgement((*sizes, *links), tuple(entries[path] for path in sorted(entries)), empty)


def ancestors(path: bytes) -> Iterable[bytes]:
    """The folders above a path, the deepest first, without the top."""
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


def _environments(untracked: Iterable[bytes]) -> frozenset[bytes]:
    """Folders that are virtual or conda environments, each ending in a slash; the top itself is none."""
    found = set()
    for path in untracked:
        folder, _, name = path.rpartition(b"/")
        if name == b"pyvenv.cfg" and folder:
            found.add(folder + b"/")
        elif b"/conda-meta/" in path:
            found.add(path.partition(b"/conda-meta/")[0] + b"/")
    return frozenset(found)


def _is_of_environment(top: bytes, path: bytes) -> bool:
    """Whether a file belongs to a virtual environment that was made in the top folder itself, beside the user's own.

    Its packages are left out by the name of their folder; a program in `bin/` that names another interpreter, or
    none, is the user's.
    """
    folder, _, name = path.rpartition(b"/")
    if path in (b"pyvenv.cfg", b"lib64"):
        return True
    if folder != b"bin":
        return False
    if _ENVIRONMENT_PROGRAM.fullmatch(name):
        return True
    try:
        with open(os.path.join(top, path), "rb") as file:
            return file.read(len(top) + 20).startswith(b"#!" + os.path.join(top, b"bin", b"python"))
    except OSError:
        return False


def _named_folder(path: bytes, environments: frozenset[bytes]) -> tuple[bytes, str] | None:
    """The outermost folder above this path that is left out by what it is, and the reason."""
    found = None
    for folder in ancestors(path):
        reason = _FOLDERS.get(folder.rpartition(b"/")[2])
        if folder + b"/" in environments:
            reason = "environment"
        if reason:
            found = folder + b"/", reason
    return found


def _is_package(top: bytes, folder: bytes, reason: str) -> bool:
    """Whether a folder named like a tracker's is the source of a Python package."""
    return reason == "tracker" and os.path.lexists(os.path.join(top, folder, b"__init__.py"))


def _file_reason(
    path: bytes, status: os.stat_result, settings: SnapshotSettings, excluded: re.Pattern[bytes] | None,
    written: Mapping[bytes, Collection[Stamp]],
) -> str:  # fmt: skip
    if excluded and excluded.fullmatch(path):
        return "excluded"
    if looks_secret_name(path):
        return "secret"
    if path.endswith(_CACHE_FILES):
        return "cache"
    if (known := written.get(path)) and (Stamp.of(status) in known or ANY in known):
        return "written-by-run"
    if stat.S_ISREG(status.st_mode) and status.st_size > settings.large_bytes:
        return "large"
    return ""


def _leave_out_folders(sizes: dict[bytes, int], settings: SnapshotSettings, entries: dict[bytes, LeftOut]) -> None:
    """Leave out the deepest folders that hold too many or too big untracked files; removes them from `sizes`."""
    if len(sizes) <= settings.folder_files and sum(sizes.values()) <= settings.folder_bytes:
        return
    piles: dict[bytes, _Pile] = {}
    for path, size in sizes.items():
        pile = piles.setdefault(path.rpartition(b"/")[0], _Pile())
        pile.files += 1
        pile.size += size
        pile.paths.append(path)
    for folder in list(piles):
        for above in ancestors(folder):
            piles.setdefault(above, _Pile())
    for folder in sorted(filter(None, piles), key=lambda name: name.count(b"/"), reverse=True):
        pile = piles[folder]
        if pile.files > settings.folder_files or pile.size > settings.folder_bytes:
            entries[folder + b"/"] = LeftOut(quote_path(folder + b"/"), "folder", pile.size)
            for path in pile.paths:
                del sizes[path]
        else:
            parent = piles.setdefault(folder.rpartition(b"/")[0], _Pile())
            parent.files += pile.files
            parent.size += pile.size
            parent.paths += pile.paths


def _head_reason(full: bytes) -> str:
    """Why a file is left out by its beginning: it is a bundle of git's (ours as well), or a token or key is in it.

    Unreadable files are git's to refuse.
    """
    try:
        with open(full, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return ""
    if _BUNDLE.match(head):
        return "bundle"
    return "secret" if find_secret(head) is not None else ""


def exclusion(patterns: Sequence[str]) -> re.Pattern[bytes] | None:
    """Patterns of `[snapshot] exclude` as one expression over paths; the same rules as in `.gitignore`.

    A pattern with a slash before its end is relative to the top, any other matches at every depth; a match of a
    folder takes all that is in it.
    """
    parts = []
    for pattern in patterns:
        text = pattern.rstrip("/")
        anchored = "/" in text
        body = _glob(os.fsencode(text.lstrip("/")))
        inside = rb"/.+" if pattern.endswith("/") else rb"(?:/.*)?"
        parts.append((b"" if anchored else rb"(?:.*/)?") + body + inside)
    return re.compile(b"|".join(parts), re.DOTALL) if parts else None


def _glob(pattern: bytes) -> bytes:
    out, position = b"", 0
    for match in re.finditer(rb"\*\*/|/\*\*$|\*\*|\*|\?|\[!?[^\]]+\]|\\.", pattern):
        out += re.escape(pattern[position : match.start()])
        token = match[0]
        known = {b"**/": rb"(?:.*/)?", b"/**": rb"/.*", b"**": rb".*", b"*": rb"[^/]*", b"?": rb"[^/]"}
        if token in known:
            out += known[token]
        elif token.startswith(b"["):
            negated = token.startswith(b"[!")
            inner = token[2 if negated else 1 : -1].replace(b"\\", b"\\\\").replace(b"^", b"\\^")
            out += (b"[^" if negated else b"[") + inner + b"]"
        else:
            out += re.escape(token[1:])
        position = match.end()
    return out + re.escape(pattern[position:])


def ignore_line(path: bytes) -> str:
    """The `.gitignore` line that matches exactly this path; bytes that cannot stand in a line match any one."""
    escaped = re.sub(rb"[\\*?\[]", rb"\\\g<0>", path)
    escaped = re.sub(rb"[\x00-\x1f\x7f]", b"?", escaped)
    text = "".join("?" if "\ud800" <= c <= "\udfff" else c for c in escaped.decode("utf-8", "surrogateescape"))
    return "/" + re.sub(r" +$", lambda spaces: "\\ " * len(spaces[0]), text)


# --- hashes of large files


def hash_large(top: bytes, left_out: Sequence[LeftOut], cache: str) -> tuple[LeftOut, ...]:
    """Add content hashes to large files, within limits of time and bytes; unchanged files come from the cache file.

    A file too young for its time to tell of a later change is hashed again the next time.
    """
    wanted = [entry for entry in left_out if entry.reason == "large"]
    if not wanted:
        return tuple(left_out)
    known = _read_cache(cache)
    deadline, budget, fresh = time.monotonic() + _HASH_SECONDS, _HASH_BYTES, dict(known)
    hashes: dict[str, str] = {}
    for entry in sorted(wanted, key=lambda item: item.size):
        full = os.path.join(top, unquote_path(entry.path))
        try:
            status = os.lstat(full)
            key = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {entry.path}"
            if key not in known:
                budget -= status.st_size
                if budget < 0:
                    continue
                digest = _blake3(full, deadline)
                if digest and time.time_ns() - status.st_mtime_ns > 2_000_000_000:
                    fresh[key] = digest
                hashes[entry.path] = digest
            else:
                hashes[entry.path] = known[key]
        except OSError:
            continue  # it vanished or cannot be read: the entry stays without a hash
    if fresh != known:
        _write_cache(cache, fresh)
    return tuple(
        LeftOut(e.path, e.reason, e.size, hashes.get(e.path, "")) if e.reason == "large" else e for e in left_out
    )


def _blake3(full: bytes, deadline: float) -> str:
    """The hash of a file, or nothing if it is not done by the deadline."""
    from blake3 import blake3

    hasher = blake3(max_threads=blake3.AUTO)
    with open(full, "rb", buffering=0) as file:
        while chunk := file.read(16_000_000):
            hasher.update(chunk)
            if time.monotonic() > deadline:
                return ""
    return f"blake3:{hasher.hexdigest()}"


def _read_cache(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition(" ") for line in lines if line.startswith("blake3:"))
    return {key: digest for digest, _, key in pairs}


def _write_cache(path: str, hashes: Mapping[str, str]) -> None:
    """Replace the cache file whole; a cache that cannot be written only costs time."""
    temporary = f"{path}.{os.getpid()}"
    newest = list(hashes.items())[-1000:]
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.writelines(f"{digest} {key}\n" for key, digest in newest)
        os.replace(temporary, path)
    except OSError:
        return
