"""Job control in a real terminal, with a real shell in it and git between us and the shell."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli

from tests.support import PROGRAM, GitRepo

COUNTING = """
import signal, sys, time
seen = []
signal.signal(signal.SIGINT, lambda *a: seen.append(1))
print("ready", flush=True)
end = time.monotonic() + 30
while not seen and time.monotonic() < end: time.sleep(0.01)
time.sleep(0.3)
sys.exit(40 + len(seen))
"""
# No shell: one that has vforked cannot be stopped as long as its child is stopped before it executes anything.
WAITING = """
import os, sys, time
print("ready", flush=True)
while not os.path.exists("go"): time.sleep(0.02)
print("went on", flush=True)
if sys.argv[1:]: print("got", input(), flush=True)
sys.exit(7)
"""
SIZE = """
import os, signal, time
signal.signal(signal.SIGWINCH, lambda *a: None)
show = lambda: print(*reversed(os.get_terminal_size(0)), flush=True)
size, end = os.get_terminal_size(0), time.monotonic() + 30
show()
while os.get_terminal_size(0) == size and time.monotonic() < end: signal.sigtimedwait([], 0.02)
show()
"""
WAIT = f"git replicate start -- {sys.executable} wait.py"


class Terminal:
    """A terminal with a program in it, read and written as by a person."""

    def __init__(self, command: list[str], cwd: Path) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            path = f"{PROGRAM.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
            os.execvpe(command[0], command, {**os.environ, "PATH": path, "PS1": "$ ", "TERM": "dumb"})
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, pattern: str, seconds: float = 30) -> re.Match[str]:
        """Read until a pattern appears; what came up to its end is used up."""
        deadline = time.monotonic() + seconds
        while True:
            if found := re.search(pattern, self.seen):
                self.seen = self.seen[found.end() :]
                return found
            assert time.monotonic() < deadline, f"waited in vain for {pattern!r} in {self.seen!r}"
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError as error:
                    raise AssertionError(f"ended before {pattern!r}: {self.seen!r}") from error

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self) -> int:
        """Read until the program closes the terminal; its exit status."""
        while True:
            try:
                if not os.read(self.master, 65536):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        """The window is closed."""
        os.close(self.master)
        self.master = -1


@pytest.fixture
def shell(repo: GitRepo) -> Iterator[Terminal]:
    """An interactive shell in a repository."""
    repo.write("wait.py", WAITING)
    terminal = Terminal(["bash", "--norc", "--noprofile", "-i"], repo.top)
    terminal.type("stty -echo; bind 'set enable-bracketed-paste off'; echo be''gin\n")
    terminal.expect("begin")
    yield terminal
    if terminal.master >= 0:
        os.close(terminal.master)
        os.kill(terminal.pid, signal.SIGKILL)
        os.waitpid(terminal.pid, 0)


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return found


def last_record(repo: GitRepo) -> dict[str, Any]:
    ref = repo.git("for-each-ref", "--sort=-refname", "--count=1", "--format=%(refname)", "refs/experiments/")
    return tomli.loads(repo.git("show", f"{ref}:.replicate/run.toml"))


def ended(repo: GitRepo) -> dict[str, Any] | None:
    refs = repo.git("for-each-ref", "refs/experiments/")
    found = last_record(repo) if refs else {"status": "running"}
    return None if found["status"] == "running" else found


def processes(repo: GitRepo) -> dict[str, Any]:
    """The processes of the one live run, once they are all there."""

    def known() -> dict[str, Any] | None:
        files = list((repo.top / ".git" / "replicate" / "spool").glob("*/process.json"))
        table = json.loads(files[0].read_text()) if files else {}
        return table if "command" in table else None

    found: dict[str, Any] = wait_for(known, "the run's processes")
    return found


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_control_c_reaches_the_command_once(shell: Terminal, repo: GitRepo) -> None:
    repo.write("count.py", COUNTING)
    shell.type(f"git replicate start -- {sys.executable} count.py; echo code $?\n")
    shell.expect("ready")
    shell.type("\x03")
    assert shell.expect(r"code (\d+)")[1] == "41"
    assert last_record(repo)["reason"] == "interrupted by SIGINT"


def test_control_z_stops_all_and_fg_goes_on(shell: Terminal, repo: GitRepo) -> None:
    shell.type(f"{WAIT}; echo code $?\n")
    shell.expect("ready")
    table = processes(repo)
    shell.type("\x1a")
    shell.expect("Stopped")
    assert state_of(table["command"]["pid"]) == "T"
    wait_for(lambda: state_of(table["recorder"]["pid"]) == "T", "the recorder to stop")
    shell.type("echo alive\n")
    shell.expect("alive")
    shell.type("fg\n")
    shell.expect("git replicate start")
    repo.write("go", "")
    shell.expect("went on")
    shell.expect("failed \\(exit 7\\)")


def test_a_command_goes_on_in_the_background_and_comes_back(shell: Terminal, repo: GitRepo) -> None:
    shell.type(f"{WAIT} read\n")
    shell.expect("ready")
    shell.type("\x1a")
    shell.expect("Stopped")
    shell.type("bg\n")
    shell.expect("&")
    wait_for(lambda: state_of(processes(repo)["command"]["pid"]) in "RS", "the command to go on")
    shell.type("fg\n")
    shell.expect("git replicate start")
    repo.write("go", "")
    shell.expect("went on")
    shell.type("words\n")
    shell.expect("got words")
    shell.expect("failed \\(exit 7\\)")


def test_a_job_started_in_the_background_runs_to_its_end(shell: Terminal, repo: GitRepo) -> None:
    repo.write("go", "")
    shell.type(f"{WAIT} &\n")
    shell.expect("went on")
    shell.type("wait; echo code $?\n")
    assert wait_for(lambda: ended(repo), "the end")["exit_code"] == 7


def test_the_commands_terminal_has_the_size_of_the_real_one(shell: Terminal, repo: GitRepo) -> None:
    shell.resize(33, 99)
    repo.write("size.py", SIZE)
    shell.type(f"git replicate start -- {sys.executable} size.py\n")
    shell.expect("33 99")
    shell.resize(44, 111)
    shell.expect("44 111")
    shell.expect("finished")


def test_the_terminal_is_as_it_was_after_a_run(shell: Terminal) -> None:
    shell.type("stty -g; echo; git replicate start -q -- true; stty -g; echo done\n")
    found = shell.expect(r"([0-9a-f:]{20,})\s+([0-9a-f:]{20,})\s+done")
    assert found[1] == found[2]


def test_a_command_in_a_pipeline_keeps_the_terminal_it_has(shell: Terminal) -> None:
    script = "import os; print([os.isatty(i) for i in range(3)])"
    shell.type(f'git replicate start -q -- {sys.executable} -c "{script}" | cat\n')
    shell.expect(r"\[True, False, True\]")


def test_in_a_pipeline_the_command_gets_what_is_typed_when_it_reads(shell: Terminal) -> None:
    shell.type("git replicate start -q -- sh -c 'echo ready; read line; echo got $line' | cat\n")
    shell.expect("ready")
    shell.type("words\n")
    shell.expect("got words")
    shell.type("echo still he''re\n")
    shell.expect("still here")


def test_control_c_in_a_pipeline_is_not_doubled(shell: Terminal, repo: GitRepo) -> None:
    repo.write("count.py", COUNTING)
    shell.type(f"git replicate start -- {sys.executable} count.py | cat\n")
    shell.expect("ready")
    shell.type("\x03")
    shell.expect("interrupted by SIGINT")
    assert last_record(repo)["exit_code"] == 41


def test_control_z_in_a_pipeline_stops_all_and_fg_goes_on(shell: Terminal, repo: GitRepo) -> None:
    shell.type(f"{WAIT} | cat\n")
    shell.expect("ready")
    table = processes(repo)
    shell.type("\x1a")
    shell.expect("Stopped")
    wait_for(lambda: state_of(table["command"]["pid"]) == "T", "the command to stop")
    shell.type("fg\n")
    shell.expect("git replicate start")
    repo.write("go", "")
    shell.expect("went on")
    shell.expect("failed \\(exit 7\\)")


def test_a_killed_recorder_leaves_the_command_to_its_end(shell: Terminal, repo: GitRepo) -> None:
    shell.type(f"{WAIT}; echo code $?\n")
    shell.expect("ready")
    table = processes(repo)
    os.kill(table["recorder"]["pid"], signal.SIGKILL)
    shell.expect(r"code 137")
    repo.write("go", "")
    wait_for(lambda: state_of(table["holder"]["pid"]) in ("", "Z"), "the holder's end")
    shell.type("git replicate recover\n")
    shell.expect("recovered: failed")
    assert last_record(repo)["exit_code"] == 7


def test_a_killed_recorder_leaves_no_terminal_in_raw_mode(repo: GitRepo) -> None:
    repo.write("wait.py", WAITING)
    # A shell that sets no modes itself; the holder gives them back within a moment of the recorder's death.
    script = f'was=$(stty -g); {WAIT}; until [ "$(stty -g)" = "$was" ]; do sleep 0.01; done; echo as it was'
    terminal = Terminal(["sh", "-c", script], repo.top)
    terminal.expect("ready")
    table = processes(repo)
    wait_for(lambda: not termios.tcgetattr(terminal.master)[3] & termios.ICANON, "the terminal to be raw")
    os.kill(table["recorder"]["pid"], signal.SIGKILL)
    terminal.expect("as it was")
    assert termios.tcgetattr(terminal.master)[3] & termios.ICANON
    repo.write("go", "")
    wait_for(lambda: state_of(table["holder"]["pid"]) in ("", "Z"), "the holder's end")
    assert terminal.end() == 0


def test_closing_the_terminal_hangs_the_command_up_and_is_recorded(shell: Terminal, repo: GitRepo) -> None:
    shell.type(f"{WAIT}\n")
    shell.expect("ready")
    processes(repo)
    shell.close()
    found = wait_for(lambda: ended(repo), "the end")
    assert (found["status"], found["signal"]) == ("failed", "SIGHUP")


def test_a_nohup_outlives_its_terminal(shell: Terminal, repo: GitRepo) -> None:
    shell.type(f"nohup {WAIT} > out.log 2>&1 &\n")
    wait_for(lambda: (repo.top / "out.log").exists() and "ready" in (repo.top / "out.log").read_text(), "its start")
    processes(repo)
    shell.close()
    os.kill(shell.pid, signal.SIGHUP)
    os.waitpid(shell.pid, 0)
    repo.write("go", "")
    found = wait_for(lambda: ended(repo), "the end")
    assert (found["status"], found["exit_code"]) == ("failed", 7)
    assert "went on" in (repo.top / "out.log").read_text()


def test_questions_take_answers_and_defaults(repo: GitRepo) -> None:
    command = ["git", "replicate", "start", "-i", "--", "echo", "{lr}"]
    first = Terminal(command, repo.top)
    for question, answer in [
        (r"experiment \[echo\]: ", "mine"), ("message: ", "try it"), (r"params \(name=value ...\): ", "lr"),
        (r"not of the form(?s:.*)params \(name=value ...\): ", "lr=0.1"), (r"seed .*\[auto\]: ", "3"),
    ]:  # fmt: skip
        first.expect(question)
        first.type(answer + "\n")
    first.expect("0.1")
    assert first.end() == 0
    found = last_record(repo)
    assert (found["experiment"], found["message"], found["params"]) == ("mine", "try it", {"lr": 0.1})
    assert found["seeds"]["run"] == 3
    again = Terminal(command, repo.top)
    for question, answer in [
        (r"experiment \[mine\]: ", ""), (r"message .*\[try it\]: ", "-"), (r"params .*\[lr=0.1\]: ", ""),
        (r"seed .*\[3\]: ", "auto"),
    ]:  # fmt: skip
        again.expect(question)
        again.type(answer + "\n")
    assert again.end() == 0
    assert repo.git("for-each-ref", "refs/experiments/mine/").count("\n") == 1


def test_an_answer_that_reaches_nothing_is_asked_for_again_before_anything_runs(repo: GitRepo) -> None:
    terminal = Terminal(["git", "replicate", "start", "-i", "--", "echo", "--depth", "3"], repo.top)
    for question, answer in [
        ("experiment", ""), ("message", ""), ("params", "trees=5 depth=4"),
        (r"trees: reaches nothing(?s:.*)echo --depth 4 --trees {trees}(?s:.*)params", "depth=5"), ("seed", ""),
    ]:  # fmt: skip
        terminal.expect(question)
        terminal.type(answer + "\n")
    terminal.expect("--depth 5")
    assert terminal.end() == 0
    assert last_record(repo)["params"] == {"depth": 5}


@pytest.mark.parametrize("keys", ["\x04", "\x03"])
def test_questions_are_left_with_nothing_recorded(repo: GitRepo, keys: str) -> None:
    terminal = Terminal([sys.executable, str(PROGRAM), "start", "-i", "--", "true"], repo.top)
    terminal.expect("experiment")
    terminal.type("a\n")
    terminal.expect("message: ")
    terminal.type(keys)
    terminal.expect("cancelled: nothing was recorded")
    assert terminal.end() == 130
    assert repo.git("for-each-ref", "refs/experiments/") == ""
