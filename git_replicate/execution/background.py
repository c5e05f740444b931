"""Starting a recorded run behind the user's back: for hooks, which must not keep anybody waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from git_replicate.execution.environment import clean_environment
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Layout


def start_in_background(command: str, environ: Mapping[str, str], layout: Layout) -> None:
    """Record a run of a shell command, or of the configured one for `true`, in a session of its own.

    It runs at the top of the worktree in the caller's environment without git's variables; what it says goes to
    `on-commit.log` in the private folder.
    """
    words = ["start", "-q"]
    if command.lower() not in ("true", "yes", "on", "1"):
        words += ["--", "/bin/sh", "-c", command]
    folder = state_dir(layout)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "on-commit.log"), "ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "git_replicate", *words], cwd=layout.top, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, env=_environment(environ), start_new_session=True,
        )  # fmt: skip


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables, with this very package importable for the recorder."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    env = clean_environment(environ)
    if package not in sys.path[1:]:
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (package, env.get("PYTHONPATH", ""))))
    return env
