"""Small programs run under the probe, without a repository, a record or the rest of the tool."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from git_replicate.capture.probe_report import ProbeReport, read_report
from git_replicate.probe import SITE, VARIABLE


@dataclass(frozen=True)
class Observed:
    """A program that has ended: what it printed, and what its probes noted."""

    output: str
    errors: str
    code: int
    report: ProbeReport

    def notes(self, kind: str) -> list[Mapping[str, Any]]:
        return [note for _, note in self.report.of_kind(kind)]


def probed(folder: Path, told: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The environment of a program whose probes write into `folder/notes`."""
    notes = folder / "notes"
    notes.mkdir(exist_ok=True)
    settings = {"folder": str(notes), "run": "test/run", "top": str(folder), "seed": None, "seed_mode": "none"}
    settings.update(told or {})
    return {**os.environ, "PYTHONPATH": SITE, VARIABLE: json.dumps(settings)}


def observe(
    folder: Path,
    code: str,
    *arguments: str,
    python: str = sys.executable,
    options: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    told: Mapping[str, Any] | None = None,
) -> Observed:
    """Run code as `main.py` of a folder, in it; `told`: settings of the probe on top of the usual ones."""
    (folder / "main.py").write_text(code)
    env = {**probed(folder, told), **(variables or {})}
    done = subprocess.run(
        [python, *options, "main.py", *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )
    return Observed(done.stdout, done.stderr, done.returncode, read_report(str(folder / "notes")))


def interpreters() -> list[str]:
    """The Pythons of this machine, one of each minor version."""
    beside = glob.glob(os.path.join(os.path.dirname(sys.base_prefix), "*", "bin", "python"))
    names = ("python2.7", *(f"python3.{n}" for n in range(6, 16)), "pypy3")
    named = [shutil.which(name) for name in names]
    return sorted({*filter(None, named), *beside})
