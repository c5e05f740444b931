"""Sweeps that are interrupted, killed, or whose workers are: every run is recorded, and resuming does the rest."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from git_replicate.execution.claims import claimed
from git_replicate.git.opening import find_layout
from tests.execution.test_terminal import Terminal
from tests.support import PROGRAM, GitRepo, replicate

PATIENCE = 60.0

TRAIN = """import os, signal, sys, time
number, folder = sys.argv[1:]
print("begun: 1", flush=True)
with open(os.path.join(folder, number), "w") as file:
    file.write(str(os.getpid()))
# Python drops an interrupt that comes while a file is finalised: nothing is, once the sign is there.
os.rename(os.path.join(folder, number), os.path.join(folder, "begun-" + number))
while not os.path.exists(os.path.join(folder, "go")):
    time.sleep(0.01)
print("score:", number)
"""


@pytest.fixture
def folder(repo: GitRepo, tmp_path: Path) -> Iterator[Path]:
    """Where the runs say that they have begun, and wait for `go`."""
    repo.write("train.py", TRAIN)
    repo.commit()
    place = tmp_path / "signs"
    place.mkdir()
    yield place
    (place / "go").touch()


def wait_for(condition: Callable[[], Any]) -> Any:
    """What the condition gives once that is true; fails when it never is."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def begun(folder: Path) -> list[Path]:
    return sorted(folder.glob("begun-*"))


class Sweeping:
    """A sweep in the background, what it says read as it comes."""

    def __init__(self, repo: GitRepo, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), "sweep", *words], cwd=repo.top, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        self.said.extend(iter(self.process.stderr.readline, ""))

    def says(self, text: str) -> None:
        wait_for(lambda: any(text in line for line in list(self.said)))

    def send(self, number: int) -> None:
        """As a terminal does, to the whole foreground group."""
        os.killpg(self.process.pid, number)

    def end(self) -> int:
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code


def sweeping(repo: GitRepo, folder: Path, *options: str) -> Sweeping:
    command = ("--", sys.executable, "train.py", "{x}", str(folder))
    return Sweeping(repo, "-p", "x=1..4", "-j", "2", *options, *command)


def records(repo: GitRepo) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(replicate("log", "--format", "json", cwd=repo.top).stdout)
    return listed


def statuses(repo: GitRepo) -> dict[str, int]:
    return dict(Counter(record["status"] for record in records(repo)))


def leftovers(repo: GitRepo) -> list[str]:
    private = repo.top / ".git" / "replicate"
    return [
        path.name for name in ("spool", "worktrees", "claims") if (private / name).exists()
        for path in (private / name).iterdir()
    ]  # fmt: skip


@pytest.mark.slow
def test_an_interrupt_begins_no_new_runs_and_waits_for_those_there_are(repo: GitRepo, folder: Path) -> None:
    sweep = sweeping(repo, folder)
    wait_for(lambda: len(begun(folder)) == 2)
    sweep.send(signal.SIGINT)
    sweep.says("interrupt")
    (folder / "go").touch()
    assert sweep.end() == 130
    assert statuses(repo) == {"finished": 2}
    assert leftovers(repo) == []


@pytest.mark.slow
def test_a_second_interrupt_reaches_the_runs_and_they_are_recorded(repo: GitRepo, folder: Path) -> None:
    sweep = sweeping(repo, folder)
    wait_for(lambda: len(begun(folder)) == 2)
    sweep.send(signal.SIGINT)
    sweep.says("interrupt")
    sweep.send(signal.SIGINT)
    assert sweep.end() == 130
    assert statuses(repo) == {"interrupted": 2}
    assert {record["metrics"]["begun"] for record in records(repo)} == {1}
    assert leftovers(repo) == []
    (folder / "go").touch()
    assert replicate("sweep", "--resume", "latest", "-j", "2", cwd=repo.top).returncode == 0
    assert statuses(repo) == {"interrupted": 2, "finished": 4}


