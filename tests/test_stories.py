"""Whole stories, told through the command line and checked with plain git."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tomli

from tests.support import PROGRAM, GitRepo, replicate

TRAIN = """
import sys
lr, seed = float(sys.argv[sys.argv.index("--lr") + 1]), int(sys.argv[sys.argv.index("--seed") + 1])
for epoch in range(3):
    print(f"epoch={epoch} loss={1 / (epoch + 1) / lr + seed:.4f}")
print("accuracy:", 0.9 + lr / 10 + seed / 1000)
"""


def runs(repo: GitRepo) -> list[str]:
    return repo.git("for-each-ref", "--format=%(refname)", "refs/experiments/").split()


def record(repo: GitRepo, ref: str) -> dict[str, Any]:
    return tomli.loads(repo.git("show", f"{ref}:.replicate/run.toml"))


def state(repo: GitRepo) -> dict[str, Any]:
    """Everything of the user's that a run must leave alone."""
    index = repo.top / ".git" / "index"
    files = [path for path in sorted(repo.top.rglob("*")) if ".git" not in path.parts and not path.is_symlink()]
    return {
        "index": hashlib.sha256(index.read_bytes()).hexdigest() if index.exists() else "",
        "index time": index.stat().st_mtime_ns if index.exists() else 0,
        "head": (repo.top / ".git" / "HEAD").read_bytes(),
        "config": (repo.top / ".git" / "config").read_bytes(),
        "branches": repo.git("for-each-ref", "refs/heads", "refs/tags", "refs/stash"),
        "reflog": repo.git("reflog", "--all"),
        "stash": repo.git("stash", "list"),
        "times": [(str(path), path.stat().st_mtime_ns) for path in files],
        "status": repo.git("--no-optional-locks", "status", "--porcelain"),
    }


