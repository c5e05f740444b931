"""A secret that a run was given is in nothing that is stored of it, whatever prints it, whoever concludes the run."""

from __future__ import annotations

import os
import sys

import pytest

from git_replicate.core import record as records
from git_replicate.core.known_secrets import known_secrets
from git_replicate.execution.checkpoint import write_checkpoint
from git_replicate.execution.conclude import conclude_run
from git_replicate.execution.hidden import SECRETS_FILE, given_secrets, write_secrets
from git_replicate.execution.plan import Plan, dump_plan
from git_replicate.execution.spool import Spool
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.store import Parts, begin
from tests.store.making import of_head, run_id, running
from tests.support import GitRepo, replicate

SECRET = "Xq83hzLmPw0rTtY"
PRINTS = (
    "import sys; k = sys.argv[-1]; print('using key', k); print(k + '_loss: 1.5'); print(f'{k!r}', file=sys.stderr)"
)


def stored(repo: GitRepo) -> str:
    """All text of every commit that a run or a note has."""
    names = repo.git("for-each-ref", "--format=%(refname)", "refs/experiments", "refs/notes").split()
    return "\n".join(repo.git("log", "-p", "-m", "--root", "--text", "--format=%B", name) for name in names)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-m", f"with {SECRET}"), ("--api-key", SECRET)),
        ((), ("--api-key", "sk-" + "abcdefghijklmnopqrstuvwxyz012345")),
        (("-p", f"api_key={SECRET}"), ("{api_key}",)),
    ],
)
def test_a_secret_that_was_given_is_in_nothing_that_is_stored(
    repo: GitRepo, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = replicate("start", "-q", *options, "--", sys.executable, "-c", PRINTS, *words, cwd=repo.top)
    secret = words[-1] if words[-1][0] != "{" else SECRET
    assert f"using key {secret}" in done.stdout  # what the command prints is not touched
    assert secret not in stored(repo)
    assert "using key ***" in stored(repo)
    assert '"***_loss" = 1.5' in stored(repo)


def test_a_secret_of_a_variable_or_of_the_programs_own_parser_is_masked_in_the_log(repo: GitRepo) -> None:
    repo.write(
        "t.py",
        "import argparse, os\np = argparse.ArgumentParser()\n"
        "p.add_argument('--api-key', default='-'.join(['de', 'fault', '77']))\n"
        "print('got', p.parse_args().api_key, os.environ['DB_PASSWORD'])\n",
    )
    replicate("start", "-q", "--", sys.executable, "t.py", cwd=repo.top, variables={"DB_PASSWORD": "hunter2hunter2"})
    log = stored(repo)
    assert "got *** ***" in log
    assert "hunter2hunter2" not in log
    assert "de-fault-77" not in log


@pytest.fixture
def opened(repo: GitRepo) -> Repository:
    return open_repository(str(repo.top), backend="plumbing")


def live(repo: Repository, output: bytes, *, log_bytes: int = 10_000_000) -> Spool:
    code = of_head(repo)
    record = running(1, code=code)
    start = begin(repo, record, Oid(code.snapshot), Oid(code.tree), Parts())
    spool = Spool.create(os.path.join(repo.layout.common_dir, "replicate", "spool", run_id(1)))
    write_secrets(spool, given_secrets(("t", "--api-key", SECRET), environ={}))
    spool.write("run.toml", records.dumps(record))
    spool.write("plan.json", dump_plan(Plan(top=str(repo.layout.top), log_bytes=log_bytes)))
    spool.write("start", start.encode())
    with open(spool.path("stdout"), "wb") as file:
        file.write(output)
    return spool


def test_the_values_wait_where_only_their_user_can_read_them_and_go_with_the_run(
    repo: GitRepo, opened: Repository
) -> None:
    spool = live(opened, b"")
    assert os.stat(spool.path(SECRETS_FILE)).st_mode & 0o777 == 0o600
    conclude_run(opened, spool, outcome=None)
    assert not os.path.exists(spool.folder)
    other = Spool.create(os.path.join(repo.top, "other"))
    write_secrets(other, known_secrets([]))
    assert os.listdir(other.folder) == []


def test_checkpoints_and_recovery_mask_them_too(repo: GitRepo, opened: Repository) -> None:
    spool = live(opened, f"key {SECRET}\nhalf {SECRET[:7]}".encode())
    assert write_checkpoint(opened, spool)
    with open(spool.path("stdout"), "ab") as file:
        file.write(f"{SECRET[7:]} end\n".encode())
    assert write_checkpoint(opened, spool)
    assert SECRET[:7] not in stored(repo)
    assert SECRET[7:] not in stored(repo)
    conclude_run(opened, spool, outcome=None)  # as recovery does where nobody saw the end
    assert "half *** end" in stored(repo)
    assert SECRET[:7] not in stored(repo)


@pytest.mark.parametrize("shift", range(0, 20, 3))
def test_a_log_that_is_cut_through_a_secret_holds_no_part_of_it(repo: GitRepo, opened: Repository, shift: int) -> None:
    before, between, after = b"." * (20_000 - shift), b"." * (40_000 + shift), b"." * 19_990
    output = before + SECRET.encode() + between + SECRET.encode() + after
    spool = live(opened, output, log_bytes=40_000)
    conclude_run(opened, spool, outcome=None)
    text = stored(repo)
    assert "bytes of output were cut here" in text
    assert not any(SECRET[at : at + 4] in text for at in range(len(SECRET) - 3))
