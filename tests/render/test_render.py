"""Every format escapes what its readers would take for something else."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.core.table import Table
from git_replicate.render import renderer, text
from git_replicate.render.details import describe_run

NASTY = Table(("a|b", "<b>", "x"), (("=1+1", "<script>", math.nan), ("a\x1b[31m", "|_$", None)), notices=())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(), st.floats(), st.none() | st.integers()), max_size=4))
def test_csv_comes_back_as_it_was(rows: list[tuple[str, float, int | None]]) -> None:
    table = Table(("t", "f", "i"), tuple(rows))
    back = list(csv.reader(io.StringIO(renderer("csv")(table), newline="")))
    assert back[0] == ["t", "f", "i"]
    for (word, number, whole), cells in zip(rows, back[1:], strict=True):
        lines = word.replace("\r\n", "\n").replace("\r", "\n")
        assert cells[0] in (lines, "'" + lines)
        assert repr(number) == cells[1]
        assert cells[2] == ("" if whole is None else str(whole))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.none()
        | st.booleans()
        | st.floats()
        | st.integers()
        | st.text()
        | st.sampled_from(["=1", "-1", "\r", "a\n-"]),
        min_size=1,
        max_size=600,
    )
)
def test_a_csv_cell_does_not_depend_on_those_around_it(values: list[object]) -> None:
    alone = [renderer("csv")(Table(("a", "b"), ((value, 1),))).removeprefix("a,b\n") for value in values]
    assert renderer("csv")(Table(("a", "b"), tuple((value, 1) for value in values))) == "a,b\n" + "".join(alone)


def test_csv_starts_no_formula() -> None:
    assert renderer("csv")(NASTY).splitlines()[1].startswith("'=1+1,")


def test_json_has_words_for_what_json_lacks() -> None:
    found = json.loads(renderer("json")(Table(("a",), ((math.nan,), (-math.inf,), (None,)))))
    assert found == [{"a": "nan"}, {"a": "-inf"}, {"a": None}]


@pytest.mark.parametrize("name", ["markdown", "html", "latex"])
def test_no_format_passes_control_characters_or_markup(name: str) -> None:
    drawn = renderer(name)(NASTY)
    assert "\x1b" not in drawn
    assert "<script>" not in drawn


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=4), st.integers(10, 60))
def test_a_persons_table_fits_and_holds_no_control_characters(cells: list[str], width: int) -> None:
    table = Table(tuple(f"c{i}" for i in range(len(cells))), (tuple(cells),))
    drawn = text.render(table, width=width)
    assert not any(ord(c) < 32 and c != "\n" for c in drawn)
    assert len(drawn.split("\n")) <= 4
    assert all(len(line) <= width for line in drawn.split("\n")[:2]) or width < 13 * len(cells)


def test_a_param_that_is_empty_or_none_is_seen_to_be_so() -> None:
    document = {
        "experiment": "e", "id": "i", "status": "finished", "params": {"name": "", "lr": 0.1},
        "params_null": ["resume"], "params_source": {"name": "parsed", "lr": "parsed", "resume": "parsed"},
        "params_given": ["lr"],
    }  # fmt: skip
    shown = describe_run(document, {}, lambda text, *styles: text).split("params\n")[1]
    assert shown.splitlines()[:3] == ['  name    ""  (default)', "  lr      0.1  (parsed)", "  resume  none  (default)"]


def test_what_a_run_has_itself_is_not_taken_for_a_param_of_that_name() -> None:
    table = Table(("run", "params.seed", "metrics.seconds", "params.lr"), (("a", 4, 1.5, 0.1), ("b", 5, 2.5, 0.2)))
    assert text.render(table).splitlines()[0] == "run  params.seed  metrics.seconds   lr"


def test_an_empty_text_is_no_empty_cell() -> None:
    table = Table(("run", "params.note", "message"), (("a", "", ""), ("b", None, "m")), (("params.tag", ""),))
    assert text.render(table).splitlines() == ['tag=""', "run  note  message", 'a    ""', "b          m"]


def test_what_goes_to_a_file_is_not_cut() -> None:
    assert "y" * 500 in text.render(Table(("a",), (("y" * 500,),)), width=None)


def wide(params: int) -> Table:
    names = tuple(f"params.a_rather_long_name_{i:02}" for i in range(params))
    columns = ("run", "status", *names, "metrics.acc", "metrics.val_loss", "message")
    row = (0.5,) * params
    return Table(
        columns, (("0a", "interrupted", *row, 0.91234, 1.0, "m" * 90), ("0b", "lost", *row, 0.1, 2.0, "")),
        (("experiment", "digits"), *((f"params.c{i}", i) for i in range(30))),
    )  # fmt: skip


def test_a_narrow_table_shows_the_metrics_and_says_what_it_hides() -> None:
    head, names, first, _, hidden, _ = text.render(wide(20), width=80).split("\n")
    assert head.startswith("experiment=digits  c0=0  c1=1")
    assert head.endswith(" more")
    assert names.split() == ["run", "status", "a_rath…ame_00", "a_rath…ame_01", "a_rath…ame_02", "acc", "val_loss"]
    assert first.split() == ["0a", "interrupted", "0.5", "0.5", "0.5", "0.91234", "1"]
    assert hidden == "(18 columns hidden: a_rather_long_name_03, a_rather_lo…; all of them: | less -S)"


def test_a_number_is_never_cut() -> None:
    drawn = text.render(Table(("t", "n"), (("x" * 50, 123456.125), ("y", -1.2345e-300))), width=26)
    assert "1.2346e+05" in drawn
    assert "-1.2345e-300" in drawn


def test_wide_characters_count_twice() -> None:
    drawn = text.render(Table(("名前", "n"), (("学習率が高い", 1), ("x", 2))), width=40)
    assert drawn == "名前          n\n学習率が高い  1\nx             2\n"


def test_runs_of_other_trackers_are_shown_with_where_they_are() -> None:
    trackers = {
        "wandb": [{"id": "a1", "project": "p", "directory": "wandb/offline-run-a1", "offline": True}],
        "mlflow": [{"id": "b2", "tracking_uri": "https://host", "url": "https://host/#/b2\x1b[31m"}],
        "tensorboard": [{"directory": f"runs/{n}"} for n in range(21)],
    }
    document = {"experiment": "x", "id": "y", "status": "finished", "trackers": trackers}
    text = describe_run(document, {}, lambda text, *_: str(text).replace("\x1b", ""))
    lines = text[text.index("trackers") :].splitlines()
    assert lines[:4] == [
        "trackers", "  wandb  a1 wandb/offline-run-a1  (offline)", "  mlflow  b2 https://host/#/b2[31m",
        "  tensorboard  runs/0",
    ]  # fmt: skip
    assert lines[-1] == "  tensorboard  and 1 more"


@pytest.mark.parametrize(("base", "see"), [("1" * 40, f"git diff {'1' * 12} {'2' * 12}"), ("", f"git show {'2' * 12}")])
def test_what_was_not_committed_is_seen_by_a_command_that_works_before_the_first_commit_too(
    base: str, see: str
) -> None:
    code = {"snapshot": "2" * 40, "dirty": True, "base": base}
    document = {"experiment": "e", "id": "i", "status": "finished", "code": code}
    shown = describe_run(document, {}, lambda text, *styles: text)
    assert f"  dirty     uncommitted changes ran; see: {see}\n" in shown


def test_a_text_of_several_lines_looks_like_no_other_part_of_the_page() -> None:
    document = {
        "experiment": "e", "id": "i", "status": "finished", "command": ["python", "-c", "a = 1\nmetrics(a)"],
        "comment": "first\n\noutputs\n  x", "params": {"text\nparams": "a\nb"}, "missing": ["one\nverdict"],
        "outputs": {"o\nseeds": {"bytes": 1}},
    }  # fmt: skip
    shown = describe_run(document, {}, lambda text, *styles: text).splitlines()
    assert [line for line in shown if line[:1].strip()] == ["run e/i", "params", "code", "outputs", "not complete"]
    start = next(number for number, line in enumerate(shown) if line.startswith("  command"))
    assert shown[start : start + 2] == ["  command  python -c 'a = 1", "           metrics(a)'"]
    assert "           outputs" in shown
    assert "  text\\x0aparams  a" in shown
    assert "                  b" in shown
    assert "  one\\x0averdict" in shown


def test_a_param_that_varies_is_shown_before_one_that_some_runs_have_all_alike() -> None:
    columns = ("run", "params.alike", "params.varies")
    table = Table(columns, tuple((f"0000000{n}", None if n else "the same for all", n / 3) for n in range(3)))
    assert text.render(table, width=20).splitlines()[0].split() == ["run", "varies"]


def test_columns_that_most_runs_have_come_before_those_that_few_have_and_a_status_is_not_cut() -> None:
    columns = ("run", "status", *(f"metrics.only_{n:02}_of_few" for n in range(30)), "params.lr", "metrics.loss")
    rows = []
    for n in range(30):
        few: list[float | None] = [None] * 30
        few[n] = float(n)
        few[7] = n * 0.5 if n < 12 else few[7]
        rows.append((f"{n:08}", "finished (rerun)", *few, n * 0.1, n * 1.5))
    names, first, *_ = text.render(Table(columns, tuple(rows)), width=60).split("\n")
    assert names.split() == ["run", "status", "only_07_of_few", "lr", "loss"]
    assert first.split() == ["00000000", "finished", "(rerun)", "0", "0", "0"]
    head = text.render(Table(columns, tuple(rows)), width=200).split("\n")[0].split()
    assert head[-2:] == ["lr", "loss"]
    assert len(head) > 5


def test_long_facts_are_cut_and_what_was_moved_can_be_opened() -> None:
    document = {
        "experiment": "a", "id": "b", "status": "finished", "runtime": {"cpu_features": "AVX512 " * 60},
        "files": [{"path": "m.bin", "moved_to": "replicate/files/b/m.bin"}, {"path": "kept.bin"}],
    }  # fmt: skip
    lines = describe_run(document, {}, lambda text, *styles: text, "../.git").splitlines()
    assert "  ../.git/replicate/files/b/m.bin, kept.bin" in lines
    (features,) = (line for line in lines if "cpu_features" in line)
    assert features.endswith("AVX512… (420 characters)")
    assert len(features) < 140


def test_a_long_list_hangs_below_its_beginning_on_a_terminal_and_a_command_is_one_line() -> None:
    document = {
        "experiment": "e", "id": "1", "status": "finished", "command": ["echo", *("word, " * 20).split()],
        "code": {"snapshot": "abc", "executed": [f"package/module_{n:02}.py" for n in range(8)]},
        "metrics": {"acc": 0.5},
    }  # fmt: skip
    curves = {"acc": [{"value": 0.5}], "loss": [{"value": 0.5}, {"value": 0.25}]}
    lines = describe_run(document, curves, lambda text, *styles: text, width=60).splitlines()
    first = lines.index("  executed  package/module_00.py, package/module_01.py,")
    assert lines[first + 1 : first + 4] == [
        "            package/module_02.py, package/module_03.py,",
        "            package/module_04.py, package/module_05.py,",
        "            package/module_06.py, package/module_07.py",
    ]
    assert [line for line in lines if len(line) > 60] == [line for line in lines if "command" in line]
    assert "  loss  █▁  2 points" in lines
    assert not [line for line in lines if "1 point" in line]
    piped = describe_run(document, curves, lambda text, *styles: text).splitlines()
    assert "package/module_07.py" in next(line for line in piped if "executed" in line)
