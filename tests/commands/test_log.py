"""`log` on a terminal shows what a person pages through; elsewhere it gives all there is."""

from __future__ import annotations

import pytest

from git_replicate.commands import find_command, log
from git_replicate.commands.context import Context
from git_replicate.commands.parser import parse_options
from git_replicate.console import Console
from git_replicate.git.opening import open_repository
from tests.store.making import make_run
from tests.support import GitRepo


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
