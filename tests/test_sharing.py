"""Sharing as a person does it: the command line, several clones, everything at once."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from git_replicate.store.annotations import read_annotations
from tests.store.sharing import make_clones
from tests.support import CHECKOUT, GitRepo, replicate

_AT_ONCE = """
import os, sys
import git_replicate.execution.run, git_replicate.commands.push, git_replicate.store.sharing.push
from git_replicate.cli import main
gate, opened = os.pipe()
children = []
for top in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        os.close(opened)
        os.chdir(top)
        code = 70
        try:
            silence = os.open(os.devnull, os.O_RDWR)
            os.dup2(silence, 0)
            os.dup2(silence, 1)
            os.read(gate, 1)
            name = os.path.basename(top)
            code = main(["start", "-q", "-e", name, "-p", f"round={sys.argv[1]}", "--", "sh", "-c", "echo loss: 1"])
            code = code or main(["annotate", "latest", "--tag", f"{name} {sys.argv[1]}"])
            shared = os.environ.get("SHARED")
            code = code or (main(["annotate", shared, "--tag", f"by {name} {sys.argv[1]}"]) if shared else 0)
            code = code or main(["push", "--yes"])
            code = code or main(["fetch"])
        finally:
            os._exit(code)
    children.append(child)
os.close(opened)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


@pytest.mark.slow
def test_four_clones_that_record_and_push_at_once_all_have_every_run_and_every_word(repo: GitRepo) -> None:
    hub, clones = make_clones(repo, "one", "two", "three", "four")
    tops = [str(clone.git.top) for clone in clones]
    shared = ""
    for number in range(3):
        done = subprocess.run(
            [sys.executable, "-c", _AT_ONCE, str(number), *tops],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "SHARED": shared}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        shared = shared or next(iter(sorted(clones[0].runs)))
        for clone in clones:
            clone.fetch()
    expected = {(name, number) for name in ("one", "two", "three", "four") for number in range(3)}
    for clone in clones:
        listed = json.loads(replicate("log", "--format", "json", cwd=clone.git.top).stdout)
        assert {(run["experiment"], run["params_unused"]["round"]) for run in listed} == expected
        said = {tag for state in read_annotations(clone.repo).values() for tag in state.tags}
        assert {f"{name} {number}" for name, number in expected} <= said
        assert {f"by {name} {number}" for name, number in expected if number} <= said
        refs = set(clone.git.git("for-each-ref", "--format=%(objectname)", "refs/experiments/").split())
        notes = {line.split()[1] for line in clone.git.git("notes", "--ref=experiments", "list").splitlines()}
        assert refs <= notes
        assert clone.git.git("fsck", "--strict", "--no-dangling") == ""
    assert len(hub.git("for-each-ref", "refs/experiments/").splitlines()) == 12
    assert hub.git("fsck", "--strict", "--no-dangling") == ""


def test_the_first_push_names_what_it_publishes_and_asks(repo: GitRepo) -> None:
    hub, (clone,) = make_clones(repo, "clone")
    top = clone.git.top
    clone.git.write("never-pushed.py", "x = 1\n")
    clone.git.commit("a commit of mine")
    clone.git.write("train.py", "print('accuracy: 0.5')\n")
    clone.git.write("new file.txt", "12345\n")
    assert replicate("start", "-q", "--", sys.executable, "train.py", cwd=top).returncode == 0
    refused = replicate("push", cwd=top)
    assert refused.returncode == 1
    short = clone.git.git("rev-parse", "--short", "HEAD")
    assert refused.stderr.splitlines() == [
        f"to {hub.top}: 1 run, with commands, output and files",
        "  and 1 commit that no branch there has:",
        f"    {short} a commit of mine",
        "  and 3 files that no branch there has (35 B):",
        "    never-pushed.py",
        "    new file.txt",
        "    train.py",
        "git replicate: nothing is sent: nobody has agreed to publish runs to origin yet",
        "hint: git replicate push --yes origin",
    ]
    assert hub.git("for-each-ref", "refs/experiments") == ""
    assert replicate("push", "--dry-run", cwd=top).returncode == 0
    assert hub.git("for-each-ref", "refs/experiments") == ""
    before = clone.git.git("config", "--list", "--local")
    done = replicate("push", "--yes", cwd=top)
    assert done.stderr.splitlines()[-1] == "sent 1 run to origin"
    assert clone.git.git("config", "--list", "--local") == before
    assert replicate("start", "-q", "--", "true", cwd=top).returncode == 0
    again = replicate("push", cwd=top)
    assert (again.returncode, again.stderr) == (0, "sent 1 run to origin\n")
    assert replicate("push", cwd=top).stderr == "nothing new for origin: it has 2 runs\n"
    clone.git.git("remote", "set-url", "origin", str(repo.top))
    assert replicate("push", cwd=top).returncode == 1  # another address is asked about again


