"""`import git_replicate` in a program: in a run without the tool installed, with it, and outside of any run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from git_replicate.capture.noted_params import api_notices, declared_outputs, with_noted
from git_replicate.capture.tracked import read_points
from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.record import Record, Status
from tests.probe.running import Observed, observe, probed
from tests.support import CHECKOUT

RECORD = Record(RunId("20260102-030405-1a2b3c4d"), ExperimentName("x"), Status.RUNNING)


@pytest.fixture
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter in which nothing is installed."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


def points(folder: Path) -> list[tuple[int | None, str, float | int]]:
    ((source, curves),) = read_points(str(folder / "notes"), since=None).sources
    assert source == "api"
    return [(point.step, point.metric, point.value) for point in curves]


def clean(seen: Observed) -> Observed:
    assert (seen.code, seen.errors, seen.notes("failure")) == (0, "", [])
    return seen


PROGRAM = """
import git_replicate as replicate
print(replicate.__name__, sorted(replicate.__all__))
for step in range(2):
    print(replicate.log(step=step, loss=0.5 - step / 4))
replicate.log({"val/acc": 0.9, "inner": {"a": 1}}, step=7)
replicate.log(epoch=3, acc=0.8, note="text")
replicate.log(epoch=4, acc=0.85, note="text", other=None)
print(replicate.param("lr", 0.1), replicate.param("model.depth", 3), replicate.param("none", None))
replicate.params({"opt": {"name": "adam"}}, batch_size=32)
print(replicate.output("model.pt"), replicate.seed(1))
with replicate.run("x") as run: print(run)
"""


@pytest.mark.parametrize("installed", [False, True])
def test_what_a_program_says_is_noted_whether_the_tool_is_installed_there_or_not(
    tmp_path: Path, bare_python: str, installed: bool
) -> None:
    python = sys.executable if installed else bare_python
    variables = {"GIT_REPLICATE_RUN": "x/20260102-030405-1a2b3c4d"}
    seen = clean(observe(tmp_path, PROGRAM, python=python, variables=variables))
    assert seen.output.splitlines() == [
        "git_replicate ['log', 'output', 'param', 'params', 'run', 'seed']", "None", "None", "0.1 3 None",
        "model.pt 1", "<run x/20260102-030405-1a2b3c4d, ended>",
    ]  # fmt: skip
    assert points(tmp_path) == [
        (0, "loss", 0.5), (1, "loss", 0.25), (7, "val/acc", 0.9), (7, "inner.a", 1), (3, "acc", 0.8), (4, "acc", 0.85),
    ]  # fmt: skip
    record = with_noted(RECORD, seen.report)
    assert record.params == {
        "lr": 0.1, "model": {"depth": 3}, "opt": {"name": "adam"}, "batch_size": 32,
    }  # fmt: skip
    assert (record.params_null, record.params_given, set(record.params_source.values())) == (("none",), (), {"api"})
    assert declared_outputs(seen.report) == (str(tmp_path / "model.pt"),)
    assert api_notices(seen.report) == [
        "git_replicate.log: note is no number (str), left out",
        "git_replicate.log: other is no number (NoneType), left out",
    ]


def test_outside_a_run_nothing_is_written_and_the_program_gets_what_it_needs(tmp_path: Path) -> None:
    code = PROGRAM.replace('with replicate.run("x") as run: print(run)', "")
    (tmp_path / "main.py").write_text(code)
    before = sorted(tmp_path.iterdir())
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["None", "None", "0.1 3 None", "model.pt 1"]
    assert sorted(tmp_path.iterdir()) == before


def test_importing_the_installed_package_costs_none_of_the_tools_dependencies(tmp_path: Path) -> None:
    code = """
import sys
before = set(sys.modules)
import git_replicate
print(sorted(set(sys.modules) - before))
git_replicate.log(loss=1)
heavy = {"pygit2", "psutil", "blake3", "tomli_w", "sqlite3", "subprocess", "json", "git_replicate.core"}
print(sorted(heavy & (set(sys.modules) - before)))
try: git_replicate.nothing
except AttributeError as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "['git_replicate']", "[]", "module 'git_replicate' has no attribute 'nothing'",
    ]  # fmt: skip


def test_a_module_of_the_programs_own_by_that_name_comes_first(tmp_path: Path, bare_python: str) -> None:
    (tmp_path / "git_replicate.py").write_text("own = True\n")
    seen = clean(observe(tmp_path, "import git_replicate; print(git_replicate.own)", python=bare_python))
    assert seen.output == "True\n"


def test_an_isolated_python_with_the_tool_installed_is_recorded_all_the_same(tmp_path: Path) -> None:
    code = "import git_replicate as replicate; replicate.log(loss=1, step=2)"
    clean(observe(tmp_path, code, options=["-I"]))
    assert points(tmp_path) == [(2, "loss", 1)]


def test_ranks_above_the_first_log_nothing(tmp_path: Path) -> None:
    code = "import git_replicate as replicate; replicate.log(loss=1); print(replicate.param('lr', 1))"
    seen = clean(observe(tmp_path, code, variables={"RANK": "1", "WORLD_SIZE": "2"}))
    assert (seen.output, seen.notes("api_params")) == ("1\n", [])
    assert read_points(str(tmp_path / "notes"), since=None).sources == ()


