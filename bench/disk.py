"""What a run takes on the disk once git has packed it: 20 params, 10 metrics, code that does not change."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

RUNS = int(os.environ.get("BENCH_DISK_RUNS", "40"))
_SCRIPT = """
import random
for number in range(10):
    print(f"metric{number}: {random.random():.6f}")
"""


def disk_per_run(folder: Path, program: list[str]) -> float:
    """Bytes of packs and loose objects a run, after `git gc`; the first runs bring what all share, and do not count."""
    top = folder / "disk"
    top.mkdir()
    (top / "train.py").write_text(_SCRIPT)
    _git(top, "init", "-q")
    _git(top, "add", "-A")
    _git(top, "-c", "user.name=Bench", "-c", "user.email=bench@example.org", "commit", "-q", "-m", "first")
    _record(top, program, 10)
    before = _packed(top)
    _record(top, program, RUNS)
    return (_packed(top) - before) / RUNS


def _record(top: Path, program: list[str], count: int) -> None:
    for number in range(count):
        params = [f"--param{name}={(name + 1) * 10.0 ** -(number % 5):g}" for name in range(20)]
        command = [*program, "start", "-q", "--", "python3", "train.py", *params]
        subprocess.run(command, cwd=top, check=True, stdout=subprocess.DEVNULL)


def _packed(top: Path) -> int:
    _git(top, "gc", "-q", "--prune=now")
    done = subprocess.run(["git", "count-objects", "-v"], cwd=top, check=True, capture_output=True, text=True)
    sizes = dict(line.split(": ") for line in done.stdout.splitlines())
    return 1024 * (int(sizes["size-pack"]) + int(sizes["size"]))


def _git(top: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=top, check=True)
