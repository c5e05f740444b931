"""NumPy, PyTorch, scikit-learn, joblib, TensorFlow, Keras and JAX: what is imposed, and what is left to the program."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.probe.running import observe
from tests.probe.seeding import plain, replays, seeded

NUMPY = pytest.mark.frameworks("numpy")
TORCH = pytest.mark.frameworks("torch", "numpy")


@NUMPY
def test_numpys_global_generator_starts_from_the_number_itself(tmp_path: Path, framework_python: str) -> None:
    code = """
import numpy
print(numpy.random.rand(3), numpy.random.permutation(5))
numpy.random.seed(7); print(numpy.random.rand(3), numpy.random.permutation(5))
"""
    seen = seeded(tmp_path, code, 7, python=framework_python)
    ours, expected = seen.output.splitlines()
    assert ours == expected
    statuses = [note["status"] for note in seen.notes("seeded") if note["library"] == "numpy"]
    assert statuses == ["imposed", "own"]


@pytest.mark.slow
@NUMPY
@pytest.mark.parametrize(
    "drawn",
    [
        "numpy.random.rand()",
        "numpy.random.default_rng().random()",
        "numpy.random.default_rng(None).random()",
        "numpy.random.RandomState().rand()",
        "numpy.random.Generator(numpy.random.PCG64()).random()",
        "numpy.random.SeedSequence().entropy",
        "(numpy.random.seed(), numpy.random.rand())[1]",
        "numpy.random.default_rng().spawn(2)[1].random() if hasattr(numpy.random.Generator, 'spawn') else {'a', 'b'}",
    ],
)
def test_an_unseeded_numpy_replays(tmp_path: Path, framework_python: str, drawn: str) -> None:
    replays(tmp_path, f"import numpy\nprint({drawn})", python=framework_python)


@NUMPY
def test_numpys_streams_differ_from_each_other_and_from_those_of_random(tmp_path: Path, framework_python: str) -> None:
    code = """
import numpy as np, os, random
read, write = os.pipe()
np.random.rand()
for _ in range(2):
    if not os.fork():
        drawn = [np.random.rand(), np.random.default_rng().random(), random.random(), random.Random().random()]
        os.write(write, repr([float(number) for number in drawn]).encode() + b"\\n"); os._exit(0)
    os.wait()
os.close(write)
print([number for line in open(read) for number in eval(line)], [np.random.default_rng().random() for _ in range(3)])
"""
    text = replays(tmp_path, code.replace("], [np", "] + [float(np").replace("random() for", "random()) for"),
                   python=framework_python)  # fmt: skip
    values = ast.literal_eval(text)
    assert len(set(values)) == len(values) == 11


@NUMPY
def test_numpys_own_seeds_give_what_they_give_without_us(tmp_path: Path, framework_python: str) -> None:
    code = """
import numpy as np, pickle, copy
np.random.seed(1); print(np.random.rand())
state = np.random.get_state(); np.random.rand(); np.random.set_state(state); print(np.random.rand())
print(np.random.RandomState(2).rand(), np.random.default_rng(3).random(), np.random.default_rng(seed=[1, 2]).random())
print(np.random.default_rng(np.random.PCG64(4)).random(), np.random.default_rng(np.random.SeedSequence(5)).random())
generator = np.random.default_rng(6)
print(np.random.default_rng(generator) is generator, pickle.loads(pickle.dumps(generator)).random())
print(pickle.loads(pickle.dumps(np.random.default_rng)) is np.random.default_rng, np.random.seed.__name__)
try:
    np.random.seed(-1)
except ValueError as error:
    print(error)
"""
    seen = seeded(tmp_path, code, 7, python=framework_python)
    assert seen.output == plain(tmp_path, code, framework_python)
    calls = [(note["function"], note["value"]) for note in seen.notes("seeding") if note["library"] == "numpy"]
    assert calls[:4] == [
        ("seed", 1), ("default_rng", 3), ("default_rng", "[1, 2]"),
        ("default_rng", "SeedSequence(\n    entropy=5,\n)"),
    ]  # fmt: skip
    assert calls[4:] == [("default_rng", 6)]


@NUMPY
def test_numpy_without_a_seed_is_only_observed(tmp_path: Path, framework_python: str) -> None:
    code = "import numpy; print(numpy.random.rand(), numpy.random.default_rng().random())"
    seen = seeded(tmp_path, code, None, python=framework_python)
    assert seen.output != seeded(tmp_path, code, None, python=framework_python).output
    assert {note["library"]: note["status"] for note in seen.notes("seeded")}["numpy"] == "unseen"


@NUMPY
def test_the_systems_entropy_is_untouched_by_numpy(tmp_path: Path, framework_python: str) -> None:
    code = (
        "import numpy, secrets; numpy.random.rand(); print(secrets.randbits(64), numpy.random.bit_generator.randbits)"
    )
    lines = {seeded(tmp_path, code, 7, python=framework_python).output.split()[0] for _ in range(2)}
    assert len(lines) == 2


@pytest.mark.slow
@NUMPY
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_that_uses_numpy(tmp_path: Path, framework_python: str, method: str) -> None:
    code = """
