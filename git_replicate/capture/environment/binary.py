"""A command that is not Python's: its name and what its bytes are, wherever it lies."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, Final

from git_replicate.capture.environment.python import which
from git_replicate.core.paths import quote_path

MOST_BYTES: Final = 50_000_000
"""A larger program is not hashed before a run: its size has to do."""


def capture(command: Sequence[str], directory: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The program's file name, and its hash or else its size; empty if there is none to be found."""
    path = which(command[0], directory, environ) if command else ""
    if not path:
        return {}
    facts: dict[str, Any] = {"name": quote_path(os.fsencode(os.path.basename(path)))}
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return facts
        if status.st_size > MOST_BYTES:
            return {**facts, "bytes": status.st_size}
        import blake3

        with open(path, "rb") as file:
            return {**facts, "hash": f"blake3:{blake3.blake3(file.read()).hexdigest()}"}
    except OSError:  # executable but not readable: its size is all there is
        return facts
