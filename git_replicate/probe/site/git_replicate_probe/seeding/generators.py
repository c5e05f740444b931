"""The global generators of one process, and the seeding calls that its program makes.

A generator is ours for as long as the program does not seed it. Ours start again in a forked child and with each
task of a pool; one that the program has seeded is never touched again.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from git_replicate_probe.seeding.streams import Streams
    from git_replicate_probe.session import Probe

_MOST_CALLS = 100
_LONGEST = 200
"""Characters of a value that is written down."""
_LIBRARY = os.path.dirname(os.__file__) + os.sep


class Generators:
    """Which libraries' generators there are, whose they are, and what was called; `streams` None: only observe."""

    def __init__(self, probe: Probe, streams: Streams | None, *, deterministic: bool = False) -> None:
        self.probe = probe
        self.streams = streams
        self.deterministic = deterministic
        """Whether libraries are to be told to use deterministic algorithms only."""
        self.calls = 0
        self._seeders: dict[str, Callable[[int], object]] = {}
        self._own: set[str] = set()
        self._saved: dict[str, bool] = {}
        self._noted: dict[str, str] = {}
        self._quiet = 0
        probe.at_end(self._note_number)

    def impose(self, library: str, seeder: Callable[[int], object]) -> None:
        """Start a global generator that was just made; `seeder` starts it anew from a number."""
        if self.streams is None:
            self.note_unseen(library)
            return
        self._seeders[library] = seeder
        self._own.discard(library)
        seeder(self.streams.start(library))
        self.streams.restart(library)
        self._note(library, "imposed")

    def note_unseen(self, library: str) -> None:
        """The library is there; no seed of it has been seen, and none is imposed."""
        self._note(library, "unseen")

    def restart(self, *, only: str = "") -> None:
        """Start the generators that are ours anew, after the streams have moved."""
        if self.streams is None:
            return
        for library, seeder in self._seeders.items():
            if library not in self._own and only in ("", library):
                self.probe.guarded(f"restart {library}", seeder, self.streams.start(library))

    def leave(self, library: str) -> None:
        """Never start this generator again in this process, nor in the ones that it forks."""
        self._seeders.pop(library, None)

    def is_ours(self, library: str) -> bool:
        return library in self._seeders and library not in self._own

    def release(self, library: str) -> None:
        """The program's own seeding is void: the generator was seeded from the system's entropy since."""
        self._own.discard(library)

    def entropy(self, bits: int, library: str) -> int | None:
        """What to give instead of the system's entropy; None if that is to stay."""
        if self.streams is None:
            return None
        try:
            return self.streams.entropy(bits, library)
        except Exception as error:  # the program gets its generator, replayed or not
            self.probe.failed(f"entropy {library}", error)
            return None

    def seen(self, library: str, function: str, value: Any = None, *, whole: bool = True) -> None:
        """Note a seeding call; `whole`: of the library's global generator. A value of None is no seed.

        Called by what stands in for the seeding function. Generators that installed packages make for themselves are
        not the program's seeding, and not noted.
        """
        if self._quiet or (not whole and _is_installed(sys._getframe(2))):
            return
        try:
            self._see(library, function, value, whole=whole)
        except Exception as error:  # a seed whose `repr` fails
            self.probe.failed(f"seeding {library}", error)

    def saved(self, library: str) -> None:
        """The state of a global generator was read, to be put back later: it is ours then if it is now."""
        self._saved[library] = self.is_ours(library)

    def restored(self, library: str) -> None:
        """A state was put into a global generator: that which was read last, or else one of the program's."""
        if self._saved.get(library, False):
            self._own.discard(library)
        else:
            self._own.add(library)

    def _see(self, library: str, function: str, value: Any, *, whole: bool) -> None:
        if whole and value is None:
            self._own.discard(library)
        elif whole:
            self._own.add(library)
            self._note(library, "own")
        self.calls += 1
        if self.calls <= _MOST_CALLS and self.probe.is_main:
            self.probe.note("seeding", library=library, function=function, value=_plain(value))

    def quietly(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call something that itself makes seeding calls, which are not the program's."""
        self._quiet += 1
        try:
            return call(*arguments, **named)
        finally:
            self._quiet -= 1

    def _note(self, library: str, status: str) -> None:
        if self._noted.get(library) not in (status, "own"):
            self._noted[library] = status
            self.probe.note("seeded", library=library, status=status)

    def _note_number(self) -> None:
        if self.calls and self.probe.is_main:
            self.probe.note("seedings", number=self.calls)


def _is_installed(frame: FrameType | None) -> bool:
    """Whether a call comes from a package of the environment or of Python, not from the program."""
    while frame is not None and frame.f_globals.get("__name__") == "random":  # `Random.__init__`
        frame = frame.f_back
    file = frame.f_code.co_filename if frame is not None else ""
    return "site-packages" in file or "dist-packages" in file or file.startswith((_LIBRARY, "<frozen"))


def _plain(value: Any) -> Any:
    """A seed as a record can hold it: whole numbers and texts as they are, others as Python writes them."""
    if value is None or (isinstance(value, (bool, int, float, str)) and len(str(value)) <= _LONGEST):
        return value
    if type(value).__module__ == "numpy" and getattr(value, "size", _LONGEST) < _LONGEST // 2:
        value = value.tolist()
        if isinstance(value, (int, float)):
            return value
    if isinstance(value, (list, tuple, bytes, str)) and len(value) > _LONGEST:
        return f"{type(value).__name__} of {len(value)}"
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
