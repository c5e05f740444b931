"""Records read by their shape come to the index as those that a TOML parser reads, whatever is in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.core.names import ExperimentName, RunId, run_ref
from git_replicate.core.record import Best, Code, Output, Seeds, Status, WrittenFile, dumps
from git_replicate.git.repository import Oid
from git_replicate.store.indexing import fill as index_fill
from git_replicate.store.indexing import shapes as index_shapes
from git_replicate.store.indexing import text as index_text
from git_replicate.store.indexing.index import Index
from git_replicate.store.indexing.schema import connect
from git_replicate.store.indexing.shapes import Shapes
from tests.store.making import START, ended, run_id

Table = list[tuple[Any, ...]]
TREE = b"100644 data.toml\0" + b"\1" * 20 + b"100644 run.toml\0" + b"\2" * 20


class Texts:
    """As much of a repository as the filler asks for: texts of records, all with the same files beside them."""

    layout = SimpleNamespace(object_format="sha1")

    def __init__(self, texts: Sequence[bytes]) -> None:
        self._texts = texts

    def read_many(self, names: Iterable[str]) -> Iterator[bytes | None]:
        for number, name in enumerate(names):
            yield self._texts[number // 2] if name.endswith(".toml") else TREE


def filled(texts: Sequence[bytes], *, shapes: bool = True) -> tuple[list[dict[str, Any]], Table, Table]:
    """What an index of these records answers, what it holds of extremes, and what is known of its columns.

    Each record gets the id of its place first: one that is not its ref's would count as unreadable.
    """
    texts = [
        re.sub(rb'^id = "[0-9a-z-]+"$', f'id = "{run_id(number)}"'.encode(), text, count=1, flags=re.MULTILINE)
        for number, text in enumerate(texts)
    ]
    db = connect("")
    refs = [(run_ref(ExperimentName("digits"), run_id(number)), Oid(f"{number:040x}")) for number in range(len(texts))]
    filler = index_fill._Filler(db, Texts(texts))  # type: ignore[arg-type]
    with patch.object(Shapes, "read", autospec=True, side_effect=Shapes.read if shapes else lambda *_: None) as read:
        filler._add(refs, 1)
    assert read.call_count == len(texts)
    rows = Index(None, db, "").select(sort=["attributes.ref"])  # type: ignore[arg-type]
    raw = [[repr(item) for item in row] for row in db.execute("SELECT * FROM runs ORDER BY row")]
    names = {place: name for name, place in db.execute("SELECT name, place FROM names WHERE tab = 'best'")}
    best = [
        (row, sorted((names[place], numbers) for place, numbers in json.loads(text, parse_int=float).items()))
        for row, text in db.execute("SELECT row, best FROM metrics WHERE best IS NOT NULL")
    ]
    known = db.execute("SELECT tab, name, substr(place, 1, 1), kinds FROM names ORDER BY tab, name").fetchall()
    return [{**row, "raw": stored} for row, stored in zip(rows, raw, strict=False)], best, known


def same(texts: Sequence[bytes]) -> bool:
    """Whether the records come to the same index by their shapes and one by one."""
    return repr(filled(texts)) == repr(filled(texts, shapes=False))


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6) | st.sampled_from(
    ["lr", "val/acc", "a.b", "min", "format", "x = 1"]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(
    ["12", "0.5", "nan", "true", "a = 1", "a = 1\n", "[x]", '"', "\\", "'''", "#", "\u20631", "%s", "2026-01-01"]
)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "number": st.floats() | st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "text": TEXTS,
    "flag": st.booleans(),
    "list": st.lists(st.integers() | TEXTS | st.booleans(), max_size=3),
    "time": st.datetimes(timezones=st.just(UTC)),
    "any": st.floats() | TEXTS | st.booleans() | st.lists(TEXTS, max_size=2) | st.dates(),
}
STEPS = st.none() | st.integers(0, 9)
BESTS = st.builds(Best, KINDS["number"], STEPS, KINDS["number"], STEPS)


@st.composite
def sweeps(draw: st.DrawFn) -> list[bytes]:
    """Records of a few programs, each of which writes the same names at every run."""
    texts: list[bytes] = []
    for _ in range(draw(st.integers(1, 2))):
        params = draw(st.dictionaries(NAMES, st.sampled_from([*KINDS]), max_size=4))
        nested = draw(st.dictionaries(NAMES, st.sampled_from([*KINDS]), max_size=2))
        metrics = draw(st.dictionaries(NAMES, st.sampled_from(["number", "float"]), max_size=3))
        best = draw(st.sets(st.sampled_from([*metrics]))) if metrics else set()
        for _ in range(draw(st.integers(1, 5))):
            values = {name: draw(KINDS[kind]) for name, kind in params.items()}
            inner = {name: draw(KINDS[kind]) for name, kind in nested.items()}
            record = ended(
                len(texts),
                id=run_id(len(texts)),
                params={**values, "model": inner} if nested else values,
                metrics={name: draw(KINDS[kind]) for name, kind in metrics.items()},
                metrics_best={name: draw(BESTS) for name in sorted(best)},
                message=draw(st.just("") | TEXTS),
                params_null=tuple(draw(st.sampled_from([(), (), ("none",), ("no", "none")]))),
                seconds=draw(st.floats(0, 1e30)),
                seeds=Seeds(run=draw(st.none() | st.integers(0, 2**32))),
                code=Code(dirty=draw(st.booleans()), executed=tuple(draw(st.sampled_from([(), ("a.py", "b.py")])))),
            )
            texts.append(dumps(record))
    return texts


@settings(max_examples=150, deadline=None)
@given(sweeps())
def test_records_of_a_few_programs_come_to_the_same_index(texts: list[bytes]) -> None:
    assert same(texts)


def plain(number: int, **fields: Any) -> bytes:
    """The record of a run as `start` writes one, with everything in it that is read and not asked for."""
    chosen: dict[str, Any] = {
        "params": {"lr": 0.25 + number, "opt": "adam", "model": {"depth": number}, "aug": True, "layers": [1, number]},
        "params_source": dict.fromkeys(["lr", "opt"], "parsed"),
        "metrics": {"val/loss": 0.5 + number, "accuracy": 1.0 / (number + 1)},
        "metrics_best": {"accuracy": Best(0.125, 1, 0.875, number)},
        "metrics_source": {"val/loss": "stdout", "accuracy": "api"},
        "seeds": Seeds(run=7 * number, mode="auto"),
        "files": tuple(WrittenFile(f"log/{i}", number, START) for i in range(number % 3)),
        "outputs": {f"model-{i}.pt": Output("sha256:00", 3, "tree") for i in range(number % 3)},
        "seconds": 61.25,
    }
    return dumps(ended(number, **{**chosen, **fields}))


def test_of_runs_of_one_program_but_the_first_two_are_parsed() -> None:
    with patch.object(index_fill, "read_document", side_effect=index_text.read_document) as parsed:
        rows, best, _ = filled([plain(number) for number in range(9)])
    assert parsed.call_count == 3  # with no, with one, and with several files written
    assert [row["params.model.depth"] for row in rows] == [*range(9)]
    assert rows[7]["metrics.val/loss"] == 7.5
    assert rows[7]["started"] == "2026-03-04T05:06:14.000000Z"
    assert best[7] == (8, [("accuracy", [0.125, 1.0, 0.875, 7.0]), ("val/loss", [7.5, None, 7.5, None])])
    assert same([plain(number) for number in range(9)])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lr = 5.25", "lr = nan"), ("lr = 5.25", "lr = -inf"), ("lr = 5.25", "lr = 1e999"), ("lr = 5.25", "lr = 0x10"),
        ("lr = 5.25", "lr = 12345678901234567890"), ("lr = 5.25", "lr = 01"), ("lr = 5.25", "lr = 1."),
        ("lr = 5.25", 'lr = "5.25"'), ("lr = 5.25", "lr = true"), ("lr = 5.25", "lr = 5"), ("lr = 5.25", "lr = -0"),
        ("lr = 5.25", "lr = 2026-01-01 00:00:00+00:00"), ("lr = 5.25", "lr = [\n    1,\n]"), ("lr = 5.25", "lr = {}"),
        ("lr = 5.25", "lr = [\n    { a = 1 },\n]"), ("lr = 5.25", "lr = 5.25 # more"), ("lr = 5.25", "lr = '5'"),
        ("lr = 5.25", 'lr = """\nx = 1\n"""'), ("lr = 5.25", "lr = 5.25\nlr = 5.25"), ("lr = 5.25", "# lr = 5.25"),
        ("lr = 5.25", 'lr = "\\q"'), ("lr = 5.25", 'lr = "\\u00e9"'), ("lr = 5.25", 'lr = "\x7f"'),
        ("lr = 5.25", 'lr = "\u20633"'), ("lr = 5.25", '"l\\u0072" = 1.0'), ("lr = 5.25", "lr = 1e3"),
        ("lr = 5.25", 'lr = 5.25\nmodel.depth = "x"'), ("layers = [", "layers = [\n    2026-01-01 00:00:00+00:00,"),
        ('opt = "adam"', "opt = 3"), ('opt = "adam"', 'opt = "-12"'), ("aug = true", "aug = 1"),
        ("started = 2026-03", "started = 2026-13"), ("started = 2026-03", 'started = "x" #'),
        ("started = 2026-03-04 05:06:12+00:00", "started = 20260304"),
        ("started = 2026-03-04 05:06:12+00:00", "started = 2026-03-04 05:06:12.250000+00:00"),
        ("started = 2026-03-04 05:06:12+00:00", "started = 2026-03-04T05:06:12+01:00"),
        ("started = 2026-03-04 05:06:12+00:00", 'started = "2026-03-04 05:06:12+00:00"'),
        ("seconds = 61.25", "seconds = 1e300"), ("seconds = 61.25", "seconds = true"),
        ("seconds = 61.25", 'seconds = "x"'), ('"python",', '"python",\n    "-u",'), ('"python",', "3,"),
        ('status = "finished"', "status = 3"), ('status = "finished"', 'state = "finished"'),
        ("format = 1", "format = 2"), ("format = 1", 'format = "1"'), ("format = 1", "format = 1.0"),
        ("format = 1", "format = true"), ("format = 1", "format = 0x1"), ('id = "2026', 'id = "2025'),
        ('experiment = "digits"', 'experiment = "other"'), ("[params]", "[params]\n# x = 1"), ("[params]", "[parms]"),
        ("[metrics]", "[[metrics]]"), ("[params.model]", "[params.model.inner]"), ("[params.model]", "[metrics]"),
        ("[params.model]", "[params.opt]"), ("min = 0.125", "min = nan"), ("min = 0.125", 'min = "x"'),
        ("min = 0.125", "min = true"), ("min = 0.125", "other = 1"), ("max_step = 5\n", ""), ("run = 35", "run = -35"),
        ("[metrics_best.accuracy]", "[metrics_best]"), ("\n", "\r\n"), ("finished", "finished\0"),
        ("\n\n[params]", "\nunreadable = 1\n\n[params]"), ("adam", "\ud800"),
    ],
)  # fmt: skip
def test_a_record_that_differs_is_read_as_the_parser_reads_it(old: str, new: str) -> None:
    text = plain(5).decode()
    assert old in text
    odd = text.replace(old, new).encode(errors="surrogatepass")
    alike = [plain(number).replace(old.encode(), new.encode(errors="surrogatepass")) for number in (2, 8)]
    others = [plain(number) for number in (0, 3, 6, 1)]
    assert same([*others[:3], others[3], others[3], odd, *alike, odd, odd])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_text_that_was_tampered_with_is_read_as_the_parser_reads_it(data: st.DataObject) -> None:
    text = plain(0, params_source={}, metrics_source={}).decode()
    marks = st.text(st.sampled_from("=[]{}\"'\\\n#.,0a1e- \x00"), max_size=3)
    texts = [text.encode()] * 3
    for _ in range(3):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 6, len(text))))
        texts += [(text[:start] + data.draw(marks) + text[end:]).encode()] * 2
    assert same(texts)


def test_where_there_are_too_many_shapes_the_rest_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [plain(number, params={f"p{number % 4}": number}) for number in range(24)]
    expected = filled(texts, shapes=False)
    for name in ("_MOST_SHAPES", "_MOST_PLANS", "_MOST_MET"):
        for most in (0, 1):
            monkeypatch.setattr(index_shapes, name, most)
            assert repr(filled(texts)) == repr(expected)
            monkeypatch.undo()


def test_names_beyond_the_columns_are_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("git_replicate.store.indexing.columns.MOST_COLUMNS", 1)
    assert same([plain(number) for number in (0, 3, 6, 9)])


def test_a_failed_run_and_an_unfinished_one_have_shapes_of_their_own() -> None:
    texts = [plain(n, status=Status.FAILED, reason="exit 1", exit_code=1) for n in range(0, 9, 3)]
    texts += [plain(0, status=Status.RUNNING, finished=None, metrics={}, metrics_best={})] * 3
    rows, *_ = filled([text.replace(run_id(0).encode(), run_id(i).encode()) for i, text in enumerate(texts)])
    assert RunId(rows[0]["id"]) == run_id(0)
    assert same(texts)


@pytest.mark.parametrize("quotes", ['"""', "'''"])
def test_a_heading_in_a_text_of_several_lines_is_text(quotes: str) -> None:
    texts = []
    for number in range(4):
        text = dumps(ended(number, message="M")).decode()
        texts.append(text.replace('"M"', f"{quotes}a\n[outputs]\n{number}\n[x]{quotes}").encode())
    rows, *_ = filled(texts)
    assert [row["message"] for row in rows] == [f"a\n[outputs]\n{number}\n[x]" for number in range(4)]
