"""Files that a program opens, as the probe notes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from git_replicate.capture.opened import Read
from git_replicate.capture.seen_files import SeenFiles, data_read, read_seen_files
from tests.probe.running import Observed, observe


def seen_in(folder: Path, observed: Observed) -> SeenFiles:
    assert (observed.code, observed.errors, observed.notes("failure")) == (0, "", [])
    return read_seen_files(observed.report)


def inside(folder: Path, paths: Any) -> list[str]:
    return sorted(str(Path(path).relative_to(folder)) for path in paths)


def old(path: Path, text: str = "x") -> Path:
    import os

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1e9, 1e9))
    return path


def test_reads_writes_and_code_are_told_apart(tmp_path: Path) -> None:
    for name in ("data.csv", "b.bin", "rw.txt", "late.txt", "deep/c"):
        old(tmp_path / name)
    old(tmp_path / "helper.py", "import os\n")
    code = """
import os, pathlib, sqlite3, helper
open("data.csv").read(); open("data.csv").read()
os.close(os.open(b"b.bin", os.O_RDONLY))
open("rw.txt", "r+").write("y")
open("out.txt", "w").write("z")
open("out.txt").read()
open(pathlib.Path("deep") / "c").read()
os.chdir("deep")
open("../late.txt").read()
open(0, closefd=False)
open("/dev/null").read()
try: open("absent")
except OSError: pass
open(helper.__file__).read()
"""
    seen = seen_in(tmp_path, observe(tmp_path, code))
    assert inside(tmp_path, seen.reads) == ["b.bin", "data.csv", "deep/c", "helper.py", "late.txt", "rw.txt"]
    assert inside(tmp_path, seen.written) == ["out.txt", "rw.txt"]
    assert inside(tmp_path, seen.code) == ["helper.py", "main.py"]
    assert (seen.folders, seen.unseen) == (set(), [])
    (load,) = seen.code[str(tmp_path / "helper.py")]
    assert load.mtime_ns == 10**18
    assert load.time > 1.7e9
    read = data_read(seen, since=1.7e9)
    assert inside(tmp_path, (r.path for r in read)) == ["b.bin", "data.csv", "deep/c", "late.txt", "rw.txt"]
    assert {r.mtime_ns for r in read} == {10**18}


def test_code_that_is_compiled_already_is_named_by_its_source(tmp_path: Path) -> None:
    old(tmp_path / "pkg" / "__init__.py", "")
    old(tmp_path / "pkg" / "inner.py", "value = 1\n")
    for _ in range(2):
        seen = seen_in(tmp_path, observe(tmp_path, "import pkg.inner", variables={"PYTHONDONTWRITEBYTECODE": ""}))
        assert inside(tmp_path, seen.code) == ["main.py", "pkg/__init__.py", "pkg/inner.py"]
        assert inside(tmp_path, seen.reads) == []
    assert list((tmp_path / "pkg" / "__pycache__").iterdir()) != []


def test_a_module_run_by_name_and_code_given_as_text(tmp_path: Path) -> None:
    old(tmp_path / "pkg" / "__init__.py", "")
    old(tmp_path / "pkg" / "__main__.py", "import runpy; runpy.run_path('other.py')\n")
    old(tmp_path / "other.py", "")
    code = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'pkg'], check=True)"
    seen = seen_in(tmp_path, observe(tmp_path, code))
    assert inside(tmp_path, seen.code) == ["main.py", "other.py", "pkg/__init__.py", "pkg/__main__.py"]


def test_many_files_of_a_folder_become_the_folder_and_scattered_ones_a_folder_above(tmp_path: Path) -> None:
    code = """
import os, sys
from git_replicate_probe import files
files.MOST_IN_FOLDER, files.MOST_NAMES = 5, 12
for folder in ("one", "two/a", "two/b", "two/c"):
    os.makedirs(folder)
    for n in range(20 if folder == "one" else 4):
        with open(f"{folder}/{n}", "w"): pass
        os.utime(f"{folder}/{n}", (1e9, 1e9))
"""
    reading = (
        "import os\nfor d, _, names in sorted(os.walk('data')):\n    for n in names: open(os.path.join(d, n)).read()"
    )
    made = observe(tmp_path, code.replace('"one"', '"data/one"').replace('"two/', '"data/two/'))
    assert made.code == 0, made.errors
    limits = "from git_replicate_probe import files\nfiles.MOST_IN_FOLDER, files.MOST_NAMES = 5, 12\n"
    for file in (tmp_path / "notes").iterdir():
        file.unlink()
    seen = seen_in(tmp_path, observe(tmp_path, limits + reading))
    assert inside(tmp_path, seen.folders) == ["data/one", "data/two"]
    assert [r.path for r in data_read(seen, 1.7e9)] == [str(tmp_path / "data" / "one"), str(tmp_path / "data" / "two")]
    assert len(seen.reads) < 20


@pytest.mark.slow
def test_processes_that_open_thousands_of_files_note_some_hundred_kilobytes_at_most(tmp_path: Path) -> None:
    for part in range(8):
        (tmp_path / "data" / str(part)).mkdir(parents=True)
        for number in range(600):
            (tmp_path / "data" / str(part) / f"sample-{number:05}").touch()
    code = """
