"""How much a changed file weighs as a cause, by its name as records write it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from git_replicate.core.causes import ChangedFile, find_causes, is_prose
from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.paths import quote_path
from git_replicate.core.record import Code, Record, Status
from git_replicate.core.verdict import Side

EMPTY = Record(
    RunId("20240102-030405-00000000"), ExperimentName("e"), Status.FINISHED, started=datetime(2024, 1, 2, tzinfo=UTC)
)


@pytest.mark.parametrize(
    ("path", "executed", "score"),
    [
        (b"notes.md", (), 0.05), (b"x\ny.md", (), 0.05), (b"caf\xe9.rst", (), 0.05),
        (b"train.cu", (), 0.8), (b"a\tb.cu", (), 0.8), (b'say "x".py', (), 0.8),
        (b'say "x".py', ("train.py",), 0.2), (b"weights.bin", (), 0.5), (b"notes.md\n", (), 0.5),
    ],
)  # fmt: skip
def test_the_kind_of_a_file_is_told_by_its_name_not_by_how_that_is_quoted(
    path: bytes, executed: tuple[str, ...], score: float
) -> None:
    side = Side(replace(EMPTY, code=Code(executed=executed)))
    found = find_causes(side, side, [ChangedFile(quote_path(path), "1" * 40, "2" * 40)])
    assert [(cause.name, cause.score) for cause in found] == [(quote_path(path), score)]
    assert is_prose(quote_path(path)) is (score == 0.05)


@pytest.mark.parametrize(
    ("read", "score"), [((), 0.05), (("corpus/train.txt",), 0.9), (("corpus",), 0.9), (("corp",), 0.05)]
)
def test_a_tracked_file_that_a_run_read_counts_like_one_that_it_executed(read: tuple[str, ...], score: float) -> None:
    first, second = (Side(replace(EMPTY, code=Code(executed=("train.py",), read=each))) for each in ((), read))
    found = find_causes(first, second, [ChangedFile("corpus/train.txt", "1" * 40, "2" * 40)])
    assert [cause.score for cause in found] == [score]


def stages(script: str, raw: str, clean: str, counted: str) -> Side:
    """A run after two stages, the second of which reads what the first makes."""
    prepare = {"script_hash": f"sha256:{script}", "inputs": {"data/raw": raw}, "outputs": {"data/clean": clean}}
    count = {"script_hash": "sha256:c", "inputs": {"data/clean": clean}, "outputs": {"data/lines": counted}}
    return Side(EMPTY, stages={"prepare": prepare, "count": count})


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (stages("s", "raw 2", "clean 2", "lines 2"), ("data", "data/raw", "raw", "raw 2", 0.92)),
        (stages("t", "raw", "clean 2", "lines"), ("code", "stage prepare", "s", "t", 0.85)),
        (stages("s", "raw", "clean", "lines 2"), ("data", "data/lines", "lines", "lines 2", 0.92)),
        (stages("t", "raw 2", "clean", "lines"), None),
    ],
)
def test_what_came_into_a_stage_that_made_other_things_is_a_cause(
    second: Side, expected: tuple[str, str, str, str, float] | None
) -> None:
    found = find_causes(stages("s", "raw", "clean", "lines"), second, [])
    assert [(cause.kind, cause.name, cause.first, cause.second, cause.score) for cause in found] == (
        [expected] if expected else []
    )


def test_a_tracked_input_of_a_stage_that_made_other_things_counts_like_a_file_that_was_read() -> None:
    first, second = stages("s", "raw", "clean", "lines"), stages("s", "raw 2", "clean 2", "lines")
    found = find_causes(first, second, [ChangedFile("data/raw/words.txt", "1" * 40, "2" * 40)])
    assert [(cause.kind, cause.name, cause.score) for cause in found] == [("code", "data/raw/words.txt", 0.9)]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("python train.py 1 out", "python train.py 3 out", [("command", "1", "3")]),
        ("python train.py", "python train.py --fast", [("command", None, "--fast")]),
        ("python train.py", "python other.py", [("command", "train.py", "other.py")]),
        ("python3 train.py", "/opt/venv/bin/python3.12 train.py", []),
        ("./fast 1", "./slow 1", [("command", "./fast", "./slow")]),
        ("python train.py 'a b' c", "python train.py d c", [("command", "'a b'", "d")]),
        ("python train.py", "python train.py", []),
    ],
)
def test_words_of_the_command_that_are_no_params_are_a_cause(
    first: str, second: str, expected: list[tuple[str, str | None, str | None]]
) -> None:
    sides = [Side(replace(EMPTY, command=tuple(shlex.split(words)))) for words in (first, second)]
    found = find_causes(sides[0], sides[1], [])
    assert [(cause.name, cause.first, cause.second) for cause in found] == expected


def test_a_param_that_the_command_gave_stands_for_its_words() -> None:
    sides = [
        Side(
            replace(
                EMPTY, command=("python", "t.py", "--lr", str(lr)), params={"lr": lr}, params_given=("lr",),
                params_source={"lr": "parsed"},
            )
        )
        for lr in (1, 2)
    ]  # fmt: skip
    assert [cause.name for cause in find_causes(sides[0], sides[1], [])] == ["lr"]


@pytest.mark.parametrize(("source", "score"), [("parsed", 0.2), ("command", 0.9)])
def test_words_of_which_a_parser_made_the_same_count_little(source: str, score: float) -> None:
    first = replace(EMPTY, command=("python", "t.py"), params={"n": 3}, params_source={"n": source})
    second = replace(first, command=("python", "t.py", "--n", "3"), params_given=("n",))
    assert [(cause.second, cause.score) for cause in find_causes(Side(first), Side(second), [])] == [("--n 3", score)]


def test_another_working_folder_is_a_cause() -> None:
    found = find_causes(Side(EMPTY), Side(replace(EMPTY, directory="sub")), [])
    assert [(cause.name, cause.first, cause.second) for cause in found] == [("directory", ".", "sub")]


def test_a_param_that_is_none_is_nothing_and_not_a_text_of_that_name() -> None:
    none, text = Side(replace(EMPTY, params_null=("scheduler",))), Side(replace(EMPTY, params={"scheduler": "none"}))
    (cause,) = find_causes(none, text, [])
    assert (str(cause.first), cause.second) == ("none", "none")
    assert (cause.as_document()["from"], cause.as_document()["to"]) == (None, "none")
    (absent,) = find_causes(Side(EMPTY), text, [])
    assert absent.as_document()["from"] is None


@pytest.mark.parametrize("imported", [False, True])
def test_another_git_replicate_is_no_cause_unless_the_program_imports_it(imported: bool) -> None:
    record = replace(EMPTY, runtime={"imported": {"git-replicate": "0.1.0"}} if imported else {})
    first = Side(record, environment={"packages": {"git-replicate": "0.1.0", "six": "1.15"}})
    second = Side(record, environment={"packages": {"git-replicate": "0.2.0", "six": "1.16"}})
    names = sorted(cause.name for cause in find_causes(first, second, []))
    assert names == (["git-replicate", "six"] if imported else ["six"])
