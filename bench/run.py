"""Time whole commands against the bare machine, in turn, and print medians and ratios; `make bench`.

Nothing is asserted: a shared machine is too noisy for that. Every figure goes with its date into a JSON history.
"""

from __future__ import annotations

import compileall
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.disk import disk_per_run
from bench.probe import measure_probe
from bench.readers import measure_readers

TOP = Path(__file__).resolve().parent.parent
PROGRAM = [sys.executable, str(TOP / "bin" / "git-replicate")]
HISTORY = TOP / "bench" / "history.json"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "9"))
FILES = int(os.environ.get("BENCH_FILES", "80000"))
RUNS = int(os.environ.get("BENCH_RUNS", "100000"))


def timed(command: list[str], directory: Path, env: dict[str, str] | None = None) -> float:
    """Milliseconds of one run."""
    began = time.perf_counter()
    subprocess.run(
        command, cwd=directory, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return (time.perf_counter() - began) * 1000


def paired(first: Callable[[], float], second: Callable[[], float], rounds: int) -> tuple[list[float], list[float]]:
    """Both in turn, after one round that does not count."""
    first()
    second()
    pairs = [(first(), second()) for _ in range(rounds)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def make_repository(folder: Path, files: int) -> Path:
    top = folder / f"repository-{files}"
    top.mkdir()
    git(top, "init", "-q")
    for i in range(files):
        path = top / f"d{i // 500:03}" / f"f{i:05}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"x = {i}\n")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "first")
    (top / "new.py").write_text("y = 1\n")
    return top


def git(top: Path, *words: str, **variables: str) -> None:
    identity = ["-c", "user.name=Bench", "-c", "user.email=bench@example.org"]
    subprocess.run(["git", *identity, *words], cwd=top, check=True, env={**os.environ, **variables}, stdout=-3)


def add_and_write_tree(top: Path) -> float:
    """What git itself takes for the working tree's tree, on a copy of the index."""
    index = top / ".git" / "bench-index"
    shutil.copy2(top / ".git" / "index", index)
    began = time.perf_counter()
    git(top, "add", "-A", GIT_INDEX_FILE=str(index))
    git(top, "write-tree", GIT_INDEX_FILE=str(index))
    return (time.perf_counter() - began) * 1000


def measure(folder: Path) -> dict[str, float]:
    figures: dict[str, float] = {}
    bare, helped = paired(
        lambda: timed([sys.executable, "-c", "pass"], folder), lambda: timed([*PROGRAM, "-h"], folder), ROUNDS
    )
    show(figures, "-h", helped, "python -c pass", bare)
    small = make_repository(folder, 10)
    plain, recorded = paired(
        lambda: timed(["true"], small), lambda: timed([*PROGRAM, "start", "-q", "--", "true"], small), ROUNDS
    )
    show(figures, "start -- true, 10 files", recorded, "true", plain)
    overhead = statistics.median(recorded)
    measure_probe(folder, timed, paired, partial(show, figures), rounds=ROUNDS)
    large = make_repository(folder, FILES)
    scan, recorded = paired(
        lambda: add_and_write_tree(large), lambda: timed([*PROGRAM, "start", "-q", "--", "true"], large), 5
    )
    show(figures, f"start -- true, {FILES} files, over the above", [ms - overhead for ms in recorded], "git add", scan)
    measure_readers(folder, PROGRAM, timed, partial(show, figures), runs=RUNS, rounds=ROUNDS)
    figures["disk per run, bytes"] = disk_per_run(folder, PROGRAM)
    sys.stdout.write(f"{'disk per run, after git gc':<46} {figures['disk per run, bytes']:8.0f} bytes\n")
    return figures


def show(figures: dict[str, float], name: str, ours: list[float], bare_name: str, bare: list[float]) -> None:
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    figures[name] = round(statistics.median(ours), 1)
    figures[f"{name}: {bare_name}"] = round(statistics.median(bare), 1)
    sys.stdout.write(
        f"{name:<46} {statistics.median(ours):8.1f} ms"
        f"   {bare_name} {statistics.median(bare):8.1f} ms   x {ratio:.2f}\n"
    )
    sys.stdout.flush()


def main() -> None:
    # An installed package is compiled; a checkout may not be, where Python is told to write no bytecode.
    compileall.compile_dir(TOP / "git_replicate", quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    history = json.loads(HISTORY.read_text()) if HISTORY.exists() else []
    history.append({"date": time.strftime("%Y-%m-%d"), "milliseconds": figures})
    HISTORY.write_text(json.dumps(history, indent=1) + "\n")


if __name__ == "__main__":
    main()
