"""Hooks: what they note, what they leave alone, and that they go without a trace."""

from __future__ import annotations

import os
import stat
import subprocess
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


@pytest.mark.slow
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
    assert states(repo) == dict.fromkeys(hooks.HOOKS, "chained")
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
    assert states(repo) == dict.fromkeys(hooks.HOOKS, "installed")


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


@pytest.fixture
def hub(repo: GitRepo) -> GitRepo:
    """A bare repository that `origin` names, with the hooks installed here."""
    made = GitRepo(repo.top.parent / "hub.git")
    repo.git("init", "-q", "--bare", str(made.top))
    repo.git("remote", "add", "origin", str(made.top))
    assert replicate("hooks", "install", cwd=repo.top).returncode == 0
    return made


def sent_to(hub: GitRepo) -> list[str]:
    return hub.git("for-each-ref", "--format=%(refname)", "refs/experiments/").split()


def agree(repo: GitRepo) -> None:
    """A first push of another run, agreed to."""
    assert replicate("start", "-q", "-e", "first", "--", "true", cwd=repo.top).returncode == 0
    assert replicate("push", "--yes", "origin", "first", cwd=repo.top).returncode == 0


@pytest.mark.slow
def test_a_push_sends_the_runs_of_its_commits_along(repo: GitRepo, hub: GitRepo) -> None:
    agree(repo)
    repo.git("push", "-q", "origin", "main")
    repo.write("train.py", "print('accuracy: 0.8')\n")
    start(repo)
    repo.git("checkout", "-q", "-b", "side")
    repo.commit("as tested")
    start(repo)
    repo.git("checkout", "-q", "--orphan", "apart")
    repo.commit("no relation")
    repo.write("other.py", "")
    start(repo)
    repo.git("push", "-q", "origin", "side")
    names = {name.split("/")[2] for name in sent_to(hub)}
    assert names == {"first", "train"}
    assert len(sent_to(hub)) == 3  # the one on main's code with its edit, and the one on side's


def test_a_push_sends_nothing_that_nobody_agreed_to(repo: GitRepo, hub: GitRepo) -> None:
    start(repo)
    repo.git("push", "-q", "origin", "main")
    assert sent_to(hub) == []
    agree(repo)
    other = GitRepo(repo.top.parent / "other.git")
    repo.git("init", "-q", "--bare", str(other.top))
    repo.git("push", "-q", str(other.top), "main")
    assert sent_to(other) == []


@pytest.mark.slow
def test_a_push_is_not_stopped_by_runs_that_cannot_be_sent(repo: GitRepo, hub: GitRepo) -> None:
    agree(repo)
    start(repo)
    hub.write("hooks/update", "#!/bin/sh\ncase $1 in refs/heads/*) ;; *) exit 1;; esac\n").chmod(0o755)
    done = subprocess.run(["git", "push", "-q", "origin", "main"], cwd=repo.top, capture_output=True, text=True)
    assert done.returncode == 0
    assert "the runs of these commits were not sent (hook declined): git replicate push origin" in done.stderr
    assert hub.git("rev-parse", "main") == repo.git("rev-parse", "main")


def test_code_that_no_run_has_tested_can_be_refused(repo: GitRepo, hub: GitRepo) -> None:
    repo.git("config", "replicate.refuseUntested", "true")
    push = ["git", "push", "-q", "origin", "main"]
    done = subprocess.run(push, cwd=repo.top, capture_output=True, text=True)
    assert done.returncode == 1
    assert "refs/heads/main is not pushed: no finished run has tested" in done.stderr
    assert hub.git("for-each-ref") == ""
    repo.git("push", "-q", "--no-verify", "origin", "main:refs/heads/unchecked")
    start(repo)
    assert subprocess.run(push, cwd=repo.top).returncode == 0
    replicate("annotate", "latest", "--invalid", "wrong data", cwd=repo.top)
    repo.git("push", "-q", "origin", ":unchecked")
    assert subprocess.run([*push[:-1], "main:again"], cwd=repo.top, capture_output=True).returncode == 1


def test_what_the_users_hook_refuses_stays_refused(repo: GitRepo, hub: GitRepo) -> None:
    replicate("hooks", "remove", cwd=repo.top)
    hook(repo, "pre-push").write_text("#!/bin/sh\ncat > ../seen.txt; echo $1 >> ../seen.txt; exit 4\n")
    hook(repo, "pre-push").chmod(0o755)
    replicate("hooks", "install", cwd=repo.top)
    agree(repo)
    start(repo)
    assert subprocess.run(["git", "push", "-q", "origin", "main"], cwd=repo.top, capture_output=True).returncode == 1
    oid = repo.git("rev-parse", "main")
    assert (repo.top.parent / "seen.txt").read_text() == f"refs/heads/main {oid} refs/heads/main {'0' * 40}\norigin\n"
    assert len(sent_to(hub)) == 1


def test_a_push_goes_on_when_the_tool_is_gone(repo: GitRepo, hub: GitRepo, tmp_path: Path) -> None:
    agree(repo)
    (tmp_path / "bin" / "git-replicate").write_text("#!/bin/sh\nexit 70\n")
    repo.git("push", "-q", "origin", "main")
