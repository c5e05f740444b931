"""Opening the probe's own files so that a program never notices the descriptor."""

from __future__ import annotations

import fcntl
import os


def open_high(path: str) -> int:
    """Make a file to append to, under a high number.

    A program that closes every descriptor and opens files of its own gets the low ones, as it would without us.
    """
    low = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL | os.O_CLOEXEC, 0o600)
    lowest = max(min(os.sysconf("SC_OPEN_MAX"), 1024) - 64, 3)
    try:
        if hasattr(fcntl, "F_DUPFD_CLOEXEC"):
            return fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, lowest)
        high = fcntl.fcntl(low, fcntl.F_DUPFD, lowest)  # PyPy
        os.set_inheritable(high, False)
        return high
    finally:
        os.close(low)
