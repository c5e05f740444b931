"""What a command comes down to once launchers and interpreters are taken away."""

from __future__ import annotations

import shlex

import pytest

from git_replicate.capture.program import find_program, layers, may_start_anything, plain_commands, program_name


@pytest.mark.parametrize(
    ("command", "name", "arguments"),
    [
        ("python train.py --lr 1", "train", "--lr 1"),
        ("/usr/bin/python3.11 -u -W ignore -X dev src/train.py --lr 1", "train", "--lr 1"),
        ("python -um pkg.train --lr 1", "train", "--lr 1"),
        ("python -m pkg --lr 1", "pkg", "--lr 1"),
        ("python -m pkg.tool.__main__ --lr 1", "tool", "--lr 1"),
        ("python -c 'print(1)' --lr 1", "python", "--lr 1"),
        ("python - --lr 1", "python", "--lr 1"),
        ("python", "python", ""),
        ("uv run --with numpy python train.py --lr 1", "train", "--lr 1"),
        ("uv run train.py --lr 1", "train", "--lr 1"),
        ("uv run -m pkg.train --lr 1", "train", "--lr 1"),
        ("uv --project x run --frozen train --lr 1", "train", "--lr 1"),
        ("poetry run python train.py --lr 1", "train", "--lr 1"),
        ("conda run -n env --no-capture-output python train.py --lr 1", "train", "--lr 1"),
        ("torchrun --standalone --nproc_per_node 4 train.py --lr 1", "train", "--lr 1"),
        ("torchrun --nproc-per-node=4 -m pkg.train --lr 1", "train", "--lr 1"),
        ("python -m torch.distributed.run --nnodes 2 train.py --lr 1", "train", "--lr 1"),
        ("accelerate launch --multi_gpu --num_processes 2 train.py --lr 1", "train", "--lr 1"),
        ("deepspeed --num_gpus 2 train.py --lr 1", "train", "--lr 1"),
        ("srun -n 4 --exclusive -p gpu ./sim --lr 1", "sim", "--lr 1"),
        ("srun -n4 python train.py --lr 1", "train", "--lr 1"),
        ("mpirun -np 4 --bind-to core --allow-run-as-root python train.py --lr 1", "train", "--lr 1"),
        ("env -u X A=b nice -n 5 time -v timeout -k 3 10 nohup python train.py --lr 1", "train", "--lr 1"),
        ("stdbuf -oL taskset -c 0-3 numactl -N 0 ./train --lr 1", "train", "--lr 1"),
        ("python -m cProfile -o out.prof train.py --lr 1", "train", "--lr 1"),
        ("jupyter execute --allow-errors a/digits.ipynb", "digits", ""),
        ("jupyter-execute digits.ipynb", "digits", ""),
        ("jupyter nbconvert --to notebook --execute digits.ipynb", "digits", ""),
        ("jupyter lab", "jupyter", ""),
        ("papermill -k python3 in/a.ipynb out.ipynb -p lr 0.3 --log-output -r name b", "a", "lr=0.3 name=b"),
        ("python -m papermill a.ipynb -p lr", "a", "lr"),
        ("papermill --version", "papermill", ""),
        ("coverage run --source pkg train.py --lr 1", "train", "--lr 1"),
        ("docker run --gpus all image python train.py --lr 1", "train", "--lr 1"),
        ("bash -x train.sh --lr 1", "train", "--lr 1"),
        ("bash -c 'cd x && A=b exec python train.py --lr 1'", "train", "--lr 1"),
        ("bash -lc 'for i in 1 2; do python train.py --lr $i; done'", "train", ""),
        ("sh -c 'python train.py --lr 1 | tee log'", "train", ""),
        ("sh -c './train.sh --lr 1 > log.out 2>&1'", "train", ""),
        ("sh -c 'python -m pkg.train | tee notes.py.txt'", "train", ""),
        ("sh -c 'for f in *; do ./a.sh; python b.py; done'", "sh", ""),
        ("sh -c 'while :; do date > x.sh; done'", "sh", ""),
        ("sh -c 'exit 3'", "sh", ""),
        ("sh -c 'echo hi; exit 1'", "sh", ""),
        ("sh -c 'kill -TERM $$'", "sh", ""),
        ("sh -c ''", "sh", ""),
        ("sh -c 'python train.py --lr 1; echo done'", "train", "--lr 1"),
        ("sh -c 'git pull && cd src && X=1 python -m pkg.train --lr 1'", "train", "--lr 1"),
        ("sh -c 'snore 3; ./train --lr 1'", "train", "--lr 1"),
        ("sh -c 'python a.py; python b.py'", "sh", ""),
        ("sh -c 'mkdir -p out; simulate --lr 1'", "simulate", "--lr 1"),
        ("make", "make", ""),
        ("make -j 4 -C build train LR=1", "train", "LR=1"),
        ("make -j8 train test", "make", ""),
        ("snakemake --cores 4 figures/all.pdf", "all.pdf", ""),
        ("just train", "train", ""),
        ("Rscript --vanilla fit.R --lr 1", "fit", "--lr 1"),
        ("Rscript -e 'print(1)'", "Rscript", ""),
        ("julia --project=. -t 4 fit.jl --lr 1", "fit", "--lr 1"),
        ("java -cp a:b com.example.Main --lr 1", "Main", "--lr 1"),
        ("java -Xmx4g -jar build/app.jar --lr 1", "app", "--lr 1"),
        ("./build/a.out --lr 1", "a", "--lr 1"),
        ("env", "env", ""),
        ("time", "time", ""),
        ("pytest tests -x", "pytest", "tests -x"),
    ],
)
def test_finds_the_program_and_its_own_arguments(command: str, name: str, arguments: str) -> None:
    program = find_program(shlex.split(command))
    assert (program.name, " ".join(program.arguments)) == (name, arguments)


def test_a_launcher_that_launches_itself_for_ever_ends() -> None:
    assert find_program(("env",) * 100).name == "env"
    assert program_name(()) == ""


def test_an_executable_named_like_a_number_or_dot_file_keeps_its_name() -> None:
    assert program_name(["./.hidden"]) == ".hidden"
    assert program_name(["./v1.2"]) == "v1.2"


def test_launchers_come_off_one_by_one() -> None:
    assert layers("nice -n 5 env A=b python x.py".split()) == [
        ("nice", "-n", "5", "env", "A=b", "python", "x.py"), ("env", "A=b", "python", "x.py"), ("python", "x.py"),
    ]  # fmt: skip
    assert layers(["ls", "-l"]) == [("ls", "-l")]
    assert layers([]) == []
    assert len(layers(["env"] * 100)) == 16


def test_a_build_tool_or_a_shell_may_start_anything() -> None:
    assert may_start_anything("/usr/bin/make")
    assert may_start_anything("bash")
    assert not may_start_anything("ls")


def test_a_shell_line_is_understood_only_if_it_is_plain() -> None:
    assert plain_commands("a --x 1; X=1 exec b --y 'two words'") == [("a", "--x", "1"), ("b", "--y", "two words")]
    assert plain_commands("a --x $Y") is None
    assert plain_commands("a > file") is None
    assert plain_commands("a 'unclosed") is None
    assert plain_commands("a &") is None
