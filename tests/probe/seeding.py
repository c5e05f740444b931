"""Programs run with a seed, each time in a folder of its own: what they print is compared between runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.probe.running import Observed, observe


def seeded(
    folder: Path,
    code: str,
    seed: int | None,
    *arguments: str,
    python: str = sys.executable,
    options: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
    **told: Any,
) -> Observed:
    """Run code as the program of a run with that seed; None only observes."""
    number = len(list(folder.glob("run-*")))
    own = folder / f"run-{number}"
    own.mkdir()
    settings = {"seed": seed, "seed_mode": "given" if seed is not None else "none", "program": "main", **told}
    hashed = {"PYTHONHASHSEED": str(seed or 0), **(variables or {})}
    seen = observe(own, code, *arguments, python=python, options=options, variables=hashed, told=settings)
    assert seen.code == 0, seen.errors
    assert seen.notes("failure") == []
    return seen


def plain(folder: Path, code: str, python: str = sys.executable) -> str:
    """What the program prints without us."""
    (folder / "plain.py").write_text(code)
    done = subprocess.run([python, "plain.py"], cwd=folder, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def replays(folder: Path, code: str, *arguments: str, **options: Any) -> str:
    """Assert that equal seeds print the same and another seed prints something else; what was printed."""
    first = seeded(folder, code, 7, *arguments, **options).output
    assert seeded(folder, code, 7, *arguments, **options).output == first != ""
    assert seeded(folder, code, 8, *arguments, **options).output != first
    return first
