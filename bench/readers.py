"""What reading costs with many runs: `log`, `collate`, and an index built from nothing, each beside git or SQLite."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.runs import make_runs

_DUMP = """
import csv, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
columns = "runs.experiment, runs.id, runs.status, runs.started, runs.seed, params.*, metrics.*"
rows = db.execute(f"SELECT {columns} FROM runs JOIN params USING (row) JOIN metrics USING (row) ORDER BY started")
csv.writer(sys.stdout).writerows(rows)
"""
_READ = (
    "git for-each-ref --format='%(objectname):.replicate/run.toml' refs/experiments"
    " | git cat-file --batch --buffer > /dev/null"
)

Timed = Callable[[list[str], Path], float]
"""A command and where to run it, to milliseconds."""
Show = Callable[[str, list[float], str, list[float]], None]
"""A row: its name, our times, what they are beside, and its times in the same order."""


def measure_readers(folder: Path, program: list[str], timed: Timed, show: Show, *, runs: int, rounds: int) -> None:
    """Rows for `runs` runs, a twentieth of them annotated, beside a hundredth as many."""
    large = make_runs(folder / "many", runs, runs // 20)
    small = make_runs(folder / "few", max(runs // 100, 10), max(runs // 2000, 1))
    log, collate = [*program, "log", "-n", "20"], [*program, "collate", "--format", "csv"]
    cold, plain = [], []
    for _ in range(2):
        shutil.rmtree(large / ".git" / "replicate", ignore_errors=True)
        plain.append(timed(["sh", "-c", _READ], large))
        cold.append(timed(log, large))
    show(f"log -n 20, {runs} runs, no index", cold, "git cat-file", plain)
    timed(log, small)
    time.sleep(2.1)  # younger refs than this could still move within one tick of the clock
    timed(log, large)
    timed(log, small)
    pairs = [(timed(log, large), timed(log, small)) for _ in range(rounds)]
    show(f"log -n 20, {runs} runs", [a for a, _ in pairs], f"{max(runs // 100, 10)} runs", [b for _, b in pairs])
    dump = [sys.executable, "-c", _DUMP, str(large / ".git" / "replicate" / "index.sqlite")]
    pairs = [(timed(collate, large), timed(dump, large)) for _ in range(max(rounds // 2, 1))]
    show(f"collate --format csv, {runs} runs", [a for a, _ in pairs], "sqlite3", [b for _, b in pairs])
    subprocess.run([*program, "annotate", "latest", "--tag", "new"], cwd=large, check=True, stdout=subprocess.DEVNULL)
    show("log after one of many annotations", [timed(log, large)], "log", [timed(log, large)])