def test_a_run_is_recorded_and_nothing_of_the_users_changes(repo: GitRepo) -> None:
    repo.write("train.py", TRAIN)
    repo.write("new.txt", "untracked\n")
    repo.git("add", "-N", "new.txt")
    before = state(repo)
    done = replicate(
        "start", "-m", "first", "--", sys.executable, "train.py", "--lr", "0.1", "--seed", "2", cwd=repo.top
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "accuracy: 0.912"
    assert state(repo) == before
    (ref,) = runs(repo)
    found = record(repo, ref)
    assert found["status"] == "finished"
    assert found["experiment"] == "train"
    assert found["params"] == {"lr": 0.1, "seed": 2}
    assert found["metrics"] == {"accuracy": 0.912, "loss": 5.3333}
    assert found["code"]["dirty"] is True
    assert repo.git("show", f"{found['code']['snapshot']}:train.py") == TRAIN.strip()
    assert repo.git("ls-tree", "--name-only", f"{ref}^{{tree}}").split("\n") == [
        ".gitignore", ".replicate", "README", "new.txt", "train.py",
    ]  # fmt: skip
    assert repo.git("show", f"{ref}:.replicate/metrics.csv").splitlines()[0] == "step,time,metric,value"
    assert "accuracy: 0.912" in repo.git("show", f"{ref}:.replicate/output.log")
    notes = repo.git("log", "-1", "--notes=experiments", "--format=%N", ref)
    assert tomli.loads(notes) == found
    repo.git("fsck", "--strict")


def test_a_run_of_committed_code_is_noted_on_the_commit(repo: GitRepo) -> None:
    replicate("start", "--", sys.executable, "train.py", cwd=repo.top)
    (ref,) = runs(repo)
    assert record(repo, ref)["code"]["snapshot"] == repo.git("rev-parse", "HEAD")
    note = tomli.loads(repo.git("notes", "--ref=experiments", "show", "HEAD"))
    assert note["run"][0]["metrics"] == {"accuracy": 0.9}


@pytest.mark.parametrize(
    ("script", "code", "status", "reason"),
    [
        ("exit 3", 3, "failed", "exit 3"),
        ("kill -KILL $$", 137, "failed", "killed by SIGKILL"),
        ("kill -TERM $$", 143, "interrupted", "interrupted by SIGTERM"),
    ],
)
def test_runs_that_end_badly_are_records_like_others(
    repo: GitRepo, script: str, code: int, status: str, reason: str
) -> None:
    done = replicate("start", "--", "sh", "-c", script, cwd=repo.top)
    assert done.returncode == code
    found = record(repo, runs(repo)[0])
    assert (found["status"], found["reason"]) == (status, reason)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["no-such-command"], 127, "no-such-command: command not found"),
        (["./train.py"], 126, "./train.py: not executable"),
        ([], 125, "no command to run"),
        (["-p", "lr", "true"], 125, "not of the form name=value"),
        (["--seed", "x", "true"], 125, "--seed"),
        (["-e", "a..b", "true"], 125, "not a valid experiment name"),
        (["--data", "nowhere", "true"], 125, "nowhere"),
        (["--no-such-option", "true"], 125, "unrecognized arguments"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(repo: GitRepo, words: list[str], code: int, message: str) -> None:
    done = replicate("start", *words, cwd=repo.top)
    assert done.returncode == code
    lines = done.stderr.splitlines()
    assert len(lines) == 2, done.stderr
    assert message in lines[0]
    assert lines[1].startswith("hint: ")
    assert runs(repo) == []


def test_every_mistake_in_the_configuration_is_named(repo: GitRepo) -> None:
    repo.write("replicate.toml", 'experimnt = "x"\n[results]\nstdout = 3\n')
    done = replicate("start", "true", cwd=repo.top)
    assert done.returncode == 125
    assert "experimnt (did you mean experiment?)" in done.stderr
    assert "results.stdout" in done.stderr


def test_outside_a_repository(tmp_path: Path) -> None:
    done = replicate("start", "true", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[0]) == (125, "git replicate: not a git repository")
    assert replicate("log", cwd=tmp_path).returncode == 1


def test_the_command_sees_the_callers_environment(repo: GitRepo) -> None:
    plain = dict(line.partition("=")[::2] for line in repo.git("-c", "alias.x=!env", "x").splitlines())
    done = replicate("start", "-q", "--seed", "7", "--", "env", cwd=repo.top, variables={"MINE": "1"})
    seen = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert seen["MINE"] == "1"
    assert seen["GIT_REPLICATE_SEED"] == "7"
    added = {"GIT_REPLICATE_RUN", "GIT_REPLICATE_SEED", "GIT_REPLICATE_PROBE", "PYTHONPATH"}
    assert set(seen) - set(os.environ) - {"MINE", "_", "PWD", "SHLVL"} == added
    assert "GIT_DIR" not in seen
    assert plain["HOME"] == seen["HOME"]
    unseen = replicate("start", "-q", "--no-probe", "--seed", "none", "--", "env", cwd=repo.top).stdout
    names = {line.partition("=")[0] for line in unseen.splitlines()}
    assert names - set(os.environ) - {"_", "PWD", "SHLVL"} == {"GIT_REPLICATE_RUN"}


def test_results_of_an_earlier_run_are_not_taken_for_this_ones(repo: GitRepo) -> None:
    repo.write(".gitignore", "metrics.json\n")
    repo.write("metrics.json", '{"accuracy": 0.99}')
    done = replicate("start", "--metrics", "metrics.json", "--output", "metrics.json", "--", "true", cwd=repo.top)
    assert "not written by this run" in done.stderr
    found = record(repo, runs(repo)[0])
    assert "metrics" not in found
    assert "outputs" not in found


def test_outputs_are_kept_with_their_bytes(repo: GitRepo) -> None:
    script = r"""printf 'a\r\nb' > model.bin; echo '{"loss": 0.5}' > m.json; echo changed >> README"""
    replicate("start", "--output", "*.bin", "--metrics", "m.json", "--", "sh", "-c", script, cwd=repo.top)
    (ref,) = runs(repo)
    found = record(repo, ref)
    assert found["metrics"] == {"loss": 0.5}
    assert repo.git_bytes("show", f"{ref}:.replicate/outputs/model.bin") == b"a\r\nb"
    assert found["code"]["changed_during_run"] == ["README"]
    assert [entry["path"] for entry in found["files"]] == ["m.json"]


def test_secrets_on_the_command_line_are_masked(repo: GitRepo) -> None:
    secret = "ghp_" + "a1B2" * 9
    replicate("start", "--", "echo", "--api-key", "hunter2hunter2", "--token=" + secret, cwd=repo.top)
    replicate("start", "--", "echo", secret, cwd=repo.top)
    everything = repo.git("cat-file", "--batch", "--batch-all-objects", "--buffer")
    assert secret not in everything
    assert "hunter2hunter2" not in everything


def test_reading_back(repo: GitRepo) -> None:
    repo.write("train.py", TRAIN)
    for lr in ("0.1", "0.5"):
        for seed in ("1", "2", "3"):
            command = [sys.executable, "train.py", "--lr", lr, "--seed", seed]
            assert replicate("start", "-q", "--", *command, cwd=repo.top).returncode == 0
    assert replicate("start", "-q", "--", sys.executable, "train.py", cwd=repo.top).returncode == 1
    documents = json.loads(replicate("log", "--format", "json", cwd=repo.top).stdout)
    assert [document["status"] for document in documents] == ["failed"] + ["finished"] * 6
    grouped = replicate("collate", "--group-by", "params", "--format", "csv", cwd=repo.top)
    assert grouped.stdout.splitlines()[0].startswith(
        "params.lr,metrics.accuracy.mean,metrics.accuracy.std,metrics.accuracy.n"
    )
    assert [line.split(",")[3] for line in grouped.stdout.splitlines()[1:]] == ["3", "3"]
    assert "left out: 1 failed" in grouped.stderr
    none = replicate("collate", "--where", "lr > 7", cwd=repo.top)
    assert (none.stdout, "no runs to collate" in none.stderr) == ("", True)
    chosen = replicate("log", "--where", "lr > 0.2 and accuracy > 0.9", "--format", "jsonl", cwd=repo.top)
    assert len(chosen.stdout.splitlines()) == 3
    differs = replicate("diff-params", "latest~1", "latest~4", "--format", "csv", cwd=repo.top)
    assert [line.split(",")[0] for line in differs.stdout.splitlines()[1:]] == [
        "params.lr", "seed", "metrics.accuracy", "metrics.loss",
    ]  # fmt: skip
    best = json.loads(replicate("show", "best:accuracy", "--format", "json", "--curves", cwd=repo.top).stdout)
    assert best["params"] == {"lr": 0.5, "seed": 3}
    assert [point["step"] for point in best["curves"]["loss"]] == [0, 1, 2]
    assert replicate("show", best["id"][-8:], cwd=repo.top).stdout.startswith(f"run train/{best['id']}\n")
    unknown = replicate("log", "--where", "accurracy > 1", cwd=repo.top)
    assert (unknown.returncode, "did you mean metrics.accuracy?" in unknown.stderr) == (1, True)
    for attack in ("1; drop table runs", "(select count(*) from sqlite_master) > 0", "load_extension('x')"):
        assert replicate("log", "--where", attack, cwd=repo.top).returncode == 1


def test_curves_that_no_seed_changes_are_warned_about(repo: GitRepo) -> None:
    repo.write("same.py", "for step in range(3): print(f'step={step} loss={1 / (step + 1)}')\n")
    for seed in ("1", "2"):
        command = [sys.executable, "same.py", "--seed", seed]
        assert replicate("start", "-q", "--", *command, cwd=repo.top).returncode == 0
    done = replicate("collate", "--group-by", "params", "--format", "csv", cwd=repo.top)
    assert "1 curve is identical in runs of different seeds" in done.stderr


def test_what_people_say_of_runs(repo: GitRepo) -> None:
    replicate("start", "-q", "--", "true", cwd=repo.top)
    assert replicate("annotate", "latest", "--tag", "good", "--comment", "fine", cwd=repo.top).returncode == 0
    shown = json.loads(replicate("show", "--format", "json", cwd=repo.top).stdout)
    assert (shown["tags"], shown["comment"]) == (["good"], "fine")
    (ref,) = runs(repo)
    assert replicate("rm", "latest", cwd=repo.top).returncode == 0
    assert runs(repo) == []
    assert replicate("rm", "--undo", ref[-8:], cwd=repo.top).returncode == 0
    assert runs(repo) == [ref]
    assert len(json.loads(replicate("log", "--format", "json", cwd=repo.top).stdout)) == 1


@pytest.mark.parametrize(
    ("script", "together", "said"),
    [
        ("printf 'acc: 0.5'", True, "acc: 0.5\nrun "),
        ("printf 'acc: 0.5\n'", True, "acc: 0.5\nrun "),
        ("printf '\033[32macc: 0.5\n\033[0m'", True, "acc: 0.5\n\x1b[0mrun "),
        ("printf 'acc: 0.5'", False, "\nrun "),
        ("printf 'working' >&2", False, "working\nrun "),
        (":", True, "\nrun "),
    ],
)
def test_what_is_said_at_the_end_begins_a_line(repo: GitRepo, script: str, together: bool, said: str) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "start", "--", "sh", "-c", script], cwd=repo.top, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT if together else subprocess.PIPE,
    )  # fmt: skip
    text = done.stdout if together else done.stderr
    before, end, _ = text.rpartition("run ")
    assert (before + end).endswith(said)
    assert "\n\n" not in text


