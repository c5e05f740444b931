"""What can go wrong around a run: each is one line and a hint, and the command runs or is not started, never half."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli

from tests.support import PROGRAM, GitRepo, replicate


def runs(repo: GitRepo) -> list[str]:
    return repo.git("for-each-ref", "--format=%(refname)", "refs/experiments/").split()


def record(repo: GitRepo, ref: str) -> dict[str, Any]:
    return tomli.loads(repo.git("show", f"{ref}:.replicate/run.toml"))


def no_traceback(done: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in done.stderr
    assert "this is a bug" not in done.stderr


def limited(repo: GitRepo, size: int, *words: str) -> subprocess.CompletedProcess[str]:
    """A start whose own files may not grow beyond a size: to the recorder a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return subprocess.run(
        [sys.executable, str(PROGRAM), "start", *words], cwd=repo.top, capture_output=True, text=True, check=False,
        preexec_fn=limit,
    )  # fmt: skip


@pytest.fixture
def small_disk(repo: GitRepo, tmp_path: Path) -> Iterator[GitRepo]:
    """The repository on a disk of 1 MB."""
    where = tmp_path / "disk"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(where)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        shutil.copytree(repo.top, where / "repo", symlinks=True)
        yield GitRepo(where / "repo")
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def fill(disk: GitRepo, leave: int) -> Path:
    """Fill the disk but for some bytes."""
    filler = disk.top.parent / "filler"
    status = os.statvfs(disk.top)
    filler.write_bytes(b"x" * max(status.f_bavail * status.f_frsize - leave, 0))
    return filler


def test_a_full_disk_is_one_warning_and_the_command_runs(small_disk: GitRepo) -> None:
    filler = fill(small_disk, 0)
    done = replicate("start", "--", "sh", "-c", "echo ran; exit 3", cwd=small_disk.top)
    no_traceback(done)
    assert (done.returncode, done.stdout) == (3, "ran\n")
    assert done.stderr.count("warning: ") <= 2
    assert "git replicate recover" in done.stderr
    strict = replicate("start", "--strict", "--", "sh", "-c", "echo ran", cwd=small_disk.top)
    assert (strict.returncode, strict.stdout) == (125, "")
    filler.unlink()
    assert "recovered: failed" in replicate("recover", cwd=small_disk.top).stdout
    (ref,) = runs(small_disk)
    found = record(small_disk, ref)
    assert (found["exit_code"], found["status"]) == (3, "failed")
    assert any("cannot be written" in line for line in found["missing"])
    assert small_disk.git("show", f"{ref}:.replicate/output.log") == "ran"


def test_a_disk_that_fills_up_during_the_run_hurts_the_record_only(small_disk: GitRepo) -> None:
    filler = small_disk.top.parent / "filler"
    script = f"echo begin; head -c 2000000 /dev/zero > {filler}; echo end; exit 4"
    done = replicate("start", "--", "sh", "-c", script, cwd=small_disk.top)
    no_traceback(done)
    assert done.returncode == 4
    assert done.stdout.startswith("begin\n")
    filler.unlink()
    said = replicate("recover", cwd=small_disk.top)
    no_traceback(said)
    (ref,) = runs(small_disk)
    assert record(small_disk, ref)["exit_code"] == 4


@pytest.mark.parametrize("size", [0, 100, 5_000, 70_000])
def test_files_that_cannot_grow_do_not_stop_the_command(repo: GitRepo, size: int) -> None:
    done = limited(repo, size, "--", "sh", "-c", "exit 6")
    no_traceback(done)
    assert done.returncode in (6, 125)
    if done.returncode == 125:
        assert len(done.stderr.splitlines()) == 2


READ_ONLY = """
set -e
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
cd "$1"
shift
exec "$@"
"""


def in_read_only(repo: GitRepo, *words: str) -> subprocess.CompletedProcess[str]:
    """A start in a mount namespace in which the repository is read-only."""
    probe = ["unshare", "--mount", "sh", "-c", f'mount --bind "{repo.top}" "{repo.top}"']
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("mounts cannot be made here")
    command = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(repo.top), sys.executable, str(PROGRAM), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_in_a_read_only_repository_the_command_runs_and_the_record_waits(repo: GitRepo) -> None:
    done = in_read_only(repo, "start", "--", "sh", "-c", "echo ran; exit 3")
    no_traceback(done)
    assert (done.returncode, done.stdout) == (3, "ran\n")
    assert len([line for line in done.stderr.splitlines() if "warning: " in line]) <= 2
    assert runs(repo) == []
    assert in_read_only(repo, "start", "--strict", "--", "true").returncode == 125
    assert in_read_only(repo, "log").returncode == 0
    assert "recovered: failed" in replicate("recover", cwd=repo.top).stdout
    assert record(repo, runs(repo)[0])["exit_code"] == 3


def test_a_bare_repository_and_one_that_is_gone(repo: GitRepo, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "bare")], check=True)
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f'rmdir "{gone}"; exec "{sys.executable}" "{PROGRAM}" start -- true'
    done = subprocess.run(["sh", "-c", command], cwd=gone, capture_output=True, text=True, check=False)
    for each in (replicate("start", "--", "true", cwd=tmp_path / "bare"), done):
        no_traceback(each)
        assert each.returncode == 125
        assert each.stderr.splitlines()[-1].startswith("hint: ")
        assert len(each.stderr.splitlines()) == 2


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_files_are_no_obstacle(repo: GitRepo, closed: str) -> None:
    script = f'"{sys.executable}" "{PROGRAM}" start -- sh -c "echo said; echo wrote > file" {closed}'
    done = subprocess.run(["sh", "-c", script], cwd=repo.top, capture_output=True, text=True, check=False)
    no_traceback(done)
    assert done.returncode == 0
    (ref,) = runs(repo)
    assert (record(repo, ref)["status"], (repo.top / "file").read_text()) == ("finished", "wrote\n")
    assert repo.git("show", f"{ref}:.replicate/output.log") == "said"


