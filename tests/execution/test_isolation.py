"""Checkouts after a crash, and of repositories that are not the simplest."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from git_replicate.core.record import Code
from git_replicate.execution.isolation import sweep_worktrees, worktree
from git_replicate.execution.replication.missed import missing_module, missing_path
from git_replicate.execution.site import Site
from git_replicate.git.opening import find_layout
from git_replicate.git.repository import Oid
from tests.support import PROGRAM, GitRepo, replicate


def worktrees(repo: GitRepo) -> list[Path]:
    folder = repo.top / ".git" / "replicate" / "worktrees"
    return list(folder.iterdir()) if folder.exists() else []


def test_a_killed_recorder_leaves_a_checkout_that_recover_clears_and_nothing_is_lost(repo: GitRepo) -> None:
    repo.write(
        "train.py", "import time\nopen('made.bin', 'w').write('x')\nprint('a: 1', flush=True)\ntime.sleep(600)\n"
    )
    repo.commit()
    words = [sys.executable, str(PROGRAM), "start", "--isolated", "--", sys.executable, "train.py"]
    process = subprocess.Popen(words, cwd=repo.top, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == b"a: 1\n"
    (held,) = worktrees(repo)
    pids = [int(p) for p in os.listdir("/proc") if p.isdigit() and is_below(p, held / "tree")]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while worktrees(repo) and time.monotonic() < deadline:
        replicate("recover", cwd=repo.top)
    assert worktrees(repo) == []
    (made,) = (repo.top / ".git" / "replicate" / "files").rglob("made.bin")
    assert made.read_text() == "x"


def is_below(pid: str, folder: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")) == folder
    except OSError:
        return False


def add_submodule(repo: GitRepo, folder: Path) -> None:
    """A submodule `sub` with one file, of a repository made in the folder."""
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    source = GitRepo(folder)
    source.write("value.txt", "1\n")
    source.commit()
    repo.git("submodule", "add", "-q", str(folder), "sub")


def test_folders_of_results_that_git_does_not_hold_are_there_in_a_checkout_if_they_were(repo: GitRepo) -> None:
    repo.write(".gitignore", "results/\n")
    repo.write("replicate.toml", '[results]\nmetrics = ["results/runs/m.json"]\noutputs = ["fresh/*"]\n')
    repo.write("train.sh", "echo '{\"acc\": 0.5}' > results/runs/m.json && mkdir fresh && echo 1 > fresh/x\n")
    (repo.top / "results/runs").mkdir(parents=True)
    assert replicate("start", "--", "sh", "train.sh", cwd=repo.top).returncode == 0
    shown = json.loads(replicate("show", "--format", "json", cwd=repo.top).stdout)
    assert shown["code"]["folders"] == ["results", "results/runs"]
    done = replicate("rerun", "latest", cwd=repo.top)
    assert (done.returncode, done.stdout[-10:]) == (0, "identical\n"), done.stderr
    (repo.top / "fresh/x").unlink()
    (repo.top / "fresh").rmdir()
    swept = replicate("sweep", "-p", "n=1,2", "--", "sh", "train.sh", "{n}", cwd=repo.top)
    assert "2 finished" in swept.stderr, swept.stderr


def test_folders_that_a_run_wrote_into_and_did_not_make_are_there_in_a_checkout(repo: GitRepo) -> None:
    repo.write(".gitignore", "logs/\nmade/\n")
    repo.write(
        "train.py",
        "import os, sys\nprint('loss:', 1)\nopen('logs/runs/' + sys.argv[1], 'w').close()\n"
        "os.mkdir('made')\nos.mkdir('made/in')\nopen('made/in/x', 'w').close()\n",
    )
    (repo.top / "logs/runs").mkdir(parents=True)
    swept = replicate("sweep", "-p", "n=a,b", "--", sys.executable, "train.py", "{n}", cwd=repo.top)
    assert "2 failed" in swept.stderr, swept.stderr
    assert "logs, logs/runs: to be written into, and not in the checkout" in swept.stderr
    again = replicate("sweep", "--resume", swept.stdout.strip(), cwd=repo.top)
    assert "2 finished" in again.stderr, again.stderr
    assert replicate("start", "--", sys.executable, "train.py", "c", cwd=repo.top).returncode == 0
    shown = json.loads(replicate("show", "--format", "json", cwd=repo.top).stdout)
    assert shown["code"]["folders"] == ["logs", "logs/runs"]
    for words in (["rerun", "latest"], ["start", "--at", "HEAD", "--", sys.executable, "train.py", "d"]):
        done = replicate(*words, cwd=repo.top)
        assert done.returncode == 0, done.stderr


def test_a_rerun_that_fails_says_what_it_lacks(repo: GitRepo) -> None:
    repo.write(".gitignore", "logs/\n")
    repo.write("logs/names.txt", "a\n")
    repo.write("train.sh", "cat logs/names.txt\n")
    assert replicate("start", "--", "sh", "train.sh", cwd=repo.top).returncode == 0
    done = replicate("rerun", "latest", cwd=repo.top)
    assert done.returncode == 3
    assert "logs is not in the snapshot, so not in the checkout; for runs that read it: replicate.toml" in done.stderr


def test_what_stages_read_is_there_in_a_checkout_though_git_ignores_it(repo: GitRepo) -> None:
    repo.write(".gitignore", "data/\njoined.txt\n")
    repo.write("data/raw.txt", "1\n")
    repo.write("data/more/b.txt", "2\n")
    repo.write("clean.sh", "cp data/raw.txt data/clean.txt\n")
    repo.write("join.sh", "cat data/clean.txt data/more/b.txt > joined.txt\n")
    repo.write(
        "replicate.toml",
        '[[stage]]\nname = "clean"\nscript = "clean.sh"\ninputs = ["data/raw.txt"]\noutputs = ["data/clean.txt"]\n'
        '[[stage]]\nname = "join"\nscript = "join.sh"\ninputs = ["data"]\noutputs = ["joined.txt"]\n',
    )
    assert replicate("start", "--", "cat", "joined.txt", cwd=repo.top).stdout == "1\n2\n"
    for name in ("data/clean.txt", "joined.txt"):
        (repo.top / name).write_text("mine\n")
    shutil.rmtree(repo.top / ".git/replicate/stages")
    done = replicate("rerun", "latest", cwd=repo.top)
    assert (done.returncode, done.stdout[-10:]) == (0, "identical\n"), done.stderr
    assert (repo.top / "data/clean.txt").read_text() == (repo.top / "joined.txt").read_text() == "mine\n"


def test_a_submodule_is_at_the_commit_that_ran(repo: GitRepo, tmp_path: Path) -> None:
    add_submodule(repo, tmp_path / "inner")
    repo.write("train.py", "print('value:', open('sub/value.txt').read())\n")
    repo.commit()
    assert replicate("start", "--", sys.executable, "train.py", cwd=repo.top).returncode == 0
    repo.write("sub/value.txt", "2\n")
    dirty = replicate("start", "--", sys.executable, "train.py", cwd=repo.top)
    assert "value: 2" in dirty.stdout
    repo.write("sub/value.txt", "3\n")
    for run in ("latest~1", "latest~1"):
        done = replicate("rerun", run, cwd=repo.top)
        assert (done.returncode, done.stdout[-10:]) == (0, "identical\n"), done.stderr


def test_what_a_run_leaves_in_a_submodule_is_moved_and_not_there_for_the_next(repo: GitRepo, tmp_path: Path) -> None:
    add_submodule(repo, tmp_path / "inner")
    text = "import os\nprint('there:', len(os.listdir('sub')))\nprint('value:', open('sub/value.txt').read())\n"
    repo.write("train.py", text + "open('sub/made.txt', 'w').write('x')\nopen('sub/value.txt', 'a').write('2')\n")
    repo.commit()
    done = replicate("sweep", "-p", "x=1,2", "--", sys.executable, "train.py", "{x}", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    shown = json.loads(replicate("log", "--format", "json", cwd=repo.top).stdout)
    assert [record["metrics"] for record in shown] == [{"there": 2, "value": 1}] * 2
    assert [[file["path"] for file in record["files"]] for record in shown] == [["sub/made.txt", "sub/value.txt"]] * 2
    kept = sorted(path.name for path in (repo.top / ".git/replicate/files").rglob("*.txt"))
    assert kept == ["made.txt", "made.txt", "value.txt", "value.txt"]


def test_a_commit_is_run_while_the_worktree_is_dirty(repo: GitRepo) -> None:
    repo.write("train.py", "print('new')\n")
    done = replicate("start", "--at", "HEAD", "--", sys.executable, "train.py", cwd=repo.top)
    assert (done.returncode, done.stdout) == (0, "accuracy: 0.9\n")
    assert replicate("start", "--at", "nosuch", "--", "true", cwd=repo.top).returncode == 125


def owner(repo: GitRepo, host: str, *, old: bool) -> Path:
    """A checkout's folder as another process left it."""
    folder = repo.top / ".git/replicate/worktrees/left"
    folder.mkdir(parents=True)
    file = folder / "owner.json"
    file.write_text(json.dumps({"run": "20260102-030405-00000000", "pid": 1, "host": host}))
    if old:
        os.utime(file, (1, 1))
    return folder


