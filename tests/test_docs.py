"""The docs say what is so: each command is there, each example parses, generated pages are up to date."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
import tomli

from git_replicate.commands import COMMANDS, find_command
from git_replicate.commands.examples import EXAMPLES
from git_replicate.commands.parser import load, parse_options
from git_replicate.core import settings
from tests.support import CHECKOUT, PROGRAM, GitRepo, replicate
from tools.generated import generated_files

PAGES = sorted([CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md"), CHECKOUT / "examples/digits/README.md"])


def examples() -> list[tuple[str, str]]:
    """Every command line that a page shows, with the page; those of commands.md are the examples of `-h`."""
    found = []
    for page in PAGES:
        if page.name != "commands.md":
            for line in page.read_text(encoding="utf-8").splitlines():
                if line.startswith("    git replicate "):
                    found.append((page.name, line.strip()))
                found += [(page.name, code) for code in re.findall(r"`(git replicate [^`]+)`", line)]
    return found + [("-h", line) for lines in EXAMPLES.values() for line in lines]


def test_every_command_has_examples_and_is_in_the_reference() -> None:
    assert list(EXAMPLES) == [command.name for command in COMMANDS]
    text = (CHECKOUT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [command.name for command in COMMANDS]


def test_generated_pages_are_up_to_date() -> None:
    stale = [
        path
        for path, text in generated_files(CHECKOUT).items()
        if (CHECKOUT / path).read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run: make pages"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_reference_is_what_help_prints(command: object) -> None:
    name = getattr(command, "name", "")
    printed = replicate(name, "-h", variables={"COLUMNS": "100"}).stdout
    assert printed.rstrip() in (CHECKOUT / "docs" / "commands.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "line"), examples(), ids=lambda text: str(text)[:50])
def test_every_example_is_a_command_line_that_we_take(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[2:]
    if words[0] in ("-h", "--help", "COMMAND"):
        return
    command = find_command(words[0])
    assert command is not None, f"{page}: {line}"
    if words[1:] != ["-h"]:
        parse_options(command, load(command), words[1:])


def test_the_examples_of_the_readme_run(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.write("train.py", "import sys\nprint('accuracy:', 0.9 + len(sys.argv) / 100)\n")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert shutil.which("python"), "the examples call it so"
    for line in (line for page, line in examples() if page == "README.md"):
        words = shlex.split(line)[2:]
        done = replicate(*words, cwd=repo.top)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    header = (repo.top / "runs.csv").read_text().splitlines()[0]
    assert header.startswith("experiment,id,status,started,seed,params.batch_size,params.lr,metrics.accuracy")


def programs() -> list[tuple[str, str]]:
    """Every Python program that a page shows in full, with the page."""
    pattern = re.compile(r"```python\n(.*?)```", re.DOTALL)
    return [(page.name, code) for page in PAGES for code in pattern.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("way", ["start", "alone"])
@pytest.mark.parametrize(("page", "code"), programs(), ids=lambda text: str(text)[:50])
def test_every_program_of_the_docs_runs_under_start_and_alone(repo: GitRepo, page: str, code: str, way: str) -> None:
    repo.write("train.py", code)
    repo.write("bin/git-replicate", f'#!/bin/sh\nexec "{sys.executable}" "{PROGRAM}" "$@"\n').chmod(0o755)
    if way == "start":
        done = replicate("start", "--", sys.executable, "train.py", cwd=repo.top)
        assert replicate("log", "--format", "json", cwd=repo.top).stdout.count('"finished"') > 0
    else:
        path = os.pathsep.join([str(repo.top / "bin"), os.environ["PATH"]])
        words = [sys.executable, "train.py"]
        done = subprocess.run(words, cwd=repo.top, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, f"{page}\n{done.stderr}"
    assert "warning" not in done.stderr.lower()


@pytest.mark.slow
def test_the_examples_of_sweeps_run(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.write(
        "train.py",
        "import sys\nvalues = dict(zip(sys.argv[1::2], map(float, sys.argv[2::2])))\n"
        "print('accuracy:', 0.9 - abs(values.get('--lr', 0) - 0.01) + values.get('--depth', 0) / 100)\n",
    )
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert shutil.which("python"), "the examples call it so"
    pytest.importorskip("optuna", reason="the extra `search` is not installed")
    for line in (line for page, line in examples() if page == "sweeps.md" and " -i " not in line and "…" not in line):
        words = shlex.split(line)[2:]
        done = replicate(*words, *(["-q"] if words[0] == "sweep" and "--" not in words else []), cwd=repo.top)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    listed = replicate("log", "--format", "json", "--where", "sweep is not null", cwd=repo.top)
    assert len(json.loads(listed.stdout)) == 8 + 10 + 12 + 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            assert f"## {anchor}" in file.read_text(encoding="utf-8"), target


def leaves(kind: type, path: str = "") -> set[str]:
    """Dotted names of all settings; `*` for a name that the user chooses."""
    found: set[str] = set()
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name, hint = f"{path}{field.name}", hints[field.name]
        inner = next((t for t in (hint, *getattr(hint, "__args__", ())) if dataclasses.is_dataclass(t)), None)
        many = "" if inner is hint or name == "stage" else ".*"
        found |= leaves(inner, f"{name}{many}.") if isinstance(inner, type) else {name}
    return found


def test_every_setting_is_documented_and_no_other() -> None:
    text = (CHECKOUT / "docs" / "configuration.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example
    document = tomli.loads(example[1])
    settings.parse_settings(document, source="docs")
    assert written(document) == leaves(settings.Settings)


def written(table: dict[str, object], path: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in table.items():
        name = f"{path}{'*' if path in ('data.named.', 'tolerance.') else key}"
        inner = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        found |= written(inner, f"{name}.") if isinstance(inner, dict) else {name}
    return found


def test_every_variable_that_sets_a_setting_is_documented() -> None:
    from git_replicate.capture.config import VARIABLES

    text = (CHECKOUT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"\| `(GIT_REPLICATE_\w+)` \| `([\w.]+)` \|", text)) == VARIABLES


SHELLS = {
    "bash": "bash-completion/completions/git-replicate",
    "zsh": "zsh/site-functions/_git-replicate",
    "fish": "fish/vendor_completions.d/git-replicate.fish",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_completions_are_read_by_their_shell(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    done = subprocess.run([shell, "-n", str(CHECKOUT / "share" / SHELLS[shell])], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


_ASK_BASH = """
source "$1"; source "$2"
COMP_WORDS=("${@:3}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
__git_wrap__git_main
printf '%s\\n' "${COMPREPLY[@]}"
"""


_COMPLETED = pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("git replicate lo", {"log"}),
        ("git replicate log --form", {"--format"}),
        ("git replicate log --format js", {"json", "jsonl"}),
        ("git replicate hooks ", {"install", "remove", "status"}),
        ("git replicate show 2026", {"20260102-030405-1a2b3c4d"}),
        ("git replicate start -e ", {"digits"}),
        ("git replicate start -p lr=1 --stri", {"--strict"}),
        ("git replicate start python --stri", set()),
    ],
)


@_COMPLETED
def test_fish_completes_what_its_completion_of_git_asks_for(repo: GitRepo, words: str, expected: set[str]) -> None:
    if not shutil.which("fish"):
        pytest.skip("no fish here")
    repo.git("update-ref", "refs/experiments/digits/20260102-030405-1a2b3c4d", "HEAD")
    ours = (CHECKOUT / "share" / SHELLS["fish"]).parent
    ask = f"set -p fish_complete_path {ours}; complete -C {shlex.quote(words.replace(' ', '-', 1))}"
    env = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["fish", "--no-config", "-c", ask], cwd=repo.top, capture_output=True, text=True, env=env)
    assert {line.split("\t")[0] for line in done.stdout.splitlines()} >= expected, done.stderr


@_COMPLETED
def test_bash_completes_as_git_does(repo: GitRepo, words: str, expected: set[str]) -> None:
    git_completion = Path("/usr/share/bash-completion/completions/git")
    if not git_completion.exists():
        pytest.skip("git's own completion is not installed")
    repo.git("update-ref", "refs/experiments/digits/20260102-030405-1a2b3c4d", "HEAD")
    ours = CHECKOUT / "share" / SHELLS["bash"]
    script = ["bash", "-c", _ASK_BASH, "bash", str(git_completion), str(ours), *words.split(" ")]
    done = subprocess.run(script, cwd=repo.top, capture_output=True, text=True, env=os.environ)
    assert {line.strip() for line in done.stdout.splitlines()} - {""} == expected, done.stderr


_ASK_LOADER = """
source /usr/share/bash-completion/bash_completion
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_completion_loader git
__git_wrap__git_main git "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("git repl", {"replace", "replicate"}),
        ("git replicate st", {"start", "status"}),
        ("git replicate log --form", {"--format"}),
    ],
)  # fmt: skip
def test_bash_finds_the_command_and_its_completion_where_they_are_installed(
    repo: GitRepo, words: str, expected: set[str]
) -> None:
    if not all(Path("/usr/share/bash-completion", name).exists() for name in ("bash_completion", "completions/git")):
        pytest.skip("bash-completion, or git's own completion, is not installed")
    env = {
        **os.environ,
        "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
        "XDG_DATA_DIRS": f"{CHECKOUT / 'share'}:/usr/share",
    }
    script = ["bash", "--norc", "-c", _ASK_LOADER, "bash", *words.split(" ")]
    done = subprocess.run(script, cwd=repo.top, capture_output=True, text=True, env=env)
    assert {line.strip() for line in done.stdout.splitlines()} - {""} == expected, done.stderr


def test_the_manual_has_no_warning() -> None:
    if not shutil.which("groff"):
        pytest.skip("no groff here")
    for page in (CHECKOUT / "share/man/man1").iterdir():
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", str(page)], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), page.name
