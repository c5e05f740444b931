"""Streams of the other processes of a run: different from each other, and the same when the run is made again."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.probe.running import interpreters, probed
from tests.probe.seeding import replays, seeded

METHODS = ("fork", "spawn", "forkserver")


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_processes_of_multiprocessing(tmp_path: Path, method: str) -> None:
    code = """
import multiprocessing, random, sys
at_import = random.random()
def draw(queue, number): queue.put((number, random.random(), random.Random().random()))
class Own(multiprocessing.Process): pass
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    workers = [context.Process(target=draw, args=(queue, n)) for n in range(3)]
    for worker in workers: worker.start()
    drawn = sorted(queue.get() for _ in workers)
    for worker in workers: worker.join()
    print([random.random(), *(value for _, *values in drawn for value in values)])
"""
    values = ast.literal_eval(replays(tmp_path, code, method))
    assert len(set(values)) == 7


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_tasks_of_a_pool_replay_whichever_worker_takes_them(tmp_path: Path, method: str) -> None:
    code = """
import multiprocessing, os, random, sys, time
from concurrent.futures import ProcessPoolExecutor
def draw(number):
    time.sleep(os.urandom(1)[0] / 10000)  # who takes which is a race
    return random.random()
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    drawn = [random.random()]
    with context.Pool(3) as pool:
        drawn += pool.map(draw, range(6), chunksize=1) + pool.map(draw, range(3)) + [pool.apply(draw, (0,))]
    for _ in range(2):
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            drawn += executor.map(draw, range(4))
    print(drawn)
"""
    values = ast.literal_eval(replays(tmp_path, code, method))
    assert len(set(values)) == len(values) == 19


def test_a_pool_whose_workers_seed_themselves_is_left_alone(tmp_path: Path) -> None:
    code = """
import multiprocessing, random
def draw(number): return random.random()
if __name__ == "__main__":
    state, pool_of = random.Random(1).getstate(), multiprocessing.get_context("fork").Pool
    with pool_of(1, random.seed, (1,)) as pool: print(pool.map(draw, range(3), 1))
    with pool_of(1, random.setstate, (state,)) as pool: print(pool.map(draw, range(3), 1))
    random.seed(1); print([random.random() for _ in range(3)])
"""
    by_seed, by_state, expected = seeded(tmp_path, code, 7).output.splitlines()
    assert by_seed == by_state == expected


def test_a_pool_whose_tasks_seed_for_a_while_and_put_the_state_back_replays(tmp_path: Path) -> None:
    code = """
import multiprocessing, os, random, time
def draw(number):
    time.sleep(os.urandom(1)[0] / 10000)
    state = random.getstate(); random.seed(0); random.random(); random.setstate(state)
    return random.random()
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool: print(pool.map(draw, range(6), 1))
"""
    drawn = ast.literal_eval(replays(tmp_path, code))
    assert len(set(drawn)) == 6


def test_a_pool_of_threads_shares_the_generator_of_its_process(tmp_path: Path) -> None:
    code = """
import random
from multiprocessing.pool import ThreadPool
with ThreadPool(1) as pool: print(pool.map(lambda number: random.random(), range(3)))
random.seed(7); print([random.random() for _ in range(3)])
"""
    ours, expected = seeded(tmp_path, code, 7).output.splitlines()
    assert ours == expected


def test_a_child_of_a_program_that_seeds_is_replayed_where_python_reseeds_it(tmp_path: Path) -> None:
    code = """
import os, random
random.seed(1)
drawn = [random.random()]
for _ in range(2):
    read, write = os.pipe()
    if not os.fork():
        os.write(write, repr(random.random()).encode()); os._exit(0)
    os.wait(); drawn.append(float(os.read(read, 100)))
print([*drawn, random.random()])
"""
    first, second, other = (ast.literal_eval(seeded(tmp_path, code, seed).output) for seed in (7, 7, 8))
    assert first == second
    assert (first[0], first[3]) == (other[0], other[3])
    assert len({*first, *other[1:3]}) == 6


CODE = "import random; print(random.random())"
STARTED: dict[str, str] = {
    "at the same time": """
started = [subprocess.Popen(child, stdout=subprocess.PIPE, text=True) for _ in range(3)]
print([process.communicate()[0] for process in started])
""",
    "with variables of their own": """
started = [subprocess.Popen(child, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) for _ in range(3)]
print([process.communicate()[0] for process in started])
""",
    "with something done before": """
print([subprocess.run(child, stdout=subprocess.PIPE, text=True, preexec_fn=print).stdout for _ in range(3)])
""",
    "without closing files": """
print([subprocess.run(child, stdout=subprocess.PIPE, text=True, close_fds=False).stdout for _ in range(3)])
""",
    "by a shell": """
print(subprocess.run(f'for n in 1 2 3; do {shlex.join(child)}; done', shell=True, stdout=subprocess.PIPE).stdout)
print(os.popen(shlex.join(child)).read())
""",
    "by os.spawnv": """
sys.stdout.flush()
for _ in range(3): os.spawnv(os.P_WAIT, sys.executable, child)
""",
    "by asyncio": """
