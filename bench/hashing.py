"""Time the hashing of declared data against b3sum (or BLAKE3's own package where there is none), in turn.

`python -m bench.hashing`: one file of 2 GiB and 20,000 small ones, first and second time. Nothing is asserted.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from git_replicate.capture import stat_cache
from git_replicate.capture.data import capture_data

BYTES = int(os.environ.get("BENCH_BYTES", str(2 << 30)))
FILES = int(os.environ.get("BENCH_DATA_FILES", "20000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))


def make(folder: Path) -> None:
    piece = os.urandom(1 << 20)
    with open(folder / "large", "wb") as file:
        file.writelines(piece for _ in range(BYTES >> 20))
    for n in range(FILES):
        path = folder / "many" / f"{n // 200:03}" / f"{n:05}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(piece[: 1_000 + n % 20_000])


def ours(folder: Path, name: str, *, cold: bool) -> float:
    """Seconds; a cold one begins without the cache."""
    cache = folder / "git"
    if cold:
        shutil.rmtree(cache, ignore_errors=True)
    began = time.perf_counter()
    capture_data([name], {}, top=str(folder), common_dir=str(cache))
    return time.perf_counter() - began


def b3sum(folder: Path, name: str) -> float:
    """Seconds of b3sum over the same files in the same order, its own start and the listing of a folder included."""
    began = time.perf_counter()
    if shutil.which("b3sum"):
        words = f"find {name} -type f -print0 | LC_ALL=C sort -z | xargs -0 b3sum"
        subprocess.run(["sh", "-c", words], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    else:
        import blake3

        path = folder / name
        for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
            blake3.blake3(max_threads=blake3.blake3.AUTO).update_mmap(file)
    return time.perf_counter() - began


def stats(folder: Path, name: str) -> float:
    """Seconds of one stat a file and nothing else."""
    began = time.perf_counter()
    for parent, _, names in os.walk(folder / name):
        for inner in names:
            os.stat(f"{parent}/{inner}")
    return time.perf_counter() - began


def row(title: str, first: Callable[[], float], other: str, second: Callable[[], float]) -> None:
    pairs = [(first(), second()) for _ in range(ROUNDS + 1)][1:]
    mine, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(b / a for a, b in pairs)
    sys.stdout.write(f"{title:<28} {mine * 1000:9.1f} ms   {other} {theirs * 1000:9.1f} ms   {ratio:.2f} x its speed\n")
    sys.stdout.flush()


def main() -> None:
    stat_cache.StatCache.now = staticmethod(lambda: time.time_ns() + 3_600 * 10**9)  # type: ignore[method-assign]
    other = "b3sum" if shutil.which("b3sum") else "blake3 package"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        row(
            f"{BYTES >> 20} MiB, first time",
            lambda: ours(folder, "large", cold=True),
            other,
            lambda: b3sum(folder, "large"),
        )
        row(f"{FILES} files, first time", lambda: ours(folder, "many", cold=True), other, lambda: b3sum(folder, "many"))
        row(f"{FILES} files, again", lambda: ours(folder, "many", cold=False), "stat", lambda: stats(folder, "many"))


if __name__ == "__main__":
    main()
