"""Storms: `python -m tests.storms SCENARIO ROUNDS SEED` in a repository; after each, everything announced is there.

A run is announced by its line on standard error, `run <experiment>/<id>`. From then on it must be found, whatever is
killed, sent, collected or locked; `git fsck --strict` is clean, and no lock of git's stays. The seed makes a storm
repeatable as far as the machine allows. Recorders are forked from a server that has imported everything.

    kill      SIGKILL to recorder, holder, command, or several of them, at a random moment
    signals   SIGINT and SIGTERM, many and fast, to the recorder
    gc        `git gc --prune=now`, `git pack-refs` and `git notes add` by hand, while runs start and end
    starts    so many starts at once
    clock     a clock that goes back between and during runs
    sweep     SIGKILL to a sweep, its workers, or all of them; resumed, it does each point to its end once
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

import git_replicate.execution.prepare as preparing
import git_replicate.execution.recover
import git_replicate.execution.run  # noqa: F401  imported before the forks
from git_replicate.cli import main
from git_replicate.core.record import Record, Status
from git_replicate.execution.spool import Spool
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Repository
from git_replicate.store.notes import read_notes
from git_replicate.store.store import list_runs, read_files, read_run

LINES = 20
SCRIPT = f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo step=$i loss=0.$i; sleep 0.01; done; echo > ended"
WHOLE = "".join(f"step={number} loss=0.{number}\n" for number in range(1, LINES + 1)).encode()
SPOOLS = Path(".git/replicate/spool")
_SECONDS = 60.0


def started(words: Sequence[str], said: str, before: Callable[[], None] = lambda: None) -> int:
    """Our own command in a child in a session of its own, its standard error in a file; its process id."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()
        silence = os.open(os.devnull, os.O_RDWR)
        error = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for stream, file in ((0, silence), (1, silence), (2, error)):
            os.dup2(file, stream)
        before()
        code = main(list(words))
    finally:
        os._exit(code)


def announced(said: str) -> set[str]:
    """The runs that a recorder has said to have begun."""
    text = Path(said).read_text(errors="replace") if os.path.exists(said) else ""
    assert "this is a bug" not in text, text
    # Python itself says so of an interrupt that comes while it lets go of an object.
    assert "Traceback" not in text or "Exception ignored in" in text, text
    return set(re.findall(r"^run (\S+/\S+)$", text, re.MULTILINE))


