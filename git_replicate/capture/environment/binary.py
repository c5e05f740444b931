"""A command that is not Python's: its name and what its bytes are, wherever it lies."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from git_replicate.capture.environment.kinds import Difference, Facts, Scene, compare
from git_replicate.capture.environment.python import cache_path, find_interpreter, read_cache, which, write_cache
from git_replicate.core.paths import quote_path

NAME: Final = "program"
KEYS: Final = ("program",)
_ASKED: Final = frozenset(
    {"R", "Rscript", "julia", "node", "perl", "ruby", "java", "octave", "php", "bash", "lua", "ghc"}
)
_NUMBER: Final = re.compile(rb"\d+\.\d+(?:\.\d+)*")
_SECONDS: Final = 10
MOST_BYTES: Final = 50_000_000
"""A larger program is not hashed before a run: its size has to do."""


def capture(scene: Scene) -> Facts:
    """The program's file name, and its hash or else its size; for a known interpreter its version too."""
    path = which(scene.command[0], scene.directory, scene.environ) if scene.command else ""
    if not path or find_interpreter(scene.command, scene.directory, scene.environ):
        return Facts()
    facts: dict[str, Any] = {"name": quote_path(os.fsencode(os.path.basename(path)))}
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return Facts({"program": facts})
        version = _version(path, status, scene)
        facts = {**facts, **({"version": version} if version else {})}
        if status.st_size > MOST_BYTES:
            return Facts({"program": {**facts, "bytes": status.st_size}})
        import blake3

        with open(path, "rb") as file:
            facts["hash"] = f"blake3:{blake3.blake3(file.read()).hexdigest()}"
    except OSError:  # executable but not readable: its name is all there is
        return Facts({"program": facts})
    return Facts({"program": facts})


def differs(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> tuple[Difference, ...]:
    return compare(NAME, KEYS, recorded, current)


def _version(path: str, status: os.stat_result, scene: Scene) -> str:
    """What a known interpreter says of itself, asked once and remembered by its path, size and time; else ""."""
    if os.path.basename(path) not in _ASKED:
        return ""
    key = f"{path}|{status.st_size}|{status.st_mtime_ns}"
    cache = cache_path(scene.environ, "programs.json")
    known = read_cache(cache, 1)
    if key in known:
        return known[key][0]
    try:
        done = subprocess.run(
            [path, "--version"], cwd=scene.directory, env=dict(scene.environ), stdin=subprocess.DEVNULL,
            capture_output=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = _NUMBER.search(done.stdout + b"\n" + done.stderr) if done.returncode == 0 else None
    version = found[0].decode() if found else ""
    write_cache(cache, {**dict(list(known.items())[-200:]), key: [version]})
    return version