@pytest.mark.parametrize(
    ("host", "old", "restarted", "stays"),
    [
        ("elsewhere", False, "", True), ("elsewhere", True, "", False), (os.uname().nodename, False, "", False),
        ("elsewhere", False, "20260102-030405-00000000", False),
    ],
)  # fmt: skip
def test_another_machines_checkout_is_left_alone_for_a_day(
    repo: GitRepo, host: str, old: bool, restarted: str, stays: bool
) -> None:
    """A shared file system need not show us its locks."""
    folder = owner(repo, host, old=old)
    sweep_worktrees(find_layout(str(repo.top)), restarted=restarted)
    assert folder.exists() == stays


def test_a_file_system_without_locks_will_do(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    head = Oid(repo.git("rev-parse", "HEAD"))
    with worktree(find_layout(str(repo.top)), head, Code(snapshot=head), name="mine") as held:
        assert Path(held.top) == repo.top / ".git/replicate/worktrees/mine/tree"
        assert (Path(held.top) / "train.py").exists()


def reader_of_ignored_data(repo: GitRepo) -> None:
    repo.write(".gitignore", "data/\n")
    repo.write("train.py", "print('rows:', len(open('data/x.txt').read()))\n")
    repo.write("data/x.txt", "abc")
    repo.commit()


@pytest.mark.slow
def test_ignored_data_that_an_earlier_run_read_is_linked_into_the_checkout(repo: GitRepo) -> None:
    reader_of_ignored_data(repo)
    assert replicate("start", "--", sys.executable, "train.py", cwd=repo.top).returncode == 0
    for words in (["start", "--isolated"], ["start", "--at", "HEAD"]):
        done = replicate(*words, "--", sys.executable, "train.py", cwd=repo.top)
        assert (done.returncode, done.stdout) == (0, "rows: 3\n"), done.stderr
    swept = replicate("sweep", "--seeds", "2", "--", sys.executable, "train.py", "{seed}", cwd=repo.top)
    assert swept.returncode == 0, swept.stderr
    assert (repo.top / "data" / "x.txt").read_text() == "abc"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["start", "--isolated"], ["start", "--at", "HEAD"], ["sweep", "--seeds", "1"]], ids=" ".join
)
def test_a_run_that_fails_for_want_of_ignored_data_says_how_to_link_it(repo: GitRepo, words: list[str]) -> None:
    reader_of_ignored_data(repo)
    failed = replicate(*words, "--", sys.executable, "train.py", "{seed}", cwd=repo.top)
    assert failed.returncode == 1
    assert failed.stderr.count('replicate.toml, [isolated] link = ["data"], or --data data') == 1, failed.stderr


