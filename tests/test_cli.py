"""The command line: what it takes, its exit codes, and that no traceback reaches a user."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import tomli

from git_replicate import __version__, cli
from git_replicate.commands import COMMANDS
from git_replicate.commands.context import Context
from git_replicate.commands.parser import build_parser, load
from git_replicate.console import Console, visible
from git_replicate.core.errors import GitError, StorageError, UsageError, UserError
from git_replicate.core.sizes import count
from git_replicate.git.config import GitConfig, replaced
from tests.support import PROGRAM, GitRepo, replicate


def test_help_names_every_command_once() -> None:
    for words in (["-h"], ["--help"], ["help"]):
        done = replicate(*words)
        assert (done.returncode, done.stderr) == (0, "")
        names = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
        assert sorted(names) == sorted(command.name for command in COMMANDS)


def test_without_a_command_the_overview_is_usage() -> None:
    done = replicate()
    assert done.returncode == 2
    assert "usage: git replicate COMMAND" in done.stdout


def test_the_version() -> None:
    assert replicate("--version").stdout == f"git-replicate {__version__}\n"


def test_an_unknown_command_names_the_nearest() -> None:
    done = replicate("colate")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "git replicate: there is no command 'colate'\nhint: did you mean: git replicate collate\n"


@pytest.mark.parametrize("words", [["log", "--no-such"], ["log", "--form", "json"], ["show", "a", "b"], ["rm"]])
def test_a_wrong_command_line_is_two_lines_and_exit_2(repo: GitRepo, words: list[str]) -> None:
    done = replicate(*words, cwd=repo.top)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert done.stderr.splitlines()[1] == f"hint: see: git replicate {words[0]} -h"


@pytest.mark.parametrize("words", [["log"], ["show"], ["collate"], ["status"], ["hooks"], ["init", "-y"]])
def test_outside_a_repository_every_command_says_so(tmp_path: Path, words: list[str]) -> None:
    done = replicate(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "not a git repository" in done.stderr
    assert "hint: git init" in done.stderr


def test_start_outside_a_repository_is_125(tmp_path: Path) -> None:
    assert replicate("start", "true", cwd=tmp_path).returncode == 125


def start_options(*words: str) -> argparse.Namespace:
    command = COMMANDS[0]
    return build_parser(command, load(command)).parse_args(words)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["python", "x.py", "--seed", "3"], ["python", "x.py", "--seed", "3"]),
        (["--", "python", "x.py", "--seed", "3"], ["--", "python", "x.py", "--seed", "3"]),
        (["python", "x.py", "--", "-h"], ["python", "x.py", "--", "-h"]),
        (["python", "-m", "mod", "-q"], ["python", "-m", "mod", "-q"]),
    ],
)
def test_options_after_the_command_are_its_own(words: list[str], command: list[str]) -> None:
    options = start_options("-p", "lr=1", *words)
    assert (options.param, options.seed, options.message, options.quiet) == (["lr=1"], None, "", False)
    assert options.command == command


def test_options_before_the_command_are_ours(repo: GitRepo) -> None:
    done = replicate(
        "start", "-p", "lr=1", "-q", sys.executable, "-c", "import sys; print(sys.argv)", "--seed", "3", cwd=repo.top
    )
    assert done.stdout == "['-c', '--seed', '3']\n"


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where reports of bugs go."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make every command end in an error."""

    def execute(options: argparse.Namespace, context: Context) -> int:
        raise error

    module = ModuleType("failing")
    module.__dict__.update(configure=lambda parser: None, execute=execute)
    monkeypatch.setattr("git_replicate.commands.parser.load", lambda command: module)


@pytest.mark.parametrize(
    ("error", "code", "code_of_start"),
    [
        (UserError("no", "try"), 1, 125),
        (UsageError("no", "try"), 2, 125),
        (GitError("read state", "bad object"), 1, 125),
        (StorageError("full"), 1, 125),
        (OSError(28, "No space left on device", "f"), 1, 125),
        (KeyboardInterrupt(), 130, 130),
        (ModuleNotFoundError("No module named 'tomli'", name="tomli"), 1, 125),
        (ModuleNotFoundError("No module named 'tomly'", name="tomly"), 70, 70),
        (ValueError("a bug"), 70, 70),
        (OSError(5, "Input/output error", "f"), 1, 125),
        (OSError(22, "Invalid argument"), 70, 70),
    ],
)
@pytest.mark.usefixtures("reports")
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, code_of_start: int) -> None:
    failing(monkeypatch, error)
    assert cli.main(["status"]) == code
    assert cli.main(["start"]) == code_of_start


def test_a_bug_leaves_a_report_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reports: Path
) -> None:
    failing(monkeypatch, ZeroDivisionError("division by zero"))
    assert cli.main(["status"]) == 70
    said = capsys.readouterr().err
    assert said.splitlines()[0] == "git replicate: this is a bug: ZeroDivisionError: division by zero"
    assert "Traceback" not in said
    (report,) = reports.iterdir()
    assert str(report) in said
    assert "Traceback" in report.read_text()


def test_a_bug_is_told_even_where_no_report_can_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reports: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(reports / "absent"))
    failing(monkeypatch, ZeroDivisionError("division by zero"))
    assert cli.main(["status"]) == 70
    first, hint = capsys.readouterr().err.splitlines()
    assert first == "git replicate: this is a bug: ZeroDivisionError: division by zero"
    assert hint.startswith("hint: please report it: ")
    assert hint.endswith("(no report file: No such file or directory)")


