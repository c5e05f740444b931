"""Bundles: refs and their objects in one file, which git reads as it reads another repository."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from git_replicate.core.errors import GitError, StorageError
from git_replicate.git.command import Git
from git_replicate.git.repository import Layout


def write_bundle(layout: Layout, path: str, refs: Sequence[str], without: Iterable[str]) -> None:
    """Write these refs, without what these revisions lead to; the file appears whole or not at all."""
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir)
    temporary = f"{path}.{os.getpid()}.new"
    stdin = "".join([*(f"{ref}\n" for ref in refs), *(f"^{revision}\n" for revision in without)])
    try:
        with open(temporary, "xb"):  # what cannot be written is said as such
            pass
        git.run("write the bundle", "bundle", "create", "--quiet", temporary, "--stdin", stdin=os.fsencode(stdin))
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(f"write {path}: {error.strerror}", "name another file") from error
    except GitError as error:
        if "empty bundle" not in error.detail:
            raise
        raise GitError("write the bundle", "all of it is in what --not leaves out already") from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
