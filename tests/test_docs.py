"""What the docs say is so: every command is there, what is generated is up to date, every example runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import tomli

from git_replicate.cli import build_parser, load
from git_replicate.commands import COMMANDS, find_command
from git_replicate.core.settings import parse_settings
from tests.support import CHECKOUT
from tools.generated import generated_files

PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]


def examples() -> list[str]:
    found = []
    for page in PAGES:
        if page.name != "commands.md":
            lines = re.findall(r"^    git replicate (\S.*)$", page.read_text(), re.MULTILINE)
            found += [line.partition("   ")[0] for line in lines]
    return sorted(set(found))


def test_generated_files_are_up_to_date() -> None:
    stale = [
        path
        for path, text in generated_files(CHECKOUT).items()
        if not (CHECKOUT / path).exists() or (CHECKOUT / path).read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run: make pages"


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
