"""The folder of a live run: all that is needed to finish its record, whoever does so.

    run.toml       the record as it was when the run started     plan.json      how to conclude the run
    start          the start commit's id, once it is stored      process.json   who runs it: recorder, holder, command
    stdout stderr  the raw output                                events         in what order the output came
    exit.json      how the command ended; written by the holder
    reading.json   what was read of a long output whose beginning has been given back

Small files appear whole or not at all; `stdout`, `stderr` and `events` only grow. So a kill at any moment leaves a
folder that can be read.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from git_replicate.capture import machine
from git_replicate.core.frozen import frozen

Alive = Literal["recorder", "holder", "command", "none", "elsewhere"]
STREAMS = ("stdout", "stderr")
TOLD_FILE = "probe.json"
"""What the processes that join a session are told."""
_CHUNK = 1 << 20
_RESERVED = 512
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01
"""Of Linux's `linux/falloc.h`."""


@dataclass(slots=True)
class Position:
    """How far a spool's output has been read: bytes of each of its files."""

    events: int = 0
    stdout: int = 0
    stderr: int = 0

    def of(self, stream: str) -> int:
        return self.stdout if stream == "stdout" else self.stderr

    def move(self, stream: str, length: int) -> None:
        if stream == "stdout":
            self.stdout += length
        else:
            self.stderr += length