import multiprocessing, numpy as np, os, sys, time
np.random.rand()
def draw(number):
    time.sleep(os.urandom(1)[0] / 10000)
    return float(np.random.rand()), float(np.random.default_rng().random())
if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        print([number for pair in pool.map(draw, range(6), 1) for number in pair])
"""
    values = ast.literal_eval(replays(tmp_path, code, method, python=framework_python))
    assert len(set(values)) == len(values) == 12


@NUMPY
def test_children_of_a_program_that_seeds_numpy_share_its_stream_as_they_would(
    tmp_path: Path, framework_python: str
) -> None:
    code = """
import multiprocessing, numpy as np
def draw(number): return float(np.random.rand())
if __name__ == "__main__":
    np.random.seed(1)
    with multiprocessing.get_context("fork").Pool(1) as pool: print(pool.map(draw, range(4), 1))
"""
    assert seeded(tmp_path, code, 7, python=framework_python).output == plain(tmp_path, code, framework_python)


@NUMPY
def test_a_fork_while_a_thread_holds_numpys_generator_does_not_hang(tmp_path: Path, framework_python: str) -> None:
    code = """
import numpy as np, os, threading
lock = np.random.mtrand._rand._bit_generator.lock
held, done = threading.Event(), threading.Event()
def hold():
    with lock: held.set(); done.wait()
thread = threading.Thread(target=hold); thread.start(); held.wait()
if not os.fork(): print("child", flush=True); os._exit(0)
os.wait(); done.set(); thread.join()
"""
    seen = observe(tmp_path, code, python=framework_python, told={"seed": 7, "program": "main"})
    assert seen.output == "child\n"
    assert [note["where"] for note in seen.notes("failure")] == ["restart numpy"]


@pytest.mark.frameworks("sklearn")
def test_an_unseeded_scikit_learn_replays(tmp_path: Path, framework_python: str) -> None:
    code = """
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
x, y = make_classification(200)
a, b, c, d = train_test_split(x, y)
model = RandomForestClassifier(5, n_jobs=2, random_state=None).fit(a, c)
print(x[0].tolist(), model.predict_proba(b)[:5].tolist())
"""
    replays(tmp_path, code, python=framework_python)


@pytest.mark.frameworks("joblib", "numpy")
def test_the_workers_of_joblib_replay(tmp_path: Path, framework_python: str) -> None:
    code = """
import random, numpy as np
from joblib import Parallel, delayed
def draw(number): return random.random(), float(np.random.rand())
if __name__ == "__main__":
    print([x for pair in Parallel(n_jobs=2, batch_size=1)(delayed(draw)(n) for n in range(6)) for x in pair])
"""
    values = ast.literal_eval(replays(tmp_path, code, python=framework_python))
    assert len(set(values)) == len(values) == 12


@TORCH
def test_torch_starts_from_the_number_itself(tmp_path: Path, framework_python: str) -> None:
    code = "import torch; print(torch.initial_seed(), torch.rand(2)); torch.manual_seed(7); print(7, torch.rand(2))"
    seen = seeded(tmp_path, code, 7, python=framework_python)
    ours, expected = seen.output.splitlines()
    assert ours == expected
    calls = [(note["function"], note["value"]) for note in seen.notes("seeding") if note["library"] == "torch"]
    assert calls == [("manual_seed", 7)]


@TORCH
def test_an_unseeded_torch_replays(tmp_path: Path, framework_python: str) -> None:
    code = """
import random, numpy as np, torch
from torch.utils.data import DataLoader, Dataset
class Data(Dataset):
    def __len__(self): return 12
    def __getitem__(self, index): return index, random.random(), float(np.random.rand()), torch.rand(1)
if __name__ == "__main__":
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5))
    print(model(torch.ones(2, 4)).tolist())
    for _ in range(2):
        for batch in DataLoader(Data(), batch_size=4, shuffle=True, num_workers=2): print([x.tolist() for x in batch])
    print(torch.seed(), torch.rand(1).item(), torch.randperm(5).tolist())
