"""The order of a notebook's cells, from the notes of its kernels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from git_replicate.capture.cells import read_cells
from git_replicate.capture.probe_report import ProbeReport, PythonProcess


def kernel(pid: int, *notes: dict[str, Any]) -> PythonProcess:
    whole = tuple({"kind": "cell", "source": "", "error": "", "cell": "", "notebook": "", **note} for note in notes)
    return PythonProcess(pid, 0, float(pid), (), 0, (), False, 0, {}, whole)


def why(*kernels: PythonProcess) -> list[str]:
    lines = read_cells(ProbeReport(kernels)).text.splitlines()
    return [json.loads(line).get("out_of_order", "") for line in lines]


def test_counters_that_grow_by_one_are_in_order() -> None:
    process = kernel(1, {"count": 1, "time": 1, "source": "a"}, {"count": 2, "time": 2, "source": "b"})
    assert read_cells(ProbeReport((process,)))[1:] == (2, 0)
    assert read_cells(ProbeReport())[:] == (b"", 0, 0)


def test_a_jump_a_repetition_and_another_kernel_are_flagged() -> None:
    first = kernel(
        1, {"count": 4, "time": 1, "cell": "a"}, {"count": 5, "time": 2, "cell": "b"},
        {"count": 6, "time": 3, "cell": "b"}, {"count": 9, "time": 4, "cell": "c"},
    )  # fmt: skip
    second = kernel(2, {"count": 1, "time": 5, "cell": "d"}, {"count": 2, "time": 6, "cell": "e"})
    assert why(second, first) == ["gap", "", "again", "gap", "restart", ""]
    assert read_cells(ProbeReport((first, second)))[1:] == (6, 4)


def test_a_cell_that_stands_before_one_that_has_run_is_flagged(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [{"id": "x", "source": ["a\n", "b"]}, {"id": "y", "source": "c"}]}))
    notes = [
        {"count": 1, "time": 1, "cell": "y", "source": "c", "notebook": str(path)},
        {"count": 2, "time": 2, "cell": "", "source": "a\nb", "notebook": str(path)},
    ]
    assert why(kernel(1, *notes)) == ["", "back"]
    for text in ("", "[]", '{"cells": [7]}', '{"cells": 7}'):
        path.write_text(text)
        assert why(kernel(1, *notes)) == ["", ""]


def test_secrets_in_cells_are_masked() -> None:
    process = kernel(1, {"count": 1, "time": 1, "source": "token = 'ghp_" + "a1B2" * 9 + "'"})
    assert b"ghp_a1B2" not in read_cells(ProbeReport((process,))).text
