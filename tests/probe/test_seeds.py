"""The generators of the standard library: replayed where a program leaves them unseeded, and nowhere else."""

from __future__ import annotations

import ast
import random
from pathlib import Path
from typing import Any

import pytest

from tests.probe.running import observe
from tests.probe.seeding import plain, replays, seeded


def test_what_is_imposed_on_the_program_is_what_it_would_get_by_seeding_with_the_number(tmp_path: Path) -> None:
    seen = seeded(tmp_path, "import random; print(random.random(), random.gauss(0, 1))", 7)
    random.seed(7)
    assert seen.output == f"{random.random()} {random.gauss(0, 1)}\n"
    assert seen.notes("seeded") == [{"library": "random", "status": "imposed", "kind": "seeded"}]
    assert seen.notes("seeding") == []


@pytest.mark.parametrize(
    "code",
    [
        "import random; print(random.random())",
        "import random; print(random.Random().random(), random.Random().random())",
        "import random\nclass Mine(random.Random): pass\nprint(Mine().random())",
        "import random; random.random(); random.seed(); print(random.random())",
        "from random import seed, random; seed(None); print(random())",
        "print({'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'})",
        "import os, random\nprint(random.random(), flush=True)\nprint(random.random()) if not os.fork() else os.wait()",
    ],
)
def test_an_unseeded_program_replays(tmp_path: Path, code: str) -> None:
    replays(tmp_path, code)


def test_streams_of_one_process_differ(tmp_path: Path) -> None:
    code = """
import random
made = [random.Random().random() for _ in range(3)]
random.seed()
print(len({random.random(), random.Random(7).random(), *made}))
"""
    assert seeded(tmp_path, code, 7).output == "5\n"


def test_the_programs_own_seeds_give_what_they_give_without_us(tmp_path: Path) -> None:
    code = """
import random
random.seed(1); print(random.random())
random.seed("text", version=1); print(random.random())
state = random.getstate(); random.random(); random.setstate(state); print(random.random())
print(random.Random(2).random(), random.Random(x=3).random())
class Mine(random.Random):
    def seed(self, a=None): super().seed(4)
print(Mine().random())
"""
    seen = seeded(tmp_path, code, 7)
    assert seen.output == plain(tmp_path, code)
    assert seen.notes("seeded")[-1]["status"] == "own"
    calls = [(note["function"], note["value"]) for note in seen.notes("seeding")]
    own = [("seed", 1), ("seed", "text"), ("Random", 2), ("Random", 3), ("Random", 4)]
    assert calls == own


def test_without_a_seed_generators_stay_as_they_are_and_calls_are_noted(tmp_path: Path) -> None:
    code = "import random, sys\nif len(sys.argv) > 1: random.seed(1)\nprint(random.random(), random.Random().random())"
    seen = seeded(tmp_path, code, None)
    assert seen.output != seeded(tmp_path, code, None).output
    assert [note["status"] for note in seen.notes("seeded")] == ["unseen"]
    seen = seeded(tmp_path, code, None, "own")
    assert [note["status"] for note in seen.notes("seeded")] == ["unseen", "own"]
    assert [(note["function"], note["value"]) for note in seen.notes("seeding")] == [("seed", 1)]


def test_identities_and_the_systems_entropy_are_never_replayed(tmp_path: Path) -> None:
    code = """
import os, random, secrets, tempfile, uuid
random.random()
print(tempfile.mktemp(), next(tempfile._get_candidate_names()), uuid.uuid4(), uuid._random_getnode(), sep="\\n")
print(uuid.uuid1(node=1).clock_seq, *([uuid.uuid6(node=1).clock_seq, uuid.uuid8()] if hasattr(uuid, "uuid8") else []))
print(secrets.token_hex(8), secrets.randbits(64), random.SystemRandom().random(), os.urandom(8).hex(), sep="\\n")
"""
    first, second = (seeded(tmp_path, code, 7).output.splitlines() for _ in range(2))
    assert len(first) == len(second) == 9
    same = [line for line, other in zip(first, second, strict=True) if line == other]
    assert same in ([], first[4:5])  # 14 bits may well be the same


def test_names_of_temporary_files_differ_in_forked_children(tmp_path: Path) -> None:
    code = """
import os, random, tempfile
tempfile.mktemp()
for _ in range(2):
    if not os.fork():
        print(tempfile.mktemp(), flush=True)
        os._exit(0)
    os.wait()
"""
    names = seeded(tmp_path, code, 7).output.split() + seeded(tmp_path, code, 7).output.split()
    assert len(set(names)) == 4


def test_uuids_leave_the_stream_of_a_program_that_seeds_as_it_is(tmp_path: Path) -> None:
    code = "import random, uuid; random.seed(1); uuid._random_getnode(); uuid.uuid1(node=1); print(random.random())"
    assert seeded(tmp_path, code, 7).output == plain(tmp_path, code)