"""
    replays(tmp_path, code, python=framework_python)


@TORCH
def test_torchs_own_seeds_give_what_they_give_without_us(tmp_path: Path, framework_python: str) -> None:
    code = """
import torch
generator = torch.manual_seed(1); print(torch.rand(2).tolist(), generator is torch.default_generator)
state = torch.get_rng_state(); torch.rand(1); torch.set_rng_state(state); print(torch.rand(1).item())
print(torch.Generator().initial_seed(), torch.rand(1, generator=torch.Generator().manual_seed(3)).item())
with torch.random.fork_rng(): torch.manual_seed(5)
print(torch.rand(1).item(), torch.random.manual_seed.__name__)
torch.cuda.manual_seed_all(2)
@torch.jit.script
def scripted(x):
    return x + torch.rand(1)
print(scripted(torch.zeros(1)).item())
try:
    torch.manual_seed("no")
except ValueError as error:
    print(error)
"""
    seen = seeded(tmp_path, code, 7, python=framework_python)
    assert seen.output == plain(tmp_path, code, framework_python)
    calls = [(note["function"], note["value"]) for note in seen.notes("seeding") if note["library"] == "torch"]
    assert calls == [("manual_seed", 1), ("manual_seed", 5), ("cuda.manual_seed_all", 2)]


@TORCH
def test_workers_that_are_forked_or_spawned_have_torch_streams_of_their_own(
    tmp_path: Path, framework_python: str
) -> None:
    code = """
import multiprocessing, torch
def draw(number): return torch.rand(1).item()
if __name__ == "__main__":
    drawn = [torch.rand(1).item()]
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool: drawn += pool.map(draw, range(3), 1)
    print(drawn)
"""
    values = ast.literal_eval(replays(tmp_path, code, python=framework_python))
    assert len(set(values)) == len(values) == 7


@TORCH
def test_deterministic_algorithms_only_if_asked_for(tmp_path: Path, framework_python: str) -> None:
    code = """
import torch
print(torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
"""
    assert seeded(tmp_path, code, 7, python=framework_python).output == "False False False\n"
    assert seeded(tmp_path, code, 7, python=framework_python, deterministic=True).output == "True True False\n"


@TORCH
def test_ranks_of_torchrun_have_different_streams_that_replay(tmp_path: Path, framework_python: str) -> None:
    code = """
import os, random, sys, numpy as np, torch
if "RANK" not in os.environ:
    from torch.distributed.run import main
    main(["--standalone", "--nproc-per-node", "2", "--redirects", "3", "--log-dir", "logs", "main.py"])
    import glob
    print(sorted(open(path).read() for path in glob.glob("logs/**/stdout.log", recursive=True)))
else:
    print(os.environ["RANK"], random.random(), np.random.rand(), torch.rand(1).item())
"""
    zero, one = (line.split() for line in ast.literal_eval(replays(tmp_path, code, python=framework_python)))
    assert (zero[0], one[0]) == ("0", "1")
    assert not set(zero) & set(one)


@pytest.mark.frameworks("lightning", "torch")
def test_lightnings_seeding_is_the_programs_own(tmp_path: Path, framework_python: str) -> None:
    code = "from lightning.fabric import seed_everything; seed_everything(5, verbose=False)"
    seen = seeded(tmp_path, code, 7, python=framework_python)
    statuses = {note["library"]: note["status"] for note in seen.notes("seeded")}
    assert {name: statuses[name] for name in ("random", "numpy", "torch")} == dict.fromkeys(
        ("random", "numpy", "torch"), "own"
    )


@pytest.mark.frameworks("tensorflow")
def test_an_unseeded_tensorflow_replays(tmp_path: Path, framework_python: str) -> None:
    code = """
import tensorflow as tf
print(tf.random.uniform([2]).numpy().tolist(), tf.keras.layers.Dense(2)(tf.ones((1, 3))).numpy().tolist())
print([int(x) for x in tf.data.Dataset.range(8).shuffle(8)])
"""
    replays(tmp_path, code, python=framework_python)


@pytest.mark.frameworks("jax")
def test_keys_of_jax_are_noted(tmp_path: Path, framework_python: str) -> None:
    code = "import jax; print(jax.random.uniform(jax.random.key(3)), jax.random.PRNGKey(seed=4))"
    seen = seeded(tmp_path, code, 7, python=framework_python)
    assert seen.output == plain(tmp_path, code, framework_python)
    calls = [(note["function"], note["value"]) for note in seen.notes("seeding") if note["library"] == "jax"]
    assert calls == [("key", 3), ("PRNGKey", 4)]
