"""The command runs as if nobody recorded it, and goes on when nobody does."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from git_replicate.execution.environment import (
    CommandNotFoundError,
    NotExecutableError,
    clean_environment,
    find_command,
)
from git_replicate.execution.processes import PeakMemory, family
from git_replicate.execution.spool import Spool, is_alive, process_start
from tests.support import CHECKOUT

PROGRAM = """
import json, os, sys
from git_replicate.execution.launch import launch
from git_replicate.execution.spool import Spool
spool = Spool.create(sys.argv[1])
outcome = launch(sys.argv[2:], env=dict(os.environ), directory=os.getcwd(), spool=spool)
facts = {"code": outcome.exit_code, "signal": outcome.signal, "by": outcome.interrupted_by}
facts.update(peak=outcome.peak_memory_bytes, cpu=outcome.cpu_seconds, problem=outcome.problem)
open(sys.argv[1] + ".json", "w").write(json.dumps(facts))
"""


def arguments(spool: Path, *command: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(spool), *command]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT)}


def start(spool: Path, *command: str, **options: Any) -> subprocess.Popen[bytes]:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(arguments(spool, *command), env=environment(), **options)


def outcome(spool: Path) -> dict[str, Any]:
    return dict(json.loads(Path(f"{spool}.json").read_text()))


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spools" / "run"


@pytest.mark.parametrize("code", [0, 1, 3, 125, 126, 127, 255])
def test_exit_codes(spool: Path, code: int) -> None:
    start(spool, "sh", "-c", f"exit {code}").communicate()
    assert outcome(spool)["code"] == code


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGUSR1"])
def test_signals_that_end_the_command(spool: Path, name: str) -> None:
    start(spool, "sh", "-c", f"kill -{name[3:]} $$").communicate()
    assert (outcome(spool)["code"], outcome(spool)["signal"]) == (None, name)


def test_output_passes_byte_for_byte_and_apart(spool: Path) -> None:
    script = "import sys, os; os.write(1, bytes(range(256)) * 40_000); os.write(2, b'\\0err\\xff' * 30_000)"
    out, err = start(spool, sys.executable, "-c", script).communicate()
    assert out == bytes(range(256)) * 40_000
    assert err == b"\0err\xff" * 30_000
    recorded = {"stdout": b"", "stderr": b""}
    for stream, _, data in Spool(str(spool)).output():
        recorded[stream] += data
    assert (recorded["stdout"], recorded["stderr"]) == (out, err)


def test_joined_streams_keep_their_order(spool: Path) -> None:
    script = "for i in $(seq 200); do echo out $i; echo err $i >&2; done"
    out, _ = start(spool, "sh", "-c", script, stderr=subprocess.STDOUT).communicate()
    assert out.decode().split("\n")[:-1] == [f"{kind} {i}" for i in range(1, 201) for kind in ("out", "err")]


def test_standard_input_is_the_callers(spool: Path) -> None:
    process = start(spool, "cat", stdin=subprocess.PIPE)
    assert process.communicate(b"abc\0def")[0] == b"abc\0def"


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_reaches_the_command_once(spool: Path, tmp_path: Path, name: str) -> None:
    script = (
        "import signal, sys, time\n"
        "seen = []\n"
        f"signal.signal(signal.{name}, lambda *a: seen.append(1))\n"
        "print('ready', flush=True)\n"
        "end = time.monotonic() + 10\n"
        "while not seen and time.monotonic() < end: time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        "sys.exit(len(seen))\n"
    )
    process = start(spool, sys.executable, "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.Signals[name])
    process.communicate()
    assert outcome(spool)["code"] == 1
    assert outcome(spool)["by"] == (name if name in ("SIGINT", "SIGTERM") else None)


def test_a_reader_that_leaves_ends_the_command(spool: Path) -> None:
    pipeline = subprocess.Popen(
        ["sh", "-c", '"$@" | head -n 1', "sh", *arguments(spool, "yes")], env=environment(), stdout=subprocess.PIPE
    )
    assert pipeline.communicate(timeout=30)[0] == b"y\n"
    wait_for(lambda: Path(f"{spool}.json").exists(), "the end of yes")
    assert outcome(spool)["signal"] == "SIGPIPE"


def test_the_command_outlives_its_recorder_and_its_end_is_known(spool: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    process = start(spool, "sh", "-c", f"echo begun; while ! test -e {go}; do sleep 0.02; done; echo ended; exit 7")
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.kill()
    process.wait()
    live = Spool(str(spool))
    assert live.alive() == "holder"
    go.touch()
    wait_for(lambda: live.alive() == "none", "the command's end")
    assert live.read_json("exit.json")["exit_code"] == 7
    assert b"".join(data for _, _, data in live.output()) == b"begun\nended\n"


def test_the_command_outlives_recorder_and_holder(spool: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    process = start(spool, "sh", "-c", f"echo begun; while ! test -e {go}; do sleep 0.02; done; echo ended")
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    live = Spool(str(spool))
    # The command may print before its holder has written down who they are.
    wait_for(lambda: "command" in live.read_json("process.json"), "the names of the processes")
    os.kill(live.read_json("process.json")["holder"]["pid"], signal.SIGKILL)
    process.kill()
    process.wait()
    wait_for(lambda: live.alive() == "command", "the holder's end")
    go.touch()
    wait_for(lambda: live.alive() == "none", "the command's end")
    assert live.read_json("exit.json") == {}
    assert (live.read("stdout") or b"").endswith(b"ended\n")


def test_a_recorder_whose_holder_is_killed_follows_the_command_to_its_end(spool: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    process = start(spool, "sh", "-c", f"echo begun; while ! test -e {go}; do sleep 0.02; done; echo ended")
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    live = Spool(str(spool))
    wait_for(lambda: "command" in live.read_json("process.json"), "the names of the processes")
    holder = live.read_json("process.json")["holder"]
    os.kill(holder["pid"], signal.SIGKILL)
    wait_for(lambda: not is_alive(holder["pid"], holder["start"]), "the holder's end")
    go.touch()
    assert process.stdout.read() == b"ended\n"
    assert process.wait(60) == 0
    assert live.alive() == "none"
    assert (outcome(spool)["code"], outcome(spool)["signal"]) == (None, None)


KILLED_EARLY = """
import os, signal, select
def note(self, role, pid, original=Spool.note_process):
    if role == "command":
        reading, writing = os.pipe()
        os.kill(os.getppid(), signal.SIGKILL)
        select.select([reading], [], [], 0.2)  # the recorder looks, and nobody has said who the command is
    original(self, role, pid)
