"""`collate --format csv` straight from the index is, byte for byte, what the way through rows of runs gives."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.capture.machine import host
from git_replicate.commands import collate, find_command
from git_replicate.commands.context import Context
from git_replicate.commands.parser import parse_options
from git_replicate.console import Console
from git_replicate.core.errors import UserError
from git_replicate.core.record import Process, Status, dumps
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Oid
from git_replicate.store.indexing.columns import Columns
from git_replicate.store.indexing.index import Index
from git_replicate.store.indexing.schema import connect
from git_replicate.store.store import Parts, begin
from tests.store.making import make_run, of_head, run_id, running
from tests.support import GitRepo, replicate

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(
    ["=1+1", "-3", "+x", "@a", "\ta", "a,b", 'say "hi"', "two\nlines", "a\r\nb", "\r", "", "nan", "a\n-b", "ü"]
)
VALUES = (
    TEXTS | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.dates()
    | st.lists(st.integers() | TEXTS, max_size=3)
)  # fmt: skip
NAMES = st.sampled_from(["lr", "depth", "opt", "a b", "é", "seed"])
RUNS = st.lists(
    st.fixed_dictionaries(
        {
            "params": st.dictionaries(NAMES, VALUES, max_size=4),
            "metrics": st.dictionaries(NAMES, st.floats() | st.integers(-9, 9), max_size=3),
            "attributes": st.fixed_dictionaries(
                {},
                optional={
                    "status": st.sampled_from(["failed", "pruned", "queued"]),
                    "experiment": st.sampled_from(["=e", "f"]),
                    "message": TEXTS,
                    "seed": st.integers(0, 9) | TEXTS,
                    "started": st.sampled_from(["2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000000Z"]),
                    "invalid": st.sampled_from(["wrong data", ""]),
                    "superseded_by": st.just("e/x"),
                    "archived": st.just(b"true"),
                    "rerun_of": st.sampled_from(["", "e/x"]),
                    "mixed": st.just(b"true"),
                    "leaked": st.just(b"true"),
                    "dirty": st.just(b"true"),
                    "tags": st.just('["=a", "b=2"]'),
                    "removed": st.just(b"true"),
                },
            ),
        }
    ),
    max_size=6,
)
OPTIONS = st.lists(
    st.sampled_from(
        [
            ["--all"],
            ["-n", "0"],
            ["-n", "2"],
            ["--sort", "-started"],
            ["--sort", "experiment"],
            ["--columns", "id,message,dirty,attributes.seed,tags,id"],
            ["--columns", "tags.b,status"],
            ["--where", "status = 'finished'"],
            ["--where", "attributes.seed > 3 or message is null"],
            ["=e"],
        ]
    ),
    max_size=3,
    unique_by=lambda words: words[0],
).map(lambda options: [word for words in options for word in words])


def in_memory(runs: Sequence[dict[str, Any]]) -> Index:
    """An index of runs that no repository holds."""
    db = connect("")
    columns = Columns(db)
    for row, run in enumerate(runs):
        attributes = {"ref": str(row), "oid": "1", "experiment": "e", "id": run_id(row), "status": "finished"}
        attributes |= run["attributes"]
        insert(db, "runs", row, attributes)
        document = tomli.loads(dumps(running(1, params=run["params"], metrics=run["metrics"])).decode())
        for table in ("params", "metrics"):
            insert(db, table, row, columns.encode(table, document.get(table)))
    return Index(None, db, "")  # type: ignore[arg-type]


def insert(db: Any, table: str, row: int, cells: dict[str, Any]) -> None:
    names = "".join(f', "{name}"' for name in cells)
    db.execute(f"INSERT INTO {table} (row{names}) VALUES (?{', ?' * len(cells)})", (row, *cells.values()))


def collated(words: Sequence[str], context: Context) -> tuple[int, str, str]:
    """Exit code, standard output and standard error, or error, of `collate --format csv`."""
    command = find_command("collate")
    assert command is not None
    options = parse_options(command, collate, ["--format", "csv", *words])
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = collate.execute(options, context)
        except UserError as error:
            return 1, out.getvalue(), error.message
    return code, out.getvalue(), err.getvalue()


def both_ways(words: Sequence[str], context: Context) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
    straight = collated(words, context)
    with patch.object(collate, "_write_listing", return_value=False) as avoided:
        through_rows = collated(words, context)
    avoided.assert_called_once()
    return straight, through_rows


@settings(max_examples=200, deadline=None)
@given(RUNS, OPTIONS)
def test_the_table_is_the_same_straight_from_the_index(runs: list[dict[str, Any]], words: list[str]) -> None:
    context = Context(Console())
    context.__dict__.update(index=in_memory(runs), config=None, console=Console())
    with patch.object(Index, "listing", autospec=True, side_effect=Index.listing) as listed:
        straight, through_rows = both_ways(words, context)
    listed.assert_called_once()
    assert straight == through_rows


def test_more_names_than_columns_are_written_too() -> None:
    runs = [{"params": {"lr": 0.1, "opt": "=a"}, "metrics": {"m": 1.5}, "attributes": {}}]
    context = Context(Console())
    with patch("git_replicate.store.indexing.columns.MOST_COLUMNS", 1):
        context.__dict__.update(index=in_memory(runs), config=None, console=Console())
        assert collated([], context)[1].splitlines() == [
            "experiment,id,status,started,seed,params.lr,params.opt,metrics.m",
            "e,20260304-050607-00000000,finished,,,0.1,'=a,1.5",
        ]


@pytest.mark.parametrize(("sort", "columns"), [("started", ["params.a"]), ("-started", ["params.b"])])
def test_only_the_columns_of_the_runs_shown_are_there(sort: str, columns: list[str]) -> None:
    runs = [
        {"params": {name: 1}, "metrics": {}, "attributes": {"started": f"2026-01-0{day}T00:00:00.000000Z"}}
        for name, day in (("c", 2), ("a", 1), ("b", 3))
    ]
    context = Context(Console())
    context.__dict__.update(index=in_memory(runs), config=None, console=Console())
    straight, through_rows = both_ways(["-n", "1", "--sort", sort], context)
    assert straight == through_rows
    assert straight[1].splitlines()[0].split(",")[5:] == columns


@pytest.mark.parametrize(
    ("words", "statuses", "said"),
    [
        ([], ["finished"], "note: left out: 1 failed, 1 lost, 1 running (--all takes them)\n"),
        (["--where", "params.lr <= 0.2"], [], "note: left out: 1 failed, 1 lost, 1 running (--all takes them)\n"
         "no runs to collate; --all takes failed ones as well\n"),
        (["--all"], ["finished", "failed", "lost", "running"], ""),
        (["--all", "--where", "status <> 'running'"], ["finished", "failed"], ""),
        (["--all", "-n", "3"], ["finished", "failed", "lost"], ""),
    ],
)  # fmt: skip
def test_a_run_whose_process_is_gone_is_lost_either_way(
    repo: GitRepo, words: list[str], statuses: list[str], said: str
) -> None:
    opened = open_repository(str(repo.top), backend="plumbing")
    make_run(opened, 1, params={"lr": 0.5}, metrics={"accuracy": 0.9})
    make_run(opened, 2, params={"lr": 0.1}, metrics={}, status=Status.FAILED)
    code = of_head(opened)
    for number, machine in ((3, host()), (4, "elsewhere")):
        record = running(number, code=code, params={"lr": 0.2}, process=Process(host=machine, pid=4_000_000))
        begin(opened, replace(record, metrics={}), Oid(code.snapshot), Oid(code.tree), Parts())
    straight, through_rows = both_ways(words, Context(Console()))
    assert straight == through_rows
    assert [line.split(",")[2] for line in straight[1].splitlines()[1:]] == statuses
    assert straight[2] == said


def test_snapshots_that_differ_in_declared_params_files_alone_are_of_one_code(repo: GitRepo) -> None:
    repo.write("replicate.toml", '[params]\nfiles = ["params.toml"]\n')

    def said_after(lr: str, code: str) -> str:
        repo.write("params.toml", f"lr = {lr}\n")
        repo.write("train.sh", code)
        replicate("start", "--seed", "1", "--", "sh", "train.sh", cwd=repo.top)
        return replicate("collate", "--group-by", "params", cwd=repo.top).stderr

    assert [said_after(lr, "echo acc: 0.5\n") for lr in ("0.1", "0.2")] == ["", ""]
    assert said_after("0.3", "echo acc: 0.6\n") == "note: the runs have 2 different snapshots of the code\n"
