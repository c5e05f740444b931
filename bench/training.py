"""What recording costs a program that trains: bare and through `git replicate start`, in turn.

    python -m bench.training [SECONDS [PAIRS]]

The program is `bench/trained.py`, run by BENCH_PYTHON (with PyTorch there, or without); SECONDS is how much processor
time the bare one is to take. Prints wall-clock time, and the processor's time of the program and of us, which a shared
machine changes less; the spread is that of the pairs' ratios. Nothing is asserted.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = [sys.executable, str(Path(__file__).resolve().parent.parent / "bin" / "git-replicate")]
TRAIN = Path(__file__).resolve().parent / "trained.py"


def main(seconds: float, pairs: int) -> None:
    python = os.environ.get("BENCH_PYTHON", sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        (top / "train.py").write_bytes(TRAIN.read_bytes())
        (top / ".gitignore").write_text("/data/\n/last.*\n")
        _git(top, "init", "-q")
        _git(top, "add", "-A")
        _git(top, "-c", "user.name=Bench", "-c", "user.email=bench@example.org", "commit", "-q", "-m", "first")
        epochs = _epochs_of(python, top, seconds)
        bare = [python, "train.py", "--epochs", str(epochs)]
        recorded = [*PROGRAM, "start", "-q", "--seed", "1", "--", *bare]
        found = [(_cost(top, bare), _cost(top, recorded)) for _ in range(pairs + 1)][1:]
    for number, name in enumerate(("wall clock", "processor")):
        both = [(first[number], second[number]) for first, second in found]
        ratios = sorted(second / first for first, second in both)
        mine, theirs = (statistics.median(pair[side] for pair in both) for side in (1, 0))
        sys.stdout.write(
            f"training, {name:<12} {mine:8.2f} s   bare {theirs:8.2f} s"
            f"   x {statistics.median(ratios):.4f} ({ratios[0]:.4f} to {ratios[-1]:.4f})\n"
        )


def _epochs_of(python: str, top: Path, seconds: float) -> int:
    """How many epochs the bare program needs for so many seconds of processor time.

    From so many that they take long enough to be told from how the start of a program varies.
    """
    begun = min(_cost(top, [python, "train.py", "--epochs", "1"])[1] for _ in range(2))
    epochs = 20
    while (more := _cost(top, [python, "train.py", "--epochs", str(epochs)])[1] - begun) < seconds / 20:
        epochs *= 2
    return max(1, round((seconds - begun) * epochs / more))


def _cost(top: Path, command: list[str]) -> tuple[float, float]:
    """Wall-clock and processor seconds of a command and all that it waited for."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=top, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _git(top: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=top, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, int(sys.argv[2]) if len(sys.argv) > 2 else 4)