def test_a_killed_recorder_loses_no_run(repo: GitRepo, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo 'loss: 2'; while ! test -e {go}; do sleep 0.02; done; echo 'loss: 1'; exit 5"
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), "start", "--", "sh", "-c", script], cwd=repo.top, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"loss: 2\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "recorder gone" in replicate("status", cwd=repo.top).stdout
    assert "still running" in replicate("recover", cwd=repo.top).stdout
    assert "recover" not in replicate("log", cwd=repo.top).stderr
    assert replicate("show", "--log", cwd=repo.top).stdout == "loss: 2\n"
    shown = json.loads(replicate("show", "--curves", "--format", "json", cwd=repo.top).stdout)
    assert (shown["status"], shown["metrics"], len(shown["curves"]["loss"])) == ("running", {"loss": 2}, 1)
    go.touch()
    deadline = time.monotonic() + 20
    for words in (["log"], ["show"]):
        while "how a lost run ended, and what it left, may be known yet" not in replicate(*words, cwd=repo.top).stderr:
            assert time.monotonic() < deadline
    while "recovered: failed" not in (said := replicate("recover", cwd=repo.top).stdout):
        assert time.monotonic() < deadline, said
    found = record(repo, runs(repo)[0])
    assert (found["status"], found["exit_code"], found["metrics"]) == ("failed", 5, {"loss": 1})
    assert replicate("status", cwd=repo.top).stdout == ""
    repo.git("fsck", "--strict")


