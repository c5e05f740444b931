"""What tests share: a repository driven by plain git, and our own command run as a user would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import forked
from tests.forked import CHECKOUT, PROGRAM

__all__ = ["CHECKOUT", "PROGRAM", "GitRepo", "replicate"]


@dataclass(frozen=True)
class GitRepo:
    """A working repository on disk, asked and changed through git's own commands."""

    top: Path

    def git(self, *arguments: str, stdin: bytes | None = None, **variables: str) -> str:
        return self.git_bytes(*arguments, stdin=stdin, **variables).decode(errors="surrogateescape").strip()

    def git_bytes(self, *arguments: str, stdin: bytes | None = None, **variables: str) -> bytes:
        done = subprocess.run(
            ["git", *arguments], cwd=self.top, input=stdin, capture_output=True, check=False,
            env={**os.environ, **variables},
        )  # fmt: skip
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace')}"
        return done.stdout

    def write(self, path: str, text: str | bytes) -> Path:
        file = self.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def commit(self, message: str = "change") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


def replicate(
    *arguments: str,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    variables: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run `git-replicate` from the checkout as a separate process and return what a user would see."""
    done = forked.run(arguments, cwd=cwd, stdin=stdin, env={**os.environ, **(variables or {})}, timeout=timeout)
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )
