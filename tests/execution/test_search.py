"""Searches: a study rebuilt from runs, points there and back, pruning, and a whole search continued."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.record import Process, Record, Seeds, Status
from git_replicate.core.space import Space, parse_space, random_point
from git_replicate.core.sweep import Objective, Planned, Sweep, read_sweep
from git_replicate.execution.sweeping.search import Curve, Pruning, Search, distributions, to_params, to_point
from tests.support import GitRepo, replicate

pytest.importorskip("optuna", reason="the extra `search` is not installed")

SPACE = parse_space(
    ["lr=1e-5..1e-1:log", "depth=1..8", "act=relu,tanh", "layers=[8],[8, 8]", "fixed=3", "a=1,2", "b=x,y"], ["a,b"]
)


def no_curve(record: Record) -> Curve:
    return ()


def sweep_of(space: Space = SPACE, **changes: Any) -> Sweep:
    values: dict[str, Any] = {
        "id": "20260102-030405-00000000", "command": ("train", "{lr}"), "strategy": "tpe", "strategy_seed": 7,
        "trials": 30, "objectives": (Objective("loss"),),
    }  # fmt: skip
    return Sweep(space=space, **{**values, **changes})


def run_of(sweep: Sweep, planned: Planned, loss: float | None, status: Status = Status.FINISHED) -> Record:
    """A run as it would be recorded."""
    seed = planned.seed or 0
    return Record(
        id=RunId(f"20260102-030405-{planned.trial * 100 + seed:08x}"),
        experiment=ExperimentName("train"),
        status=status,
        seeds=Seeds(run=planned.seed),
        metrics={} if loss is None else {"loss": loss},
        sweep=json.loads(json.dumps(sweep.document(planned))),
    )


def loss_at(point: Any) -> float:
    return float((point["depth"] - 5) ** 2 + (point["act"] == "tanh"))


def carried_out(sweep: Sweep, search: Search, number: int) -> list[Record]:
    """The runs of so many steps of a search, one after the other."""
    found: list[Record] = []
    while len(found) < number and (planned := search.next()) is not None:
        found.append(run_of(sweep, planned, loss_at(planned.point)))
        search.ended(planned, found[-1])
    return found


def points(records: Sequence[Record]) -> list[Any]:
    return [record.sweep["point"] for record in records]


@given(st.integers(0, 10_000))
def test_a_point_is_the_same_after_optuna_has_had_it(trial: int) -> None:
    point = random_point(SPACE, 1, trial)
    params = to_params(SPACE, point)
    assert params is not None
    assert set(params) == set(distributions(SPACE)) == {"lr", "depth", "act", "layers", "a,b"}
    assert to_point(SPACE, params) == point


@pytest.mark.parametrize(
    "change", [{"lr": 1.0}, {"act": "gelu"}, {"a": 1, "b": "y"}, {"fixed": 4}, {"depth": "3"}, {"layers": [9]}]
)
def test_a_point_outside_of_the_space_has_no_params(change: dict[str, Any]) -> None:
    assert to_params(SPACE, {**random_point(SPACE, 1, 1), "a": 1, "b": "x", **change}) is None


def test_what_a_sweep_is_can_be_read_from_any_of_its_runs() -> None:
    sweep = sweep_of(seeds=(3, 4), pruner="median")
    planned = next(iter(Search(sweep_of(seeds=(3, 4)), (), no_curve).first(1)))
    assert read_sweep(run_of(sweep, planned, 1.0)) == sweep


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 14))
def test_a_search_goes_on_from_its_runs_as_if_it_had_never_stopped(cut: int) -> None:
    sweep = sweep_of(trials=18)
    whole = carried_out(sweep, Search(sweep, (), no_curve), 18)
    first = carried_out(sweep, Search(sweep, (), no_curve), cut)
    rest = carried_out(sweep, Search(sweep, first, no_curve), 18)
    assert points([*first, *rest]) == points(whole)


def test_a_search_finds_what_is_better_than_chance() -> None:
    sweep = sweep_of(trials=40)
    found = [loss_at(point) for point in points(carried_out(sweep, Search(sweep, (), no_curve), 40))]
    assert sum(found[20:]) < 0.5 * sum(found[:10]) / 10 * 20


def test_failed_and_interrupted_trials_are_tried_again_and_the_others_not() -> None:
    sweep = sweep_of(trials=6)
    runs = carried_out(sweep, Search(sweep, (), no_curve), 4)
    kinds = (Status.FINISHED, Status.FAILED, Status.INTERRUPTED, Status.PRUNED)
    known = [
        run_of(sweep, Planned(n, {**run.sweep["point"]}), 1.0, status)
        for n, (run, status) in enumerate(zip(runs, kinds, strict=True))
    ]
    search = Search(sweep, known, no_curve)
    assert search.left == 4
    again = [search.next() for _ in range(4)]
    assert search.next() is None
    assert [planned.trial for planned in again if planned] == [1, 2, 4, 5]
    assert [planned.point for planned in again if planned][:2] == [known[1].sweep["point"], known[2].sweep["point"]]


def test_what_another_machine_has_begun_is_left_to_it() -> None:
    sweep = sweep_of(trials=3)
    planned = next(iter(Search(sweep, (), no_curve).first(1)))
    running = replace(run_of(sweep, planned, None, Status.RUNNING), process=Process(host="another-machine"))
    search = Search(sweep, [running], no_curve)
    assert [following.trial for following in iter(search.next, None) if following] == [1, 2]


def test_a_trial_of_several_seeds_is_worth_their_mean_and_lacks_what_is_missing() -> None:
    sweep = sweep_of(parse_space(["depth=1..8", "act=relu,tanh"]), seeds=(0, 1, 2), trials=1)
    search = Search(sweep, (), no_curve)
    runs = [planned for planned in iter(search.next, None) if planned is not None]
    assert [(planned.trial, planned.seed) for planned in runs] == [(0, 0), (0, 1), (0, 2)]
    for planned, loss in zip(runs, (1.0, 2.0, 6.0), strict=True):
        search.ended(planned, run_of(sweep, planned, loss))
    assert search._study.trials[0].value == 3.0
    again = Search(sweep, [run_of(sweep, runs[1], 2.0)], no_curve)
    left = [planned for planned in iter(again.next, None) if planned is not None]
    assert [planned.seed for planned in left] == [0, 2]


def test_a_trial_whose_metric_is_no_number_has_failed() -> None:
    sweep = sweep_of(trials=2)
    search = Search(sweep, (), no_curve)
    planned = search.next()
    assert planned
    search.ended(planned, run_of(sweep, planned, float("nan")))
    assert [str(trial.state.name) for trial in search._study.trials] == ["FAIL"]


def test_runs_are_pruned_by_the_curves_of_those_before_them() -> None:
    better = tuple([(step, 1.0 / (step + 1)) for step in range(5)] for _ in range(4))
    pruning = Pruning("median", "loss", False, better)
    assert pruning.why([(0, 0.5), (1, 0.3)]) == ""
    assert pruning.why([(0, 1.5), (1, 2.0)]) == "pruned at step 1: loss 2"
    assert pruning.why([]) == ""
    assert Pruning("median", "loss", True, better).why([(0, 1.5), (1, 2.0)]) == ""
    assert Pruning("median", "loss", False, ()).why([(0, 9.0)]) == ""


def records(repo: GitRepo) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(replicate("log", "--format", "json", cwd=repo.top).stdout)
    return listed[::-1]


@pytest.mark.slow
def test_a_search_is_carried_out_continued_and_says_what_was_best(repo: GitRepo) -> None:
    repo.write("train.py", "import sys\nprint('loss:', (int(sys.argv[1]) - 3) ** 2)\n")
    repo.commit()
    words = ("--search", "tpe", "--trials", "5", "--metric", "loss", "--strategy-seed", "1")
    done = replicate("sweep", "-p", "n=1..50", *words, "--", sys.executable, "train.py", "{n}", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    more = replicate("sweep", "--resume", done.stdout.strip(), "--trials", "8", "-j", "2", cwd=repo.top)
    assert more.returncode == 0, more.stderr
    runs = records(repo)
    assert sorted(run["sweep"]["trial"] for run in runs) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert runs[0]["sweep"]["direction"] == "minimize"
    best = min(runs, key=lambda run: run["metrics"]["loss"])
    assert f"best loss {best['metrics']['loss']} (n={best['params']['n']})" in more.stderr


def test_a_search_for_a_metric_that_no_run_has_stops(repo: GitRepo) -> None:
    repo.write("train.py", "print('losses: 1')\n")
    repo.commit()
    words = ("--search", "tpe", "--trials", "5", "--metric", "loss")
    done = replicate("sweep", "-p", "n=1..50", *words, "--", sys.executable, "train.py", "{n}", cwd=repo.top)
    assert done.returncode == 1
    assert "has no metric loss (its metrics: losses)" in done.stderr
    assert len(records(repo)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "metric", "hint"),
    [
        ("print('yes: 1')", "accuracy", "print it in a line of its own: accuracy: 0.9"),
        ("print('size: 1')", "size", r"in replicate.toml: [results] patterns = ['size: (?P<size>\S+)']"),
        (
            "open('m.json', 'w').write('{\"a\": 1}'); print('b: 2')",
            "val.b",
            "write it to a JSON file: --metrics metrics.json",
        ),
    ],
)
def test_how_a_run_comes_to_have_a_metric_is_told(repo: GitRepo, program: str, metric: str, hint: str) -> None:
    repo.write("train.py", program + "\n")
    repo.commit()
    words = ("--search", "tpe", "--trials", "5", "--metric", metric, "--metrics", "m.json")
    done = replicate("sweep", "-p", "n=1..50", *words, "--", sys.executable, "train.py", "{n}", cwd=repo.top)
    assert done.stderr.endswith(f"\nhint: {hint}\n")


@pytest.mark.slow
def test_a_run_with_a_poor_curve_is_ended_early_and_recorded_as_pruned(repo: GitRepo) -> None:
    repo.write(
        "train.py",
        "import sys, time\nn = int(sys.argv[1])\n"
        "for step in range(3):\n    print(f'step={step} loss={n}', flush=True)\n"
        "if n > 4: time.sleep(60)\n",
    )
    repo.commit()
    words = ("--search", "tpe", "--trials", "6", "--metric", "loss", "--prune", "median", "--strategy-seed", "1")
    space = repo.write("space.toml", "[params]\nn = [1, 2, 3, 4, 99]\n")
    done = replicate("sweep", "--space", str(space), *words, "--", sys.executable, "train.py", "{n}", cwd=repo.top)
    kinds = {(run["params"]["n"] > 4, run["status"]) for run in records(repo)}
    assert (True, "pruned") in kinds, done.stderr
    assert (False, "pruned") not in kinds
    pruned = next(run for run in records(repo) if run["status"] == "pruned")
    assert pruned["reason"] == "pruned at step 2: loss 99"
    assert pruned["metrics"]["loss"] == 99