@pytest.mark.slow
def test_many_starts_at_once_are_as_many_runs_and_notes(repo: GitRepo) -> None:
    repo.write("dirty", "x")
    count = 24
    starts = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), "start", "-q", "--", "echo", f"v: {i}"], cwd=repo.top, stdout=-3
        )
        for i in range(count)
    ]
    assert [process.wait() for process in starts] == [0] * count
    refs = runs(repo)
    assert {record(repo, ref)["status"] for ref in refs} == {"finished"}
    assert len(refs) == count
    noted = {line.split()[1] for line in repo.git("notes", "--ref=experiments", "list").splitlines()}
    assert noted == {repo.git("rev-parse", ref) for ref in refs}
    repo.git("fsck", "--strict")
    assert list((repo.top / ".git" / "replicate" / "spool").iterdir()) == []


def test_sessions_last_until_they_are_finished(repo: GitRepo) -> None:
    opened = replicate("start", "--open", "-e", "notebook", "--metrics", "m.json", cwd=repo.top)
    name = opened.stdout.strip()
    assert name.startswith("notebook/")
    assert "open" in replicate("status", cwd=repo.top).stdout
    assert replicate("recover", cwd=repo.top).stdout == ""
    repo.write("m.json", '{"accuracy": 0.5}')
    assert replicate("finish", cwd=repo.top).returncode == 0
    found = record(repo, f"refs/experiments/{name}")
    assert (found["status"], found["metrics"]) == ("finished", {"accuracy": 0.5})
    assert replicate("finish", cwd=repo.top).returncode == 1


