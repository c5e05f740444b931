"""Points that a person chooses: proposals taken, changed and refused; the last run again, with changes."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from git_replicate.commands._choosing import Chooser
from git_replicate.console import Console
from git_replicate.core.space import parse_space
from git_replicate.core.sweep import Planned, Sweep
from git_replicate.execution.sweeping.manual import Chosen, Manual
from tests.execution.test_search import loss_at, no_curve, run_of, sweep_of
from tests.execution.test_terminal import Terminal
from tests.support import PROGRAM, GitRepo, replicate

TRAIN = "import sys\nprint('loss:', (float(sys.argv[1]) - 3) ** 2)\n"


def records(repo: GitRepo) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(replicate("log", "--format", "json", cwd=repo.top).stdout)
    return listed[::-1]


def manual(*assignments: str) -> Sweep:
    return Sweep("20260102-030405-00000000", ("train",), parse_space(assignments), "manual", seeds=(0, 1))


def test_a_finite_space_is_proposed_in_order_each_point_once_with_every_seed() -> None:
    sweep = manual("n=1..3")
    proposer = Manual(sweep, [run_of(sweep, Planned(4, {"n": 1}, 0), 1.0)])
    assert [proposer.next() for _ in range(3)] == [
        Planned(5, {"n": 2}, 0), Planned(5, {"n": 2}, 1), Planned(6, {"n": 3}, 0),
    ]  # fmt: skip


def test_a_changed_point_holds_for_all_seeds_of_its_trial_and_nothing_comes_after_the_end() -> None:
    sweep = manual("x=0..1")
    answers = iter([{"x": 0.5}, None])
    source = Chosen(Manual(sweep, ()), lambda records, planned: next(answers))
    assert [source.next() for _ in range(4)] == [Planned(0, {"x": 0.5}, 0), Planned(0, {"x": 0.5}, 1), None, None]


def test_a_search_learns_from_what_was_chosen_instead() -> None:
    from git_replicate.execution.sweeping.search import Search

    pytest.importorskip("optuna", reason="the extra `search` is not installed")
    sweep = sweep_of(parse_space(["depth=1..8", "act=relu,tanh"]), trials=3)
    search = Search(sweep, (), no_curve)
    source = Chosen(search, lambda records, planned: {**planned.point, "depth": 5})
    for _ in range(3):
        planned = source.next()
        assert planned
        source.ended(planned, run_of(sweep, planned, loss_at(planned.point)))
    complete = [trial for trial in search._study.trials if trial.state.name == "COMPLETE"]
    assert [trial.params["depth"] for trial in complete] == [5, 5, 5]


@pytest.mark.slow
def test_a_sweep_is_steered_at_a_terminal(repo: GitRepo) -> None:
    repo.write("train.py", TRAIN)
    repo.commit()
    words = ["sweep", "-i", "-p", "x=1,2,3", "--metric", "loss:min", "--", sys.executable, "train.py", "{x}"]
    terminal = Terminal([sys.executable, str(PROGRAM), *words], repo.top)
    terminal.expect(r"next: x=1\s")
    terminal.type("\n")
    terminal.expect(r"finished(?s:.*)next: x=2\s")
    terminal.type("lr=3\n")
    terminal.expect("lr is not a param of this sweep")
    terminal.type("x=2.5\n")
    terminal.expect(r"next: x=2.5\s")
    terminal.type("\n")
    terminal.expect(r"run +status +x +loss\s(?s:.*)2.5 +0.25\s(?s:.*)1 +4\s(?s:.*)next: x=2\s")
    terminal.type("q\n")
    assert terminal.end() == 0
    runs = records(repo)
    assert [(run["sweep"]["trial"], run["params"]["x"], run["metrics"]["loss"]) for run in runs] == [
        (0, 1, 4.0), (1, 2.5, 0.25),
    ]  # fmt: skip
    again = Terminal([sys.executable, str(PROGRAM), "sweep", "-i", "--resume", "latest"], repo.top)
    again.expect(r"next: x=2\s")
    again.type("\x03")
    assert again.end() == 0
    refused = replicate("sweep", "--resume", "latest", cwd=repo.top)
    assert refused.returncode == 2
    assert "chosen by hand" in refused.stderr


def test_nobody_to_ask_is_said(repo: GitRepo) -> None:
    done = replicate("sweep", "-i", "-p", "x=1,2", "--", "echo", "{x}", cwd=repo.top, stdin=b"")
    assert done.returncode == 1
    assert "-i asks, and standard input is not a terminal" in done.stderr


@pytest.mark.slow
def test_start_offers_the_last_run_with_changes(repo: GitRepo) -> None:
    repo.write("train.py", TRAIN.replace("sys.argv[1]", "sys.argv[2]"))
    repo.commit()
    assert replicate("start", "-e", "mine", "--", sys.executable, "train.py", "--x", "1", cwd=repo.top).returncode == 0
    terminal = Terminal([sys.executable, str(PROGRAM), "start", "-i"], repo.top)
    for question, answer in [
        (r"the last run: \S+python\S* train.py --x 1\s(?s:.*)as the last run, but .*\[=\]: ", "depth=1"),
        (r"depth: the command does not take it(?s:.*)\[=\]: ", "x=5"),
        (r"experiment \[mine\]: ", ""), ("message: ", ""), (r"seed .*\[auto\]: ", ""),
    ]:  # fmt: skip
        terminal.expect(question)
        terminal.type(answer + "\n")
    assert terminal.end() == 0
    assert [(run["params"], run["metrics"]["loss"]) for run in records(repo)] == [({"x": 1}, 4.0), ({"x": 5}, 4.0)]


def test_params_that_are_asked_for_change_the_options_of_the_command(repo: GitRepo) -> None:
    repo.write("train.py", TRAIN.replace("sys.argv[1]", "sys.argv[2]"))
    repo.commit()
    words = ["start", "-i", "--", sys.executable, "train.py", "--x", "1"]
    terminal = Terminal([sys.executable, str(PROGRAM), *words], repo.top)
    for question, answer in [
        (r"experiment \[train\]: ", ""), ("message: ", ""), (r"params .*: ", "x=5"), (r"seed .*\[auto\]: ", "")
    ]:  # fmt: skip
        terminal.expect(question)
        terminal.type(answer + "\n")
    assert terminal.end() == 0
    (run,) = records(repo)
    assert (run["command"][1:], run["params"], run["metrics"]["loss"]) == (["train.py", "--x", "5"], {"x": 5}, 4.0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("x=low", "x=low: not a number\nhint: x is of 1e-05..0.1:log"),
        ("n=2.5", "n=2.5: not a whole number\nhint: n is of 1..8"),
        ("n=true", "n=True: not a whole number\nhint: n is of 1..8"),
        ("n=9", "n=9 is outside of 1..8; it can be tried all the same"),
    ],
)
def test_an_answer_that_does_not_fit_the_space_is_said(
    answer: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = manual("x=1e-5..1e-1:log", "n=1..8")
    console = Console()
    answers = iter([answer, "q"])
    monkeypatch.setattr(console, "ask", lambda question: next(answers))
    assert Chooser(console, sweep)((), Planned(0, {"x": 0.01, "n": 1})) is None
    assert said in capsys.readouterr().err
