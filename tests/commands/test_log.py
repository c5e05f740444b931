"""`log` on a terminal shows what a person pages through; elsewhere it gives all there is."""

from __future__ import annotations

import pytest

from git_replicate.commands import collate, find_command, log
from git_replicate.commands.context import Context
from git_replicate.commands.parser import parse_options
from git_replicate.console import Console
from git_replicate.git.opening import open_repository
from tests.store.making import make_run
from tests.support import GitRepo, replicate


@pytest.mark.parametrize(
    ("words", "width", "shown", "note"),
    [
        ([], 80, ["0000000a", "00000009", "00000008"], True),
        (["-n", "5"], 80, ["0000000a", "00000009", "00000008", "00000007", "00000006"], False),
        ([], None, [f"{number:08x}" for number in range(10, 0, -1)], False),
        (["--sort", "started"], 80, ["00000001", "00000002", "00000003"], True),
        (["--where", "id like '%0a'"], 80, ["0000000a"], False),
        (["-n", "0"], 80, [], False),
    ],
)
def test_a_terminal_gets_the_first_ones_unless_a_number_is_asked_for(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], width: int | None, shown: list[str], note: bool,
) -> None:  # fmt: skip
    opened = open_repository(".", backend="plumbing")
    for number in range(1, 11):
        make_run(opened, number)
    monkeypatch.setattr(log, "_PAGED", 3)
    monkeypatch.setattr(Console, "width", property(lambda self: width))
    command = find_command("log")
    assert command is not None
    assert log.execute(parse_options(command, log, words), Context(Console())) == 0
    captured = capsys.readouterr()
    runs = [line.split()[0] for line in captured.out.splitlines() if line[:1].isdigit()]
    assert runs == shown
    assert "no runs" not in captured.err
    assert ("note: the first 3 runs; for more, say how many: git replicate log -n 100000" in captured.err) is note


@pytest.mark.parametrize("name", ["log", "collate"])
def test_an_experiment_that_is_not_there_is_said_with_the_nearest(repo: GitRepo, name: str) -> None:
    make_run(open_repository(".", backend="plumbing"))
    for words in ((), ("--format", "csv")):
        unknown = replicate(name, "digit", *words)
        assert (unknown.returncode, unknown.stdout) == (1, "")
        assert unknown.stderr.endswith("no experiment is called 'digit'\nhint: did you mean digits?\n")
    empty = replicate(name, "digits", "--where", "status = 'failed'")
    assert (empty.returncode, empty.stderr.startswith("no runs ")) == (0, True)


def test_a_rerun_is_marked_and_names_its_original() -> None:
    row = {"id": "20260304-050608-00000002", "status": "finished", "experiment": "digits", "started": None}
    original = {"rerun_of": "digits/20260304-050608-00000001", "message": "wider"}
    table = log.run_table([row, {**row, **original}, {**row, "superseded_by": "digits/x"}])
    statuses = [line[table.columns.index("status")] for line in table.rows]
    assert statuses == ["finished", "finished (rerun)", "finished (superseded)"]
    assert [line[table.columns.index("message")] for line in table.rows] == [None, "rerun of 00000001: wider", None]


@pytest.mark.parametrize("words", [["deep"], ["-e", "deep"], ["--experiment=deep"], ["deep", "-e", "deep"]])
@pytest.mark.parametrize("name", ["log", "collate"])
def test_an_experiment_is_a_word_or_an_option(
    repo: GitRepo, capsys: pytest.CaptureFixture[str], name: str, words: list[str]
) -> None:
    opened = open_repository(".", backend="plumbing")
    make_run(opened, 1)
    make_run(opened, 2, experiment="deep")
    module = {"log": log, "collate": collate}[name]
    command = find_command(name)
    assert command is not None
    options = parse_options(command, module, [*words, "--format", "csv"])
    assert module.execute(options, Context(Console())) == 0
    assert [line.split(",")[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["deep", "20260304-050609-00000002"]
    ]


def test_no_id_is_cut_in_a_narrow_table(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = open_repository(".", backend="plumbing")
    for number in (1, 2):
        make_run(opened, number, params={f"a_rather_long_name_{n}": "word " * 5 + str(number) for n in range(9)})
    monkeypatch.setattr(Console, "width", property(lambda self: 80))
    command = find_command("collate")
    assert command is not None
    assert collate.execute(parse_options(command, collate, ["-a"]), Context(Console())) == 0
    assert (
        collate.execute(parse_options(command, collate, ["--columns", "id,started,message"]), Context(Console())) == 0
    )
    shown = capsys.readouterr().out
    assert shown.count("00000001 ") == shown.count("00000002 ") == 2
    assert "20260304-050" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


@pytest.mark.parametrize(
    ("words", "heads"),
    [
        (["--columns", "lr"], "id lr"),
        (["--columns", "lr,id"], "lr id"),
        (["--columns", "lr", "--format", "csv"], "params.lr"),
        (["--columns", "lr", "--format", "latex"], ""),
        (["--columns", "lr", "--group-by", "status"], "status"),
    ],
)
def test_rows_that_a_person_reads_have_the_id_of_their_run(
    repo: GitRepo, capsys: pytest.CaptureFixture[str], words: list[str], heads: str
) -> None:
    make_run(open_repository(".", backend="plumbing"), params={"lr": 0.1})
    command = find_command("collate")
    assert command is not None
    assert collate.execute(parse_options(command, collate, words), Context(Console())) == 0
    shown = capsys.readouterr().out
    assert " ".join(shown.splitlines()[0].split()).startswith(heads)
    assert ("00000001" in shown) is ("id" in heads.split())


def test_what_a_bisection_made_is_shown_when_asked_for(repo: GitRepo, capsys: pytest.CaptureFixture[str]) -> None:
    opened = open_repository(".", backend="plumbing")
    make_run(opened, 1)
    make_run(opened, 2, rerun_of="digits/20260304-050608-00000001", hybrid={"second": "digits/of-another"})
    command = find_command("log")
    assert command is not None
    for words, count in (([], 1), (["--all"], 2)):
        assert log.execute(parse_options(command, log, [*words, "--format", "csv"]), Context(Console())) == 0
        assert len(capsys.readouterr().out.splitlines()[1:]) == count
    row = {"id": "20260304-050608-00000002", "status": "finished", "experiment": "digits", "started": None}
    table = log.run_table([{**row, "rerun_of": "digits/x", "hybrid": "digits/y"}])
    assert table.rows[0][table.columns.index("status")] == "finished (hybrid)"


def test_runs_that_are_all_archived_are_not_called_none(repo: GitRepo) -> None:
    make_run(open_repository(".", backend="plumbing"), 1)
    assert replicate("annotate", "latest", "--archive", cwd=repo.top).returncode == 0
    done = replicate("log", cwd=repo.top)
    assert (done.stdout, done.stderr) == ("", "every run is archived, or a hybrid: git replicate log --all\n")