@pytest.mark.slow
def test_asked_to_end_a_sweep_interrupts_its_runs(repo: GitRepo, folder: Path) -> None:
    sweep = sweeping(repo, folder)
    wait_for(lambda: len(begun(folder)) == 2)
    os.kill(sweep.process.pid, signal.SIGTERM)
    assert sweep.end() == 130
    assert statuses(repo) == {"interrupted": 2}


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def worker_of(pid: int) -> int:
    """The worker that recorded a command: the parent of its holder."""
    return parent_of(parent_of(pid))


def pid_in(path: Path) -> int:
    return int(wait_for(path.read_text))


@pytest.mark.slow
def test_a_killed_worker_costs_no_run(repo: GitRepo, folder: Path) -> None:
    sweep = sweeping(repo, folder)
    wait_for(lambda: len(begun(folder)) == 2)
    os.kill(worker_of(pid_in(folder / "begun-1")), signal.SIGKILL)
    (folder / "go").touch()
    assert sweep.end() == 0, sweep.said
    assert statuses(repo) == {"finished": 4}
    assert sorted(record["metrics"]["score"] for record in records(repo)) == [1, 2, 3, 4]
    assert leftovers(repo) == []


@pytest.mark.slow
def test_what_a_killed_worker_left_is_interrupted_as_well(repo: GitRepo, folder: Path) -> None:
    sweep = sweeping(repo, folder)
    wait_for(lambda: len(begun(folder)) == 2)
    worker = worker_of(pid_in(folder / "begun-1"))
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{worker}").exists())
    sweep.send(signal.SIGINT)
    sweep.says("no new runs")
    sweep.send(signal.SIGINT)
    assert sweep.end() == 130, sweep.said
    assert sum(statuses(repo).values()) == 2
    assert set(statuses(repo)) <= {"interrupted", "failed"}
    assert leftovers(repo) == []


@pytest.mark.slow
def test_a_run_that_kills_its_worker_again_and_again_fails_alone(repo: GitRepo, folder: Path) -> None:
    repo.write(
        "train.py",
        "import os, signal, sys\n"
        "def parent(pid): return int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])\n"
        "if sys.argv[1] == '2': os.kill(parent(os.getppid()), signal.SIGKILL); os.kill(os.getppid(), signal.SIGKILL)\n"
        "print('score:', sys.argv[1])\n",
    )
    repo.commit()
    sweep = sweeping(repo, folder)
    assert sweep.end() == 1
    finished = [record for record in records(repo) if record["status"] == "finished"]
    assert sorted(record["metrics"]["score"] for record in finished) == [1, 3, 4]
    assert statuses(repo) == {"finished": 3, "lost": 1}


