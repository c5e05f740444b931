"""Expressions as people write them become SQL."""

from __future__ import annotations

import pytest

from git_replicate.core.errors import UserError
from git_replicate.core.query import Column, compile_where, parse_sort


def resolve(name: str) -> Column:
    if name in ("started", "finished"):
        return Column(f"T.{name}", "time")
    if name == "status":
        return Column("S", "status")
    if name.startswith("params."):
        return Column(f"P[{name.removeprefix('params.')}]", "param")
    if name.startswith("metrics."):
        return Column(f"M[{name.removeprefix('metrics.')}]", "metric")
    raise UserError(f"no run has {name!r}")


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("metrics.accuracy > 0.9", "M[accuracy] > 0.9"),
        ("metrics.`val/acc` >= .5 and params.lr<1e-3", "M[val/acc] >= .5 and P[lr] < 1e-3"),
        ("params.lr = '0.1'", "P[lr] = 0.1"),
        ("params.opt = 'adam'", "P[opt] = 'adam'"),
        ('params.opt = "adam"', "P[opt] = 'adam'"),
        ("params.model.depth in (1, 2)", "P[model.depth] in ( 1 , 2 )"),
        ("params.flag = true", "P[flag] = 'true'"),
        ("status == 'FAILED' or not status != 'lost'", "S = 'FAILED' or not S <> 'lost'"),
        ("params.name ILIKE '%net%'", "P[name] LIKE '%net%'"),
        ("params.a = 'it''s'", "P[a] = 'it''s'"),
        ("abs(metrics.loss) is not null", "abs ( M[loss] ) is not null"),
        ("started >= '2026-01-02'", "T.started >= '2026-01-02T00:00:00.000000Z'"),
        ("started > '2026-01-02T10:00:00+02:00'", "T.started > '2026-01-02T08:00:00.000000Z'"),
    ],
)
def test_expression(text: str, sql: str) -> None:
    assert compile_where(text, resolve) == sql


@pytest.mark.parametrize("text", ["", "metrics.a > $", "params.lr > 1; drop table runs", "nothing = 1"])
def test_what_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(UserError):
        compile_where(text, resolve)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("-metrics.a", ("metrics.a", True)), ("a desc", ("a", True)), ("metrics.`v/a` asc", ("metrics.v/a", False))],
)
def test_sort(text: str, parsed: tuple[str, bool]) -> None:
    assert parse_sort(text) == parsed
