"""Which files earlier runs wrote, so that later snapshots leave out those that nobody changed since.

One small file a run under `<common git dir>/replicate/written/<worktree>/`, so that runs that end at the same time
share nothing; when there are many, they are merged into one. Losing them costs nothing but bigger snapshots.

A file that our own output goes to (`git replicate start ... > train.log`) is such a file from the start, whatever it
holds, until we end.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from git_replicate.core.paths import unquote_path
from git_replicate.core.record import WrittenFile
from git_replicate.git.repository import Layout
from git_replicate.store.left_out import ANY, Stamp

_MERGE_ABOVE = 64  # files
_KEEP = 50_000  # paths
_LIVE = ".live-"  # and the process whose output it is
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stamp_time(stamp: Stamp) -> datetime:
    """The time of last change, UTC, to the microsecond, exactly."""
    return _EPOCH + timedelta(microseconds=stamp.mtime_us)


def _folder(layout: Layout) -> str:
    """Paths are relative to a worktree, so each worktree has its own folder."""
    linked = layout.git_dir != layout.common_dir
    name = f"linked-{os.path.basename(layout.git_dir)}" if linked else "main"
    return os.path.join(layout.common_dir, "replicate", "written", name)


def read_written(layout: Layout) -> dict[bytes, set[Stamp]]:
    """Path to how the runs that wrote it left it.

    Every run's stamp counts: neither the order of their ids (runs overlap) nor that of the times of change (a run may
    unpack old files) tells which of them wrote last.
    """
    folder = _folder(layout)
    return _united(
        _read(folder, [name for name in _names(folder) if not name.startswith(".") or name.startswith(_LIVE)])
    )


def _united(found: Iterable[tuple[str, Mapping[bytes, Stamp]]]) -> dict[bytes, set[Stamp]]:
    united: dict[bytes, set[Stamp]] = {}
    for _, stamps in found:
        for path, stamp in stamps.items():
            united.setdefault(path, set()).add(stamp)
    return united


def _read_all(folder: str) -> list[tuple[str, dict[bytes, Stamp]]]:
    """Every file's content, by run id, which begins with the time of the run's start."""
    return _read(folder, [name for name in _names(folder) if not name.startswith(".")])


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _read(folder: str, names: Iterable[str]) -> list[tuple[str, dict[bytes, Stamp]]]:
    found = []
    for name in names:
        with contextlib.suppress(OSError), open(os.path.join(folder, name), "rb") as file:
            found.append((name, _parse(file.read())))
    return found


def _parse(data: bytes) -> dict[bytes, Stamp]:
    stamps = {}
    for line in data.split(b"\0"):
        size, _, rest = line.partition(b" ")
        mtime, _, path = rest.partition(b" ")
        if size.isdigit() and mtime.lstrip(b"-").isdigit() and path:
            stamps[path] = Stamp(int(size), int(mtime))
    return stamps


def remember_written(layout: Layout, run: str, written: Iterable[WrittenFile]) -> None:
    """Remember what a run wrote, so that later snapshots leave it out while nobody changes it.

    A folder that cannot be written is no error: the next snapshot is only bigger.
    """
    stamps = {
        unquote_path(file.path): Stamp(file.bytes, (file.mtime - _EPOCH) // timedelta(microseconds=1))
        for file in written
        if file.mtime is not None and not file.moved_to
    }
    if not stamps:
        return
    folder = _folder(layout)
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        _write(folder, run, stamps)
        if len(os.listdir(folder)) > _MERGE_ABOVE:
            _merge(layout, folder)


def hold_outputs(layout: Layout, paths: Iterable[bytes]) -> Callable[[], None]:
    """Have files that our output goes to left out of snapshots, and remember them so when we end.

    The answer does what is done at our end.
    """
    folder, taken, pid = _folder(layout), [*paths], os.getpid()
    live, name = f"{_LIVE}{pid}", f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{pid:08x}"
    top = os.fsencode(layout.top or "")

    def release() -> None:
        if not taken or os.getpid() != pid:
            return  # a child that ends does not end us
        stamps = {path: stamp for path in taken if (stamp := Stamp.at(top, path))}
        with contextlib.suppress(OSError):
            if stamps:
                _write(folder, name, stamps)
            os.unlink(os.path.join(folder, live))

    if taken:
        with contextlib.suppress(OSError):
            os.makedirs(folder, exist_ok=True)
            _write(folder, live, dict.fromkeys(taken, ANY))
        atexit.register(release)
    return release


def _write(folder: str, name: str, stamps: Mapping[bytes, Stamp]) -> None:
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        file.write(b"".join(b"%d %d %s\0" % (s.size, s.mtime_us, path) for path, s in stamps.items()))
    os.replace(temporary, os.path.join(folder, name))


def _merge(layout: Layout, folder: str) -> None:
    """Put all into the newest file, without what was changed or removed since; two mergers do the same work twice."""
    found = _read_all(folder)
    top = os.fsencode(layout.top or "")
    current = {
        path: stamp for path, stamps in _united(found).items() if (stamp := Stamp.at(top, path)) and stamp in stamps
    }
    _write(folder, found[-1][0], dict(list(current.items())[-_KEEP:]))
    dead = [name for name in _names(folder) if name.startswith(_LIVE) and _has_ended(name.removeprefix(_LIVE))]
    for name in (*(name for name, _ in found[:-1]), *dead):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, name))


def _has_ended(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (ValueError, OverflowError, OSError):
        return False
    return False
