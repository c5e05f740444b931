"""`git replicate data hash`: what a run left unhashed."""

from __future__ import annotations

import os
from pathlib import Path

import tomli
import tomli_w

from git_replicate.capture.opened import Read
from git_replicate.capture.undeclared import capture_undeclared
from git_replicate.git.opening import open_repository
from git_replicate.store.store import Parts, finish, read_run
from tests.support import GitRepo, replicate


def test_what_was_left_unhashed_is_hashed_later(repo: GitRepo, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"d" * 100)
    assert replicate("start", "-q", "true", cwd=repo.top).returncode == 0
    assert replicate("data", "hash", cwd=repo.top).stderr == "nothing is left to hash\n"
    ref = repo.git("for-each-ref", "--format=%(refname)", "refs/experiments/")
    opened = open_repository(str(repo.top), backend="plumbing")
    run = read_run(opened, ref)
    entries = capture_undeclared(
        [Read(str(tmp_path / "data.bin"))], top=str(repo.top), common_dir=str(repo.top / ".git"), most_bytes=0
    )
    finish(opened, run.record, run.commit, Parts(data=tomli_w.dumps({"data": entries}).encode()))
    done = replicate("data", "hash", "latest", cwd=repo.top)
    assert (done.returncode, done.stderr) == (0, "1 entry hashed\n")
    entry = tomli.loads(repo.git("show", f"{ref}:.replicate/data.toml"))["data"][str(tmp_path / "data.bin")]
    assert entry["hash"].startswith("blake3:")
    assert "unhashed" not in entry


def test_options_that_do_not_go_together_are_refused(repo: GitRepo) -> None:
    assert replicate("data", "status", "x", cwd=repo.top).returncode == 2
    assert replicate("data", "--force", cwd=repo.top).returncode == 2


def test_without_data_there_is_a_hint(repo: GitRepo) -> None:
    os.chdir(repo.top)
    assert "no data and no stages are declared" in replicate("data", cwd=repo.top).stdout
