"""Files that the run's own output goes to are results: no snapshot has them, whatever is in them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import pytest

from git_replicate.capture.own_output import files_of_output
from tests.support import PROGRAM, GitRepo, replicate

START = shlex.join([sys.executable, str(PROGRAM), "start", "--", "sh", "-c", "echo loss: 1"])


def run_of(repo: GitRepo, line: str) -> tuple[str, bool, list[str]]:
    """Tree, whether dirty, and what is left out, of a run that a shell starts."""
    done = subprocess.run(["sh", "-c", line], cwd=repo.top, capture_output=True, text=True, check=True)
    assert "changed during the run" not in done.stdout + done.stderr
    code = json.loads(replicate("show", "latest", "--format", "json", cwd=repo.top).stdout)["code"]
    return code["tree"], code.get("dirty", False), [entry["path"] for entry in code.get("left_out", [])]


def test_a_log_that_the_shell_opens_is_in_no_snapshot(repo: GitRepo) -> None:
    (repo.top / "logs").mkdir()
    lines = [f"{START} > a.out", f"{START} > a.out 2>&1", f"{START} >> logs/b.out 2>&1", START]
    found = [run_of(repo, line) for line in lines]
    assert {(tree, dirty) for tree, dirty, _ in found} == {(repo.git("rev-parse", "HEAD^{tree}").strip(), False)}
    assert [left_out for *_, left_out in found] == [
        ["a.out"],
        ["a.out"],
        ["a.out", "logs/b.out"],
        ["a.out", "logs/b.out"],
    ]
    assert "loss: 1" in (repo.top / "a.out").read_text()


def test_what_git_tracks_stays_in_the_snapshot_though_output_goes_there(repo: GitRepo) -> None:
    repo.write("table.txt", "old\n")
    repo.commit()
    subprocess.run(["sh", "-c", f"{START} >> table.txt"], cwd=repo.top, capture_output=True, check=True)
    shown = json.loads(replicate("show", "latest", "--format", "json", cwd=repo.top).stdout)
    assert shown["code"]["changed_during_run"] == ["table.txt"]
    assert repo.git("show", f"{shown['code']['snapshot']}:table.txt") == "old"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fdinfo"), reason="no /proc here")
def test_a_log_that_tee_writes_is_in_no_snapshot(repo: GitRepo) -> None:
    tree, dirty, left_out = run_of(repo, f"(sleep 0.3; {START} 2>&1) | tee train.out")
    assert (tree, dirty, left_out) == (repo.git("rev-parse", "HEAD^{tree}").strip(), False, ["train.out"])


def test_terminals_devices_and_files_elsewhere_are_none(
    repo: GitRepo, tmp_path_factory: pytest.TempPathFactory
) -> None:
    words = [sys.executable, "-c", "import sys; from git_replicate.capture.own_output import files_of_output\n"
             "sys.exit(len(files_of_output(sys.argv[1])))", str(repo.top)]  # fmt: skip
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "x"
    for place, expected in (
        (os.devnull, 0),
        (str(elsewhere), 0),
        (str(repo.top / "x"), 1),
        (str(repo.top / ".git/x"), 0),
    ):
        with open(place, "wb") as file:
            assert subprocess.run(words, stdout=file, stderr=file, check=False).returncode == expected, place
    assert files_of_output("/nosuch") == []