def test_what_is_no_table_of_numbers_stops_no_program_and_is_noted(tmp_path: Path) -> None:
    code = """
import git_replicate as replicate
class Odd:
    def keys(self): raise RuntimeError("keys")
    items = keys
replicate.log(5); replicate.log({"a": Odd()}); replicate.log({1: 2}, step="x")
"""
    seen = observe(tmp_path, code)
    assert (seen.code, seen.errors, points(tmp_path)) == (0, "", [(None, "1", 2)])
    assert [note["where"] for note in seen.notes("failure")] == ["api log"]


def ask(folder: Path, requested: object, code: str) -> Observed:
    file = folder / "params.json"
    file.write_text(requested if isinstance(requested, str) else json.dumps(requested))
    head = "import pathlib\nfrom git_replicate import param\n"
    return observe(folder, head + code, variables={"GIT_REPLICATE_PARAMS": str(file)})


def test_a_request_is_read_as_the_type_of_the_default(tmp_path: Path) -> None:
    asked = {
        "lr": 1,
        "n": 1000.0,
        "on": 1,
        "name": 5,
        "flag": True,
        "list": [1, 2],
        "path": "a/b",
        "model": {"depth": 4},
    }
    code = """
print([param("lr", 0.1), param("n", 5), param("on", False), param("name", "x"), param("flag", "x")])
print([param("list", (3,)), param("list", None), param("path", pathlib.Path("c")), param("model.depth", 3)])
print([param("model", {}), param("batch-size", 2), param("n", 0.5), param("lr", 3)])
"""
    seen = clean(ask(tmp_path, {**asked, "batch_size": 8}, code))
    assert seen.output.splitlines() == [
        "[1.0, 1000, True, '5', 'true']",
        "[(1, 2), [1, 2], PosixPath('a/b'), 4]",
        "[{'depth': 4}, 8, 1000.0, 1]",
    ]


def test_a_request_that_was_read_is_delivered_and_the_others_are_not(tmp_path: Path) -> None:
    seen = clean(ask(tmp_path, {"lr": 1, "typo": 2}, "param('lr', 0.1); param('depth', 3)"))
    record = Record(
        RECORD.id, RECORD.experiment, RECORD.status, params={"width": 5, "depth": "?"}, params_given=("depth", "width"),
        params_source={"width": "command", "depth": "command"}, params_unused={"lr": 1, "typo": 2},
    )  # fmt: skip
    record = with_noted(record, seen.report)
    assert record.params == {"lr": 1.0, "depth": 3, "width": 5}
    assert record.params_source == {"lr": "api", "depth": "api", "width": "command"}
    assert (record.params_given, record.params_unused) == (("lr", "width"), {"typo": 2})


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_params_file_that_is_none_gives_the_default(tmp_path: Path, content: str) -> None:
    seen = ask(tmp_path, content, "print(param('lr', 0.1))")
    assert seen.output == "0.1\n"


@pytest.mark.parametrize(
    ("told", "given", "expected"),
    [
        ({}, 5, 5),
        ({"seed": 9, "seed_mode": "auto"}, 5, 5),
        ({"seed": 9, "seed_mode": "given"}, 5, 9),
        ({"seed": 9, "seed_mode": "auto"}, None, 9),
    ],
)
def test_a_seed_that_was_asked_for_comes_before_the_programs_and_that_before_the_runs(
    tmp_path: Path, told: dict[str, object], given: int | None, expected: int
) -> None:
    code = f"""
import random, git_replicate as replicate
print(replicate.seed({given}), random.random() == random.Random({expected}).random())
"""
    assert clean(observe(tmp_path, code, told=told)).output == f"{expected} True\n"


def test_a_seed_that_is_none_is_refused(tmp_path: Path) -> None:
    code = """
import git_replicate as replicate
for wrong in (-1, 2**32, True):
    try: replicate.seed(wrong)
    except ValueError as error: print(error)
print(0 <= replicate.seed() < 2**32)
"""
    assert observe(tmp_path, code).output.splitlines() == [
        "seed -1 is outside 0 to 4294967295", "seed 4294967296 is outside 0 to 4294967295",
        "seed True is outside 0 to 4294967295", "True",
    ]  # fmt: skip


@pytest.mark.frameworks("numpy", "torch")
@pytest.mark.parametrize("in_run", [True, False])
def test_libraries_that_are_imported_before_and_after_are_seeded(
    tmp_path: Path, framework_python: str, in_run: bool
) -> None:
    code = """
import numpy
import git_replicate as replicate
replicate.seed(3); replicate.seed(4)
import torch
print(numpy.random.random() == numpy.random.RandomState(4).random_sample())
print(torch.rand(1).item() == torch.rand(1, generator=torch.Generator().manual_seed(4)).item())
"""
    env = {**probed(tmp_path)} if in_run else {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    (tmp_path / "main.py").write_text(code)
    done = subprocess.run([framework_python, "main.py"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")