def test_the_first_hundred_calls_are_noted_and_all_are_counted(tmp_path: Path) -> None:
    seen = seeded(tmp_path, "import random\nfor n in range(250): random.seed(n)", 7)
    assert [note["value"] for note in seen.notes("seeding")] == list(range(100))
    assert [note["number"] for note in seen.notes("seedings")] == [250]


def test_seeds_of_every_kind_are_noted_as_something_a_record_can_hold(tmp_path: Path) -> None:
    code = """
import random
class Odd:
    def __hash__(self): return 5
    def __repr__(self): raise ValueError("no")
for value in (1.5, "x" * 300, b"bytes", 2**70, -3, True): random.seed(value)
"""
    values = [note["value"] for note in seeded(tmp_path, code, 7).notes("seeding")]
    assert values == [1.5, "str of 300", "b'bytes'", 2**70, -3, True]


def test_generators_that_installed_packages_seed_are_not_the_programs(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "library.py"
    package.parent.mkdir()
    package.write_text("import random\nmade = random.Random(5)\ndef all_of_it(): random.seed(6)\n")
    code = f"import sys; sys.path.append({str(package.parent)!r})\nimport library; library.all_of_it()"
    assert [note["function"] for note in seeded(tmp_path, code, 7).notes("seeding")] == ["seed"]


def test_a_wrong_call_fails_as_it_does_without_us(tmp_path: Path) -> None:
    code = """
import random
for wrong in (lambda: random.seed([1]), lambda: random.seed(1, 2, 3), lambda: random.Random({})):
    try:
        wrong()
    except TypeError as error:
        print(error)
import pickle, copy
print(pickle.loads(pickle.dumps(random.Random(1))).random(), copy.copy(random.Random(2)).random())
print(random.seed.__name__, random.Random.seed.__qualname__, pickle.loads(pickle.dumps(random.setstate)).__name__)
"""
    assert seeded(tmp_path, code, 7).output.replace("dressed.", "") == plain(tmp_path, code)


def test_threads_have_streams_by_name_whichever_is_first(tmp_path: Path) -> None:
    code = """
import random, sys, threading
out = {}
def work(): out[threading.current_thread().name] = [random.Random().random() for _ in range(2)]
threads = [threading.Thread(target=work, name=f"worker-{n}") for n in range(4)]
for thread in reversed(threads) if len(sys.argv) > 1 else threads:
    thread.start(); thread.join()
print(sorted(out.items()))
"""
    first = seeded(tmp_path, code, 7).output
    assert seeded(tmp_path, code, 7, "backwards").output == first
    assert len({tuple(pair) for _, pair in ast.literal_eval(first)}) == 4


def test_the_derivation_is_what_it_has_always_been(tmp_path: Path) -> None:
    code = "import random; print(random.Random().getrandbits(64))"
    assert seeded(tmp_path, code, 7).output == "11049530258040416919\n"
    ranked: dict[str, Any] = {"variables": {"RANK": "3", "WORLD_SIZE": "4"}}
    assert (
        seeded(tmp_path, "import random; print(random.getrandbits(64))", 7, **ranked).output == "6625358831593850067\n"
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"RANK": "1", "WORLD_SIZE": "2"},
        {"SLURM_PROCID": "1"},
        {"OMPI_COMM_WORLD_RANK": "1"},
        {"PMI_RANK": "1"},
        {"LOCAL_RANK": "1"},
        {"SLURM_PROCID": "0", "OMPI_COMM_WORLD_RANK": "1"},
    ],
)
def test_a_rank_has_its_own_stream_whoever_launched_it(tmp_path: Path, variables: dict[str, str]) -> None:
    code = "import random; print(random.random())"
    first = seeded(tmp_path, code, 7, variables={"RANK": "0", "WORLD_SIZE": "2", "SLURM_PROCID": "0"}).output
    assert first == seeded(tmp_path, code, 7).output
    assert replays(tmp_path, code, variables=variables) != first
    assert (
        seeded(tmp_path, code, 7, variables=variables).output
        == seeded(tmp_path, code, 7, variables={"RANK": "1", "WORLD_SIZE": "8", "LOCAL_RANK": "0"}).output
    )


def test_a_plain_variable_called_rank_is_no_rank(tmp_path: Path) -> None:
    code = "import random; print(random.random())"
    assert seeded(tmp_path, code, 7, variables={"RANK": "3"}).output == seeded(tmp_path, code, 7).output


def test_no_library_is_imported_for_it(tmp_path: Path) -> None:
    code = """
import sys
print(sorted({"random", "hashlib", "secrets", "threading", "subprocess", "multiprocessing", "uuid"} & set(sys.modules)))
"""
    assert seeded(tmp_path, code, 7).output == plain(tmp_path, code) == "[]\n"


def test_a_folder_that_cannot_be_written_leaves_the_program_seeded(tmp_path: Path) -> None:
    code = "import random; print(random.random())"
    expected = seeded(tmp_path, code, 7).output
    own = tmp_path / "gone"
    own.mkdir()
    told = {"seed": 7, "program": "main", "folder": str(own / "nowhere")}
    seen = observe(own, code, told=told)
    assert (seen.output, seen.errors) == (expected, "")
