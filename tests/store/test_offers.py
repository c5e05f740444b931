"""What is said of what a snapshot leaves out: lines that match the next run's files too, each once."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from git_replicate.core.record import LeftOut
from git_replicate.git.opening import open_repository
from git_replicate.store.offers import NOTE, Offer, describe, offers, unsaid
from tests.support import GitRepo, replicate

TREE: dict[bytes, Collection[bytes]] = {b"": [b"train.py", b"model_best.pt", b"src"], b"src": [b"a1.py"]}


@pytest.mark.parametrize(
    ("left_out", "lines"),
    [
        (["metrics.csv"], ["/metrics.csv"]),
        (["runs/a/events.out.tfevents.1", "runs/b/events.out.tfevents.2"], ["/runs/"]),
        (["out/deep/er/x"], ["/out/"]),
        (["src/cache/x"], ["/src/cache/"]),
        (["events.out.tfevents.1732600000.vm.77.0"], ["/events.out.tfevents.*.vm.77.0"]),
        (["events.out.tfevents.1732600000.vm.77.0", "events.out.tfevents.1732600009.vm.99.0"],
         ["/events.out.tfevents.*.vm.*"]),
        (["log-3fa94c21.txt"], ["/log-*.txt"]),
        (["decade.txt", "defaced0.py"], ["/decade.txt", "/defaced0.py"]),
        (["ckpt1.pt"], ["/ckpt1.pt"]),
        (["ckpt1.pt", "ckpt12.pt"], ["/ckpt*.pt"]),
        (["src/a2.py", "src/a3.py"], ["/src/a2.py", "/src/a3.py"]),
        (["1", "2"], ["/1", "/2"]),
        (["a[1].txt", "a[2].txt"], ["/a\\[*].txt"]),
        (["a*1", "a*2"], ["/a\\*1", "/a\\*2"]),
        (["src/__pycache__/"], ["/src/__pycache__/"]),
    ],
)  # fmt: skip
def test_the_line_for_files_that_runs_wrote(left_out: list[str], lines: list[str]) -> None:
    found = offers([LeftOut(path, "written-by-run") for path in left_out], TREE.get)
    assert [offer.line for offer in found] == lines


def test_a_secret_is_named_itself_and_what_the_configuration_excludes_is_not() -> None:
    found = offers(
        [LeftOut("conf/.env", "secret"), LeftOut("key2026.pem", "secret"), LeftOut("x", "excluded")], TREE.get
    )
    assert [offer.line for offer in found] == ["/conf/.env", "/key2026.pem"]


def test_whatever_there_is_it_is_two_lines() -> None:
    found = [Offer("large", f"/a_rather_long_name_of_a_file_{n}") for n in range(50)]
    lines = describe([Offer("secret", "/.env", "sub"), *found])
    assert lines[0].startswith("left out of the snapshot: /.env (in sub, secret), /a_rather")
    assert lines[0].endswith("(large) and 47 more")
    assert lines[1] == NOTE
    assert max(map(len, lines)) <= 200
    assert describe([]) == ()


def test_an_offer_is_made_once(repo: GitRepo) -> None:
    layout = open_repository(str(repo.top), backend="plumbing").layout
    first, second = Offer("large", "/a"), Offer("secret", "/a")
    assert unsaid(layout, [first]) == (first,)
    assert unsaid(layout, [first, second]) == (second,)
    assert unsaid(layout, [first, second]) == ()
    repo.write(".git/replicate/left-out-said", b"\xff")
    assert unsaid(layout, [first]) == (first,)


def test_runs_say_only_what_is_new_and_quiet_ones_nothing(repo: GitRepo) -> None:
    script = ("sh", "-c", "mkdir -p runs && date +%N > runs/$$.txt")
    said = [
        [line for line in replicate("start", *words, "--", *script).stderr.splitlines() if line.startswith("left out")]
        for words in ([], ["-q"], [], [])
    ]
    assert said == [[], [], ["left out of the snapshot: /runs/ (written by earlier runs)"], []]
