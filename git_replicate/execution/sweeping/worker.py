"""A worker's side of the local engine: a process that calls functions for its parent, one after the other.

Requests come in on what was standard input, answers go out on what was standard output; both are pickles with their
length before them. What the functions and the commands they start print goes nowhere, and they read nothing: a
run's output is in its record. Interrupts are only noted, for the code that runs a command to hand them on.

The end of the requests is the end of the worker: a parent that was killed leaves no idle worker behind, and one that
is busy first finishes what it does.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
from collections.abc import Callable
from typing import IO, Any

HEADER = struct.Struct(">Q")
"""The length of the pickle that follows, bytes."""

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
interrupted: list[int] = []
"""The signals that came while no command ran, newest last; whoever starts a command hands them on."""


class CallError(Exception):
    """What a function raised, as text: not every exception can be pickled."""


def main() -> None:
    """Serve until there are no more requests."""
    requests, answers = _take_streams()
    _listen()
    while (request := read_frame(requests)) is not None:
        write_frame(answers, _answer(*request))


def _listen() -> None:
    """Note signals."""
    for number in HEARD:
        signal.signal(number, _note)
    # Blocked by whoever starts us, until there is somebody to note them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)


def _note(number: int, frame: object) -> None:
    interrupted.append(number)


def _take_streams() -> tuple[IO[bytes], IO[bytes]]:
    """The two pipes on descriptors that no command inherits; the standard ones lead nowhere from now on."""
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.close(null)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    """What the function returns, or raises."""
    try:
        return function(*arguments), None
    except Exception as error:
        import traceback

        return None, CallError("".join(traceback.format_exception(error)))


def read_frame(stream: IO[bytes]) -> Any:
    """The next object of a stream, or None at its end; frames come from our own processes alone."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    data = stream.read(HEADER.unpack(header)[0])
    return pickle.loads(data)


def write_frame(stream: IO[bytes], value: Any) -> None:
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(HEADER.pack(len(data)) + data)
    stream.flush()
