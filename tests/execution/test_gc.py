"""Giving disk back: what nobody needs goes, what only one place holds stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

from git_replicate.execution.gc import find_waste
from git_replicate.git.opening import open_repository
from tests.store.making import make_run, run_id
from tests.support import GitRepo, replicate

MONTH = 31 * 86_400


def private(repo: GitRepo, path: str, text: str = "x") -> Path:
    return repo.write(f".git/replicate/{path}", text)


def kinds(repo: GitRepo, **options: object) -> list[str]:
    plan = find_waste(open_repository(str(repo.top), backend="plumbing"), **options)  # type: ignore[arg-type]
    return sorted(waste.kind for waste in plan.waste)


def test_there_is_nothing_to_do_in_a_fresh_repository(repo: GitRepo) -> None:
    done = replicate("gc", cwd=repo.top)
    assert (done.returncode, done.stderr) == (0, "runs that left the trash: 0; refs packed: 0; packs: 0\n")


def test_caches_go_after_a_month_without_use(repo: GitRepo) -> None:
    private(repo, "environments/abc/complete.json")
    private(repo, f"stages/ab/cd/{'ab' * 32}")
    private(repo, "environments/.gone-def-123/half")
    private(repo, "stages/prepare.toml")
    assert kinds(repo) == []
    assert kinds(repo, now=time.time() + MONTH) == ["built environment", "stage's output"]
    assert kinds(repo, every_cache=True) == ["built environment", "stage's output"]
    assert replicate("gc", "--caches", cwd=repo.top).returncode == 0
    assert (repo.top / ".git/replicate/stages/prepare.toml").exists()
    assert os.listdir(repo.top / ".git/replicate/environments") == []


def test_what_runs_left_goes_only_when_somebody_says_so(repo: GitRepo) -> None:
    left = private(repo, f"files/{run_id(1)}/model.bin", "only here")
    done = replicate("gc", cwd=repo.top)
    assert "they stay; to delete them: git replicate gc --yes" in done.stderr
    assert left.exists()
    assert replicate("gc", "--yes", "--dry-run", cwd=repo.top).returncode == 0
    assert left.exists()
    assert replicate("gc", "--yes", cwd=repo.top).returncode == 0
    assert not left.parent.exists()


def test_a_spool_goes_only_when_git_has_the_end_of_its_run(repo: GitRepo) -> None:
    opened = open_repository(str(repo.top), backend="plumbing")
    make_run(opened, 1)
    ended = f'format = 1\nid = "{run_id(1)}"\nexperiment = "digits"\nstatus = "running"\n'
    private(repo, f"spool/{run_id(1)}/run.toml", ended)
    private(repo, f"spool/{run_id(2)}/run.toml", ended.replace(run_id(1), run_id(2)))
    private(repo, f"spool/{run_id(3)}/run.toml", ended + "attempts = 2\n")
    private(repo, f"spool/{run_id(4)}/stdout", "begun a moment ago")
    plan = find_waste(opened)
    assert [os.path.basename(waste.path) for waste in plan.waste] == [run_id(1)]
    assert plan.waiting == 2
    late = find_waste(opened, now=time.time() + 2 * 3600)
    assert [os.path.basename(waste.path) for waste in late.waste] == [run_id(1), run_id(4)]
    done = replicate("gc", cwd=repo.top)
    assert done.stderr.splitlines()[0] == "2 runs to be recovered first: git replicate recover"
    assert sorted(os.listdir(repo.top / ".git/replicate/spool")) == [run_id(number) for number in (2, 3, 4)]


def test_big_files_that_no_run_holds_go(repo: GitRepo) -> None:
    opened = open_repository(str(repo.top), backend="plumbing")
    make_run(opened, 1)
    held, orphan, removed = ("ab" * 32, "cd" * 32, "ef" * 32)
    for name in (held, orphan, removed):
        private(repo, f"store/{name[:2]}/{name[2:4]}/{name}")
    for number, name in ((1, held), (2, removed)):
        ref = f"refs/experiments/digits/{run_id(number)}"
        private(
            repo,
            f"kept/{run_id(number)}",
            f'{{"run": "{run_id(number)}", "ref": "{ref}", "started": 1, "files": ["{name}"]}}',
        )
    assert replicate("gc", cwd=repo.top).returncode == 0
    left = [path.name for path in (repo.top / ".git/replicate/store").rglob("*") if path.is_file()]
    assert left == [held]
    assert os.listdir(repo.top / ".git/replicate/kept") == [run_id(1)]
    private(repo, f"kept/{run_id(3)}", "not JSON")
    private(repo, f"store/{orphan[:2]}/{orphan[2:4]}/{orphan}")
    assert replicate("gc", cwd=repo.top).returncode == 0
    assert (repo.top / ".git/replicate/store" / orphan[:2] / orphan[2:4] / orphan).exists()
