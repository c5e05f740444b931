"""Log and curves of a live run, stored piece by piece, so that every checkpoint costs only what is new.

    .replicate/checkpoints/0001.log 0001.csv 0002.log ...

The end of the run replaces them by `output.log` and `metrics.csv`. If nobody is left who knows better (the machine
went down), those are made of the pieces.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import count

from git_replicate.core.names import RESERVED_FOLDER
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.objects import Folder, ObjectWriter

FOLDER = "checkpoints"
_WHOLE = {b".log": b"output.log", b".csv": b"metrics.csv"}


def segment_paths(number: int) -> tuple[str, str]:
    """The paths, in the reserved folder, of the so-many-th pieces of log and curves."""
    return f"{FOLDER}/{number:04}.log", f"{FOLDER}/{number:04}.csv"


def join_segments(repo: Repository, writer: ObjectWriter, folder: Folder, given: Collection[str]) -> None:
    """Take the pieces out of a reserved folder; what is not given whole is what was there before, and the pieces."""
    pieces = folder.pop(FOLDER.encode(), None)
    if not isinstance(pieces, dict):
        return
    for ending, name in _WHOLE.items():
        oids = [oid for piece, oid in sorted(pieces.items()) if piece.endswith(ending) and isinstance(oid, str)]
        before = folder.get(name)
        if name.decode() not in given and oids:
            oids = [before, *oids] if isinstance(before, str) else oids
            folder[name] = writer.blob(_join(ending, [repo.read_blob(oid) for oid in oids]))


def with_segments(
    repo: Repository, commit: Oid, log: bytes | None, curves: bytes | None
) -> tuple[bytes | None, bytes | None]:
    """Log and curves of a run with what is stored in pieces after them."""
    logs, tables = [log] if log is not None else [], [curves] if curves is not None else []
    for number in count(1):
        piece, table = repo.read_many(f"{commit}:{RESERVED_FOLDER}/{path}" for path in segment_paths(number))
        if piece is None:
            break
        logs.append(piece)
        tables += [table] if table is not None else []
    return _join(b".log", logs) if logs else None, _join(b".csv", tables) if tables else None


def _join(ending: bytes, pieces: list[bytes]) -> bytes:
    """The pieces as one text; the header that each piece of a table has, once."""
    if ending != b".csv":
        return b"".join(pieces)
    header = pieces[0].partition(b"\n")[0] + b"\n" if pieces else b""
    return header + b"".join(piece.removeprefix(header) for piece in pieces)