def test_starts_inside_a_run_record_nothing_of_their_own(repo: GitRepo) -> None:
    inner = f"{sys.executable} {PROGRAM} start -- sh -c 'echo inner; exit 9'"
    done = replicate("start", "-q", "--", "sh", "-c", inner, cwd=repo.top)
    assert (done.returncode, done.stdout) == (9, "inner\n")
    assert len(runs(repo)) == 1
    ranked = replicate("start", "--", "true", cwd=repo.top, variables={"RANK": "1", "WORLD_SIZE": "2"})
    assert (ranked.returncode, ranked.stderr) == (0, "")
    assert len(runs(repo)) == 1


def test_params_reach_the_command_in_a_file(repo: GitRepo) -> None:
    script = 'cat "$0"; test "$0" = "$GIT_REPLICATE_PARAMS"'
    words = ["-p", "lr=0.1", "-p", "model.depth=3", "-p", "x=none", "--", "sh", "-c", script, "{params_file}"]
    done = replicate("start", "-q", *words, cwd=repo.top)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"lr": 0.1, "model": {"depth": 3}, "x": "none"}
    found = record(repo, runs(repo)[0])
    assert found["params"] == {"lr": 0.1, "model": {"depth": 3}, "x": "none"}
    assert found["command"][-1] == "{params_file}"
    assert "params_unused" not in found


def test_params_that_reach_nothing_are_warned_about_and_unused(repo: GitRepo) -> None:
    done = replicate("start", "-p", "lr=0.1", "-p", "n=2", "--", "echo", "--n", "3", "{lr}x{other}", cwd=repo.top)
    assert done.stdout == "--n 3 0.1x{other}\n"
    assert "warning: -p n=2 has no effect: the run has n = 3" in done.stderr
    found = record(repo, runs(repo)[0])
    assert (found["params"], found["params_unused"]) == ({"lr": 0.1, "n": 3}, {"n": 2})
    verbatim = replicate("start", "-p", "lr=0.1", "--no-placeholders", "--", "echo", "{lr}", cwd=repo.top)
    assert verbatim.stdout == "{lr}\n"
    assert "-p lr=0.1 reaches nothing" in verbatim.stderr


def test_no_identity_is_no_obstacle(repo: GitRepo, tmp_path: Path) -> None:
    empty = tmp_path / "gitconfig"
    empty.write_text("")
    done = replicate("start", "true", cwd=repo.top, variables={"GIT_CONFIG_GLOBAL": str(empty)})
    assert done.returncode == 0
    assert record(repo, runs(repo)[0])["user"]["name"] != ""


def test_hooks_chain_and_leave_no_trace(repo: GitRepo) -> None:
    own = repo.top / ".git" / "hooks" / "post-commit"
    own.parent.mkdir(exist_ok=True)
    own.write_text("#!/bin/sh\necho mine >> ../hook.log\n")
    own.chmod(0o755)
    before = (own.read_bytes(), own.stat().st_mode)
    assert (
        replicate("hooks", "install", cwd=repo.top).stdout
        == "post-commit: installed, after yours\npost-rewrite: installed\npre-push: installed\n"
    )
    repo.write("train.py", "print('accuracy: 0.7')\n")
    replicate("start", "-q", "--", sys.executable, "train.py", cwd=repo.top)
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    repo.git("commit", "-q", "-a", "-m", "second", PATH=path)
    assert tomli.loads(repo.git("notes", "--ref=experiments", "show", "HEAD"))["run"][0]["metrics"] == {"accuracy": 0.7}
    repo.git("commit", "-q", "--amend", "-m", "reworded", PATH=path)
    assert tomli.loads(repo.git("notes", "--ref=experiments", "show", "HEAD"))["run"][0]["status"] == "finished"
    repo.write("train.py", "print('accuracy: 0.8')\n")
    repo.git("commit", "-q", "-a", "--amend", "-m", "other code", PATH=path)
    listed = repo.git("notes", "--ref=experiments", "list").split()
    assert repo.git("rev-parse", "HEAD") not in listed
    replicate("hooks", "remove", cwd=repo.top)
    assert (own.read_bytes(), own.stat().st_mode) == before
    assert not (own.parent / "post-rewrite").exists()
    assert (repo.top.parent / "hook.log").read_text() == "mine\n" * 3
