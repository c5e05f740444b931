"""The index answers as the records in git do, whatever befalls its file, and can do nothing but answer."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.core.errors import UserError
from git_replicate.core.names import RUNS_PREFIX
from git_replicate.core.record import Best, Status, dumps
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Repository
from git_replicate.store.annotations import Change, append
from git_replicate.store.indexing.columns import Columns
from git_replicate.store.indexing.index import Index
from git_replicate.store.indexing.schema import connect
from git_replicate.store.store import list_runs, start_of
from tests.store.making import make_run, race, running
from tests.support import GitRepo

PARAMS: dict[str, Any] = {"lr": 0.1, "model": {"depth": 3}, "opt": "adam", "aug": True, "layers": [1, 2], "n": "12"}


@pytest.fixture
def opened(repo: GitRepo) -> Repository:
    return open_repository(str(repo.top), backend="plumbing")


def refreshed(opened: Repository) -> Index:
    index = Index.open(opened)
    index.refresh()
    return index


def scanned(opened: Repository) -> dict[str, dict[str, Any]]:
    """What a plain reading of every record says: id to params and metrics by dotted name, and status."""
    found: dict[str, dict[str, Any]] = {}
    for ref, oid in opened.list_refs(RUNS_PREFIX):
        text = next(iter(opened.read_many([f"{oid}:.replicate/run.toml"])))
        document = tomli.loads((text or b"").decode())
        row = {"ref": ref, "oid": oid, "status": document["status"], "experiment": document["experiment"]}
        for table in ("params", "metrics"):
            row.update(leaves(document.get(table, {}), f"{table}."))
        found[document["id"]] = row
    return found


def leaves(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return flat


def indexed(index: Index) -> dict[str, dict[str, Any]]:
    kept = ("ref", "oid", "status", "experiment")
    return {
        row["id"]: {k: v for k, v in row.items() if k in kept or k.startswith(("params.", "metrics."))}
        for row in index.select()
    }


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(
    lambda name: name.replace(".", "_")
)
VALUES = (
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5)
    | st.sampled_from(["1", "0.5", "nan", "true", "-inf", "", " 3 "])
)  # fmt: skip
NUMBERS = st.floats() | st.integers(-(2**63), 2**63 - 1)
BESTS = st.builds(Best, NUMBERS, st.none() | st.integers(0, 9), NUMBERS, st.none() | st.integers(0, 9))
TREES = st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES, min_size=1, max_size=2), max_size=5)


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        type(value) is type(second[name]) and (value == second[name] or value != value) for name, value in first.items()
    )


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(TREES, st.dictionaries(NAMES, NUMBERS, max_size=4)), min_size=1, max_size=6), st.integers(0, 9)
)
def test_values_come_back_as_they_were_written(runs: list[tuple[Any, Any]], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("git_replicate.store.indexing.columns.MOST_COLUMNS", most)
        db = connect("")
        columns = Columns(db)
        for row, tables in enumerate(runs):
            document = tomli.loads(dumps(running(1, params=tables[0], metrics=tables[1])).decode())
            for table in ("params", "metrics"):
                cells = columns.encode(table, document.get(table))
                names = "".join(f', "{name}"' for name in cells)
                marks = ", ?" * len(cells)
                db.execute(f"INSERT INTO {table} (row{names}) VALUES (?{marks})", (row, *cells.values()))
            db.execute(
                "INSERT INTO runs (row, ref, oid, experiment, id, status) VALUES (?1, ?1, ?1, 'e', ?1, 'finished')",
                (row,),
            )
        index = Index(None, db, "")  # type: ignore[arg-type]
        for found in index.select(sort=["id"]):
            written = tomli.loads(
                dumps(running(1, params=runs[int(found["id"])][0], metrics=runs[int(found["id"])][1])).decode()
            )
            expected = {
                **leaves(written.get("params", {}), "params."),
                **leaves(written.get("metrics", {}), "metrics."),
            }
            got = {k: v for k, v in found.items() if k.startswith(("params.", "metrics."))}
            assert same(got, expected)


def test_the_index_follows_what_happens_in_git(repo: GitRepo, opened: Repository) -> None:
    make_run(opened, 1, params=PARAMS, metrics={"acc": 0.5, "val/acc": math.inf})
    index = refreshed(opened)
    assert indexed(index).keys() == scanned(opened).keys()
    make_run(opened, 2, params={"neu": 1}, status=Status.FAILED)
    index.refresh()
    found = indexed(index)
    assert {run: row["oid"] for run, row in found.items()} == {r: row["oid"] for r, row in scanned(opened).items()}
    first = next(run for run in list_runs(opened) if run.id in found)
    repo.git("update-ref", "-d", first.ref)
    repo.git("pack-refs", "--all")
    index.refresh()
    assert indexed(index).keys() == scanned(opened).keys()
    assert len(scanned(opened)) == 1


def test_annotations_are_read_once_and_follow_what_is_said(opened: Repository) -> None:
    for number in (1, 2, 3):
        make_run(opened, number)
    starts = [start_of(opened, run.commit) for run in list_runs(opened)]
    append(opened, {start: [Change("tag", "good")] for start in starts}, actor=("a", "b"))
    index = refreshed(opened)
    assert len(index.select("tags = 'good'")) == 3
    read: list[str] = []
    wanted = opened.read_many

    def counted(names: Any) -> Iterator[bytes | None]:
        asked = list(names)
        read.extend(asked)
        return wanted(asked)

    opened.read_many = counted  # type: ignore[method-assign]
    append(opened, {starts[0]: [Change("untag", "good"), Change("invalid", "oops")]}, actor=("a", "b"))
    index.refresh()
    assert [len(index.select(where)) for where in ("tags = 'good'", "invalid = 'oops'")] == [2, 1]
    assert len(read) <= 2


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b"no database at all" * 500),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:8192] + b"\xff" * 20_000),
        lambda path: sqlite3.connect(path).execute("PRAGMA user_version = 999999999"),
        lambda path: sqlite3.connect(path).execute("DROP TABLE metrics"),
        lambda path: sqlite3.connect(path).execute("ALTER TABLE runs DROP COLUMN comment"),
    ],
    ids=["garbage", "empty", "deleted", "torn", "newer", "table gone", "column gone"],
)
def test_a_spoilt_file_is_made_again(repo: GitRepo, opened: Repository, harm: Callable[[Path], object]) -> None:
    make_run(opened, 1, params=PARAMS)
    refreshed(opened).close()
    path = repo.top / ".git" / "replicate" / "index.sqlite"
    assert path.exists()
    harm(path)
    assert indexed(refreshed(opened)).keys() == scanned(opened).keys()


def test_without_a_place_for_its_file_the_index_is_in_memory(
    repo: GitRepo, opened: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_run(opened, 1)
    state = repo.top / ".git" / "replicate"
    for file in state.glob("index.sqlite*"):
        file.unlink()
    (state / "index.sqlite").mkdir()
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    index = refreshed(opened)
    assert (index.path, len(index.select())) == ("", 1)


def test_a_read_only_file_does_not_stop_readers(repo: GitRepo, opened: Repository) -> None:
    make_run(opened, 1)
    refreshed(opened).close()
    path = repo.top / ".git" / "replicate" / "index.sqlite"
    path.chmod(stat.S_IRUSR)
    make_run(opened, 2)
    try:
        assert len(refreshed(opened).select()) == 2
    finally:
        path.chmod(0o600)


@pytest.mark.slow
def test_many_fillers_at_once_agree(repo: GitRepo, opened: Repository) -> None:
    for number in range(1, 9):
        make_run(opened, number, params={f"p{number}": number})
    body = (
        "(__import__('git_replicate.store.indexing.index', fromlist=['Index']).Index.open(repo)),"
        " [x.refresh() or (len(x.select()) == 8 or 1 / 0)"
        " for x in [__import__('git_replicate.store.indexing.index', fromlist=['Index']).Index.open(repo)]]"
    )
    assert race(64, f"({body})", repo.top) == (64, "")
    assert not list((Path(os.environ["HOME"]) / ".cache").glob("git-replicate/*/index.sqlite"))


@pytest.mark.parametrize(
    "attack",
    [
        "1 union select 1",
        "(select count(*) from sqlite_master) > 0",
        "id in (select value from meta)",
        "load_extension('x') is null",
        "randomblob(10) is null",
        "readfile('/etc/passwd') is null",
        "1) ; drop table runs --",
        "1 -- and nothing",
        "1 /* x */",
        "pragma_table_info('runs') is null",
        "sqlite_version() > '3'",
        "zeroblob(1000000000) is null",
        "printf('%999999999d', 1) is null",
    ],
)
def test_a_query_can_do_nothing_but_choose(opened: Repository, attack: str) -> None:
    make_run(opened, 1)
    index = refreshed(opened)
    with pytest.raises(UserError):
        index.select(attack)
    assert len(index.select()) == 1


def test_sql_of_our_own_is_held_to_the_same_tables(opened: Repository) -> None:
    make_run(opened, 1)
    index = refreshed(opened)
    for sql in ("EXISTS (SELECT 1 FROM meta)", "EXISTS (SELECT 1 FROM sqlite_master)", "load_extension('x')"):
        with pytest.raises(UserError, match=r"prohibited|not authorized"):
            index.matching(sql)


def test_a_metric_without_extremes_has_its_last_value_for_both(opened: Repository) -> None:
    make_run(opened, 1, metrics={"loss": 0.25, "best": 7})
    make_run(opened, 2, metrics={"loss": 0.5}, metrics_best={"loss": Best(0.125, 3, 0.75, 1)})
    index = refreshed(opened)
    wanted = ("metrics_best.loss.min", "metrics_best.loss.min_step", "metrics_best.loss.max", "metrics_best.best.max")
    rows = index.select(sort=["id"], columns=wanted)
    assert [tuple(map(row.get, wanted)) for row in rows] == [(0.25, None, 0.25, 7), (0.125, 3, 0.75, None)]
    assert len(index.select("metrics_best.loss.min < 0.2")) == 1


def test_a_name_of_two_things_is_not_guessed(opened: Repository) -> None:
    make_run(opened, 1, params={"data": "x", "status": "odd", "acc": 1}, metrics={"acc": 0.5})
    index = refreshed(opened)
    for name, hint in (("data", "attributes.data or params.data"), ("acc", "params.acc or metrics.acc")):
        with pytest.raises(UserError) as caught:
            index.select(f"{name} = 'x'")
        assert hint in caught.value.hint
    assert len(index.select("status = 'Finished' and params.data = 'x' and attributes.data is null")) == 1