def test_a_reader_that_goes_away_is_no_error(repo: GitRepo) -> None:
    line = f'{{ sleep 0.1; "{sys.executable}" "{PROGRAM}" -h; echo $? >&2; }} | true'
    done = subprocess.run(["sh", "-c", line], cwd=repo.top, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_a_reader_that_is_gone_before_the_answer_is_no_error(repo: GitRepo) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, str(PROGRAM), "-h"], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


_SPEAKS_WHEN_INTERRUPTED = """
import signal
from git_replicate.console import Console
signal.signal(signal.SIGINT, lambda number, frame: Console().say("heard"))
Console().say("x" * 1_000_000)
Console().say("end")
"""


def test_a_signal_may_be_answered_while_a_line_is_being_written() -> None:
    env = {**os.environ, "PYTHONPATH": str(PROGRAM.parent.parent)}
    with subprocess.Popen([sys.executable, "-c", _SPEAKS_WHEN_INTERRUPTED], stderr=subprocess.PIPE, env=env) as process:
        assert process.stderr is not None
        assert process.stderr.read(1) == b"x"  # more than a pipe takes: it writes until the rest is read
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 0
    assert said.count(b"x") == 999_999
    assert b"heard\n" in said
    assert said.endswith(b"end\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve 日本", "plain, naïve 日本"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("title\x1b]0;x\x07", "title\\x1b]0;x\\x07"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("c1\x9b31m", "c1\\x9b31m"),
        ("right\u202eleft", "right\\u202eleft"),
        ("back\rspace\x08", "back\\x0dspace\\x08"),
    ],
)
def test_nothing_in_a_record_can_drive_the_terminal(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_an_error_is_one_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    Console().fail(UserError("first\nsecond \x1b[2J", "git init"))
    assert capsys.readouterr().err == "git replicate: first second \\x1b[2J\nhint: git init\n"


def test_what_the_encoding_lacks_is_replaced() -> None:
    script = "from git_replicate.console import Console; Console().answer('accuracy ± \\udcff')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(PROGRAM.parent.parent)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "accuracy ? ?\n")


@pytest.mark.parametrize(
    ("config", "color"),
    [({}, False), ({"color.ui": ["always"]}, True), ({"color.ui": ["always"], "color.replicate": ["never"]}, False)],
)
def test_colour_is_as_git_is_configured(config: dict[str, list[str]], color: bool) -> None:
    assert Console().configured(replaced(config)).color is color


def test_no_color_outranks_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert Console().configured(replaced({"color.ui": ["always"]})).color is False


def test_the_answer_of_a_pipe_is_neither_paged_nor_cut() -> None:
    console = Console().configured(GitConfig())
    assert console.width is None


def test_a_question_without_a_terminal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull, encoding="utf-8") as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        with pytest.raises(UserError, match="not a terminal"):
            Console().ask("experiment", "digits")


def test_init_writes_what_it_says_and_twice_is_once(repo: GitRepo) -> None:
    done = replicate("init", "--yes", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    assert repo.git("config", "log.excludeDecoration") == "refs/experiments/*"
    text = (repo.top / "replicate.toml").read_bytes()
    config = (repo.top / ".git" / "config").read_bytes()
    assert replicate("start", "-q", "true", cwd=repo.top).returncode == 0
    assert "refs/experiments" not in repo.git("log", "--format=%D", "--all", "--exclude=refs/notes/*")
    again = replicate("init", "--yes", cwd=repo.top)
    assert "replicate.toml is there already" in again.stderr
    assert (repo.top / "replicate.toml").read_bytes() == text
    assert (repo.top / ".git" / "config").read_bytes() == config


def test_init_names_the_params_the_data_and_the_results_that_are_here(repo: GitRepo) -> None:
    for path in ("params.yaml", "params.toml", "data/raw/x.csv", "metrics.json"):
        repo.write(path, "")
    done = replicate("init", "--yes", cwd=repo.top)
    assert "wrote replicate.toml; it names what is here: params.toml, params.yaml, data, metrics.json" in done.stderr
    written = tomli.loads((repo.top / "replicate.toml").read_text())
    assert written == {
        "params": {"files": ["params.toml", "params.yaml"]},
        "data": {"paths": ["data"]},
        "results": {"metrics": ["metrics.json"]},
    }


@pytest.mark.parametrize("words", [["start", "true"], ["snapshot"], ["init", "-y"], ["data"], ["apply", "latest"]])
def test_a_bare_repository_is_told_what_works_there(tmp_path: Path, words: list[str]) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path)], check=True)
    done = replicate(*words, cwd=tmp_path, variables={"GIT_DIR": "."})
    assert "bare" in done.stderr.splitlines()[0]
    assert done.stderr.splitlines()[1] == (
        "hint: git clone . ../work, and run it there; log, show, collate, diff, push, fetch and gc work in this one"
    )
    assert replicate("log", cwd=tmp_path, variables={"GIT_DIR": "."}).returncode == 0


@pytest.mark.parametrize(
    ("number", "noun", "plural", "text"),
    [
        (0, "run", "", "0 runs"),
        (1, "run", "", "1 run"),
        (1234, "file", "", "1,234 files"),
        (1, "entry", "entries", "1 entry"),
        (2, "entry", "entries", "2 entries"),
    ],
)
def test_counts_are_written_as_a_person_would(number: int, noun: str, plural: str, text: str) -> None:
    assert count(number, noun, plural) == text


def test_what_is_required_is_named_and_what_is_not_is_not(repo: GitRepo) -> None:
    done = replicate("bundle", cwd=repo.top)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        "git replicate: the following arguments are required: FILE",
    )
