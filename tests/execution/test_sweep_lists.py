"""Lists as points of a sweep, and how they reach a program that takes several values."""

from __future__ import annotations

import json
import sys

from tests.support import GitRepo, replicate

PARSER = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--dims", type=int, nargs="+")
parser.add_argument("--tags", nargs="+")
print("score:", sum(parser.parse_args().dims or [0]))
"""


def test_the_items_of_a_list_are_words_and_a_list_in_one_word_is_told_how(repo: GitRepo) -> None:
    repo.write("train.py", PARSER)
    repo.commit()
    command = ("--", sys.executable, "train.py")
    done = replicate("sweep", "-p", "dims=[5,6],[7,8,9]", *command, "--dims", "{dims...}", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    listed = [json.loads(line) for line in replicate("log", "--format", "jsonl", cwd=repo.top).stdout.splitlines()]
    assert sorted(row["params"]["dims"] for row in listed) == [[5, 6], [7, 8, 9]]
    assert sorted(row["metrics"]["score"] for row in listed) == [11, 24]
    wrong = replicate("sweep", "-p", 'tags=["a","b"],["c"]', *command, "--tags", "{tags}", cwd=repo.top)
    assert wrong.returncode == 1
    assert "-p tags: ['a', 'b'] was asked for, and the program parsed tags = " in wrong.stderr
    assert "train.py --tags {tags...}" in wrong.stderr
