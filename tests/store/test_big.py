"""Big outputs on their way to another clone, by git-lfs and without it."""

from __future__ import annotations

import hashlib
import os
import shutil

import pytest

from git_replicate.core.record import Output
from git_replicate.git.opening import open_repository
from git_replicate.store.blobs import default_store, path_of
from git_replicate.store.sharing.big import big_outputs
from git_replicate.store.store import read_run
from tests.store.making import ended, make_run, run_id
from tests.store.sharing import Clone, make_clones
from tests.support import GitRepo, replicate

CONTENT = b"a model" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SHOWN = f"model.bin of digits/{run_id(1)} (7 kB)"


def with_output(clone: Clone) -> None:
    """A run with a big output, which is in git-lfs's store."""
    path = path_of(default_store(clone.repo.layout.common_dir), SHA256)
    os.makedirs(os.path.dirname(path))
    with open(path, "wb") as file:
        file.write(CONTENT)
    make_run(clone.repo, 1, outputs={"model.bin": Output(hash=f"sha256:{SHA256}", bytes=len(CONTENT), kept="store")})


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_big_outputs_go_along_and_come_when_asked_for(repo: GitRepo) -> None:
    hub, (first, second) = make_clones(repo, "first", "second")
    with_output(first)
    assert first.push().big.sent == 1
    assert (hub.top / "lfs" / "objects" / SHA256[:2] / SHA256[2:4] / SHA256).read_bytes() == CONTENT
    second.fetch()
    store = default_store(second.repo.layout.common_dir)
    assert not os.path.exists(path_of(store, SHA256))
    listed = replicate("outputs", "latest", cwd=second.git.top)
    assert "but not on this machine" in listed.stdout
    assert listed.stderr == "hint: git replicate fetch --outputs\n"
    done = replicate("fetch", "--outputs", cwd=second.git.top)
    assert done.stderr == "from origin: nothing new\n1 big output taken\n"
    assert replicate("outputs", "latest", "-o", "out", cwd=second.git.top).returncode == 0
    assert (second.git.top / "out" / "model.bin").read_bytes() == CONTENT


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_what_could_not_be_sent_is_named_and_sent_the_next_time(repo: GitRepo) -> None:
    hub, (first,) = make_clones(repo, "first")
    first.git.git("config", "lfs.url", "http://127.0.0.1:1/")
    with_output(first)
    sent = first.push()
    assert (sent.runs, [output.shown for output in sent.big.left]) == (1, [SHOWN])
    assert "connection refused" in sent.big.reason
    first.git.git("config", "--unset", "lfs.url")
    assert (first.push().big.sent, first.push().big.sent) == (1, 0)
    assert (hub.top / "lfs" / "objects" / SHA256[:2] / SHA256[2:4] / SHA256).exists()


def test_without_git_lfs_a_warning_names_them(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    _, (first,) = make_clones(repo, "first")
    with_output(first)
    monkeypatch.setattr("git_replicate.git.lfs.is_installed", lambda: False)
    big = first.push().big
    assert (big.reason, [output.shown for output in big.left]) == ("git-lfs is not installed", [SHOWN])


def test_a_record_that_names_no_hash_is_no_path(repo: GitRepo) -> None:
    outputs = {
        "a": Output(hash="sha256:../../../../etc/passwd", bytes=1, kept="store"),
        "b": Output(hash=f"sha256:{'A' * 64}", bytes=1, kept="store"),
        "c": Output(hash=f"blake3:{'a' * 64}", bytes=1, kept="store"),
        "d": Output(hash=f"sha256:{'a' * 64}", bytes=1, kept="tree"),
    }
    assert big_outputs([ended(1, outputs=outputs)]) == []
    opened = open_repository(str(repo.top), backend="plumbing")
    make_run(opened, 1, outputs=outputs)
    assert read_run(opened, f"refs/experiments/digits/{run_id(1)}").record.outputs == outputs
