"""A long output is read bit by bit with the outcome of reading it at once, and its spool stays short."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.core.known_secrets import NOTHING_KNOWN
from git_replicate.execution.checkpoint import _new_output, _Stored
from git_replicate.execution.plan import Plan
from git_replicate.execution.reading import OutputReader, Shortener, released_until
from git_replicate.execution.spool import Position, Spool
from tests.support import CHECKOUT, PROGRAM, GitRepo, replicate

LOG_BYTES = 100_000
BOUND = 1_500_000
CHATTY = """
import os, sys, time
def quiet(path):  # until somebody has made room, as a slower program would let them
    end = time.monotonic() + 60
    while os.stat(path).st_blocks * 512 > 1_000_000 and time.monotonic() < end: time.sleep(0.01)
most, path = 0, sys.argv[1]
import glob
spool = lambda: glob.glob(".git/replicate/spool/*/stdout")[0]
for step in range(3_000):
    os.write(1, b"x" * 999 + b"\\n" + b"step=%d loss=%.3f\\n" % (step, 1 / (step + 1)))
    if step % 100 == 99:
        most = max(most, os.stat(spool()).st_blocks * 512)
        quiet(spool())
    if step == 1_500 and path != "-":
        open(path, "w").close()
        while os.path.exists(path): time.sleep(0.01)
