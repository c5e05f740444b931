"""What a program computed with, as it is found at its end."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from git_replicate.capture.runtime import with_runtime
from git_replicate.core.causes import find_causes
from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.record import Record, Status
from git_replicate.core.verdict import Side
from tests.probe.running import observe

EMPTY = Record(
    RunId("20240102-030405-00000000"), ExperimentName("e"), Status.FINISHED, started=datetime(2024, 1, 2, tzinfo=UTC)
)


def runtime(folder: Path, code: str, python: str, **variables: str) -> dict[str, Any]:
    seen = observe(folder, code, python=python, variables=variables)
    assert (seen.code, seen.notes("failure")) == (0, []), seen.errors
    return dict(with_runtime(EMPTY, seen.report).runtime)


def test_a_program_without_numbers_has_none(tmp_path: Path) -> None:
    assert runtime(tmp_path, "import os", python=sys.executable) == {}


def test_variables_and_a_thread_pool_that_the_program_has(tmp_path: Path) -> None:
    (tmp_path / "threadpoolctl.py").write_text(
        "def threadpool_info(): return [{'internal_api': 'mkl', 'num_threads': 3}]\n"
    )
    found = runtime(tmp_path, "import threadpoolctl", python=sys.executable, OMP_NUM_THREADS="2")
    assert found["threads"].pop("cpus_allowed") > 0
    assert found == {"threads": {"OMP_NUM_THREADS": "2", "mkl": 3}}


def test_a_library_that_cannot_be_asked_costs_the_rest_nothing(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("version = __version__ = 1\n")
    seen = observe(tmp_path, "import torch", variables={"OMP_NUM_THREADS": "2"})
    assert (seen.code, seen.errors) == (0, "")
    assert [note["where"] for note in seen.notes("failure")] == ["on_import torch", "runtime torch"]
    assert with_runtime(EMPTY, seen.report).runtime["threads"]["OMP_NUM_THREADS"] == "2"


@pytest.mark.frameworks("numpy")
def test_numpy_and_its_openblas(tmp_path: Path, framework_python: str) -> None:
    found = runtime(tmp_path, "import numpy; numpy.ones(3) @ numpy.ones(3)", framework_python, OPENBLAS_NUM_THREADS="1")
    (name,) = (name for name in found["libraries"] if "openblas" in name)
    assert found["libraries"][name].startswith("OpenBLAS 0.")
    assert found["threads"]["openblas"] == 1
    assert len(found["cpu_features"].split()) > 3


@pytest.mark.frameworks("torch")
def test_torch_and_its_switches(tmp_path: Path, framework_python: str) -> None:
    code = "import torch; torch.set_num_threads(1); torch.use_deterministic_algorithms(True)"
    found = runtime(tmp_path, code, framework_python)
    assert found["threads"]["torch"] == 1
    torch = found["torch"]
    assert (torch["deterministic"], torch["matmul_precision"], torch["default_dtype"]) == (
        True, "highest", "torch.float32",
    )  # fmt: skip
    assert torch["version"][0].isdigit()


def causes(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, str, float]]:
    sides = [Side(replace(EMPTY, **values)) for values in (first, second)]
    return [(cause.kind, cause.name, cause.score) for cause in find_causes(sides[0], sides[1], [])]


def test_what_was_computed_with_is_a_cause_where_both_sides_are_known() -> None:
    one = {"runtime": {"threads": {"torch": 1}, "parser": "argparse", "torch": {"deterministic": True}}}
    two = {"runtime": {"threads": {"torch": 8}, "parser": "click", "torch": {"deterministic": True}}}
    assert causes(one, two) == [("environment", "runtime.threads.torch", 0.42)]
    assert causes(one, {"runtime": {}}) == []


def test_a_default_that_only_one_runs_parser_was_seen_to_give_is_hardly_a_cause() -> None:
    guessed = {"params": {"lr": 0.5}, "params_source": {"lr": "command"}, "params_given": ("lr",)}
    parsed = {
        "params": {"lr": 0.5, "steps": 3},
        "params_source": {"lr": "parsed", "steps": "parsed"},
        "params_given": ("lr",),
    }
    assert causes(guessed, parsed) == [("params", "steps", 0.1)]
    assert causes(parsed, {**parsed, "params": {"lr": 0.5, "steps": 4}}) == [("params", "steps", 0.88)]
