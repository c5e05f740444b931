"""A launcher's real ranks in one run: one record, a stream of random numbers for each, all replayed."""

from __future__ import annotations

import json

import pytest

from tests.support import GitRepo, replicate

TRAIN = """
import argparse, random
import torch
from accelerate import Accelerator
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--steps", type=int, default=2)
options = parser.parse_args()
torch.set_num_threads(1)
accelerator = Accelerator(cpu=True)
drawn = accelerator.gather(torch.cat([torch.rand(1).double(), torch.tensor([random.random()])]))
accelerator.print("ranks:", accelerator.num_processes)
accelerator.print("different:", len(set(drawn.tolist())))
accelerator.print("drawn:", drawn.sum().item())
accelerator.end_training()
"""
LAUNCH = "launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no".split()


@pytest.mark.frameworks("accelerate", "torch")
def test_ranks_of_accelerate_are_one_run_whose_streams_differ_and_replay(repo: GitRepo, framework_python: str) -> None:
    repo.write("train.py", TRAIN)
    command = (framework_python, "-m", "accelerate.commands.accelerate_cli", *LAUNCH, "train.py", "--lr", "0.05")
    done = replicate("start", "-e", "ranks", "--", *command, cwd=repo.top)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(replicate("log", "--format", "json", cwd=repo.top).stdout)
    assert (run["params"], run["params_given"]) == ({"lr": 0.05, "steps": 2}, ["lr"])
    assert (run["metrics"]["ranks"], run["metrics"]["different"]) == (2, 4)
    again = replicate("rerun", "latest", cwd=repo.top)
    assert (again.returncode, again.stdout.splitlines()[-1].partition(": ")[2]) == (0, "identical"), again.stderr
