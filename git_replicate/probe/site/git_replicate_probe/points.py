"""Named numbers that a program hands to a tracker or to our own interface, appended as they come.

A process has a file of its own for them, `<folder>/<pid>-<random>.points`: a JSON array a line, a line a call and a
write, so that a kill loses nothing, and a million calls cost seconds:

    [source, tracker's run, step or null, seconds since 1970, {name: number, ...}]

What is no number (text, pictures, tables) is left out: its tracker keeps it.
"""

from __future__ import annotations

import errno
import os
import time

from git_replicate_probe.descriptors import open_high

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from git_replicate_probe.session import Probe

_DEEPEST = 8
"""Levels of tables in tables; a table that holds itself ends there."""
_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_MOST_NAMES = 50_000


class Points:
    """The file of one process's points; opened with the first of them, and again after a fork or for another run."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._descriptor = -1
        self._opened: tuple[int, str] = (0, "")
        self._torn = False
        self._names: dict[str, str] = {}

    def add(self, source: str, run: str, step: int | None, values: Mapping[str, float | int]) -> None:
        """Append the values of one call; never raises."""
        if not values or not self._probe.folder:
            return
        try:
            pairs = ", ".join([f"{self._quoted(name)}: {_spelled(value)}" for name, value in values.items()])
            number = "null" if step is None else str(step)
            start = f"[{self._quoted(source)}, {self._quoted(run)}, {number}, {time.time():.6f}, "
            self._write(f"{start}{{{pairs}}}]\n".encode("ascii"))
        except Exception as error:  # a full disk, a folder that has gone: the program is to run
            self._probe.failed(f"points {source}", error)

    def _quoted(self, text: str) -> str:
        """The text as JSON has it, remembered: names come again and again."""
        quoted = self._names.get(text)
        if quoted is None:
            import json

            quoted = json.dumps(text)
            if len(self._names) < _MOST_NAMES:
                self._names[text] = quoted
        return quoted

    def _write(self, line: bytes) -> None:
        if self._opened != (os.getpid(), self._probe.folder):
            self._open()
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            self._open()  # the program has closed all files that it did not know
            written = os.write(self._descriptor, line)
        self._torn = written != len(line)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _open(self) -> None:
        """Open a file of this process's own."""
        path = os.path.join(self._probe.folder, f"{os.getpid()}-{os.urandom(4).hex()}.points")
        self._descriptor = open_high(path)
        self._opened = (os.getpid(), self._probe.folder)


def _spelled(value: float | int) -> str:
    text = repr(value)
    return _WORDS.get(text, text)


def numbers(values: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> dict[str, float | int]:
    """The numbers among the values, those of inner tables under names joined by dots; all else is left out."""
    found: dict[str, float | int] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        kind = type(value)
        if kind is float or kind is int:
            found[name] = value
        elif isinstance(value, dict) or (hasattr(value, "keys") and hasattr(value, "items")):
            if depth < _DEEPEST:
                found.update(numbers(value, f"{name}.", depth + 1))
        else:
            converted = number(value)
            if converted is not None:
                found[name] = converted
    return found


def number(value: Any) -> float | int | None:
    """The value as a plain number: scalars and tensors of one element, of whatever library, too; else None.

    Asks nothing of an array of several elements, whose copy from a device would take time.
    """
    if isinstance(value, (bool, int)):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if value is None or isinstance(value, (str, bytes, complex, list, tuple, set)):
        return None
    try:
        size = getattr(value, "shape", ())
        if any(length != 1 for length in size):
            return None
        if hasattr(value, "item"):
            value = value.item()
        elif hasattr(value, "numpy"):  # TensorFlow
            value = value.numpy().item()
        elif hasattr(type(value), "__float__"):
            value = float(value)
    except Exception:  # whatever a library raises for what is no number
        return None
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, (int, float)) else None


def whole(step: Any) -> int | None:
    """A step as a whole number; None for what is none."""
    if step is None or type(step) is int:
        return step
    value = number(step)
    return int(value) if value is not None and value == value and abs(value) < 2**62 and value == int(value) else None
