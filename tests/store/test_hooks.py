"""Hooks: what they note, what they leave alone, and that they go without a trace."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli

from git_replicate.core.errors import UserError
from git_replicate.git.config import read_config
from git_replicate.git.opening import find_layout
from git_replicate.store import hooks
from tests.support import PROGRAM, GitRepo, replicate

USERS = b"#!/bin/sh\necho mine $# >> ../mine.txt\ncat >> ../mine.txt\nexit 0\n"


@pytest.fixture(autouse=True)
def program_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git replicate` is this checkout's, whatever is installed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git-replicate").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROGRAM}" "$@"\n')
    (folder / "git-replicate").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def hook(repo: GitRepo, name: str = "post-commit") -> Path:
    return repo.top / ".git" / "hooks" / name


def states(repo: GitRepo) -> dict[str, str]:
    layout = find_layout(str(repo.top))
    return {state.name: state.state for state in hooks.hook_states(layout, read_config(layout))}


def note(repo: GitRepo, revision: str = "HEAD") -> list[dict[str, object]]:
    listed = repo.git("notes", "--ref=experiments", "list")
    commit = repo.git("rev-parse", revision)
    if commit not in listed:
        return []
    return list(tomli.loads(repo.git("notes", "--ref=experiments", "show", commit))["run"])


def start(repo: GitRepo) -> None:
    done = replicate("start", "-q", "--", sys.executable, "train.py", cwd=repo.top)
    assert done.returncode == 0, done.stderr


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_commit_of_what_a_run_tested_is_noted(repo: GitRepo) -> None:
    assert replicate("hooks", "install", cwd=repo.top).returncode == 0
    repo.write("train.py", "print('accuracy: 0.8')\n")
    start(repo)
    repo.commit("as tested")
    assert [(run["experiment"], run["status"], run["metrics"]) for run in note(repo)] == [
        ("train", "finished", {"accuracy": 0.8})
    ]
    repo.write("train.py", "print('accuracy: 0.1')\n")
    repo.commit("not tested")
    assert note(repo) == []


def test_runs_from_before_the_hooks_are_known(repo: GitRepo) -> None:
    repo.write("train.py", "print('accuracy: 0.8')\n")
    start(repo)
    replicate("hooks", "install", cwd=repo.top)
    repo.commit("as tested")
    assert len(note(repo)) == 1


def test_a_reworded_commit_keeps_its_note_and_a_changed_one_does_not(repo: GitRepo) -> None:
    replicate("hooks", "install", cwd=repo.top)
    repo.write("train.py", "print('accuracy: 0.8')\n")
    start(repo)
    repo.commit("as tested")
    repo.git("commit", "--amend", "-q", "-m", "in other words")
    assert len(note(repo)) == 1
    repo.write("train.py", "print('accuracy: 0.7')\n")
    repo.git("commit", "--amend", "-q", "-a", "-m", "another tree")
    assert note(repo) == []


def test_a_commit_in_a_linked_worktree_is_noted(repo: GitRepo) -> None:
    replicate("hooks", "install", cwd=repo.top)
    repo.git("worktree", "add", "-q", "-b", "side", "../side")
    side = GitRepo(repo.top.parent / "side")
    side.write("train.py", "print('accuracy: 0.6')\n")
    start(side)
    side.commit("in the side tree")
    assert len(note(repo, "side")) == 1


def test_the_users_hook_runs_first_and_comes_back_byte_for_byte(repo: GitRepo) -> None:
    for name in hooks.HOOKS:
        hook(repo, name).parent.mkdir(exist_ok=True)
        hook(repo, name).write_bytes(USERS)
        hook(repo, name).chmod(0o751)
    before = sorted(os.listdir(repo.top / ".git" / "hooks"))
    replicate("hooks", "install", cwd=repo.top)
    assert states(repo) == {"post-commit": "chained", "post-rewrite": "chained"}
    repo.write("new.py", "")
    old = repo.commit("one")
    repo.git("commit", "--amend", "-q", "-m", "two")
    new = repo.git("rev-parse", "HEAD")
    assert (repo.top.parent / "mine.txt").read_text() == f"mine 0\nmine 0\nmine 1\n{old} {new}\n"
    replicate("hooks", "remove", cwd=repo.top)
    for name in hooks.HOOKS:
        assert hook(repo, name).read_bytes() == USERS
        assert stat.S_IMODE(hook(repo, name).stat().st_mode) == 0o751
    assert sorted(os.listdir(repo.top / ".git" / "hooks")) == before


def test_the_exit_code_is_that_of_the_users_hook(repo: GitRepo) -> None:
    hook(repo).parent.mkdir(exist_ok=True)
    hook(repo).write_bytes(b"#!/bin/sh\nexit 7\n")
    hook(repo).chmod(0o755)
    replicate("hooks", "install", cwd=repo.top)
    assert os.waitstatus_to_exitcode(os.system(str(hook(repo)))) == 7


def test_a_switched_off_hook_stays_off(repo: GitRepo) -> None:
    hook(repo).parent.mkdir(exist_ok=True)
    hook(repo).write_bytes(USERS)
    hook(repo).chmod(0o644)
    replicate("hooks", "install", cwd=repo.top)
    repo.commit("one")
    assert not (repo.top.parent / "mine.txt").exists()


def test_a_link_that_leads_nowhere_is_kept(repo: GitRepo) -> None:
    hook(repo).parent.mkdir(exist_ok=True)
    hook(repo).symlink_to("nowhere")
    replicate("hooks", "install", cwd=repo.top)
    assert states(repo)["post-commit"] == "chained"
    replicate("hooks", "remove", cwd=repo.top)
    assert os.readlink(hook(repo)) == "nowhere"


def test_the_configured_folder_of_hooks_is_used(repo: GitRepo) -> None:
    repo.git("config", "core.hooksPath", "my hooks")
    assert replicate("hooks", "install", cwd=repo.top).returncode == 0
    assert (repo.top / "my hooks" / "post-commit").stat().st_mode & stat.S_IXUSR
    assert not hook(repo).exists()
    repo.write("train.py", "print('accuracy: 0.8')\n")
    start(repo)
    repo.commit("as tested")
    assert len(note(repo)) == 1


def test_installing_twice_changes_nothing(repo: GitRepo) -> None:
    replicate("hooks", "install", cwd=repo.top)
    text = hook(repo).read_bytes()
    replicate("hooks", "install", cwd=repo.top)
    assert hook(repo).read_bytes() == text
    assert states(repo) == {"post-commit": "installed", "post-rewrite": "installed"}


def test_an_older_hook_of_ours_is_replaced(repo: GitRepo) -> None:
    hook(repo).parent.mkdir(exist_ok=True)
    hook(repo).write_text("#!/bin/sh\n# git replicate hook, version 0\n")
    assert states(repo)["post-commit"] == "outdated"
    replicate("hooks", "install", cwd=repo.top)
    assert states(repo)["post-commit"] == "installed"


def test_what_is_in_the_way_is_not_overwritten(repo: GitRepo) -> None:
    hook(repo).parent.mkdir(exist_ok=True)
    hook(repo).write_bytes(USERS)
    kept = hook(repo).with_name("post-commit.before-replicate")
    kept.write_text("older\n")
    layout = find_layout(str(repo.top))
    with pytest.raises(UserError, match="is in the way"):
        hooks.install(layout, read_config(layout))
    assert hook(repo).read_bytes() == USERS
    assert kept.read_text() == "older\n"


def test_a_commit_does_not_fail_when_the_tool_is_gone(repo: GitRepo, tmp_path: Path) -> None:
    replicate("hooks", "install", cwd=repo.top)
    start(repo)
    (tmp_path / "bin" / "git-replicate").write_text("#!/bin/sh\nexit 70\n")
    repo.commit("same tree")


def test_on_commit_starts_a_run_in_the_background(repo: GitRepo) -> None:
    replicate("hooks", "install", cwd=repo.top)
    repo.git("config", "replicate.onCommit", f"{sys.executable} train.py; env > ../env.txt")
    repo.commit("go")
    wait(lambda: "finished" in repo.git("for-each-ref", "--format=%(subject)", "refs/experiments/"))
    variables = (repo.top.parent / "env.txt").read_text()
    assert "GIT_REPLICATE_RUN=" in variables
    assert "GIT_DIR=" not in variables
    assert "GIT_INDEX_FILE=" not in variables


def test_on_commit_starts_nothing_within_a_run(repo: GitRepo) -> None:
    replicate("hooks", "install", cwd=repo.top)
    repo.git("config", "replicate.onCommit", "true")
    repo.git("commit", "-q", "--allow-empty", "-m", "by a run", GIT_REPLICATE_RUN="train/20260102-030405-1a2b3c4d")
    assert not (repo.top / ".git" / "replicate" / "on-commit.log").exists()
