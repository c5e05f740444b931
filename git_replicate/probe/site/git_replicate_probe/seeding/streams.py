"""The streams of one process: what its generators start from, derived from the run's seed, its rank and its path.

The run's own program on rank 0 gets the run's seed as it is; every other process, and every task of a pool, gets
bits of BLAKE2b over (seed, rank, path, task). The derivation is published in docs/seeds.md and never changes: an old
run must replay. Nothing here knows a library, and nothing here touches a generator.
"""

from __future__ import annotations

import _thread
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FIRST = "."
"""The path of the run's own program."""
_MOST_THREADS = 10_000
"""Threads whose numbers are kept, before those of ended ones are dropped."""
_WIDTH = 128
"""Bits of a derived seed: with 32, two of 100,000 tasks would probably share a stream."""


class Streams:
    """What the generators of this process start from; a forked child goes on with a copy, moved to its own path."""

    def __init__(self, seed: int, rank: int, path: str) -> None:
        self.seed = seed
        self.rank = rank
        self.path = path
        self.task = ""
        self._drawn: dict[tuple[str, str], int] = {}
        self._lock = _thread.RLock()  # a signal handler may ask in the midst of asking

    def start(self, library: str) -> int:
        """The seed of a library's global generator: the run's own, or 128 derived bits.

        Derived ones differ by library: `random` and NumPy make the same stream of the same 128 bits.
        """
        if self.path == FIRST and not (self.rank or self.task):
            return self.seed
        return self._derive(_WIDTH, library)

    def entropy(self, bits: int, library: str) -> int:
        """The next bits for a generator that the program makes or seeds from the system's entropy.

        They are numbered by library and thread: which of two threads asks first is a race.
        """
        thread = _thread_name()
        with self._lock:
            if len(self._drawn) > _MOST_THREADS:
                self._forget_ended_threads()
            number = self._drawn.get((library, thread), 0)
            self._drawn[library, thread] = number + 1
        return self._derive(bits, library, thread, number)

    def move(self, path: str) -> None:
        """Go on as another process: after a fork, or once the path is known."""
        self.path = path
        self._begin("")

    def begin_task(self, creator: str, label: str) -> None:
        """Go on with a task that the process at the path `creator` handed to a pool, whichever worker has it."""
        self._begin(f"{creator} {label}")

    def restart(self, library: str) -> None:
        """Number the entropy of a library from zero again."""
        with self._lock:
            self._drawn = {key: number for key, number in self._drawn.items() if key[0] != library}

    def _forget_ended_threads(self) -> None:
        """Drop the numbers of threads that Python named itself, for it gives no such name twice."""
        alive = {str(thread.name) for thread in sys.modules["threading"].enumerate()}
        self._drawn = {
            key: number for key, number in self._drawn.items() if key[1] in alive or not key[1].startswith("Thread-")
        }

    def _begin(self, task: str) -> None:
        self.task = task
        self._drawn = {}
        self._lock = _thread.RLock()  # a thread that is not in this process may have held the old one

    def _derive(self, bits: int, *purpose: Any) -> int:
        place = (self.seed, self.rank, self.task) if self.task else (self.seed, self.rank, self.path)
        return derive(bits, *place, *purpose)


def derive(bits: int, *parts: Any) -> int:
    """A number of so many bits from integers and strings, the same on every machine and Python."""
    try:
        from _blake2 import blake2b  # hashlib would load OpenSSL
    except ImportError:
        from hashlib import blake2b
    text = repr(parts).encode("ascii", "backslashreplace")
    size = (bits + 7) // 8
    digest = b""
    while len(digest) < size:
        block = len(digest) // 64
        digest += blake2b(text, salt=block.to_bytes(16, "little"), person=b"git-replicate").digest()
    return int.from_bytes(digest[:size], "big") >> (8 * size - bits)


def _thread_name() -> str:
    """The name of the calling thread, "" for the main one; threads are named in the order of their creation."""
    threading = sys.modules.get("threading")
    if threading is None:
        return ""
    thread = getattr(threading, "_active", {}).get(_thread.get_ident())
    if thread is None:
        return "?"
    return "" if thread is threading.main_thread() else str(thread.name)
