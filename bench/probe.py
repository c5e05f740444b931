"""What the probe costs a Python program: its start, and the opening of files it has not opened before."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from git_replicate.probe import SITE, VARIABLE

_FOLDERS, _FILES = 20, 1_000
_OPENS = "import os, sys\nfor d in os.scandir(sys.argv[1]):\n  for f in os.scandir(d):\n    open(f.path).close()"


def measure_probe(
    folder: Path,
    timed: Callable[..., float],
    paired: Callable[..., tuple[list[float], list[float]]],
    show: Callable[..., None],
    *,
    rounds: int,
) -> None:
    """Each program without and with the probe, in turn."""
    data, notes = folder / "opened", folder / "notes"
    notes.mkdir()
    for number in range(_FOLDERS):
        (data / str(number)).mkdir(parents=True)
        for file in range(_FILES):
            path = data / str(number) / str(file)
            path.touch()
            os.utime(path, (1e9, 1e9))
    bare = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", VARIABLE)}
    told: dict[str, Any] = {"folder": str(notes), "run": "bench/run", "top": str(folder), "started": time.time()}
    told.update(seed=1, seed_mode="auto")
    probed = {**bare, "PYTHONPATH": SITE, VARIABLE: json.dumps(told)}
    programs = {"python -c pass": ["-c", "pass"], f"{_FOLDERS * _FILES} files opened": ["-c", _OPENS, str(data)]}
    for name, words in programs.items():
        command = [sys.executable, *words]
        without, with_it = paired(
            lambda c=command: timed(c, folder, bare), lambda c=command: timed(c, folder, probed), rounds
        )
        show(f"probe: {name}", with_it, "without it", without)
