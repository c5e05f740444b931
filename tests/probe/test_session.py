"""The probe in a process: it starts, leaves no trace, writes for itself alone, and never stops a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from git_replicate.capture.parsed_params import read_parsed
from git_replicate.capture.probe_report import read_report
from git_replicate.capture.seen_files import read_seen_files
from git_replicate.probe import SITE
from tests.probe.running import interpreters, observe, probed


def test_a_program_finds_the_path_and_modules_that_it_would_have_found(tmp_path: Path) -> None:
    code = "import sys; print(sys.path, sys.argv, 'sitecustomize' in sys.modules, 'json' in sys.modules)"
    seen = observe(tmp_path, code, "a", "b")
    plain = subprocess.run([sys.executable, "main.py", "a", "b"], cwd=tmp_path, capture_output=True, text=True)
    assert (seen.output.replace("True False", "False False"), seen.errors) == (plain.stdout, "")
    (process,) = seen.report.processes
    assert process.words == (sys.executable, "main.py", "a", "b")
    assert (process.is_main, process.rank, process.above) == (True, 0, ())


def test_the_sitecustomize_that_is_hidden_runs_and_its_failure_is_said_as_python_says_it(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import builtins\nbuiltins.hidden = __file__\n")
    path = {"PYTHONPATH": f"{SITE}{os.pathsep}{hidden}"}
    code = "import sys, sitecustomize; print(hidden == sitecustomize.__file__ == sys.argv[1])"
    assert observe(tmp_path, code, str(hidden / "sitecustomize.py"), variables=path).output == "True\n"
    (hidden / "sitecustomize.py").write_text("import nothing_of_that_name\n")
    seen = observe(tmp_path, "print('ran')", variables=path)
    assert seen.output == "ran\n"
    assert "No module named 'nothing_of_that_name'" in seen.errors


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_an_isolated_python_runs_without_it(tmp_path: Path, option: str) -> None:
    seen = observe(tmp_path, "print('ran')", options=[option])
    assert (seen.output, seen.errors, seen.report.processes) == ("ran\n", "", ())


def test_a_folder_that_cannot_be_written_and_settings_that_are_none_do_not_stop_a_program(tmp_path: Path) -> None:
    seen = observe(tmp_path, "print('ran')", told={"folder": str(tmp_path / "gone")})
    assert (seen.output, seen.errors) == ("ran\n", "")
    seen = observe(tmp_path, "print('ran')", variables={"GIT_REPLICATE_PROBE": "{not json"})
    assert seen.output == "ran\n"
    assert "the probe did not start" in seen.errors
    seen = observe(tmp_path, "print('ran')", variables={"GIT_REPLICATE_PROBE": ""})
    assert (seen.output, seen.errors) == ("ran\n", "")


def test_a_module_is_called_back_once_executed_and_keeps_no_trace(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("value = 1\n")
    code = """
import sys
from git_replicate_probe import session
probe = session.Probe({"folder": sys.argv[1]}, session.this_place({}))
def fail(module): raise ValueError("mine")
def double(module): module.value *= 2
probe.on_import("mine", double)
probe.on_import("mine", fail)
probe.on_import("not_there", fail)
try: import not_there
except ModuleNotFoundError: print("not there")
import mine
print(mine.value, "exec_module" in vars(mine.__loader__), mine.__spec__.loader is mine.__loader__)
probe.on_import("mine", double)
print(mine.value)
"""
    seen = observe(tmp_path, code, str(tmp_path / "notes"))
    assert (seen.output, seen.errors) == ("not there\n2 False True\n4\n", "")
    assert [note["error"] for note in seen.notes("failure")] == ["ValueError('mine')"]


def test_children_are_told_from_the_program_itself(tmp_path: Path) -> None:
    code = """
