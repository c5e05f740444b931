"""Expressions as people write them become SQL."""

from __future__ import annotations

import pytest

from git_replicate.core.errors import UserError
from git_replicate.core.query import Column, all_of, compile_where, parse_sort


def resolve(name: str) -> Column:
    if name in ("started", "finished"):
        return Column(name, "time", f"T.{name}")
    if name == "status":
        return Column(name, "status", "S")
    if name == "dirty":
        return Column(name, "flag", "(D IS NOT NULL)", raw="D")
    if name == "tags":
        return Column(name, "tags", "G")
    if name.startswith("params."):
        bare = name.removeprefix("params.")
        return Column(name, "param", f"P[{bare}]", raw=f"R[{bare}]", number=f"N[{bare}]", text=f"X[{bare}]", word="W")
    if name.startswith("metrics."):
        bare = name.removeprefix("metrics.")
        return Column(name, "metric", f"M[{bare}]")
    raise UserError(f"no run has {name!r}")


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("metrics.accuracy > 0.9", "M[accuracy] > 0.9"),
        ("metrics.`val/acc` >= .5 and params.lr<1e-3", "M[val/acc] >= .5 AND N[lr] < 1e-3"),
        ("params.lr = '0.1'", "P[lr] = 0.1"),
        ("0.1 >= params.lr", "N[lr] <= 0.1"),
        ("params.lr > -1", "N[lr] > -1"),
        ("params.lr - 1 > 0", "N[lr] - 1 > 0"),
        ("params.opt = 'adam'", "X[opt] = 'adam'"),
        ('params.opt = "adam"', "X[opt] = 'adam'"),
        ("params.model.depth in (1, '2')", "(P[model.depth] = 1 OR P[model.depth] = 2)"),
        ("params.opt not in ('a')", "NOT (X[opt] = 'a')"),
        ("params.lr between 0 and '1'", "(N[lr] >= 0 AND N[lr] <= 1)"),
        ("params.flag = true", "W = 'true'"),
        ("params.flag is null or params.lr not null", "R[flag] IS NULL OR R[lr] NOT NULL"),
        ("dirty and not dirty = false", "(D IS NOT NULL) AND NOT (D IS NOT NULL) = 0"),
        ("dirty is null", "D IS NULL"),
        ("tags = 'good'", "(has_tag(G, 'good'))"),
        ("status == 'FAILED' or not status != 'lost'", "S = 'FAILED' OR NOT S <> 'lost'"),
        ("params.name ILIKE '%net%'", "X[name] MATCH '%net%'"),
        ("params.a = 'it''s'", "X[a] = 'it''s'"),
        ("abs(metrics.loss) is not null", "abs ( M[loss] ) IS NOT NULL"),
        ("metrics.loss < inf", "M[loss] < 9e999"),
        ("started >= '2026-01-02'", "T.started >= '2026-01-02T00:00:00.000000Z'"),
        (
            "started = '2026-01-02'",
            "(T.started >= '2026-01-02T00:00:00.000000Z' AND T.started < '2026-01-03T00:00:00.000000Z')",
        ),
        ("started > '2026-01-02T10:00:00+02:00'", "T.started >= '2026-01-02T08:00:01.000000Z'"),
        ("started > 1767348000000", "T.started > '2026-01-02T10:00:00.000000Z'"),
    ],
)
def test_expression(text: str, sql: str) -> None:
    assert compile_where(text, resolve) == sql


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--where is empty"),
        ("metrics.a > $", "cannot read '$'"),
        ("params.lr > 1; drop table runs", "one expression only"),
        ("nothing = 1", "no run has 'nothing'"),
        ("load_extension('x')", "there is no function 'load_extension'"),
        ("(select 1)", "no run has 'select'"),
        ("params.a = 'x", "the quote ' is never closed"),
        ("(params.a = 1", "the brackets do not match"),
        ("0.1 < params.lr < 0.9", "comparisons do not chain"),
        ("started > 'soon'", "'soon' is not a date or time"),
        ("started > '2026-02-30'", "'2026-02-30' is not a date or time (day "),
    ],
)
def test_what_cannot_be_read_is_an_error(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        compile_where(text, resolve)
    assert message in caught.value.message
    assert caught.value.hint or message.startswith("no run")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("status = finished", "texts are quoted: status = 'finished'"),
        ("dirty and (tags != started)", "texts are quoted: tags != 'started'"),
        ("tags = baseline", "texts are quoted: tags = 'baseline'"),
        ("params.opt=adam", "texts are quoted: params.opt = 'adam'"),
        ("metrics.accuracy > best", ""),
    ],
)
def test_a_text_without_quotes_is_told_how_it_is_written(text: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        compile_where(text, resolve)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("metrics.a >", "after '>'"),
        ("(metrics.a >) and dirty", "after '>'"),
        ("dirty and", "after 'and'"),
        ("dirty and or dirty", "after 'and'"),
        ("metrics.a + > 1", "after '+'"),
        ("not", "after 'not'"),
        ("params.opt not like", "after 'like'"),
        ("> 0.9", "before '>'"),
        ("(or dirty)", "before 'or'"),
    ],
)
def test_half_an_expression_says_which_half_is_not_there(text: str, where: str) -> None:
    with pytest.raises(UserError) as caught:
        compile_where(text, resolve)
    assert caught.value.message == f"--where: there is nothing {where}"


@pytest.mark.parametrize(
    "text",
    [
        "params.a = params.b", "started = finished", "-params.a < 0", "params.a = - params.b", "not (not dirty)",
        "params.a - -1 > 0", "params.a is not null", "params.a not in (1)", "params.a * (1 + params.b) > 2",
    ],
)  # fmt: skip
def test_whole_expressions_are_taken(text: str) -> None:
    assert compile_where(text, resolve)


def test_conditions_and_an_expression_are_one() -> None:
    assert all_of(["a = 1"], "b or c") == "a = 1 and (b or c)"
    assert all_of(["a = 1", "d"], None) == "a = 1 and d"
    assert (all_of([], None), all_of(["a = 1"], " ")) == (None, " ")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("-metrics.a", ("metrics.a", True)),
        ("a desc", ("a", True)),
        ("metrics.`v/a` asc", ("metrics.v/a", False)),
        ("metrics.`odd name` DESC", ("metrics.odd name", True)),
    ],
)
def test_sort(text: str, parsed: tuple[str, bool]) -> None:
    assert parse_sort(text) == parsed


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("metrics.'acc/train' > 0.5", "--where 'metrics.`acc/train` > 0.5'"),
        ("metrics.acc/train > 0.5 and dirty", "--where 'metrics.`acc/train` > 0.5'"),
        ("dirty and acc/train>0.5", "--where 'metrics.`acc/train`>0.5'"),
        ("acc/train is not null", "--where 'metrics.`acc/train` > 0'"),
        ("params.top@1 = 3", "--where 'params.`top@1` = 3'"),
        ("macc/train > 0.5", "try: collate"),
    ],
)
def test_a_name_that_stands_in_backticks_is_offered_so(text: str, hint: str) -> None:
    def unknown(name: str) -> Column:
        if name == "dirty":
            return resolve(name)
        raise UserError(f"no run has {name!r}", "try: collate")

    with pytest.raises(UserError) as caught:
        compile_where(text, unknown, ["metrics.acc/train", "params.top@1"])
    assert caught.value.hint.removeprefix("such a name stands in backticks: ") == hint
