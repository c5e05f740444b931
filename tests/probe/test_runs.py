"""Whole runs under the probe, as a user sees them."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.probe.test_params import PARSER
from tests.support import GitRepo, replicate


def last(repo: GitRepo) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(replicate("show", "latest", "--format", "json", cwd=repo.top).stdout)
    return found


def test_params_are_what_the_program_parsed_and_requests_that_missed_are_said(repo: GitRepo) -> None:
    repo.write("train.py", PARSER + "parser.parse_args()\nprint('loss: 1')\n")
    words = ("start", "-p", "lr=0.5", "--", sys.executable, "train.py", "--batch", "64")
    done = replicate(*words, cwd=repo.top)
    assert done.returncode == 0
    assert "-p lr=0.5 has no effect: the program parsed lr = 0.1" in done.stderr
    record = last(repo)
    assert record["params"] == {"lr": 0.1, "batch_size": 64, "amp": False}
    assert record["params_given"] == ["batch_size"]
    assert record["params_source"] == {"amp": "parsed", "batch_size": "parsed", "lr": "parsed"}
    assert record["params_unused"] == {"lr": 0.5}


def test_without_the_probe_params_are_guesses(repo: GitRepo) -> None:
    repo.write("train.py", PARSER + "parser.parse_args()\n")
    words = ("start", "--no-probe", "--", sys.executable, "train.py", "--batch", "64")
    assert replicate(*words, cwd=repo.top).returncode == 0
    assert last(repo)["params"] == {"batch": 64}
    assert last(repo)["params_source"] == {"batch": "command"}