import asyncio
async def start():
    started = [await asyncio.create_subprocess_exec(*child, stdout=subprocess.PIPE) for _ in range(3)]
    print([(await process.communicate())[0].decode() for process in started])
asyncio.run(start())
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("way", STARTED)
def test_programs_that_the_program_starts(tmp_path: Path, way: str) -> None:
    code = f"import os, shlex, subprocess, sys\nchild = [sys.executable, '-c', {CODE!r}]\n{STARTED[way]}"
    code += "import random; print(random.random())"
    text = replays(tmp_path, code)
    numbers = [word for word in text.replace("'", " ").replace("\\n", " ").split() if word.startswith("0.")]
    assert len(set(numbers)) == len(numbers) >= 4


def test_a_helper_on_the_side_moves_nobody_elses_stream(tmp_path: Path) -> None:
    code = """
import subprocess, sys
if len(sys.argv) > 1:
    subprocess.run(["true"])
    subprocess.run([sys.executable, "-m", "this"], stdout=subprocess.DEVNULL)
print(subprocess.run([sys.executable, "-c", "import random; print(random.random())"], stdout=subprocess.PIPE).stdout)
"""
    assert seeded(tmp_path, code, 7).output == seeded(tmp_path, code, 7, "aside").output


def test_children_have_the_variables_that_they_were_given(tmp_path: Path) -> None:
    code = """
import os, subprocess, sys
show = [sys.executable, "-c", "import os; print(sorted(name for name in os.environ if name.startswith('GIT_REPL')))"]
print(subprocess.run(show, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, text=True).stdout)
before = dict(os.environ)
subprocess.run(["true"])
print(before == dict(os.environ), os.popen("env").read().count("GIT_REPLICATE_PROBE_PATH"))
os.environ.clear()
print(subprocess.run(["/usr/bin/env"], stdout=subprocess.PIPE, text=True).stdout.count("GIT_REPLICATE"))
"""
    assert seeded(tmp_path, code, 7).output == "[]\n\nTrue 1\n0\n"


def test_a_program_that_executes_itself_anew_is_another_stream_that_replays(tmp_path: Path) -> None:
    code = """
import os, random, sys
print(random.random(), flush=True)
if len(sys.argv) < 2: os.execv(sys.executable, [sys.executable, "main.py", "again"])
"""
    first, second = replays(tmp_path, code).split()
    assert first != second


def test_programs_one_after_the_other_in_a_shell(tmp_path: Path) -> None:
    """The one that the command comes down to has the run's seed the first time; the others have their own streams."""

    def run(seed: int) -> list[str]:
        folder = tmp_path / f"shell-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name in ("prepare.py", "train.py"):
            (folder / name).write_text(CODE)
        told: dict[str, Any] = {"seed": seed, "seed_mode": "given", "program": "train"}
        script = f"for name in prepare train train; do {sys.executable} $name.py; done"
        done = subprocess.run(
            ["sh", "-c", script], cwd=folder, env=probed(folder, told), capture_output=True, text=True
        )
        assert done.stderr == ""
        return done.stdout.split()

    first = run(7)
    assert first == run(7)
    assert len({*first, *run(8)}) == 6
    random.seed(7)
    assert first[1] == str(random.random())


def test_a_launcher_leaves_the_seed_to_what_it_launches(tmp_path: Path) -> None:
    (tmp_path / "torchrun.py").write_text(
        "import os, subprocess, sys\nfor rank in '01':\n"
        "    subprocess.run([sys.executable, 'train.py'], env={**os.environ, 'RANK': rank, 'WORLD_SIZE': '2'})\n"
    )
    (tmp_path / "train.py").write_text(CODE)
    env = probed(tmp_path, {"seed": 7, "seed_mode": "given", "program": "train"})
    command = [sys.executable, "torchrun.py"]
    first, second = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True).stdout.split()
    random.seed(7)
    assert first == str(random.random())
    assert second != first


EVERYWHERE = """
import multiprocessing, random, subprocess, sys
from concurrent.futures import ProcessPoolExecutor
def draw(number): return random.random()
if __name__ == "__main__":
    print(random.random(), random.Random().random())
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool: print(pool.map(draw, range(4), 1))
        with ProcessPoolExecutor(2, mp_context=context) as executor: print(list(executor.map(draw, range(4))))
    child = [sys.executable, "-c", "import random; print(random.random())"]
    started = [subprocess.Popen(child, stdout=subprocess.PIPE, universal_newlines=True) for _ in range(2)]
    print([process.communicate()[0] for process in started])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "python", [path for path in interpreters() if "pypy" not in path]
)  # its executors cannot spawn
def test_every_python_that_is_here_draws_the_same(tmp_path: Path, python: str) -> None:
    asked = subprocess.run([python, "-c", "import sys; sys.exit(sys.version_info < (3, 8))"], capture_output=True)
    if asked.returncode:
        pytest.skip("older than Python 3.8, or none at all")
    expected = seeded(tmp_path, EVERYWHERE, 7).output
    assert seeded(tmp_path, EVERYWHERE, 7, python=python).output == expected