def test_what_a_failed_run_missed_is_the_outermost_path_that_the_worktree_alone_has(tmp_path: Path) -> None:
    for path in ("here/data/set/x.bin", "here/data/kept", "here/.venv/lib/m.py", "there/data/kept"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "here/.venv/pyvenv.cfg").write_text("")
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    site = Site(here, there, there, {}, Code())
    assert missing_path("Error: cannot open data/set/x.bin: no such file", site) == "data/set"
    assert missing_path(f"KeyError\nFile '{there}/data/set/x.bin'", site) == "data/set"
    assert missing_path(f'File "{here}/.venv/lib/m.py", line 3\nError: no set of data', site) == ""
    assert missing_path("cannot read 'data/kept' nor '../here/data' nor 'a\0b'", site) == ""


@pytest.mark.parametrize(
    ("command", "warned"),
    [
        (("sh", "-c", "cd {top} && true"), True),
        (("./run.sh",), True),
        (("./own.py",), False),
        (("sh", "-c", "{top}/.venv/bin/python -V; true"), False),
        (("sh", "-c", "ls {top}x; true"), False),
        (("cat", "{top}/train.py"), False),
    ],
)
def test_a_script_that_names_the_worktree_is_warned_about(
    repo: GitRepo, command: tuple[str, ...], warned: bool
) -> None:
    (repo.top / ".venv").mkdir()
    (repo.top / ".venv" / "pyvenv.cfg").write_text("")
    for name, first in (("run.sh", "#!/bin/sh"), ("own.py", f"#!{sys.executable}")):
        repo.write(name, f"{first}\n# {repo.top}/data\n")
        (repo.top / name).chmod(0o755)
    repo.commit()
    words = [word.replace("{top}", str(repo.top)) for word in command]
    done = replicate("start", "--isolated", "--", *words, cwd=repo.top)
    assert done.returncode == 0, done.stderr
    assert ("your own worktree" in done.stderr) == warned


