"""Which run a name means, and what is said when it means none or several."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from git_replicate.core.errors import UserError
from git_replicate.core.record import Status
from git_replicate.git.opening import open_repository
from git_replicate.store.annotations import Change, append
from git_replicate.store.indexing.index import Index
from git_replicate.store.lookup import check_experiment, find_run
from git_replicate.store.store import list_runs, start_of
from git_replicate.store.trash import remove
from tests.store.making import make_run
from tests.support import GitRepo

FIRST, SECOND, THIRD = "20260304-050608-00000001", "20260304-050609-00000002", "20260304-050610-00000003"


@pytest.fixture
def index(repo: GitRepo) -> Index:
    opened = open_repository(str(repo.top), backend="plumbing")
    make_run(opened, 1, metrics={"accuracy": 0.9, "loss": 3.0})
    make_run(opened, 2, metrics={"accuracy": 0.8, "loss": 1.0}, experiment="digits/deep")
    make_run(opened, 3, metrics={"accuracy": 0.99}, status=Status.FAILED)
    return refreshed(Index.open(opened))


def refreshed(index: Index) -> Index:
    index.refresh()
    return index


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (FIRST, FIRST),
        ("20260304-050608", FIRST),
        ("00000002", SECOND),
        ("03", THIRD),
        (f"digits/{FIRST}", FIRST),
        ("digits/deep/00000002", SECOND),
        (f"refs/experiments/digits/{FIRST}", FIRST),
        (f"experiments/digits/deep/{SECOND}", SECOND),
        (" latest ", THIRD),
        ("latest~2", FIRST),
        ("best:accuracy", FIRST),
        ("best:metrics.accuracy", FIRST),
        ("best:loss", SECOND),
        (f"experiments/digits/{FIRST}~0", FIRST),
        (f"experiments/digits/{FIRST}~1", FIRST),
    ],
)
def test_the_ways_to_name_a_run(index: Index, name: str, expected: str) -> None:
    assert find_run(index, name)["id"] == expected


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("202603", "ambiguous: digits/20260304-050610-00000003 failed; digits/deep/20260304-050609", "more of the id"),
        ("digits/2026", "ambiguous: digits/20260304-050610-00000003 failed; digits/20260304-050608-00", "more of the"),
        ("latest~3", "there are only 3 runs", "git replicate log"),
        ("latets", "no run is called 'latets'", "did you mean latest?"),
        ("20260304-050608-00000009", "no run is called", f"did you mean {FIRST}?"),
        ("digit", "no run is called 'digit'", "did you mean an experiment? git replicate log digits"),
        ("xyzzy", "no run is called 'xyzzy'", "git replicate log lists the runs"),
        ("best:acuracy", "no run has 'metrics.acuracy'", "did you mean metrics.accuracy?"),
        ("best:nope", "no run has 'metrics.nope'", "git replicate collate --format csv | head -1"),
        ("HEAD", "HEAD is a commit, but not one of a run's record; 3 runs tested it", "git replicate log --where"),
        ("--all", "no run is called '--all'", "git replicate log"),
        ("", "no run is called ''", "git replicate log"),
        ("ff' OR 1=1 --", "no run is called", "git replicate log"),
    ],
)
def test_a_name_that_means_no_one_run(index: Index, name: str, message: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        find_run(index, name)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_the_configuration_says_which_way_a_metric_is_good(index: Index) -> None:
    def best(metric: str, maximize: Sequence[str] = (), minimize: Sequence[str] = ()) -> object:
        return find_run(index, f"best:{metric}", maximize=maximize, minimize=minimize)["id"]

    assert best("loss", maximize=["loss"]) == FIRST
    assert best("accuracy", minimize=["accuracy"]) == SECOND


def test_runs_that_are_invalid_or_removed_are_not_the_best(index: Index) -> None:
    opened = index.repository
    by_id = {run.id: run for run in list_runs(opened)}
    first = next(run for run in by_id.values() if run.id == FIRST)
    append(opened, {start_of(opened, first.commit): [Change("invalid", "bad data")]}, actor=("a", "b"))
    assert find_run(refreshed(index), "best:accuracy")["id"] == SECOND
    remove(opened, first.ref, actor=("a", "b"))
    with pytest.raises(UserError, match="no run is called"):
        find_run(refreshed(index), FIRST)


def test_a_commit_that_nothing_tested(repo: GitRepo, index: Index) -> None:
    repo.write("train.py", "print('other')\n")
    repo.commit("other")
    with pytest.raises(UserError, match="no run tested it"):
        find_run(index, "main")


def test_before_the_first_run(repo: GitRepo) -> None:
    index = refreshed(Index.open(open_repository(str(repo.top), backend="plumbing")))
    with pytest.raises(UserError, match="latest: there are no runs yet"):
        find_run(index, "latest")


def test_the_best_run_is_no_rerun_though_it_came_out_alike_or_better(index: Index) -> None:
    make_run(index.repository, 4, metrics={"accuracy": 0.9}, rerun_of=f"digits/{FIRST}")
    make_run(index.repository, 5, metrics={"accuracy": 0.95}, rerun_of=f"digits/{FIRST}", hybrid={"with": SECOND})
    assert find_run(refreshed(index), "best:accuracy")["id"] == FIRST
    assert find_run(index, "latest")["id"].endswith("00000005")


def test_the_latest_run_is_none_that_a_bisection_made(index: Index) -> None:
    make_run(index.repository, 4, rerun_of=f"digits/{FIRST}", hybrid={"second": f"digits/{SECOND}"})
    refreshed(index)
    assert find_run(index, "latest")["id"] == THIRD
    assert find_run(index, "00000004")["hybrid"] == f"digits/{SECOND}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("digit", "did you mean digits?"),
        ("xyz", "there are: digits, digits/deep"),
        ("00000002", f"it names a run: git replicate show {SECOND}"),
    ],
)
def test_an_experiment_that_no_run_has(index: Index, name: str, said: str) -> None:
    with pytest.raises(UserError, match="no experiment is called") as caught:
        check_experiment(index, name)
    assert caught.value.hint == said
    check_experiment(index, "digits")


def test_an_experiment_before_the_first_run(repo: GitRepo) -> None:
    index = refreshed(Index.open(open_repository(str(repo.top), backend="plumbing")))
    with pytest.raises(UserError) as caught:
        check_experiment(index, "digits")
    assert caught.value.hint == "there are no runs yet: git replicate start -e digits -- python train.py"


def test_the_beginning_of_the_short_id_names_a_run_if_only_one_begins_so(repo: GitRepo) -> None:
    opened = open_repository(str(repo.top), backend="plumbing")
    for entropy in (0x23C9D16A, 0x23C9D1FF, 0x7777BEEF):
        make_run(opened, entropy)
    index = refreshed(Index.open(opened))
    assert find_run(index, "7777")["id"].endswith("-7777beef")
    assert find_run(index, "23c9d16")["id"].endswith("-23c9d16a")
    assert find_run(index, "digits/7777b")["id"].endswith("-7777beef")
    with pytest.raises(UserError, match=r"23c9 is ambiguous: .*23c9d1ff .*; .*23c9d16a "):
        find_run(index, "23c9")
    with pytest.raises(UserError, match="no run is called '777'"):
        find_run(index, "777")


@pytest.mark.parametrize("name", ["best:", "best:metrics."])
def test_the_best_of_no_metric_says_what_is_missing(index: Index, name: str) -> None:
    with pytest.raises(UserError, match="best: lacks the name of a metric") as caught:
        find_run(index, name)
    assert caught.value.hint == "git replicate show best:accuracy"


def test_a_short_name_is_not_taken_for_another_short_name(repo: GitRepo) -> None:
    opened = open_repository(str(repo.top), backend="plumbing")
    make_run(opened, 1, experiment="np")
    with pytest.raises(UserError) as caught:
        find_run(refreshed(Index.open(opened)), "nope")
    assert caught.value.hint == "git replicate log lists the runs"
