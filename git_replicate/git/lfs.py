"""Big files of git-lfs: their ids; to and from other repositories, where it is installed and the other side serves it.

Files are named by their ids: `git lfs push --all` and `git lfs fetch` look only at branches.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence

from git_replicate.core.secrets import mask_text
from git_replicate.git.command import Git
from git_replicate.git.remotes import Remote
from git_replicate.git.repository import Layout, Repository

_BATCH = 200
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\nsize \d+\n"
)
_ANY_CODE = range(-64, 256)


def is_installed() -> bool:
    return shutil.which("git-lfs") is not None


def content_ids(repo: Repository, path: str) -> dict[bytes, str]:
    """The files of git-lfs at or below a path, all relative to the top, and `sha256:hex` of what each holds.

    It is "" for a file that was changed since it was added. Nothing of the files is read, unless git has to.
    """
    layout = repo.layout
    outside = os.path.isabs(path) or path == ".." or path.startswith("../")
    if outside or layout.top is None or not os.path.isdir(os.path.join(layout.common_dir, "lfs")):
        return {}
    git = Git(layout.top, git_dir=layout.git_dir, work_tree=layout.top)
    listed = git.run("list tracked data", "ls-files", "-z", "-s", "--", path).stdout.split(b"\0")[:-1]
    oids = {name: head.split()[1].decode() for head, _, name in (line.partition(b"\t") for line in listed)}
    asked = git.run("look for git-lfs", "check-attr", "-z", "--stdin", "filter", stdin=b"\0".join(oids) + b"\0").stdout
    answers = asked.split(b"\0")
    names = [name for name, value in zip(answers[::3], answers[2::3], strict=False) if value == b"lfs"]
    pointers = repo.read_many(oids[name] for name in names)
    found = {
        name: f"sha256:{pointer[1].decode()}"
        for name, content in zip(names, pointers, strict=True)
        if content is not None and (pointer := _POINTER.match(content))
    }
    if found:
        changed = git.run("compare tracked data", "diff-files", "-z", "--name-only", "--", path).stdout.split(b"\0")
        found.update(dict.fromkeys(found.keys() & changed, ""))
    return found


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
