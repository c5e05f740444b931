"""A checkout in which one run after another works: none finds what the last one did, and nothing outside is touched."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from git_replicate.git.checkout import Checkout, added_files, clean, create_checkout, differences, lend
from git_replicate.git.opening import find_layout
from git_replicate.git.repository import Oid
from tests.support import GitRepo


@pytest.fixture
def held(repo: GitRepo, tmp_path: Path) -> Checkout:
    """Files a.txt (twice committed), sub/b.txt and a link; `*.log` is ignored."""
    repo.write("a.txt", "one\n")
    repo.write("sub/b.txt", "b\n")
    repo.write(".gitignore", "*.log\n")
    (repo.top / "ln").symlink_to("a.txt")
    repo.commit()
    repo.write("a.txt", "two\n")
    repo.commit()
    folder = tmp_path / "held"
    folder.mkdir()
    return create_checkout(find_layout(str(repo.top)), str(folder), Oid(repo.git("rev-parse", "HEAD")))


def git(top: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=top, check=True, capture_output=True, text=True).stdout


def git_path(top: Path, name: str) -> Path:
    return top / git(top, "rev-parse", "--git-path", name).strip()


def state(top: Path) -> dict[str, tuple[int, str]]:
    """Every file, link and folder with its permissions and content, and what git says of it all."""
    found = {}
    for path in sorted(top.rglob("*")):
        text = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[str(path.relative_to(top))] = (path.lstat().st_mode, text)
    seen = ("rev-parse HEAD", "status --short --branch --ignored", "reflog", "ls-files -t -v", "log --oneline")
    return {**found, **{words: (0, git(top, *words.split())) for words in seen}}


def same_size_and_time(path: Path) -> None:
    status = path.stat()
    path.write_text("ONE\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def shell(top: Path, line: str) -> None:
    subprocess.run(["sh", "-ec", line], cwd=top, check=True)


WORK: dict[str, Callable[[Path], object]] = {
    "makes files": lambda top: shell(top, "mkdir -p new/deep; touch new/deep/x.log"),
    "makes empty folders": lambda top: (top / "empty/deep").mkdir(parents=True),
    "makes a repository": lambda top: git(top, "init", "-q", "inner"),
    "changes a file": lambda top: (top / "a.txt").write_text("changed\n"),
    "changes a file unseen": lambda top: same_size_and_time(top / "a.txt"),
    "sets a time": lambda top: os.utime(top / "a.txt", (1, 1)),
    "removes a file": lambda top: (top / "a.txt").unlink(),
    "renames a folder": lambda top: (top / "sub").rename(top / "sub2"),
    "makes a file executable": lambda top: (top / "a.txt").chmod(0o755),
    "makes a file private": lambda top: (top / "sub/b.txt").chmod(0o400),
    "makes a folder read-only": lambda top: (top / "sub").chmod(0o500),
    "puts a link in place of a file": lambda top: shell(top, "ln -sf /etc/hostname a.txt"),
    "puts a file in place of a link": lambda top: shell(top, "rm ln; echo x > ln"),
    "puts a folder in place of a file": lambda top: shell(top, "rm a.txt; mkdir a.txt"),
    "commits": lambda top: shell(top, "echo x > a.txt; git commit -qam 'of the run'"),
    "checks out": lambda top: git(top, "checkout", "-q", "HEAD~1"),
    "stages": lambda top: shell(top, "echo x > a.txt; touch n; git add ."),
    "hides a change": lambda top: shell(top, "git update-index --assume-unchanged a.txt; echo x > a.txt"),
    "skips a file": lambda top: shell(top, "git update-index --skip-worktree a.txt; rm a.txt"),
    "resets": lambda top: git(top, "reset", "-q", "--hard", "HEAD~1"),
    "leaves a lock": lambda top: git_path(top, "index.lock").write_text(""),
    "removes the index": lambda top: git_path(top, "index").unlink(),
    "removes .git": lambda top: (top / ".git").unlink(),
    "breaks .git": lambda top: (top / ".git").write_text("gitdir: /nowhere\n"),
}  # fmt: skip


@pytest.mark.parametrize("what", WORK)
def test_nothing_of_one_run_is_there_for_the_next(held: Checkout, what: str) -> None:
    top = Path(held.top)
    before = state(top)
    WORK[what](top)
    clean(held)
    lend(held)
    assert state(top) == before
    assert (top / "a.txt").stat().st_mtime > 1_000_000


def test_what_a_run_committed_counts_as_what_it_left(held: Checkout) -> None:
    top = Path(held.top)
    (top / "made.txt").write_text("x")
    (top / "a.txt").write_text("three\n")
    git(top, "add", ".")
    git(top, "commit", "-qm", "of the run")
    assert added_files(held) == ["a.txt", "made.txt"]
    assert differences(held).changed == ("a.txt",)


def test_what_a_link_leads_to_is_neither_taken_nor_changed(held: Checkout, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.txt").write_text("somebody else's")
    outside.chmod(0o700)
    top = Path(held.top)
    (top / "sub/b.txt").unlink()
    (top / "sub").rmdir()
    (top / "sub").symlink_to(outside)
    assert added_files(held) == ["sub"]
    clean(held)
    assert (outside / "b.txt").read_text() == "somebody else's"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700
    assert (top / "sub/b.txt").read_text() == "b\n"
    assert not (top / "sub").is_symlink()
