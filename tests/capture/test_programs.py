"""Programs that are one and the same, and what each is called beside the others."""

from __future__ import annotations

import pytest

from git_replicate.capture.program import find_program
from git_replicate.capture.programs import is_handed_on, is_same_program, table_names


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("python train.py --lr 1", "/usr/bin/python3 -u ./train.py", True),
        ("torchrun --nproc-per-node 2 src/train.py", "python -u /home/me/src/train.py", True),
        ("python -m pkg.train", "python pkg/train.py", True),
        ("python ../train.py", "python train.py", True),
        ("mytool --lr 1", "/venv/bin/python /venv/bin/mytool --lr 1", True),
        ("python -c 'print(1)'", "python -c 'print(1)'", True),
        ("python a/train.py", "python b/train.py", False),
        ("./w.sh --noise 0.3", "python ev.py --draws 20", False),
        ("python train.py", "python train2.py", False),
        ("make train", "python train.py", False),
    ],
)
def test_programs_are_told_apart_by_script_and_folder(one: str, two: str, same: bool) -> None:
    import shlex

    assert is_same_program(find_program(shlex.split(one)), find_program(shlex.split(two))) is same


@pytest.mark.parametrize(
    ("command", "seen", "own"),
    [
        ("./w.sh --lr 0.1 x", "python t.py --out o --lr 0.1 x", True),
        ("./w.sh --lr 0.1 x", "python t.py --lr 0.1", False),
        ("./w.sh", "python t.py", False),
        ("./launch --nodes 2 t.py --lr 0.1", "python -u t.py --lr 0.1 --local-rank=0", True),
        ("./launch --nodes 2 t.py", "python t.py", True),
        ("./launch a.py b.py", "python a.py", False),
        ("./launch t.py", "python t.py --lr 0.5", False),
    ],
)
def test_arguments_that_a_script_or_a_launcher_hands_on_as_they_are(command: str, seen: str, own: bool) -> None:
    assert is_handed_on(find_program(command.split()), find_program(seen.split())) is own


def test_tables_are_called_after_their_programs_and_never_alike() -> None:
    commands = ("python a/train.py", "python -m b.train", "python eval-all.v2.py", "python -c 'x'", "python -c 'y'")
    programs = [find_program(command.split()) for command in commands]
    assert table_names(programs) == ["a_train", "b_train", "eval_all_v2", "python_4", "python_5"]
