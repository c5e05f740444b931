"""The tree that git itself would commit, by content: what every scan is compared with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from git_replicate.git.command import Git
from git_replicate.git.scan import Changes, Stored, copy_index, list_changes, store


def oracle_tree(top: Path, scratch: Path, *, git_dir: Path | None = None, index: Path | None = None) -> str:
    """`git add -A --sparse` and `write-tree` on a copy of the index that is older than every file.

    git then compares every entry by content. Marks that hide edits are cleared first.
    """
    git_dir = git_dir or Path(_git(top, "rev-parse", "--absolute-git-dir").decode().strip())
    source, copy = index or git_dir / "index", scratch / "oracle-index"
    copy.unlink(missing_ok=True)
    if source.exists():
        copy.write_bytes(source.read_bytes())
        os.utime(copy, (1, 1))
    env = {"GIT_INDEX_FILE": str(copy), "GIT_OPTIONAL_LOCKS": "0"}
    entries = _git(top, "ls-files", "-v", "-z", "--full-name", environment=env).split(b"\0")[:-1]
    for option, marks in (("--no-assume-unchanged", b"hsm"), ("--no-skip-worktree", b"Ss")):
        hidden = [e[2:] for e in entries if e[:1] in marks]
        if option == "--no-skip-worktree":
            hidden = [path for path in hidden if os.path.isfile(os.fsencode(top) + b"/" + path)]
        if hidden:
            _git(top, "update-index", option, "-z", "--stdin", stdin=b"\0".join(hidden) + b"\0", environment=env)
            os.utime(copy, (1, 1))
    quiet = ("-c", "core.hooksPath=/dev/null", "-c", "core.safecrlf=false", "-c", "core.fsmonitor=false")
    _git(top, *quiet, "add", "-A", "--sparse", environment=env)
    return _git(top, *quiet, "write-tree", environment=env).decode().strip()


def _git(top: Path, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> bytes:
    done = subprocess.run(
        ["git", *arguments],
        cwd=top,
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, f"oracle: git {' '.join(arguments)}: {done.stderr.decode(errors='replace')}"
    return done.stdout


def private_git(top: Path, scratch: Path) -> Git:
    """git on a private copy of the repository's index."""
    git_dir = os.fsdecode(_git(top, "rev-parse", "--absolute-git-dir")).strip()
    index = str(scratch / "index")
    copy_index(os.path.join(git_dir, "index"), index)
    return Git(str(top), git_dir=git_dir, work_tree=str(top), index=index)


def scan(top: Path, scratch: Path) -> tuple[Changes, Stored]:
    """The whole scan with nothing left out, the same whether the index has been seen before or not."""
    plain = str(scratch / "plain")
    first = list_changes(private_git(top, scratch), plain=plain)
    git = private_git(top, scratch)
    changes = list_changes(git, plain=plain)
    assert changes == first
    return changes, store(git, changes, (*changes.untracked, *changes.nested))
