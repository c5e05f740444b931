"""What the kernel tells of another process; where there is no /proc, what is safest to assume."""

from __future__ import annotations

import contextlib
import os


def is_git(pid: int) -> bool:
    """Whether a process is git itself."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read().strip() == b"git"
    except OSError:
        return False


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped, as by Ctrl-Z; assumed where it cannot be seen."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except OSError:
        return not os.path.isdir("/proc/self")


def peak_memory(pid: int) -> int:
    """The largest resident set so far, in bytes; 0 if it cannot be seen."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def family(pid: int) -> list[int]:
    """A process and its descendants, as far as the kernel tells of them; what was left behind is not among them."""
    found = [pid]
    for member in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{member}/task"):
                with open(f"/proc/{member}/task/{thread}/children", "rb") as file:
                    found += [int(word) for word in file.read().split()]
    return found


def left_in(group: int) -> list[tuple[int, str]]:
    """The processes of a group that are there still, and their command lines; one question to the kernel if none is.

    What made itself a group or session of its own, a daemon say, is not among them.
    """
    if not group:
        return []
    try:
        os.killpg(group, 0)
        numbers = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    except (ProcessLookupError, FileNotFoundError):
        return []
    except PermissionError:  # they are another user's now
        return []
    found = []
    for number in numbers:
        with contextlib.suppress(OSError, IndexError, ValueError):
            with open(f"/proc/{number}/stat", "rb") as file:
                state, _, own = file.read().rpartition(b")")[2].split()[:3]
            if int(own) == group and state not in (b"Z", b"X"):
                with open(f"/proc/{number}/cmdline", "rb") as file:
                    words = file.read().rstrip(b"\0").replace(b"\0", b" ")
                found.append((number, words.decode(errors="replace")))
    return found


class PeakMemory:
    """The largest resident set of any one process of a command, looked at ever more rarely.

    What `wait4` says of the command and all that it waited for is exact, but includes the fork before the command was
    executed, some 20 MB of ours; this does not, and is what is believed below that.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._next = 0.0

    def look(self, pid: int, seconds: float) -> None:
        """Called often, with the seconds since the command began."""
        if seconds >= self._next:
            self._next = seconds * 1.3 + 0.002
            self.bytes = max(self.bytes, *map(peak_memory, family(pid)))
