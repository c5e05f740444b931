"""Assembling `output.log`: what the command printed, as a person would have seen it at the end.

Of a line that was redrawn with carriage returns only the last state is kept, terminal escapes go, secrets are
masked, and a long log is cut in its middle with a line that says how much is gone.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from git_replicate.core.frozen import frozen
from git_replicate.core.known_secrets import NOTHING_KNOWN, KnownSecrets
from git_replicate.core.secrets import mask_text

_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[()][A-Za-z0-9]|[=>78cDEHMNOZ])")
_LONGEST: Final = 1_000_000
"""Bytes of one line that are held back while waiting for its end."""
_CHUNK: Final = 1 << 20
CUT_MARK: Final = b"[git replicate: %d bytes of output were cut here]\n"
"""Stands in a log for what is not in it."""


@frozen
class Log:
    """The text of `output.log`, and how many bytes were cut from its middle (0 for a whole log)."""

    data: bytes
    cut: int = 0


class LogAssembler:
    """Makes the log of an output that comes in any pieces, at most about `limit` bytes of it.

    Memory stays within the limit however long the output is. The cut falls between lines where lines are short.
    """

    def __init__(self, limit: int = 10_000_000) -> None:
        self._limit = limit
        self._half = max(limit // 2, 0)
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._held = self._total = self._skipped = 0
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take more output."""
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if newline:
            self._take(_last_states(whole) + b"\n")
        if len(self._rest) > _LONGEST:
            self._rest = self._rest.rstrip(b"\r").rpartition(b"\r")[2]
            if len(self._rest) > _LONGEST:
                self._take(self._rest)
                self._rest = b""

    def skip(self, length: int) -> None:
        """Say that so many bytes come next and are not in the log."""
        self.feed(b"\n" * bool(self._rest) + CUT_MARK % length)
        self._skipped += length

    def log(self, known: KnownSecrets = NOTHING_KNOWN) -> Log:
        """The log of all that was taken, without the known secrets; nothing is taken after that."""
        if self._rest:
            self._take(_last_states(self._rest))
            self._rest = b""
        tail = b"".join(self._tail)
        if self._total <= self._limit:
            return Log(mask_text(known.mask(bytes(self._head) + tail)), self._skipped)
        last = tail[max(len(tail) - (self._limit - self._half), 0) :]
        first, last = _whole_lines(*known.cut(bytes(self._head), last))
        cut = self._total - len(first) - len(last)
        first, last = mask_text(known.mask(first)), mask_text(known.mask(last))
        return Log(first + CUT_MARK % cut + last, cut + self._skipped)

    def state(self) -> dict[str, Any]:
        """All that was taken, as JSON can hold it; `restore` is its inverse."""
        return {
            "head": self._head.decode("latin-1"),
            "tail": b"".join(self._tail).decode("latin-1"),
            "rest": self._rest.decode("latin-1"),
            "total": self._total,
            "skipped": self._skipped,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._head = bytearray(state["head"].encode("latin-1"))
        self._tail = deque([state["tail"].encode("latin-1")])
        self._held = len(self._tail[0])
        self._rest = state["rest"].encode("latin-1")
        self._total, self._skipped = int(state["total"]), int(state["skipped"])

    def _take(self, part: bytes) -> None:
        self._total += len(part)
        room = self._half - len(self._head)
        self._head += part[:room]
        if len(part) > room:
            self._tail.append(part[room:])
            self._held += len(part) - room
        while self._tail and self._held - len(self._tail[0]) > self._limit - self._half:
            self._held -= len(self._tail.popleft())


def assemble_log(chunks: Iterable[bytes], *, limit: int = 10_000_000, known: KnownSecrets = NOTHING_KNOWN) -> Log:
    """The log of an output that is all there, without the known secrets."""
    assembler = LogAssembler(limit)
    for chunk in chunks:
        assembler.feed(chunk)
    return assembler.log(known)


def read_chunks(*paths: str) -> Iterator[bytes]:
    """The contents of files, one after the other, in pieces; a missing file is empty."""
    for path in paths:
        try:
            file = open(path, "rb")  # noqa: SIM115
        except FileNotFoundError:
            continue
        with file:
            while chunk := file.read(_CHUNK):
                yield chunk


def _whole_lines(first: bytes, last: bytes) -> tuple[bytes, bytes]:
    """Both ends trimmed to whole lines, if that costs no more than 10,000 bytes each."""
    end = first.rfind(b"\n", max(len(first) - 10_000, 0)) + 1
    begin = last.find(b"\n", 0, 10_000) + 1
    first = first[:end] if end else first + b"\n"
    return first, last[begin:]


def _last_states(lines: bytes) -> bytes:
    if b"\x1b" in lines:
        lines = _ESCAPE.sub(b"", lines)
    if b"\r" not in lines:
        return lines
    return b"\n".join(_last_frame(line) if b"\r" in line else line for line in lines.split(b"\n"))


def _last_frame(line: bytes) -> bytes:
    return next((frame for frame in reversed(line.split(b"\r")) if frame.strip()), b"")