open("most", "w").write(str(most))
"""

PIECES = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]),
        st.sampled_from([
            b"loss: 0.5\n", b"step=3 acc=0.25\n", b"los", b"s: 2.5\n", b"a\rb\r", b"\n", b"text\n", b"9" * 40,
        ]),
    ),
    max_size=25,
)  # fmt: skip


def plan(**options: Any) -> Plan:
    return Plan(top="/", **options)


@pytest.fixture
def holes(tmp_path: Path) -> None:
    """The file system gives back a part of a file."""
    spool = spool_of(tmp_path / "holes", [("stdout", b"x" * 100_000)], 0)
    if not spool.release(Position(stdout=100_000)):
        pytest.skip("no part of a file can be given back here")


def spool_of(folder: Path, pieces: list[tuple[str, bytes]], seen: int) -> Spool:
    """A spool of which a recorder has seen the first pieces."""
    spool = Spool.create(str(folder))
    for number, (stream, data) in enumerate(pieces):
        with open(spool.path(stream), "ab") as file:
            file.write(data)
        if number < seen:
            with open(spool.path("events"), "a") as file:
                file.write(f"{stream} {len(data)} {number}.500\n")
    return spool


@given(PIECES, st.integers(0, 25), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_bit_by_bit_with_a_pause_after_each_finds_what_is_found_at_once(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[str, bytes]], seen: int, most: int
) -> None:
    spool = spool_of(tmp_path_factory.mktemp("spool") / "run", pieces, seen)
    whole = OutputReader.resume(spool, plan(log_bytes=60))
    whole.read(spool)
    while True:
        part = OutputReader.resume(spool, plan(log_bytes=60))
        if not part.read(spool, most=most):
            break
        part.save(spool)
        spool.release(part.position)
    assert part.close() == whole.close()
    assert list(part.metrics.curves()) == list(whole.metrics.curves())
    assert part.metrics.curves().best() == whole.metrics.curves().best()


@pytest.mark.usefixtures("holes")
def test_what_comes_too_fast_is_passed_over_and_the_log_and_the_record_say_so(tmp_path: Path) -> None:
    lines = [b"step=%d loss=1\n" % n + b"y" * 100_000 + b"\n" for n in range(40)]
    spool = spool_of(tmp_path / "run", [("stdout", b"".join(lines))], 0)
    spool.write("plan.json", b'{"top": "/", "log_bytes": 100000}')
    shortener = Shortener(spool)
    assert shortener.step()
    while shortener.step():
        pass
    assert os.stat(spool.path("stdout")).st_blocks * 512 < BOUND
    reader = OutputReader.resume(spool, plan(log_bytes=LOG_BYTES))
    reader.read(spool)
    log = reader.close()
    assert reader.unread > 2_000_000
    assert b"bytes of output were cut here]\n" in log.data
    assert len(log.data) + log.cut == pytest.approx(sum(map(len, lines)), abs=1_000)
    steps = [point.step for point in reader.metrics.curves()]
    assert steps[-1] == 39
    assert 5 < len(steps) < 20


def test_a_short_output_is_left_alone(tmp_path: Path) -> None:
    spool = spool_of(tmp_path / "run", [("stdout", b"x" * 390_000)], 1)
    spool.write("plan.json", b'{"top": "/", "log_bytes": 100000}')
    assert not Shortener(spool).step()
    assert not os.path.exists(spool.path("reading.json"))


def test_of_an_output_that_has_ended_the_last_part_is_read_within_the_limit(tmp_path: Path) -> None:
    lines = [b"step=%d loss=1\n" % n for n in range(1_000)]
    spool = spool_of(tmp_path / "run", [("stdout", line) for line in lines], 1_000)
    reader = OutputReader.resume(spool, plan())
    reader.read_rest(spool, most=len(b"".join(lines[990:])))
    assert [point.step for point in reader.metrics.curves()] == list(range(991, 1_000))
    assert reader.unread == len(b"".join(lines[:990]))


@pytest.mark.usefixtures("holes")
def test_a_checkpoint_of_what_has_gone_from_the_spool_says_how_much(tmp_path: Path) -> None:
    lines = [b"step=%04d loss=1\n" % n for n in range(10_000)]
    spool = spool_of(tmp_path / "run", [("stdout", line) for line in lines], 10_000)
    reader = OutputReader.resume(spool, plan())
    reader.read(spool, most=len(b"".join(lines[:9_000])))
    reader.save(spool)
    spool.release(reader.position)
    known = _Stored(number=1, offsets={"stdout": len(b"".join(lines[:1_000]))})
    log, offsets = _new_output(spool, plan(), known, released_until(spool), NOTHING_KNOWN)
    assert log == b"[git replicate: 136000 bytes of output were cut here]\n" + b"".join(lines[9_000:])
    assert offsets == {"stdout": 170_000, "stderr": 0}


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def chatty(repo: GitRepo, pause: str = "-", stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    repo.write("chatty.py", CHATTY)
    command = [sys.executable, str(PROGRAM), "start", "--", sys.executable, "chatty.py", pause]
    env = {**os.environ, "GIT_REPLICATE_LOG_BYTES": str(LOG_BYTES)}
    return subprocess.Popen(command, cwd=repo.top, env=env, stdout=stdout, stderr=subprocess.DEVNULL)


def check(repo: GitRepo) -> None:
    """The whole curve is there, the log is cut, and the spool was never long."""
    (ref,) = repo.git("for-each-ref", "--format=%(refname)", "refs/experiments/").split()
    record = tomli.loads(repo.git("show", f"{ref}:.replicate/run.toml"))
    assert (record["status"], record["metrics"]) == ("finished", {"loss": 0.0})
    curve = list(csv.DictReader(io.StringIO(repo.git("show", f"{ref}:.replicate/metrics.csv"))))
    assert [int(row["step"]) for row in curve] == list(range(3_000))
    log = repo.git_bytes("show", f"{ref}:.replicate/output.log")
    assert len(log) < LOG_BYTES + 1_000
    assert b"bytes of output were cut here]\n" in log
    assert log.endswith(b"\nstep=2999 loss=0.000\n")
    assert int((repo.top / "most").read_text()) < BOUND


@pytest.mark.usefixtures("holes")
def test_a_long_output_passes_whole_and_its_spool_stays_short(repo: GitRepo) -> None:
    out, _ = chatty(repo).communicate(timeout=120)
    assert out.count(b"\n") == 6_000
    check(repo)


@pytest.mark.usefixtures("holes")
def test_it_stays_short_on_a_terminal(repo: GitRepo) -> None:
    master, slave = os.openpty()
    process = chatty(repo, stdout=slave)
    os.close(slave)
    lines = 0
    with contextlib.suppress(OSError):  # every program has closed the terminal
        while data := os.read(master, 1 << 16):
            lines += data.count(b"\n")
    assert (process.wait(), lines) == (0, 6_000)
    check(repo)


@pytest.mark.usefixtures("holes")
def test_it_stays_short_when_the_recorder_has_gone(repo: GitRepo, tmp_path: Path) -> None:
    pause = tmp_path / "pause"
    process = chatty(repo, str(pause))
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    wait_for(lambda: (process.stdout and process.stdout.read()) is not None and pause.exists())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    pause.unlink()
    wait_for(lambda: "recovered: finished" in replicate("recover", cwd=repo.top).stdout + _nap())
    check(repo)


def _nap() -> str:
    time.sleep(0.2)
    return ""


HOLDING = """
import json, os, sys
from git_replicate.execution import backlog, launch
from git_replicate.execution.spool import Spool
launch.Backlog = lambda orders: backlog.Backlog(orders, 1 << 20)
spool = Spool.create(sys.argv[1])
outcome = launch.launch(sys.argv[2:], env=dict(os.environ), directory=os.getcwd(), spool=spool)
open(sys.argv[1] + ".json", "w").write(json.dumps([outcome.exit_code, outcome.signal]))
"""
FLOOD = """
import os, signal, time
went_on = []
signal.signal(signal.SIGCONT, lambda *a: went_on.append(1))
open("pid.new", "w").write(str(os.getpid()))
os.rename("pid.new", "pid")
for _ in range(400): os.write(1, b"y" * 9_999 + b"\\n")
end = time.monotonic() + 60
while not went_on and time.monotonic() < end: time.sleep(0.01)
for _ in range(600): os.write(1, b"y" * 9_999 + b"\\n")
"""


@pytest.fixture
def flood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A recorder whose own reader does not read, and whose command has been told to wait."""
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "spools" / "run"), sys.executable, "-c", FLOOD]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, stdout=subprocess.PIPE) as process:
        wait_for(lambda: Path("pid").exists() and state_of(Path("pid")) == "T")
        yield process


def state_of(pid_file: Path) -> str:
    """The letter of a process's state; "" if it has gone."""
    try:
        return Path(f"/proc/{pid_file.read_text()}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="the state of a process is not told here")
def test_a_command_far_ahead_of_who_reads_it_waits(flood: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert (tmp_path / "spools" / "run" / "stdout").stat().st_size <= 4_000_000
    out, _ = flood.communicate(timeout=60)
    assert out.count(b"\n") == 1_000
    assert (tmp_path / "spools" / "run.json").read_text() == "[0, null]"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="the state of a process is not told here")
def test_a_command_that_waits_goes_on_when_the_recorder_has_gone(
    flood: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    flood.kill()
    wait_for((tmp_path / "spools" / "run" / "exit.json").exists)
    assert (tmp_path / "spools" / "run" / "stdout").stat().st_size == 10_000_000


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="the state of a process is not told here")
def test_a_signal_reaches_a_command_that_waits(flood: subprocess.Popen[bytes], tmp_path: Path) -> None:
    flood.send_signal(signal.SIGTERM)
    wait_for(lambda: state_of(Path("pid")) == "")
    flood.communicate(timeout=60)
    assert (tmp_path / "spools" / "run.json").read_text() == '[null, "SIGTERM"]'
