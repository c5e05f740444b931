"""Big files to and from other repositories by git-lfs, where that is installed and the other side serves it.

Files are named by their ids: `git lfs push --all` and `git lfs fetch` look only at branches.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from git_replicate.core.secrets import mask_text
from git_replicate.git.command import Git
from git_replicate.git.remotes import Remote
from git_replicate.git.repository import Layout

_BATCH = 200
_ANY_CODE = range(-64, 256)


def is_installed() -> bool:
    return shutil.which("git-lfs") is not None


def push_objects(layout: Layout, remote: Remote, oids: Sequence[str]) -> str:
    """Send these files of git-lfs's own store; "" if all are there now, or why not, in words."""
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir, work_tree=layout.top)
    for start in range(0, len(oids), _BATCH):
        done = git.run(
            "send big files", "lfs", "push", "--object-id", remote.name, *oids[start : start + _BATCH], accept=_ANY_CODE
        )
        if done.returncode:
            return _reason(done)
    return ""


def fetch_object(layout: Layout, remote: Remote, pointer: bytes) -> str:
    """Get the file of a pointer into git-lfs's own store; "" if it is there now, or why not, in words."""
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir, work_tree=layout.top)
    environ = {**git.environment(), "GIT_LFS_SKIP_SMUDGE": "0"}
    chosen = [f"remote.lfsdefault={remote.name}"]
    try:
        done = subprocess.run(
            git.command("lfs", "smudge", config=chosen), cwd=git.directory, env=environ, input=pointer,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    except OSError as error:
        return f"git lfs: {error.strerror}"
    return _reason(done) if done.returncode else ""


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = mask_text(done.stderr or b"").decode(errors="replace").splitlines()
    telling = [line.strip() for line in lines if line.strip() and not line.startswith(("hint:", "Uploading"))]
    return telling[-1].removeprefix("error: ") if telling else f"git lfs exit {done.returncode}"