Spool.note_process = note
"""


def test_a_holder_that_is_killed_before_its_command_has_said_who_it_is_costs_nothing(spool: Path) -> None:
    line = "from git_replicate.execution.spool import Spool\n"
    program = PROGRAM.replace(line, line + KILLED_EARLY)
    done = subprocess.run(
        [sys.executable, "-c", program, str(spool), "sh", "-c", "echo begun; sleep 0.1; echo ended"],
        env=environment(), capture_output=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"begun\nended\n", b"")
    assert (outcome(spool)["code"], outcome(spool)["signal"]) == (None, None)


def in_terminal(command: list[str], typed: bytes = b"") -> tuple[bytes, int]:
    """Run in a terminal of its own; what came out, and the exit status."""
    pid, master = pty.fork()
    if pid == 0:
        os.execve(command[0], command, environment())
    received = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        received += data
        if typed and b"ready" in received:
            os.write(master, typed)
            typed = b""
    os.close(master)
    return received, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_the_command_has_the_terminal(spool: Path) -> None:
    script = "import os, sys; print([os.isatty(i) for i in range(3)], os.tcgetpgrp(0) == os.getpgrp())"
    received, _ = in_terminal(arguments(spool, sys.executable, "-c", script))
    assert received.strip() == b"[True, True, True] True"
    assert outcome(spool)["code"] == 0


def test_control_c_in_a_terminal_is_not_doubled(spool: Path) -> None:
    script = (
        "import signal, sys, time; seen = []\n"
        "signal.signal(signal.SIGINT, lambda *a: seen.append(1))\n"
        "print('ready', flush=True); end = time.monotonic() + 10\n"
        "while not seen and time.monotonic() < end: time.sleep(0.01)\n"
        "time.sleep(0.3); sys.exit(40 + len(seen))\n"
    )
    in_terminal(arguments(spool, sys.executable, "-c", script), b"\x03")
    assert outcome(spool)["code"] == 41


def test_what_is_typed_reaches_the_command(spool: Path) -> None:
    received, _ = in_terminal(arguments(spool, "sh", "-c", "echo ready; read line; echo got:$line"), b"hello\n")
    assert b"got:hello" in received


def test_a_terminals_command_outlives_its_recorder(spool: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    pid, master = pty.fork()
    if pid == 0:
        command = arguments(
            spool, "sh", "-c", f"echo begun; while ! test -e {go}; do sleep 0.02; done; echo ended; exit 6"
        )
        os.execve(command[0], command, environment())
    live = Spool(str(spool))
    wait_for(lambda: b"begun" in (live.read("stdout") or b""), "the command's start")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(master)
    go.touch()
    wait_for(lambda: live.alive() == "none", "the command's end")
    assert live.read_json("exit.json")["exit_code"] == 6
    assert b"ended" in (live.read("stdout") or b"")


def test_memory_is_the_commands_own(spool: Path) -> None:
    start(spool, sys.executable, "-c", "x = b'x' * 150_000_000").communicate()
    # Far from what a recorder has; not exact, since a kernel short of memory takes pages away again.
    assert 90_000_000 < outcome(spool)["peak"] < 250_000_000


def test_memory_is_that_of_the_largest_of_the_commands_own_programs(spool: Path) -> None:
    start(spool, "sh", "-c", f"{sys.executable} -c \"x = b'x' * 40_000_000\"; true").communicate()
    assert 40_000_000 < outcome(spool)["peak"] < 90_000_000


def test_small_programs_below_a_command_are_looked_at_while_they_run() -> None:
    words = ["sh", "-c", f"{sys.executable} -c \"x = b'x' * 3_000_000; print(); input()\"; true"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None and shell.stdout.readline() == b"\n"
        memory = PeakMemory()
        memory.look(shell.pid, 1.0)
        assert len(family(shell.pid)) == 2
        shell.communicate(b"\n")
    assert memory.bytes > 6_000_000
    assert family(shell.pid) == [shell.pid]


def test_scripts_without_an_interpreter_line_run_as_in_a_shell(spool: Path, tmp_path: Path) -> None:
    script = tmp_path / "job"
    script.write_text("echo from $1\n")
    script.chmod(0o755)
    assert start(spool, str(script), "here").communicate()[0] == b"from here\n"


def test_commands_that_cannot_run_are_found_out_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandNotFoundError):
        find_command("no-such-command", os.environ, str(tmp_path))
    with pytest.raises(CommandNotFoundError, match="no such file"):
        find_command("./nothing", os.environ, str(tmp_path))
    with pytest.raises(NotExecutableError, match="not executable"):
        find_command("./file", os.environ, str(tmp_path))
    with pytest.raises(NotExecutableError):
        find_command("./", os.environ, str(tmp_path))


def test_gits_variables_go_and_the_callers_stay() -> None:
    exec_path = subprocess.run(["git", "--exec-path"], capture_output=True, check=True, text=True).stdout.strip()
    environ = {
        "PATH": f"{exec_path}:/usr/bin",
        "GIT_EXEC_PATH": exec_path,
        "GIT_DIR": "x",
        "GIT_AUTHOR_NAME": "A",
        "B": "",
    }
    assert clean_environment(environ) == {"PATH": "/usr/bin", "GIT_AUTHOR_NAME": "A", "B": ""}
    assert clean_environment({"PATH": "/usr/bin:/bin"}) == {"PATH": "/usr/bin:/bin"}


def test_gits_local_variables_are_all_known() -> None:
    from git_replicate.git.command import LOCAL_VARIABLES

    listed = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, check=True, text=True)
    assert set(listed.stdout.split()) <= set(LOCAL_VARIABLES)


def test_processes_are_told_apart_by_their_start() -> None:
    own = process_start(os.getpid())
    assert is_alive(os.getpid(), own)
    assert not is_alive(os.getpid(), own + 1)
    assert not is_alive(os.getpid(), 0)
