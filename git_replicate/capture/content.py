"""The hash of what a file holds; processes that do nothing else start with this module, so it imports little.

BLAKE3, read into memory piece by piece: a file that somebody shortens meanwhile would kill a process that has it
mapped. Nothing here can hang on a pipe or a device.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
from collections.abc import Iterator
from typing import BinaryIO, Final

THREADED: Final = 1_000_000
"""Bytes from which threads make hashing a file faster."""
_PIECE: Final = 1 << 22
ROW: Final = struct.Struct(">32sqqq")
"""What a worker writes for a file: its hash, size, and the times of its last changes, content's and inode's, ns."""


def read_content(path: bytes, size: int) -> tuple[bytes, os.stat_result]:
    """The hash (32 bytes) of what is read, and the file's stat after that; size: what it was known to have before.

    `OSError` for what is no regular file or cannot be read.
    """
    import blake3  # late: most commands hash nothing

    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        small = size <= THREADED
        # One call tells the end as well, if the file is as long as it was said to be.
        data = os.read(descriptor, size + 1) if small else b""
        if small and len(data) == size:
            hasher = blake3.blake3(data)
        else:
            hasher = blake3.blake3(data, max_threads=blake3.blake3.AUTO)
            for piece in (_read_ahead if size > 2 * _PIECE else _read_on)(descriptor):
                hasher.update(piece)
        after = os.fstat(descriptor)
        if not stat.S_ISREG(after.st_mode):
            raise OSError(0, "not a regular file or folder")
        return hasher.digest(), after
    finally:
        os.close(descriptor)


def read_sha256(path: bytes, size: int) -> tuple[bytes, os.stat_result]:
    """The same with SHA-256, which names the files of git-lfs."""
    import hashlib

    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        after = os.fstat(file.fileno())
        if not stat.S_ISREG(after.st_mode):
            raise OSError(0, "not a regular file or folder")
        return digest, after


def _read_on(descriptor: int) -> Iterator[memoryview]:
    """What is left of a file, piece by piece; a piece lasts until the next is asked for."""
    view = memoryview(bytearray(_PIECE))
    while length := os.readv(descriptor, [view]):
        yield view[:length]


def _read_ahead(descriptor: int) -> Iterator[memoryview]:
    """The same, the next piece being read while the caller works on one."""
    import queue
    import threading

    empty: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
    full: queue.SimpleQueue[tuple[memoryview, int] | OSError] = queue.SimpleQueue()

    def read() -> None:
        try:
            while (view := empty.get()) is not None:
                full.put((view, os.readv(descriptor, [view])))
        except OSError as error:
            full.put(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        for _ in range(2):
            empty.put(memoryview(bytearray(_PIECE)))
        while True:
            answer = full.get()
            if isinstance(answer, OSError):
                raise answer
            view, length = answer
            if not length:
                return
            yield view[:length]
            empty.put(view)
    finally:
        empty.put(None)
        thread.join()


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Hash files: `SIZE PATH NUL` in for each, a row out; zeros for one that cannot be read."""
    for request in requests.read().split(b"\0")[:-1]:
        size, _, path = request.partition(b" ")
        try:
            digest, after = read_content(path, int(size))
        except OSError:
            answers.write(bytes(ROW.size))
        else:
            answers.write(ROW.pack(digest, after.st_size, after.st_mtime_ns, after.st_ctime_ns))
    answers.flush()


def main() -> None:
    serve(sys.stdin.buffer, sys.stdout.buffer)