import os, subprocess, sys
subprocess.run([sys.executable, "-c", "pass"])
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
os.execv(sys.executable, [sys.executable, "-c", "print('executed')"])
"""
    seen = observe(tmp_path, code)
    assert (seen.output, seen.errors) == ("executed\n", "")
    main = seen.report.main
    assert [process.words[1:] for process in main] == [("main.py",), ("-c", "print('executed')")]
    (child,) = (process for process in seen.report.processes if process.above)
    assert child.above == (main[0].pid,)


def test_a_launcher_is_not_the_program_and_ranks_above_the_first_are_not_either(tmp_path: Path) -> None:
    (tmp_path / "torchrun").write_text("import subprocess, sys\nsubprocess.run([sys.executable, 'main.py'])\n")
    (tmp_path / "main.py").write_text("pass\n")
    env = {**probed(tmp_path), "WORLD_SIZE": "2"}
    for rank in ("0", "1"):
        subprocess.run([sys.executable, "torchrun"], cwd=tmp_path, env={**env, "RANK": rank}, check=True)
    report = read_report(str(tmp_path / "notes"))
    assert len(report.processes) == 4
    assert [(process.words[1], process.rank) for process in report.main] == [("main.py", 0)]


def test_lines_that_are_cut_or_foreign_are_passed_over(tmp_path: Path) -> None:
    seen = observe(tmp_path, "pass")
    (file,) = (tmp_path / "notes").iterdir()
    file.write_bytes(file.read_bytes() + b'\xff\n[1]\n{"kind": "mine", "a": 1}\n{"kind": "mi')
    (tmp_path / "notes" / "1-2.jsonl").write_text("\n")
    report = read_report(str(tmp_path / "notes"))
    assert [note["a"] for _, note in report.of_kind("mine")] == [1]
    assert len(report.processes) == len(seen.report.processes) == 1
    assert read_report(str(tmp_path / "absent")).processes == ()


def test_a_program_that_closes_every_file_gets_none_of_our_notes_in_its_own(tmp_path: Path) -> None:
    code = """
import os
os.closerange(3, 256)
mine = [os.open(f"mine{n}", os.O_WRONLY | os.O_CREAT) for n in range(4)]
for n in range(10):
    with open(f"data{n}", "w"): pass
"""
    seen = observe(tmp_path, code)
    assert (seen.code, seen.errors) == (0, "")
    assert [(tmp_path / f"mine{n}").read_bytes() for n in range(4)] == [b""] * 4
    assert len(seen.report.opened.written) == 14


def test_where_a_descriptor_cannot_be_duplicated_in_one_step_it_is_not_inherited_either(tmp_path: Path) -> None:
    code = "import fcntl, os, sys; del fcntl.F_DUPFD_CLOEXEC\n"
    code += f"sys.path.insert(0, {SITE!r})\nfrom git_replicate_probe.descriptors import open_high\n"
    code += "made = open_high('made'); print(made > 30, os.get_inheritable(made), os.write(made, b'note'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, (tmp_path / "made").read_bytes()) == ("True False 4\n", b"note")


def test_a_program_that_writes_no_bytecode_still_writes_none(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    code = "import sys, argparse, mine; argparse.ArgumentParser().parse_args([]); print(sys.dont_write_bytecode)"
    seen = observe(tmp_path, code, variables={"PYTHONDONTWRITEBYTECODE": "1"})
    assert seen.output == "True\n"
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize("python", interpreters())
def test_every_python_that_is_here_runs_a_program_as_ever_and_those_from_3_8_on_are_observed(
    tmp_path: Path, python: str
) -> None:
    asked = subprocess.run(
        [python, "-c", "import sys; print('%d %d' % sys.version_info[:2])"], capture_output=True, text=True
    )
    if asked.returncode:
        pytest.skip(f"a stand-in that starts no Python here: {asked.stderr.strip()[:80]}")
    version = tuple(int(number) for number in asked.stdout.split())
    code = """
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_subparsers(dest="command").add_parser("train").add_argument("--n", type=int, default=2)
print(parser.parse_args().n)
if os.fork() == 0:
    open("data.txt").read()
    os._exit(0)
os.wait()
"""
    (tmp_path / "data.txt").write_text("")
    os.utime(tmp_path / "data.txt", (1e9, 1e9))
    seen = observe(tmp_path, code, "--lr", "0.5", "train", python=python)
    assert (seen.output, seen.errors) == ("2\n", "")
    if version < (3, 8):
        assert seen.report.processes == ()
        return
    assert seen.notes("failure") == []
    parsed = read_parsed(seen.report)
    assert (parsed.values, parsed.given) == ({"lr": 0.5, "command": "train", "n": 2}, {"lr", "command"})
    assert [Path(path).name for path in read_seen_files(seen.report).reads] == ["data.txt"]
    assert [process.forked for process in seen.report.processes] == [0, 1]
