"""The scan's tree is git's own tree, over generated working trees."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.git.oracle import oracle_tree, scan

NAMES = [
    b"a", b"b.txt", b"c.bin", b"-dash", b"sp ace", b"new\nline", b"caf\xe9.txt", "naïve.txt".encode(), b":(glob)x",
    b"st*r", b'quo"te', b"back\\slash", b"d/e.txt", b"d/f/g", b"d", b"d/f", b"skip.log", b"a/inner", b"tab\t.txt",
]  # fmt: skip
CONTENTS = [
    b"",
    b"one\n",
    b"two\r\nlines\r\n",
    b"mixed\r\nends\n",
    "UTF-16 text\n".encode("utf-16"),
    b"\0\1\2",
    b"one\n\n",
]
ATTRIBUTES = [
    b"", b"* text=auto\n", b"*.txt text eol=crlf\n", b"*.txt text\n*.bin -text\n", b"* text=auto eol=lf\n",
    b"*.txt filter=upper\n", b"*.txt working-tree-encoding=UTF-16\n", b"*.bin ident\n*.txt ident\n",
    b"* filter=broken\n",
]  # fmt: skip
STEPS = ["write", "write", "write", "delete", "link", "chmod", "stage", "intend", "assume", "skip", "rename", "touch",
         "unstage", "commit", "force-stage"]  # fmt: skip

step = st.tuples(st.sampled_from(STEPS), st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(CONTENTS))


def git(top: Path, *arguments: str | bytes) -> int:
    quiet = ("-c", "core.autocrlf=false", "-c", "core.safecrlf=false")
    return subprocess.run(["git", *quiet, *arguments], cwd=top, capture_output=True, check=False).returncode


def clear(full: bytes) -> None:
    """Make room for a file: whatever is there, or in place of its folders, goes."""
    if os.path.isdir(full) and not os.path.islink(full):
        shutil.rmtree(full)
    elif os.path.lexists(full):
        os.unlink(full)


def make_room(top: bytes, path: bytes) -> bytes:
    parts = path.split(b"/")
    for depth in range(1, len(parts)):
        folder = os.path.join(top, *parts[:depth])
        if os.path.islink(folder) or not os.path.isdir(folder):
            clear(folder)
            os.mkdir(folder)
    clear(os.path.join(top, path))
    return os.path.join(top, path)


def perform(top: Path, action: str, path: bytes, other: bytes, content: bytes) -> None:
    root = os.fsencode(top)
    full = os.path.join(root, path)
    there = os.path.lexists(full) and (os.path.islink(full) or not os.path.isdir(full))
    if action == "write":
        Path(os.fsdecode(make_room(root, path))).write_bytes(content)
    elif action == "link":
        os.symlink(other, make_room(root, path))
    elif action == "delete":
        clear(full)
    elif action == "rename" and there and not other.startswith(path) and not path.startswith(other):
        os.rename(full, make_room(root, other))
    elif action == "chmod" and there and not os.path.islink(full):
        os.chmod(full, 0o755 if not os.stat(full).st_mode & 0o100 else 0o644)
    elif action == "touch" and there:
        os.utime(full, (10**9, 10**9), follow_symlinks=False)
    elif action == "commit":
        git(top, "commit", "-q", "--no-verify", "-m", "step")
    else:
        words = {
            "stage": ["add", "-A", "--"], "intend": ["add", "-N", "--"], "force-stage": ["add", "-f", "--"],
            "unstage": ["rm", "-q", "--cached", "-r", "--"], "assume": ["update-index", "--assume-unchanged"],
            "skip": ["update-index", "--skip-worktree"],
        }.get(action)  # fmt: skip
        if words:
            git(top, "--literal-pathspecs", *words, path)


@settings(
    max_examples=int(os.environ.get("SCAN_EXAMPLES", "40")), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(
    st.lists(step, max_size=14), st.sampled_from(ATTRIBUTES), st.booleans(), st.sampled_from(["false", "true", "input"])
)
def test_the_tree_is_the_one_git_would_write(
    template: Path, steps: list[tuple[str, bytes, bytes, bytes]], attributes: bytes, modes: bool, autocrlf: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        top, scratch = Path(folder, "repo"), Path(folder, "scratch")
        shutil.copytree(template, top, symlinks=True)
        scratch.mkdir()
        with (top / ".git/config").open("a") as config:
            config.write(f"[core]\n\tfileMode = {str(modes).lower()}\n\tautocrlf = {autocrlf}\n")
            config.write('[filter "upper"]\n\tclean = tr a-z A-Z\n\tsmudge = cat\n\trequired\n')
            config.write('[filter "broken"]\n\tclean = false\n')
        (top / ".gitattributes").write_bytes(attributes)
        for action, path, other, content in steps:
            perform(top, action, path, other, content)
        _, stored = scan(top, scratch)
        if stored.raw or stored.refused:
            assert b"working-tree-encoding" in attributes
            return
        assert stored.tree == oracle_tree(top, scratch)
