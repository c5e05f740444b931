"""`[outputs] keep`: which runs' outputs stay when another has ended."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import tomli

from tests.support import GitRepo, replicate

BIG = 2_000


def configure(repo: GitRepo, keep: str, extra: str = "") -> None:
    repo.write(".gitignore", "*.pt\n*.txt\n")
    repo.write(
        "replicate.toml",
        f'[results]\noutputs = ["*.pt", "*.txt"]\n[outputs]\nkeep = "{keep}"\nlarge_bytes = 1000\n{extra}',
    )


def run(repo: GitRepo, letter: str, accuracy: float | None = None, *, experiment: str = "a") -> str:
    """Record a run whose big output holds a letter; its ref."""
    said = f"echo accuracy: {accuracy};" if accuracy is not None else ""
    before = set(refs(repo))
    script = f"{said} printf '%{BIG}s' '' | tr ' ' {letter} > m.pt; echo {letter} > small.txt"
    done = replicate("start", "-q", "-e", experiment, "--", "sh", "-c", script, cwd=repo.top)
    assert done.returncode == 0, done.stderr
    (new,) = set(refs(repo)) - before
    return new


def refs(repo: GitRepo) -> list[str]:
    return repo.git("for-each-ref", "--format=%(refname)", "refs/experiments/").split()


def kept(repo: GitRepo, ref: str) -> dict[str, str]:
    outputs: dict[str, Any] = tomli.loads(repo.git("show", f"{ref}:.replicate/run.toml")).get("outputs", {})
    return {path: entry.get("kept", "no") for path, entry in outputs.items()}


def stored(repo: GitRepo) -> set[str]:
    """The letters of the big outputs that are still there."""
    names = {hashlib.sha256(letter.encode() * BIG).hexdigest(): letter for letter in "abcdef"}
    return {names[path.name] for path in (repo.top / ".git" / "replicate" / "store").rglob("*") if path.is_file()}


def test_the_last_runs_keep_their_big_outputs_and_all_their_small_ones(repo: GitRepo) -> None:
    configure(repo, "last 2")
    first, second, third = (run(repo, letter) for letter in "abc")
    assert stored(repo) == {"b", "c"}
    assert kept(repo, first) == {"m.pt": "no", "small.txt": "tree"}
    assert kept(repo, second) == kept(repo, third) == {"m.pt": "store", "small.txt": "tree"}
    assert repo.git("show", f"{first}:.replicate/outputs/small.txt") == "a"
    assert len(repo.git("rev-list", "--first-parent", f"{first}^{{commit}}", "--not", "HEAD").split()) >= 3
    repo.git("fsck", "--strict")


def test_a_file_that_another_run_holds_stays(repo: GitRepo) -> None:
    configure(repo, "last 1")
    run(repo, "a", experiment="other")
    run(repo, "a")
    run(repo, "b")
    assert stored(repo) == {"a", "b"}
    run(repo, "c", experiment="other")
    assert stored(repo) == {"b", "c"}


def test_nothing_of_git_lfs_is_ever_released(repo: GitRepo) -> None:
    configure(repo, "all")
    run(repo, "a")
    configure(repo, "last 1")
    run(repo, "a")
    run(repo, "b")
    lfs = [path.name for path in (repo.top / ".git" / "lfs" / "objects").rglob("*") if path.is_file()]
    assert lfs == [hashlib.sha256(b"a" * BIG).hexdigest()]
    assert stored(repo) == {"b"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "extra", "values", "left", "states"),
    [
        ("accuracy", "", (0.5, 0.9, 0.7, None), {"b"}, ["no", "store", "no", "no"]),
        ("accuracy", "", (None, 0.5), {"b"}, ["no", "store"]),
        ("accuracy", '[results]\nminimize = ["accuracy"]\n', (0.5, 0.9, 0.4), {"c"}, ["no", "no", "store"]),
    ],
)
def test_only_the_best_run_keeps_its_outputs(
    repo: GitRepo, metric: str, extra: str, values: tuple[float | None, ...], left: set[str], states: list[str]
) -> None:
    configure(repo, f"best:{metric}")
    if extra:
        text = (repo.top / "replicate.toml").read_text().replace("[results]\n", extra)
        repo.write("replicate.toml", text)
    found = [run(repo, letter, value) for letter, value in zip("abcd", values, strict=False)]
    assert stored(repo) == left
    assert [kept(repo, ref)["m.pt"] for ref in found] == states


def test_with_hash_only_what_they_were_is_known(repo: GitRepo) -> None:
    configure(repo, "hash")
    assert kept(repo, run(repo, "a")) == {"m.pt": "no", "small.txt": "no"}


def test_a_run_that_was_removed_lets_go_too(repo: GitRepo) -> None:
    configure(repo, "last 1")
    first = run(repo, "a")
    assert replicate("rm", first.removeprefix("refs/experiments/"), cwd=repo.top).returncode == 0
    run(repo, "b")
    assert stored(repo) == {"b"}
    assert first not in refs(repo)


def test_pointers_for_others_cannot_be_let_go(repo: GitRepo, tmp_path: Path) -> None:
    configure(repo, "last 1", "lfs = true\n")
    done = replicate("start", "true", cwd=repo.top)
    assert (done.returncode, "outputs.lfs" in done.stderr) == (125, True)