def vanished(kind: str) -> int:
    """A file to write to of which the other end is gone, or that is full."""
    if kind == "full":
        return os.open("/dev/full", os.O_WRONLY)
    reading, writing = os.pipe() if kind == "pipe" else os.openpty()
    os.close(reading)
    return writing


@pytest.mark.parametrize("kind", ["pipe", "terminal", "full"])
def test_a_standard_error_that_has_gone_changes_nothing(repo: GitRepo, kind: str) -> None:
    error = vanished(kind)
    command = [sys.executable, str(PROGRAM), "start", "--", "sh", "-c", "echo said; exit 3"]
    done = subprocess.run(command, cwd=repo.top, stdout=subprocess.PIPE, stderr=error, check=False)
    nothing = subprocess.run([*command[:2], "frobnicate"], cwd=repo.top, stderr=error, check=False)
    os.close(error)
    assert (done.returncode, done.stdout, nothing.returncode) == (3, b"said\n", 2)
    (ref,) = runs(repo)
    assert record(repo, ref)["exit_code"] == 3


@pytest.mark.parametrize(("kind", "code"), [("pipe", 0), ("terminal", 1), ("full", 1)])
def test_a_standard_output_that_has_gone_is_no_bug(repo: GitRepo, kind: str, code: int) -> None:
    output = vanished(kind)
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "-h"],
        cwd=repo.top,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(output)
    no_traceback(done)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 2 * code)


def test_bytes_that_are_no_text_pass_and_are_recorded(repo: GitRepo) -> None:
    odd = os.fsdecode(b"caf\xe9")
    script = r"""printf 'a\0b\377\n'; printf '%s\n' "$1"; cat "$2" """
    command = ["start", "-q", "-m", odd, "-p", f"x={odd}", "--", "sh", "-c", script, "sh", odd, "{params_file}"]
    done = subprocess.run([sys.executable, str(PROGRAM), *command], cwd=repo.top, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b'a\0b\xff\ncaf\xe9\n{\n "x": "caf\xe9"\n}\n'
    (ref,) = runs(repo)
    found = record(repo, ref)
    assert (found["message"], found["command"][4]) == ("caf\\xe9", "caf\\xe9")
    assert repo.git_bytes("show", f"{ref}:.replicate/output.log").startswith(b"a\0b\xff\ncaf\xe9\n")
    assert replicate("show", cwd=repo.top).returncode == 0
    bad = replicate("start", "-e", odd, "--", "true", cwd=repo.top)
    assert (bad.returncode, len(bad.stderr.splitlines())) == (125, 2)


@pytest.mark.slow
def test_much_output_fast_passes_whole_in_little_memory(repo: GitRepo) -> None:
    script = "import os; [os.write(1, b'x' * 99_999 + b'\\n') for _ in range(1000)]"
    command = [sys.executable, str(PROGRAM), "start", "-q", "--", sys.executable, "-c", script]
    watcher = (
        "import hashlib, json, os, resource, subprocess, sys\n"
        "process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)\n"
        "size = 0\n"
        "while data := process.stdout.read(1 << 20): size += len(data)\n"
        "code = process.wait()\n"
        "print(json.dumps([code, size, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024]))\n"
    )
    done = subprocess.run([sys.executable, "-c", watcher, *command], cwd=repo.top, capture_output=True, check=True)
    code, size, peak = json.loads(done.stdout)
    assert (code, size) == (0, 100_000_000)
    assert peak < 200_000_000
    (ref,) = runs(repo)
    assert 9_900_000 < len(repo.git_bytes("show", f"{ref}:.replicate/output.log")) < 10_100_000


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def test_a_timeout_around_a_run_ends_it_as_interrupted(repo: GitRepo) -> None:
    path = f"{PROGRAM.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["timeout", "3", "git", "replicate", "start", "--", "sh", "-c", "echo begun; sleep 60"]
    done = subprocess.run(
        command, cwd=repo.top, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 124
    wait_for(lambda: runs(repo) and record(repo, runs(repo)[0])["status"] != "running", "the end of the run")
    assert record(repo, runs(repo)[0])["reason"] == "interrupted by SIGTERM"


def test_a_terminated_recorder_stores_the_record_before_it_looks_at_outputs(repo: GitRepo) -> None:
    script = 'trap "exit 5" TERM; echo "loss: 2"; echo x > big.bin; echo ready; while :; do sleep 0.02; done'
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), "start", "--output", "big.bin", "--", "sh", "-c", script], cwd=repo.top,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 5
    (ref,) = runs(repo)
    commits = repo.git("rev-list", "--first-parent", ref, "^HEAD").split()
    found = [record(repo, commit) for commit in commits]
    assert [each["status"] for each in found] == ["interrupted", "interrupted", "running"]
    assert ("outputs" in found[0], "outputs" in found[1]) == (True, False)
    assert found[1]["metrics"] == {"loss": 2}