def test_a_compiled_module_that_no_commit_has_is_found_by_the_import_error(tmp_path: Path) -> None:
    for name in ("here/src/pkg/_fast.cpython-311-x86_64-linux-gnu.so", "here/gen.py", "there/src/pkg/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    site = Site(here, there, there, {}, Code())
    compiled = "src/pkg/_fast.cpython-311-x86_64-linux-gnu.so"
    assert missing_module("ModuleNotFoundError: No module named 'pkg._fast'", site) == compiled
    error = f"ImportError: cannot import name '_fast' from 'pkg' ({there}/src/pkg/__init__.py)"
    assert missing_module(error, site) == compiled
    assert missing_module("ModuleNotFoundError: No module named 'gen'", site) == "gen.py"
    assert missing_module("ModuleNotFoundError: No module named 'pkg'\nKeyError: 'gen'", site) == ""
    assert missing_module("No module named 'numpy'", site) == ""


@pytest.mark.parametrize(
    ("path", "inner"),
    [
        ("{top}/real/src/a.py", "src/a.py"), ("{top}/link/src/a.py", "src/a.py"), ("{top}/link", "."),
        ("{top}/link/../real/a.py", "a.py"), ("{top}/real/out/b", "out/b"), ("{top}/real/.git/replicate/x", None),
        ("{top}/really/a.py", None), ("/", None), ("src/a.py", None),
    ],
)  # fmt: skip
def test_a_path_into_the_worktree_is_known_by_any_of_its_names(tmp_path: Path, path: str, inner: str | None) -> None:
    for folder in ("real/src", "really", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/out").symlink_to(tmp_path / "elsewhere")
    site = Site(str(tmp_path / "real"), "/there", "/there", {}, Code())
    assert site.inner(path.format(top=tmp_path)) == inner
