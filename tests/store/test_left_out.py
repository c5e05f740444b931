"""The policy of what is left out, on its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_replicate.core.record import LeftOut
from git_replicate.core.settings import SnapshotSettings
from git_replicate.store.left_out import exclusion, hash_large, ignore_line, judge
from tests.support import GitRepo


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.npz", "a/b/c.npz", True),
        ("*.npz", "c.npz.py", False),
        ("scratch/**", "scratch/a/b", True),
        ("scratch/**", "x/scratch/a", False),
        ("scratch", "x/scratch/a", True),
        ("scratch/", "scratch", False),
        ("/top.txt", "top.txt", True),
        ("/top.txt", "a/top.txt", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("**/logs", "deep/er/logs/x", True),
        ("run[0-9]", "run7/x", True),
        ("run[!0-9]", "run7", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("caf?.txt", "café.txt", False),
    ],
)
def test_exclude_patterns(pattern: str, path: str, matches: bool) -> None:
    expression = exclusion([pattern])
    assert expression is not None
    assert (expression.fullmatch(path.encode()) is not None) is matches


@pytest.mark.parametrize(
    "path",
    [b"plain.bin", b"#hash", b"!bang", b"sp ace ", b"st*r?[x]", b"back\\slash", b"caf\xe9", b"new\nline", b"d/x"],
)
def test_the_offered_line_makes_git_ignore_exactly_that_file(repo: GitRepo, path: bytes) -> None:
    full = os.path.join(os.fsencode(repo.top), path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    Path(os.fsdecode(full)).write_bytes(b"x")
    repo.write("other.bin", "x")
    repo.write(".git/info/exclude", ignore_line(path) + "\n")
    assert repo.git("ls-files", "--others", "--exclude-standard") == "other.bin"


def test_a_bundle_is_no_code_whoever_wrote_it_and_wherever_it_lies(repo: GitRepo) -> None:
    repo.git("bundle", "create", "-q", "runs.bundle", "HEAD")
    repo.git("bundle", "create", "-q", "backup", "HEAD")
    repo.write("notes.txt", "# v2 git bundle is what such a file begins with\n")
    judged = judge(os.fsencode(repo.top), [b"backup", b"notes.txt", b"runs.bundle"], SnapshotSettings(), {})
    assert judged.chosen == (b"notes.txt",)
    assert [(entry.path, entry.reason) for entry in judged.left_out] == [
        ("backup", "bundle"),
        ("runs.bundle", "bundle"),
    ]


def test_hashes_come_from_the_cache_until_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(b"1")
    os.utime(file, (10**9, 10**9))
    entry = LeftOut("big", "large", 1)
    cache = tmp_path / "cache"
    (first,) = hash_large(os.fsencode(tmp_path), [entry], str(cache))
    assert first.hash.startswith("blake3:")
    cache.write_text(cache.read_text().replace(first.hash, "blake3:remembered"))
    assert hash_large(os.fsencode(tmp_path), [entry], str(cache))[0].hash == "blake3:remembered"
    file.write_bytes(b"2")
    (changed,) = hash_large(os.fsencode(tmp_path), [entry], str(cache))
    assert changed.hash not in ("blake3:remembered", first.hash)
    file.unlink()
    assert hash_large(os.fsencode(tmp_path), [entry], str(cache)) == (entry,)


def test_a_file_that_vanished_and_links_to_folders(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    judged = judge(os.fsencode(tmp_path), [b"gone", b"link"], SnapshotSettings(), {})
    assert (judged.chosen, judged.left_out) == ((b"link",), ())


def test_a_virtual_environment_made_in_the_top_folder_is_left_out_and_what_lies_beside_it_is_not(repo: GitRepo) -> None:
    python = repo.top / "bin" / "python"
    repo.write("pyvenv.cfg", "home = /usr/bin\n")
    repo.write("bin/activate", "# source it\n")
    repo.write("bin/python3.11", "")
    repo.write("bin/pytest", f"#!{python}\nimport pytest\n")
    repo.write("bin/mine", "#!/bin/sh\necho mine\n")
    repo.write("lib/python3.11/site-packages/numpy.py", "")
    repo.write("lib/helper.py", "x = 1\n")
    untracked = repo.git_bytes("ls-files", "-z", "--others").split(b"\0")[:-1]
    judged = judge(os.fsencode(repo.top), untracked, SnapshotSettings(), {})
    assert sorted(judged.chosen) == [b"bin/mine", b"lib/helper.py"]
    assert {(entry.path, entry.reason) for entry in judged.left_out} == {
        ("bin/activate", "environment"),
        ("bin/pytest", "environment"),
        ("bin/python3.11", "environment"),
        ("lib/python3.11/site-packages/", "environment"),
        ("pyvenv.cfg", "environment"),
    }