import os, time
for worker in range(4):
    if os.fork() == 0:
        for part in range(8):
            for number in range(600):
                open(f"data/{part}/sample-{number:05}").close()
        os._exit(0)
for worker in range(4):
    os.wait()
"""
    seen = seen_in(tmp_path, observe(tmp_path, code, told={"started": 4e9}))
    sizes = [file.stat().st_size for file in (tmp_path / "notes").iterdir()]
    assert len(sizes) == 5
    assert 100_000 < max(sizes) < 250_000
    assert inside(tmp_path, seen.folders) == ["data"]
    assert [r.path for r in data_read(seen, 1e12)] == [str(tmp_path / "data")]


def test_the_worktree_never_stands_for_its_files(tmp_path: Path) -> None:
    for number in range(20):
        old(tmp_path / f"{number}.txt")
    code = """
from git_replicate_probe import files
files.MOST_IN_FOLDER, files.MOST_NAMES, files.MOST_LEFT = 5, 12, 12
for number in range(20): open(f"{number}.txt").close()
"""
    seen = seen_in(tmp_path, observe(tmp_path, code))
    assert (seen.folders, seen.unseen) == (set(), ["files: too many in too many places"])
    assert len(seen.reads) == 13


def test_children_by_fork_spawn_and_command_are_seen_to_their_end(tmp_path: Path) -> None:
    for name in ("fork.txt", "pool.txt", "spawn.txt", "child.txt", "exit.txt"):
        old(tmp_path / name)
    old(tmp_path / "late.py", "x = 1\n")
    code = """
import multiprocessing, os, subprocess, sys
def read(name):
    import late
    open(name).read()
if __name__ == "__main__":
    for method, name in (("fork", "pool.txt"), ("spawn", "spawn.txt")):
        with multiprocessing.get_context(method).Pool(1) as pool:
            pool.map(read, [name])
    child = os.fork()
    if child == 0:
        read("fork.txt")
        os._exit(0)
    os.waitpid(child, 0)
    subprocess.run([sys.executable, "-c", "open('child.txt').read(); import os; os.kill(os.getpid(), 9)"])
"""
    observed = observe(tmp_path, code)
    seen = seen_in(tmp_path, observed)
    assert inside(tmp_path, seen.reads) == ["child.txt", "fork.txt", "pool.txt", "spawn.txt"]
    assert inside(tmp_path, seen.code) == ["late.py", "main.py"]
    assert len(observed.report.main) == 1
    assert sorted({process.forked for process in observed.report.processes}) == [0, 1]


def test_what_may_read_unseen_is_named(tmp_path: Path) -> None:
    library = tmp_path / "lib" / "site-packages"
    library.mkdir(parents=True)
    (library / "h5py.py").touch()
    code = f"""
import subprocess, sys
sys.path.append({str(library)!r})
import h5py
subprocess.run(["cat", "/dev/null"])
subprocess.run(["uname"], stdout=subprocess.DEVNULL)
subprocess.run([sys.executable, "-c", "pass"])
"""
    seen = seen_in(tmp_path, observe(tmp_path, code))
    assert seen.unseen == ["h5py", "program cat"]
    assert seen.modules == {"h5py": str(library / "h5py.py")}


def test_an_interruption_within_the_hook_reaches_the_program(tmp_path: Path) -> None:
    old(tmp_path / "a")
    code = """
import os, signal
stat = os.stat
def interrupted(path, *a, **k):
    if path == os.path.abspath("a"): raise KeyboardInterrupt
    return stat(path, *a, **k)
os.stat = interrupted
try: open("a")
except KeyboardInterrupt: print("interrupted")
def broken(path, *a, **k): raise RuntimeError("ours")
os.stat = broken
print(open("a").read())
"""
    observed = observe(tmp_path, code)
    assert (observed.output, observed.errors) == ("interrupted\nx\n", "")
    assert {note["error"] for note in observed.notes("failure")} == {"RuntimeError('ours')"}


def test_files_of_the_interpreters_environment_are_not_data_unless_the_worktree_is_in_it(tmp_path: Path) -> None:
    certificates = tmp_path / "env" / "ssl" / "cacert.pem"
    reads = {str(path): Read(str(path), 2.0, 1) for path in (certificates, tmp_path / "data.csv")}
    seen = SeenFiles(reads=reads, prefixes={str(tmp_path / "env")})
    assert [read.path for read in data_read(seen, 1.7e9, str(tmp_path))] == [str(tmp_path / "data.csv")]
    assert len(data_read(seen, 1.7e9, str(tmp_path / "env" / "project"))) == 2


def test_interpreters_own_files_are_not_data(tmp_path: Path) -> None:
    seen = seen_in(tmp_path, observe(tmp_path, "import json, email.message, logging.config"))
    assert (seen.reads, inside(tmp_path, seen.code)) == ({}, ["main.py"])
    assert seen.modules == {}
