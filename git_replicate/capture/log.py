"""Assembling `output.log`: what the command printed, as a person would have seen it at the end.

Of a line that was redrawn with carriage returns only the last state is kept, terminal escapes go, secrets are
masked, and a long log is cut in its middle with a line that says how much is gone.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from git_replicate.core.secrets import mask_text

_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[()][A-Za-z0-9]|[=>78cDEHMNOZ])")
_LONGEST: Final = 1_000_000
"""Bytes of one line that are held back while waiting for its end."""
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Log:
    """The text of `output.log`, and how many bytes were cut from its middle (0 for a whole log)."""

    data: bytes
    cut: int = 0


def assemble_log(chunks: Iterable[bytes], *, limit: int = 10_000_000) -> Log:
    """The log of an output that comes in any pieces, at most about `limit` bytes of it.

    Memory stays within the limit however long the output is. The cut falls between lines where lines are short.
    """
    half = max(limit // 2, 0)
    head = bytearray()
    tail: deque[bytes] = deque()
    held = total = 0
    for part in _collapsed(chunks):
        total += len(part)
        room = half - len(head)
        head += part[:room]
        if len(part) > room:
            tail.append(part[room:])
            held += len(part) - room
        while tail and held - len(tail[0]) > limit - half:
            held -= len(tail.popleft())
    rest = b"".join(tail)
    if total <= limit:
        return Log(mask_text(bytes(head) + rest))
    last = rest[max(len(rest) - (limit - half), 0) :]
    first, last = _whole_lines(bytes(head), last)
    cut = total - len(first) - len(last)
    mark = b"[git replicate: %d bytes of output were cut here]\n" % cut
    return Log(mask_text(first) + mark + mask_text(last), cut)


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


def _collapsed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The output by whole lines, each in its last state, without escapes."""
    rest = b""
    for chunk in chunks:
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield _last_states(whole) + b"\n"
        if len(rest) > _LONGEST:
            frames = rest.rstrip(b"\r").rpartition(b"\r")
            rest = frames[2]
            if len(rest) > _LONGEST:
                yield rest
                rest = b""
    if rest:
        yield _last_states(rest)


def _last_states(lines: bytes) -> bytes:
    if b"\x1b" in lines:
        lines = _ESCAPE.sub(b"", lines)
    if b"\r" not in lines:
        return lines
    return b"\n".join(_last_frame(line) if b"\r" in line else line for line in lines.split(b"\n"))


def _last_frame(line: bytes) -> bytes:
    return next((frame for frame in reversed(line.split(b"\r")) if frame.strip()), b"")
