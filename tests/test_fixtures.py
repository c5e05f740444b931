"""The fixtures themselves: no test sees the home, the configuration or the identity of who runs it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests import frameworks
from tests.support import GitRepo, replicate


def test_git_reads_no_configuration_of_the_developer(repo: GitRepo) -> None:
    origins = {line.split("\t")[0] for line in repo.git("config", "--list", "--show-origin").splitlines()}
    assert origins == {f"file:{os.environ['HOME']}/gitconfig", "file:.git/config"}
    assert repo.git("var", "GIT_AUTHOR_IDENT").startswith("Ada Lovelace <ada@example.org>")


def test_home_and_the_folders_below_it_are_temporary(tmp_path: Path) -> None:
    base = tmp_path.parent.parent
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        assert Path(os.environ[name]).is_relative_to(base.parent), name
    assert Path.home() == Path(os.environ["HOME"])


def test_the_clock_zone_is_utc() -> None:
    time.tzset()
    assert time.tzname[0] == "UTC"


def test_a_variable_that_a_test_sets_01(repo: GitRepo) -> None:
    os.environ["GIT_REPLICATE_TEST_VARIABLE"] = "1"
    os.chdir("/")


def test_a_variable_that_a_test_sets_02_is_gone_in_the_next(repo: GitRepo) -> None:
    assert "GIT_REPLICATE_TEST_VARIABLE" not in os.environ
    assert Path.cwd() == repo.top


def test_commit_ids_are_the_same_on_every_machine(repo: GitRepo) -> None:
    assert repo.git("log", "-1", "--format=%an %ae %aI %s") == (
        "Ada Lovelace ada@example.org 2024-01-02T03:04:05+00:00 first"
    )


def test_no_variable_of_git_leaks_into_commands(repo: GitRepo) -> None:
    leaked = [name for name in os.environ if name.startswith("GIT_") and "CONFIG" not in name and "DATE" not in name]
    assert leaked == []
    assert replicate("--version", cwd=repo.top).stdout.startswith("git-replicate ")


def test_modules_that_an_interpreter_lacks_are_named() -> None:
    assert frameworks.missing_modules(("json", "no_such_module_1", "sqlite3")) == ("no_such_module_1",)


@pytest.mark.frameworks("torch")
def test_the_frameworks_are_those_of_the_interpreter_asked_for(framework_python: str) -> None:
    words = [framework_python, "-c", "import torch; print(torch.arange(3).sum().item())"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "3\n"