def processes() -> dict[str, int]:
    """Who runs the one live run: recorder, holder, command, as far as they have said so."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        for name in os.listdir(SPOOLS):
            table = json.loads((SPOOLS / name / "process.json").read_text())
            found.update({role: entry["pid"] for role, entry in table.items() if isinstance(entry, dict)})
    return found


def waited_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def recovered() -> None:
    """Recover until nothing waits: commands may outlive their recorders for a moment."""

    def none_waits() -> bool:
        child = started(["recover"], "../recover.txt")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, Path("../recover.txt").read_text()
        return not SPOOLS.is_dir() or not any(Spool(str(s)).read("run.toml") for s in SPOOLS.iterdir())

    waited_for(none_waits, "some runs are never recovered")


def git(*words: str, accept: Sequence[int] = (0,)) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    assert done.returncode in accept, f"{words}: {done.stderr}"
    return done.stdout


def records() -> dict[str, Record]:
    repo = open_repository(".", backend="plumbing")
    return {run.name: read_run(repo, run.ref).record for run in list_runs(repo)}


def whole(runs: set[str]) -> Repository:
    """What must hold after every storm; the runs are those that were announced."""
    recovered()
    found = records()
    assert runs <= set(found), f"lost: {sorted(runs - set(found))}"
    unended = [name for name, record in found.items() if not record.status.ended]
    assert unended == [], f"never ended: {unended}"
    assert git("fsck", "--strict", "--no-dangling", "--no-progress") == ""
    locks = [path for path in Path(".git").rglob("*.lock") if "replicate" not in path.parts]
    assert locks == [], f"locks stay: {locks}"
    repo = open_repository(".", backend="plumbing")
    tips = {run.commit for run in list_runs(repo)}
    missing = tips - set(read_notes(repo, tips))
    assert not missing, f"{len(missing)} runs have no note"
    return repo


def kill(rounds: int, chance: random.Random) -> Mapping[str, int]:
    """Kill at random moments; how many rounds killed what."""
    victims = (
        ("recorder",), ("holder",), ("command",), ("recorder", "command"), ("recorder", "holder"),
        ("holder", "command"), ("recorder", "holder", "command"),
    )  # fmt: skip
    known, counted = set[str](), dict[str, int]()
    for number in range(rounds):
        Path("ended").unlink(missing_ok=True)
        chosen = chance.choice(victims)
        child = started(["start", "-e", "kill", "--", "sh", "-c", SCRIPT], "../said.txt")
        # From before the record exists to after the command has ended.
        time.sleep(chance.uniform(0.0, 0.5))
        there = {**processes(), "recorder": child}
        for role in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(there.get(role, child), signal.SIGKILL)
        os.waitpid(child, 0)
        counted["+".join(chosen)] = counted.get("+".join(chosen), 0) + 1
        before = set(known)
        known |= announced("../said.txt")
        recovered()
        fresh = {name: record for name, record in records().items() if name not in before}
        assert known <= before | set(fresh), f"round {number}: lost {sorted(known - before - set(fresh))}"
        for name, record in fresh.items():
            _check_killed(name, record, f"round {number} ({'+'.join(chosen)})")
        known |= set(fresh)
    whole(known)
    return counted


def _check_killed(name: str, record: Record, where: str) -> None:
    """The log is what the command printed until its end: all of it, if it got there."""
    repo = open_repository(".", backend="plumbing")
    log = read_files(repo, next(run.commit for run in list_runs(repo) if run.name == name)).log or b""
    assert WHOLE.startswith(log) or log == WHOLE, f"{where}: {log!r}"
    assert record.status in (Status.FINISHED, Status.FAILED, Status.LOST), f"{where}: {record.status}"
    if os.path.exists("ended"):
        assert log == WHOLE, f"{where}: it ended, and its log is {log!r}"
        assert record.metrics == {"loss": float(f"0.{LINES}")}, f"{where}: {record.metrics}"
    if record.status is Status.FINISHED:
        assert os.path.exists("ended"), f"{where}: called finished"


def signals(rounds: int, chance: random.Random) -> Mapping[str, int]:
    """Signals, many and fast, from before the command starts until the recorder has gone; how the runs ended."""
    known, counted = set[str](), dict[str, int]()
    scripts = (SCRIPT, "trap '' INT TERM; " + SCRIPT, "trap 'exit 7' TERM; trap '' INT; " + SCRIPT)
    for _ in range(rounds):
        child = started(["start", "-e", "signals", "--", "sh", "-c", chance.choice(scripts)], "../said.txt")
        time.sleep(chance.uniform(0.0, 0.3))
        storm = [chance.choice((signal.SIGINT, signal.SIGTERM)) for _ in range(chance.randrange(1, 40))]
        deadline = time.monotonic() + _SECONDS
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if storm:
                os.kill(child, storm.pop())
            time.sleep(chance.uniform(0.0, 0.004))
            assert time.monotonic() < deadline, "it never ends"
        known |= announced("../said.txt")
    whole(known)
    for record in records().values():
        counted[record.status] = counted.get(record.status, 0) + 1
    assert Status.LOST not in counted, "a signal came between the record and the command"
    return counted


@contextlib.contextmanager
def meanwhile(script: str) -> Iterator[None]:
    """A shell script that runs over and over beside the body."""
    loop = f"while [ ! -e ../stop ]; do {script}; done"
    process = subprocess.Popen(["sh", "-c", loop], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        Path("../stop").touch()
        process.wait(_SECONDS)
        Path("../stop").unlink()


def gc(rounds: int, chance: random.Random) -> Mapping[str, int]:
    """Collect, pack and write notes by hand while runs start, four at a time, each on code of its own."""
    known = set[str]()
    head = git("rev-parse", "HEAD").strip()
    beside = (
        f"git gc --quiet --prune=now; git pack-refs --all --prune; "
        f"git notes --ref=experiments add -f -m 'by hand' {head}; "
        f"git notes --ref=experiments-annotations append -m 'no line of ours' {head}"
    )
    codes: list[int] = []
    with meanwhile(beside):
        for number in range(rounds):
            children = []
            for place in range(4):
                Path(f"code{place}.py").write_text(f"print({number}, {chance.random()})\n")
                words = ["start", "-e", "gc", "--tag", f"t{number}-{place}", "--", "sh", "-c", f"echo loss: {number}"]
                children.append(started(words, f"../said{place}.txt"))
            codes += [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            for place in range(4):
                known |= announced(f"../said{place}.txt")
    assert codes == [0] * (4 * rounds), codes
    assert len(known) == 4 * rounds
    # A writer of notes who overwrites blindly can take the last batch with it; the next run brings that back.
    os.waitpid(started(["start", "-q", "-e", "gc", "--", "true"], "../said.txt"), 0)
    repo = whole(known)
    for run in list_runs(repo):
        assert read_run(repo, run.ref).record.status is Status.FINISHED
        assert git("ls-tree", "-r", run.commit, "--", "train.py"), f"{run.name} has no code"
    return {"starts": 4 * rounds}


def starts(rounds: int, chance: random.Random) -> Mapping[str, int]:
    """So many starts that wait for one moment."""
    del chance
    gate, opened = os.pipe()

    def wait_at_gate() -> None:
        os.close(opened)
        os.read(gate, 1)

    children = {}
    for number in range(rounds):
        words = ["start", "-e", "starts", "--", "sh", "-c", f"echo loss: {number}"]
        children[started(words, f"../said{number}.txt", wait_at_gate)] = number
    os.close(opened)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0] * rounds, codes
    known = set().union(*(announced(f"../said{number}.txt") for number in children.values()))
    assert len(known) == rounds
    whole(known)
    assert sorted(record.metrics["loss"] for record in records().values()) == list(range(rounds))
    return {"starts": rounds}


def clock(rounds: int, chance: random.Random) -> Mapping[str, int]:
    """Runs on clocks that stand at the same moment, and that go back while a run is under way."""
    known = set[str]()
    moment = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

    def set_clock(back: float) -> None:
        readings = [moment - timedelta(seconds=back), moment - timedelta(days=back)]

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return (readings.pop(0) if len(readings) > 1 else readings[0]).astimezone(tz)

        preparing.datetime = Clock  # type: ignore[attr-defined]

    for _ in range(rounds):
        back = chance.choice((0.0, 0.0, 5.0, 90.0))
        child = started(
            ["start", "-e", "clock", "--tag", "t", "--", "sh", "-c", "echo loss: 1"], "../said.txt",
            lambda back=back: set_clock(back),  # type: ignore[misc]
        )  # fmt: skip
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, Path("../said.txt").read_text()
        known |= announced("../said.txt")
    assert len(known) == rounds
    whole(known)
    for record in records().values():
        assert record.seconds is not None
        assert record.seconds >= 0
    return {"starts": rounds}


def sweep(rounds: int, chance: random.Random) -> Mapping[str, int]:
    """Kill a sweep or what carries it out at a random moment, and go on with it; how many rounds killed what."""
    counted: dict[str, int] = {}
    for number in range(rounds):
        script = f"echo loss: {{x}}; sleep 0.1; echo {number}-{{x}} >> {Path('..').resolve()}/ran"
        words = ["sweep", "-j", "3", "-e", f"round{number}", "-p", "x=1..8", "--", "sh", "-c", script]
        child = started(words, "../said.txt")
        time.sleep(chance.uniform(0.2, 1.5))
        victim = chance.choice(("sweep", "worker", "sweep+workers", "all"))
        for pid in _victims(child, victim, chance):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os.waitpid(child, 0)
        announced("../said.txt")
        counted[victim] = counted.get(victim, 0) + 1
        begun = [record for record in records().values() if record.experiment == f"round{number}"]
        again = ["sweep", "--resume", str(begun[0].sweep["id"]), "-j", "3"] if begun else words
        code = os.waitstatus_to_exitcode(os.waitpid(started(again, "../said.txt"), 0)[1])
        assert code == 0, f"round {number} ({victim}): {Path('../said.txt').read_text()}"
        recovered()  # of a sweep that was killed before it had a run, its workers may still do the first
        _check_swept(number, victim)
    whole(set())
    waited_for(_nothing_is_held, "workers whose sweep was killed leave checkouts or claims")
    return counted


def _nothing_is_held() -> bool:
    recovered()  # what a killed worker held goes with the next look
    folders = [Path(".git/replicate", name) for name in ("worktrees", "claims")]
    return not any(os.listdir(folder) for folder in folders if folder.is_dir())


def _victims(child: int, victim: str, chance: random.Random) -> list[int]:
    """The processes to be killed: the sweep, one worker, the sweep and its workers, or whatever they started too."""
    try:
        main = psutil.Process(child)
        workers = [process.pid for process in main.children() if process.name() != "git"]
        below = [process.pid for process in main.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    if victim == "worker":
        return [chance.choice(workers)] if workers else []
    return {"sweep": [child], "sweep+workers": [child, *workers], "all": [child, *below]}[victim]


def _check_swept(number: int, victim: str) -> None:
    """Every point has one run that has finished; those that were killed have ended as well."""
    found = [record for record in records().values() if record.experiment == f"round{number}"]
    done = [(record.sweep["id"], record.metrics["loss"]) for record in found if record.status is Status.FINISHED]
    shown = f"round {number} ({victim}): {[(r.id, r.status, r.params) for r in found]}"
    assert {loss for _, loss in done} == set(range(1, 9)), shown
    assert len(set(done)) == len(done), shown
    assert all(record.status.ended for record in found), f"round {number} ({victim})"


SCENARIOS: Mapping[str, Callable[[int, random.Random], Mapping[str, int]]] = {
    "kill": kill, "signals": signals, "gc": gc, "starts": starts, "clock": clock, "sweep": sweep,
}  # fmt: skip

if __name__ == "__main__":
    scenario, rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if Path.cwd() in Path(__file__).parents:
        sys.exit("storms want a repository of their own: change to one")
    begun = time.monotonic()
    result = SCENARIOS[scenario](rounds, random.Random(seed))
    facts = {
        "scenario": scenario, "rounds": rounds, "seed": seed, "counts": dict(result), "runs": len(records()),
        "seconds": round(time.monotonic() - begun),
    }  # fmt: skip
    os.write(1, json.dumps(facts).encode() + b"\n")