def test_a_run_of_another_clone_on_this_host_is_neither_lost_nor_recovered(repo: GitRepo) -> None:
    from git_replicate.store.store import Parts, begin
    from tests.store.making import of_head, run_id, running

    _, (first, second) = make_clones(repo, "first", "second")
    code = of_head(first.repo)
    from git_replicate.capture.machine import boot_id, host
    from git_replicate.core.record import Process
    from git_replicate.git.repository import Oid

    here = running(1, code=code, process=Process(host=host(), pid=2**22 + 1, boot_id=boot_id()))
    begin(first.repo, here, Oid(code.snapshot), Oid(code.tree), Parts())
    first.push()
    second.fetch()
    top = second.git.top
    assert "recorded as lost" not in replicate("recover", cwd=top).stdout
    assert json.loads(replicate("log", "--format", "json", cwd=top).stdout)[0]["status"] == "running"
    assert f"digits/{run_id(1)}  recorded as lost\n" in replicate("recover", cwd=first.git.top).stdout


def test_runs_of_other_machines_are_named_by_recover_and_left_to_them(repo: GitRepo) -> None:
    from git_replicate.core.record import Process
    from git_replicate.git.opening import open_repository
    from git_replicate.git.repository import Oid
    from git_replicate.store.store import Parts, begin
    from tests.store.making import of_head, running

    opened = open_repository(str(repo.top))
    code = of_head(opened)
    there = running(1, code=code, process=Process(host="alpha", pid=1, boot_id="x"))
    begin(opened, there, Oid(code.snapshot), Oid(code.tree), Parts())
    done = replicate("recover", cwd=repo.top)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "nothing to recover\n1 run of alpha not looked at: git replicate recover, there\n"


def test_a_word_that_is_neither_a_file_nor_a_remote(repo: GitRepo) -> None:
    for words in (("fetch", "nope.bundle"), ("push", "nope")):
        done = replicate(*words, cwd=repo.top)
        assert (done.returncode, done.stderr) == (
            1, f"git replicate: there is no file and no remote '{words[1]}'\nhint: git remote add origin URL\n"
        )  # fmt: skip
    repo.git("remote", "add", "origin", "../a.git")
    repo.write("backups/readme", "x")
    for word in ("nope.bundle", "deep/er/nope.bundle", "backups/nope"):
        assert replicate("fetch", word, cwd=repo.top).stderr == (
            f"git replicate: there is no file and no remote '{word}'\nhint: git remote -v\n"
        )
    experiment = replicate("push", "digits/deep", cwd=repo.top)
    assert "no file" not in experiment.stderr


def test_remotes_are_found_as_git_finds_them(repo: GitRepo) -> None:
    assert replicate("push", cwd=repo.top).stderr == (
        "git replicate: this repository has no remote\nhint: git remote add origin URL\n"
    )
    repo.git("remote", "add", "upstream", "../a.git")
    repo.git("remote", "add", "mine", "../b.git")
    done = replicate("fetch", cwd=repo.top)
    assert done.stderr == (
        "git replicate: which remote? there are mine, upstream\nhint: git config replicate.remote mine\n"
    )
    repo.git("config", "branch.main.remote", "upstream")
    assert "list the refs of upstream" in replicate("fetch", cwd=repo.top).stderr
    repo.git("config", "branch.main.pushRemote", "mine")
    assert "list the refs of mine" in replicate("push", cwd=repo.top).stderr
    repo.git("config", "replicate.remote", "upstream")
    assert "list the refs of upstream" in replicate("push", cwd=repo.top).stderr
    done = replicate("push", "--yes", "upsteam/x:y?", cwd=repo.top)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_nothing_waits_for_a_password(repo: GitRepo, tmp_path: Path) -> None:
    """An ssh that would ask gets an option that forbids it; git's own prompt is off."""
    ssh = tmp_path / "ssh"
    ssh.write_text(
        f'#!/bin/sh\necho "$GIT_TERMINAL_PROMPT $*" > {tmp_path}/asked\n'
        'echo "Permission denied (publickey)." >&2\nexit 255\n'
    )
    ssh.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = replicate("fetch", "ssh://git@example.org/x.git", cwd=repo.top, variables={"PATH": path})
    assert done.returncode == 1
    assert done.stderr == (
        "git replicate: list the refs of ssh://git@example.org/x.git: it refuses the login"
        " (Permission denied (publickey).)\n"
        "hint: log in once, in a terminal: git ls-remote ssh://git@example.org/x.git\n"
    )
    assert (tmp_path / "asked").read_text().startswith("0 -oBatchMode=yes ")


@pytest.mark.slow
def test_the_examples_of_the_page_do_what_it_says(repo: GitRepo) -> None:
    _, (clone,) = make_clones(repo, "clone")
    top = clone.git.top
    page = (CHECKOUT / "docs" / "sharing.md").read_text(encoding="utf-8")
    lines = [line.strip() for line in page.splitlines() if line.startswith("    git replicate ")]
    assert len(lines) > 10
    assert replicate("push", "--yes", cwd=top).returncode == 0
    for line in lines:
        done = replicate("start", "-q", "-e", "digits", "--", "sh", "-c", "echo accuracy: 0.95", cwd=top)
        assert done.returncode == 0, done.stderr
        assert replicate("push", "--yes", cwd=top).returncode == 0
        done = replicate(*shlex.split(line)[2:], cwd=top)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
