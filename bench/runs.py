"""A repository with many runs, made by one `git fast-import`: real refs, commits, records and annotations, in seconds.

    python bench/runs.py FOLDER 100000 [ANNOTATED]

What is written is what recording writes: a start and a finish commit a run, `.replicate/run.toml` by the record's own
serialiser (one record is written out, the values that vary are put in its place), environment, curves.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from git_replicate.core.names import ANNOTATIONS_REF, ExperimentName, RunId, new_run_id, run_ref
from git_replicate.core.record import Best, Code, Process, Record, Seeds, Status, User, dumps

PARAMS = 15
METRICS = 10
EXPERIMENTS = 4
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_WHO = "Bench <bench@example.org>"
_HASH = "0123456789abcdef0123456789abcdef01234567"


def make_runs(top: Path, count: int, annotated: int = 0) -> Path:
    """A new repository at `top` with so many finished runs, the first ones of them annotated; its refs are packed."""
    top.mkdir(parents=True)
    _git(top, "init", "-q", "-b", "main")
    marks = top / ".git" / "marks"
    importer = subprocess.Popen(
        ["git", "fast-import", "--quiet", "--done", f"--export-marks={marks}"], cwd=top, stdin=subprocess.PIPE
    )
    assert importer.stdin is not None
    with importer.stdin as stream:
        _write(stream, count, annotated)
    if importer.wait():
        raise SystemExit("git fast-import failed")
    marks.unlink()
    _git(top, "reset", "-q", "--hard", "main")
    _git(top, "pack-refs", "--all")
    return top


def _write(stream: IO[bytes], count: int, annotated: int) -> None:
    stream.write(_blob(1, b"import sys\n") + _blob(2, b'python = "3.13.1"\nos = "Linux"\n'))
    stream.write(_commit("refs/heads/main", 3, 0, "first", None, {"train.py": 1}))
    start_text, finish_text = (dumps(record) for record in _records())
    for number in range(count):
        base = 10 + number * 5
        experiment, run, values = _values(number)
        stream.write(_blob(base, _filled(start_text, values)) + _blob(base + 1, _filled(finish_text, values)))
        stream.write(_blob(base + 2, _curves(number)))
        ref = run_ref(ExperimentName(experiment), run)
        files = {".replicate/run.toml": base, ".replicate/environment.toml": 2}
        stream.write(_commit(ref, base + 3, number, f"start {run}", 3, files))
        files = {".replicate/run.toml": base + 1, ".replicate/metrics.csv": base + 2}
        stream.write(_commit(ref, base + 4, number, f"finish {run}", base + 3, files))
    if annotated:
        stream.write(_commit(ANNOTATIONS_REF, 4, 0, "annotate", None, {}))
        for number in range(min(annotated, count)):
            line = {"time": f"2026-07-01T00:00:00.{number:06}+00:00", "actor": _WHO, "op": "tag", "value": f"t{number}"}
            text = json.dumps(line).encode() + b"\n"
            stream.write(b"N inline :%d\ndata %d\n%s\n" % (10 + number * 5 + 3, len(text), text))
    stream.write(b"done\n")


def _records() -> Iterator[Record]:
    """The record of a run's start, and of its end, with marks where runs differ."""
    params = {f"p{i:02}": f"@p{i:02}@" for i in range(PARAMS)}
    metrics = {f"m{i}": 0.123456789 for i in range(METRICS)}
    started = Record(
        id=new_run_id(_FIRST, b"\0\0\0\0"), experiment=ExperimentName("@experiment@"), status=Status.RUNNING,
        command=("python", "train.py", "--p00", "@p00@"), started=_FIRST, user=User("Bench", "bench@example.org"),
        process=Process("node17", 4242, "2b5a4c0e-1111-2222-3333-444455556666"),
        code=Code(_HASH, _HASH, _HASH, "main", dirty=True), params=params, seeds=Seeds(run=77, mode="given"),
        params_source=dict.fromkeys(params, "parsed"),
    )  # fmt: skip
    yield started
    yield replace(
        started, status=Status.FINISHED, finished=_FIRST + timedelta(seconds=1), seconds=61.25, exit_code=0,
        metrics=metrics, metrics_best={name: Best(-i - 0.5, 1, i + 1.5, 9) for i, name in enumerate(metrics)},
        metrics_source=dict.fromkeys(metrics, "api"), runtime={"libraries": ["numpy", "torch"], "threads": 8},
    )  # fmt: skip


def _values(number: int) -> tuple[str, RunId, dict[bytes, bytes]]:
    """The experiment, the id, and what stands in the records in place of the marks."""
    chance = random.Random(number)
    when = _FIRST + timedelta(seconds=number * 60)
    run = new_run_id(when, chance.randbytes(4))
    experiment = f"series{number % EXPERIMENTS}"
    values = {
        b"@experiment@": experiment.encode(),
        b"20260101-000000-00000000": run.encode(),
        b"2026-01-01 00:00:00": str(when)[:19].encode(),
        b"run = 77": b"run = %d" % number,
    }
    for i in range(PARAMS):
        kind = (f"{chance.random():.6f}", str(chance.randrange(100)), f'"{chance.choice(("adam", "sgd", "lion"))}"')
        values[b'"@p%02d@"\n' % i] = f"{kind[i % 3]}\n".encode()
    values[b"@p00@"] = b"0.5"
    for i in range(METRICS):
        values[b"m%d = 0.123456789" % i] = b"m%d = %.9f" % (i, chance.random())
        values[b"min = -%d.5\nmin_step = 1\n" % i] = b"min = %.9f\nmin_step = %d\n" % (-chance.random(), number % 7)
        values[b"max = %d.5\nmax_step = 9\n" % (i + 1)] = b"max = %.9f\nmax_step = %d\n" % (1 + chance.random(), 9)
    return experiment, run, values


def _filled(text: bytes, values: dict[bytes, bytes]) -> bytes:
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def _curves(number: int) -> bytes:
    return b"step,time,metric,value\n" + b"".join(b"%d,%d,m0,%d\n" % (step, step, number + step) for step in range(3))


def _blob(mark: int, text: bytes) -> bytes:
    return b"blob\nmark :%d\ndata %d\n%s\n" % (mark, len(text), text)


def _commit(ref: str, mark: int, number: int, subject: str, parent: int | None, files: dict[str, int]) -> bytes:
    when = int(_FIRST.timestamp()) + number * 60
    lines = [f"commit {ref}", f"mark :{mark}", f"committer {_WHO} {when} +0000", f"data {len(subject)}", subject]
    lines += [f"from :{parent}"] if parent else []
    lines += [f"M 100644 :{blob} {path}" for path, blob in files.items()]
    return "\n".join([*lines, ""]).encode()


def _git(top: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=top, check=True, env=os.environ, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    make_runs(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
