"""`--where` chooses what plain Python would choose, and the documented forms of other trackers work."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.core.record import dumps
from git_replicate.store.indexing.columns import Columns
from git_replicate.store.indexing.index import Index
from git_replicate.store.indexing.schema import connect
from tests.store.making import running
from tests.support import CHECKOUT

NAMES = ("lr", "val/acc", "größe", "a b", "model.depth", "select", "x-y")
STATUSES = ("finished", "failed", "lost")
Truth = bool | None
Expression = tuple[Any, ...]

NUMBERS = st.sampled_from([-1, 0, 1, 2, 0.5, 1e-7, 1e300, -0.25, math.inf, -math.inf])
TEXTS = st.sampled_from(["adam", "SGD", "it's", "ä", "a%b", "true", "1", "0.5", " 2 ", "1e3", "-inf", ""])
PARAMS = st.dictionaries(
    st.sampled_from(NAMES), NUMBERS | TEXTS | st.booleans() | st.just(math.nan), min_size=3, max_size=7
)
METRICS = st.dictionaries(st.sampled_from(NAMES), NUMBERS | st.just(math.nan), min_size=2, max_size=7)
RUNS = st.lists(st.tuples(PARAMS, METRICS, st.sampled_from(STATUSES)), min_size=1, max_size=6)

COLUMNS = st.tuples(st.sampled_from(["params", "metrics"]), st.sampled_from(NAMES))
OPERATORS = st.sampled_from(["=", "==", "!=", "<>", "<", "<=", ">", ">="])
COMPARED_NUMBERS = st.tuples(st.just("number"), COLUMNS, OPERATORS, NUMBERS, st.booleans(), st.booleans())
COMPARED = (
    COMPARED_NUMBERS
    | COMPARED_NUMBERS
    | COMPARED_NUMBERS
    | st.tuples(st.just("text"), COLUMNS, st.sampled_from(["=", "!="]), st.sampled_from(["adam", "SGD", "it's", "ä"]))
    | st.tuples(st.just("null"), COLUMNS, st.booleans())
    | st.tuples(st.just("between"), COLUMNS, NUMBERS, NUMBERS)
    | st.tuples(st.just("in"), COLUMNS, st.lists(NUMBERS | st.sampled_from(["adam", "ä"]), min_size=1, max_size=3))
    | st.tuples(st.just("status"), st.sampled_from(["=", "!="]), st.sampled_from(["FINISHED", "failed", "Lost"]))
)
EXPRESSIONS = st.recursive(
    COMPARED,
    lambda inner: st.tuples(st.sampled_from(["and", "or"]), inner, inner) | st.tuples(st.just("not"), inner),
    max_leaves=5,
)


def literal(value: Any) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def named(column: tuple[str, str]) -> str:
    return f"{column[0]}.{column[1]}" if re.fullmatch(r"\w+(\.\w+)*", column[1]) else f"{column[0]}.`{column[1]}`"


def written(expression: Expression) -> str:
    """The expression as a person types it."""
    kind, *rest = expression
    if kind in ("and", "or"):
        return f"({written(rest[0])} {kind} {written(rest[1])})"
    if kind == "not":
        return f"not ({written(rest[0])})"
    if kind == "status":
        return f"status {rest[0]} '{rest[1]}'"
    name = named(rest[0])
    if kind == "number":
        number = f"'{rest[2]!r}'" if rest[3] else repr(rest[2])
        flipped = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(rest[1], rest[1])
        return f"{number} {flipped} {name}" if rest[4] else f"{name} {rest[1]} {number}"
    if kind == "text":
        return f"{name} {rest[1]} {literal(rest[2])}"
    if kind == "null":
        return f"{name} is {'not ' if rest[1] else ''}null"
    if kind == "between":
        return f"{name} between {rest[1]!r} and {rest[2]!r}"
    return f"{name} in ({', '.join(map(literal, rest[1]))})"


def number_in(value: Any) -> float | int | None:
    """The number that a value is, or is written like; None for none, and for NaN."""
    if isinstance(value, str):
        if not re.fullmatch(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf)\s*", value, re.IGNORECASE):
            return None
        value = float(value)
    found: float | int = value
    return None if found != found else found


def compare(first: Any, operator: str, second: Any) -> bool:
    truths: dict[str, bool] = {
        "=": first == second, "==": first == second, "!=": first != second, "<>": first != second,
        "<": first < second, "<=": first <= second, ">": first > second, ">=": first >= second,
    }  # fmt: skip
    return truths[operator]


def equals(value: Any, wanted: Any) -> Truth:
    if value is None:
        return None
    if isinstance(wanted, str):
        return bool(isinstance(value, str) and value == wanted)
    if isinstance(value, str) and number_in(value) is None:
        return False
    number = number_in(value)
    return None if number is None else number == wanted


def holds(expression: Expression, run: dict[str, Any]) -> Truth:
    """What the expression means, in plain Python; None is SQL's unknown."""
    kind, *rest = expression
    if kind == "not":
        inner = holds(rest[0], run)
        return None if inner is None else not inner
    if kind in ("and", "or"):
        both = (holds(rest[0], run), holds(rest[1], run))
        decisive = kind == "or"
        return decisive if decisive in both else None if None in both else not decisive
    if kind == "status":
        return compare(run["status"].lower(), rest[0], rest[1].lower())
    value = run.get(".".join(rest[0]))
    if kind == "null":
        return (value is not None) is rest[1]
    if kind == "in":
        return any_of([equals(value, wanted) for wanted in rest[1]])
    if kind == "text" or (kind == "number" and rest[1] in ("=", "==", "!=", "<>")):
        truth = equals(value, rest[2])
        return truth if truth is None or rest[1] in ("=", "==") else not truth
    number = None if value is None else number_in(value)
    if number is None:
        return None
    return rest[1] <= number <= rest[2] if kind == "between" else compare(number, rest[1], rest[2])