@pytest.mark.slow
def test_what_is_killed_whole_is_resumed_without_doing_anything_twice(repo: GitRepo, folder: Path) -> None:
    sweep = sweeping(repo, folder)
    wait_for(lambda: len(begun(folder)) == 2)
    workers = {worker_of(pid_in(path)) for path in begun(folder)}
    for pid in (sweep.process.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    assert sweep.end() == -signal.SIGKILL
    again = Sweeping(repo, "--resume", "latest", "-j", "2")
    again.says("4 runs")
    (folder / "go").touch()
    assert again.end() == 0, again.said
    assert statuses(repo) == {"finished": 4}
    assert sorted(record["metrics"]["score"] for record in records(repo)) == [1, 2, 3, 4]
    assert leftovers(repo) == []


@pytest.mark.slow
def test_runs_that_were_killed_with_all_that_watched_them_are_done_again_by_the_first_resumption(
    repo: GitRepo, folder: Path
) -> None:
    sweep = sweeping(repo, folder)
    wait_for(lambda: len(begun(folder)) == 2)
    for process in [*psutil.Process(sweep.process.pid).children(recursive=True), psutil.Process(sweep.process.pid)]:
        process.kill()
    assert sweep.end() == -signal.SIGKILL
    (folder / "go").touch()
    again = Sweeping(repo, "--resume", "latest", "-j", "2")
    assert again.end() == 0, again.said
    assert statuses(repo) == {"finished": 4, "lost": 2}
    assert leftovers(repo) == []


@pytest.mark.slow
def test_a_sweep_that_is_killed_alone_leaves_workers_that_finish_what_they_do(repo: GitRepo, folder: Path) -> None:
    sweep = sweeping(repo, folder)
    wait_for(lambda: len(begun(folder)) == 2)
    os.kill(sweep.process.pid, signal.SIGKILL)
    sweep.end()
    (folder / "go").touch()
    wait_for(lambda: statuses(repo) == {"finished": 2})
    wait_for(lambda: leftovers(repo) == [])
    assert replicate("sweep", "--resume", "latest", cwd=repo.top).returncode == 0
    assert statuses(repo) == {"finished": 4}


@pytest.mark.slow
def test_what_a_worker_of_a_killed_sweep_has_in_hand_is_not_done_twice(repo: GitRepo, folder: Path) -> None:
    (folder / "go").touch()
    assert sweeping(repo, folder).end() == 0
    run = records(repo)[0]
    assert replicate("rm", run["id"], cwd=repo.top).returncode == 0
    with claimed(find_layout(str(repo.top)), run["sweep"], None):
        again = Sweeping(repo, "--resume", "latest")
        again.says("1 run")
        assert replicate("rm", "--undo", run["id"], cwd=repo.top).returncode == 0  # the worker has done it
    assert again.end() == 0, again.said
    assert statuses(repo) == {"finished": 4}
    assert leftovers(repo) == []


@pytest.mark.slow
def test_what_a_dead_worker_had_in_hand_is_done(repo: GitRepo, folder: Path) -> None:
    (folder / "go").touch()
    assert sweeping(repo, folder).end() == 0
    run = records(repo)[0]
    assert replicate("rm", run["id"], cwd=repo.top).returncode == 0
    code = "import os, json, sys; from git_replicate.execution.claims import claimed; "
    code += "from git_replicate.git.opening import find_layout\n"
    code += "with claimed(find_layout('.'), json.loads(sys.argv[1]), None): os._exit(0)"
    table = json.dumps(run["sweep"])
    subprocess.run([sys.executable, "-c", code, table], cwd=repo.top, check=True)
    assert len(leftovers(repo)) == 1
    assert replicate("sweep", "--resume", "latest", cwd=repo.top).returncode == 0
    assert statuses(repo) == {"finished": 4}
    assert leftovers(repo) == []


def test_a_run_that_takes_too_long_is_ended_and_has_failed(repo: GitRepo, folder: Path) -> None:
    sweep = sweeping(repo, folder, "--timeout", "0.5s", "--stop-after", "1")
    assert sweep.end() == 1
    ended = records(repo)
    assert {(record["status"], record["reason"]) for record in ended} == {("failed", "timeout after 0.5 s")}
    assert len(ended) == 2
    assert any(re.search("1 run failed", line) for line in sweep.said)


@pytest.mark.slow
def test_one_key_at_a_terminal_is_one_interrupt_though_git_hands_it_on(repo: GitRepo, folder: Path) -> None:
    words = ["git", "replicate", "sweep", "-p", "x=1..4", "-j", "2", "--", sys.executable, "train.py", "{x}"]
    terminal = Terminal([*words, str(folder)], repo.top)
    wait_for(lambda: len(begun(folder)) == 2)
    terminal.type("\x03")
    terminal.expect(r"no new runs: interrupted; 2 still running \(Ctrl-C again interrupts them\)")
    (folder / "go").touch()
    terminal.expect(r"sweep \S+: 2 finished")
    terminal.end()
    assert statuses(repo) == {"finished": 2}
    assert leftovers(repo) == []
