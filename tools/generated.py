"""The files that follow from the table of commands and the fields of the record, as path to text."""

from __future__ import annotations

from pathlib import Path

from tools import completions, manual, reference
from tools.options import all_commands


def generated_files(top: Path) -> dict[str, str]:
    """Every generated file, by its path in the checkout."""
    commands = all_commands()
    files = {"docs/commands.md": reference.commands_page(commands)}
    files["docs/format.md"] = reference.format_page((top / "docs" / "format.md").read_text(encoding="utf-8"))
    for name, text in manual.pages(commands).items():
        files[f"share/man/man1/{name}.1"] = text
    files["share/bash-completion/completions/git-replicate"] = completions.bash(commands)
    files["share/zsh/site-functions/_git-replicate"] = completions.zsh(commands)
    files["share/fish/vendor_completions.d/git-replicate.fish"] = completions.fish(commands)
    return files