def any_of(truths: list[Truth]) -> Truth:
    return True if True in truths else None if None in truths else False


def index_of(runs: list[tuple[dict[str, Any], dict[str, Any], str]]) -> Index:
    db = connect("")
    columns = Columns(db)
    for name in NAMES:
        columns.note_nulls([name])
    for row, (params, metrics, status) in enumerate(runs):
        document = tomli.loads(dumps(running(1, params=params, metrics=metrics)).decode())
        for table in ("params", "metrics"):
            cells = columns.encode(table, document.get(table))
            names = "".join(f', "{name}"' for name in cells)
            marks = ", ?" * len(cells)
            db.execute(f"INSERT INTO {table} (row{names}) VALUES (?{marks})", (row, *cells.values()))
        db.execute(
            "INSERT INTO runs (row, ref, oid, experiment, id, status) VALUES (?1, ?1, ?1, 'e', ?1, ?2)", (row, status)
        )
    for name in NAMES:
        if name not in columns.places["metrics"]:
            columns.encode("metrics", {name: 1.0})
    return Index(None, db, "")  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(RUNS, st.lists(COMPARED, min_size=6, max_size=12), EXPRESSIONS, st.sampled_from([0, 900]))
def test_every_query_chooses_what_plain_python_would(
    runs: list[Any], simple: list[Expression], nested: Expression, most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("git_replicate.store.indexing.columns.MOST_COLUMNS", most)
        clear = [
            ({k: v for k, v in params.items() if most or v == v}, metrics, status) for params, metrics, status in runs
        ]
        index = index_of(clear)
        for expression in [*simple, nested]:
            chosen = {row["id"] for row in index.select(written(expression))}
            assert chosen == expected(expression, clear), written(expression)


def expected(expression: Expression, runs: list[tuple[dict[str, Any], dict[str, Any], str]]) -> set[int]:
    found = set()
    for row, (params, metrics, status) in enumerate(runs):
        run = {"status": status, **{f"params.{k}": v for k, v in params.items()}}
        if holds(expression, {**run, **{f"metrics.{k}": v for k, v in metrics.items()}}):
            found.add(row)
    return found


RUN: dict[str, Any] = {"lr": 0.05, "model": "CNN", "epochs": "10"}


def forms() -> list[str]:
    """The expressions of the documented table."""
    text = (CHECKOUT / "docs" / "queries.md").read_text(encoding="utf-8")
    table = text.partition("## Queries of other trackers")[2]
    return [row.replace("\\|", "|") for row in re.findall(r"^\| `` ?(.+?) ?`` \|", table, re.MULTILINE)]


@pytest.mark.parametrize("expression", forms())
def test_the_documented_forms_of_other_trackers_work(expression: str) -> None:
    index = index_of([(RUN, {"accuracy": 0.91, "val/acc": 0.8}, "finished")])
    database = index._db
    database.execute(
        """UPDATE runs SET user = 'ada', started = '2026-05-01T10:00:00.000000Z', tags = '["team=vision"]',
           finished = '2026-05-01T11:00:00.000000Z', message = 'first try', id = '20260501-100000-0badcafe'"""
    )
    assert len(index.select(expression)) == 1


def test_there_are_documented_forms() -> None:
    assert len(forms()) >= 12