@frozen
class Spool:
    """One live run's folder."""

    folder: str

    @staticmethod
    def create(folder: str) -> Spool:
        """Make the folder, readable by the user alone; `OSError` if that cannot be done."""
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        os.mkdir(folder, 0o700)
        return Spool(folder)

    @property
    def run(self) -> str:
        return os.path.basename(self.folder)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file so that it is seen whole or not at all, and by nobody else."""
        temporary = self.path(f".{name}.{os.getpid()}")
        with open(temporary, "wb", opener=_private) as file:
            file.write(data)
        os.rename(temporary, self.path(name))

    def reserve(self, name: str) -> None:
        """Take the room on the disk that a small file will need."""
        with open(self.path(f".{name}"), "wb") as file:
            file.write(b" " * _RESERVED)

    def write_reserved(self, name: str, data: bytes) -> None:
        """Write a small JSON file in the room taken for it, so that a full disk does not matter."""
        try:
            with open(self.path(f".{name}"), "r+b") as file:
                file.write(data)
            os.rename(self.path(f".{name}"), self.path(name))
        except FileNotFoundError:
            self.write(name, data)

    def read(self, name: str) -> bytes | None:
        try:
            with open(self.path(name), "rb") as file:
                return file.read()
        except OSError:
            return None

    def read_json(self, name: str) -> dict[str, Any]:
        """A small file's table; empty if it is not there."""
        text = self.read(name)
        return dict(json.loads(text)) if text else {}

    def note_process(self, role: str, pid: int) -> None:
        """Remember a process of the run: recorder, holder or command."""
        table = self.read_json("process.json") or {"host": machine.host(), "boot_id": machine.boot_id()}
        table[role] = {"pid": pid, "start": process_start(pid)}
        self.write("process.json", json.dumps(table).encode())

    def alive(self) -> Alive:
        """Which of the run's processes is there still; "elsewhere" when another machine runs it."""
        table = self.read_json("process.json")
        if table and table.get("host") != machine.host():
            return "elsewhere"
        if table.get("boot_id") == machine.boot_id():
            roles: tuple[Literal["recorder", "holder", "command"], ...] = ("recorder", "holder", "command")
            for role in roles:
                if (entry := table.get(role)) and is_alive(entry["pid"], entry["start"]):
                    return role
            if self._is_locked():
                return "holder"
        return "none"

    def command_runs(self) -> bool:
        """Whether the command itself is there still, whoever else is; for who is on its machine."""
        entry = self.read_json("process.json").get("command")
        return entry is not None and is_alive(entry["pid"], entry["start"])

    def _is_locked(self) -> bool:
        """Whether a recorder or holder has the run's events open, one that has not written who it is included."""
        try:
            with open(self.path("events"), "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def output(
        self, position: Position | None = None, *, unseen: Collection[str] = STREAMS
    ) -> Iterator[tuple[str, float | None, bytes]]:
        """The output in the order it came: stream, seconds since the start (None if nobody looked), bytes.

        What the recorder did not see (it died) comes last, standard output first, of the streams `unseen`. A given
        position is where to begin, and moves on with every piece.
        """
        at = position or Position()
        with contextlib.ExitStack() as stack:
            files = {}
            for stream in STREAMS:
                if os.path.exists(self.path(stream)):
                    files[stream] = stack.enter_context(open(self.path(stream), "rb"))
                    files[stream].seek(at.of(stream))
            if os.path.exists(self.path("events")):
                events = stack.enter_context(open(self.path("events"), "rb"))
                events.seek(at.events)
                for line in events:
                    if not line.endswith(b"\n"):
                        break  # torn: by a kill, or still being written
                    at.events += len(line)
                    words = line.decode(errors="replace").split()
                    if len(words) == 3 and words[0] in files:
                        data = files[words[0]].read(int(words[1]))
                        at.move(words[0], len(data))
                        yield words[0], float(words[2]), data
            for stream, file in files.items():
                while stream in unseen and (chunk := file.read(_CHUNK)):
                    at.move(stream, len(chunk))
                    yield stream, None, chunk

    def end(self, stream: str, most: int) -> bytes:
        """The last bytes of a stream, at most so many; none of one that is not there."""
        try:
            with open(self.path(stream), "rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - most, 0))
                return file.read()
        except OSError:
            return b""

    def written(self) -> int:
        """Bytes of output so far."""
        total = 0
        for stream in STREAMS:
            with contextlib.suppress(OSError):
                total += os.stat(self.path(stream)).st_size
        return total

    def release(self, before: Position) -> bool:
        """Give back the disk that the output before a position takes; False where the file system cannot.

        The files keep their lengths, so that who writes to them or reads on sees no difference.
        """
        lengths = {"events": before.events, **{stream: before.of(stream) for stream in STREAMS}}
        given = [_punch(self.path(name), length) for name, length in lengths.items() if length]
        return all(given)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _punch(path: str, length: int) -> bool:
    """Make a hole of the first bytes of a file."""
    import ctypes

    try:
        fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    except AttributeError:  # not Linux
        return False
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        return int(fallocate(descriptor, _PUNCH_HOLE_KEEP_SIZE, 0, length)) == 0
    finally:
        os.close(descriptor)


def list_spools(root: str) -> list[Spool]:
    """The live runs under a root, oldest first; an absent root has none."""
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return []
    return [Spool(os.path.join(root, name)) for name in names if not name.startswith(".")]


def spool_root(common_dir: str) -> str:
    return os.path.join(common_dir, "replicate", "spool")


def fallback_root(common_dir: str) -> str:
    """Where spools go when the repository cannot be written: the user's state folder, a folder a repository."""
    import hashlib

    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    where = os.fsencode(os.path.realpath(common_dir))
    name = os.path.basename(os.path.dirname(os.path.realpath(common_dir))) or "repository"
    return os.path.join(state, "git-replicate", f"{name}-{hashlib.sha256(where).hexdigest()[:12]}")


def process_start(pid: int) -> int:
    """When a process was started, in the kernel's ticks since boot; 0 if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return _portable_start(pid)


def _portable_start(pid: int) -> int:
    if os.path.isdir("/proc/self"):
        return 0
    import psutil

    try:
        return int(psutil.Process(pid).create_time() * 100)
    except psutil.Error:
        return 0


def is_alive(pid: int, start: int) -> bool:
    """Whether this very process is there and not a zombie: process ids are used again, start times are not."""
    if not start or process_start(pid) != start:
        return False
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return not os.path.isdir("/proc/self")
