"""What the docs say is so: every command is there, what is generated is up to date, every example runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from git_replicate.cli import build_parser, load
from git_replicate.commands import COMMANDS, find_command
from git_replicate.core.settings import parse_settings
from tests.support import CHECKOUT

PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]


def examples() -> list[str]:
    found = []
    for page in PAGES:
        if page.name != "commands.md":
            lines = re.findall(r"^    git replicate (\S.*)$", page.read_text(), re.MULTILINE)
            found += [line.partition("   ")[0] for line in lines]
    return sorted(set(found))


def test_generated_files_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), f"run docs/generate.py: {done.stdout}"


@pytest.mark.parametrize("line", examples())
def test_every_example_is_a_command_line_that_we_take(line: str) -> None:
    name, *words = shlex.split(line)
    command = find_command(name)
    assert command is not None
    build_parser(command, load(command)).parse_args(words)


def test_every_command_is_in_the_readme_or_a_page_of_its_own() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert [command.name for command in COMMANDS if f"git replicate {command.name}" not in text] == []


def test_the_configuration_page_shows_a_file_that_we_take() -> None:
    text = (CHECKOUT / "docs" / "configuration.md").read_text()
    block = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert block is not None
    settings = parse_settings(tomli.loads(block[1]), source="docs")
    assert settings.experiment == "digits"


def test_links_lead_somewhere() -> None:
    dead = []
    for page in PAGES:
        targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        dead += [f"{page.name}: {target}" for target in targets if not (page.parent / target).exists()]
    assert dead == []


def test_the_example_is_configured_right() -> None:
    document = tomli.loads(Path(CHECKOUT, "examples", "digits", "replicate.toml").read_text())
    assert parse_settings(document, source="example").command == ("python", "train.py")
