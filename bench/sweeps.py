"""Many runs of a command that does nothing, two at a time, beside a shell loop over the same command.

    python -m bench.sweeps [RUNS]

Prints runs a second, the processor's time that each run took, and the objects and bytes that are left in `.git`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = [sys.executable, str(Path(__file__).resolve().parent.parent / "bin" / "git-replicate")]


def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        (top / "run.sh").write_text('echo "x: $1"\n')
        _git(top, "init", "-q")
        _git(top, "add", "-A")
        _git(top, "-c", "user.name=Bench", "-c", "user.email=bench@example.org", "commit", "-q", "-m", "first")
        command = [*PROGRAM, "sweep", "-q", "-j", "2", "-p", f"x=1..{runs}", "--", "sh", "run.sh", "{x}"]
        _show(f"sweep of {runs} runs, -j 2", runs, top, command)
        _show(f"loop of {runs} runs", runs, top, ["sh", "-c", f"for x in $(seq {runs}); do sh run.sh $x; done"])
        kept = _git(top, "count-objects", "-v").replace("\n", "  ")
        sys.stdout.write(f"objects (KiB): {kept}\n")
        size = sum(path.stat().st_blocks * 512 for path in (top / ".git").rglob("*"))
        sys.stdout.write(f".git: {size / runs:.0f} bytes a run on the disk\n")


def _show(name: str, runs: int, top: Path, command: list[str]) -> None:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=top, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sys.stdout.write(f"{name:<28} {runs / seconds:8.1f} runs/s   {busy / runs * 1000:6.1f} ms of processor a run\n")


def _git(top: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=top, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
