"""Notes of seeding as the record's seeds."""

from __future__ import annotations

from typing import Any

from git_replicate.capture.probe_report import ProbeReport, PythonProcess
from git_replicate.capture.seeding import with_seeding
from git_replicate.core import record as records
from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.record import Record, Seeds, Status


def process(*notes: dict[str, Any], rank: int = 0, above: tuple[int, ...] = (), forked: int = 0) -> PythonProcess:
    return PythonProcess(1, 0, 0.0, ("python",), rank, above, False, forked, {}, notes)


def seeded(library: str, status: str) -> dict[str, Any]:
    return {"kind": "seeded", "library": library, "status": status}


def call(value: Any, function: str = "seed") -> dict[str, Any]:
    return {"kind": "seeding", "library": "random", "function": function, "value": value}


def test_the_programs_own_generators_count_and_a_workers_only_where_the_program_has_none() -> None:
    program = process(seeded("random", "imposed"), seeded("random", "own"), seeded("numpy", "imposed"))
    worker = process(seeded("numpy", "own"), seeded("torch", "imposed"), seeded("torch", "own"), above=(1,))
    rank = process(seeded("jax", "unseen"), rank=1)
    seeds = with_seeding(Seeds(run=7, mode="given"), ProbeReport((program, worker, rank)))
    assert seeds.libraries == {"jax": "unseen", "numpy": "imposed", "random": "own", "torch": "imposed"}
    assert (seeds.run, seeds.mode) == (7, "given")


def test_of_several_programs_one_that_seeds_is_enough() -> None:
    report = ProbeReport((process(seeded("random", "own")), process(seeded("random", "imposed"))))
    assert with_seeding(Seeds(), report).libraries == {"random": "own"}


def test_calls_are_the_first_hundred_of_the_program_as_toml_holds_them() -> None:
    values = [None, 2**70, -(2**63), 1.5, True, "text", *range(150)]
    program = process(*(call(value) for value in values), {"kind": "seedings", "number": 400})
    worker = process(call(1), forked=1)
    seeds = with_seeding(Seeds(run=7), ProbeReport((program, worker)))
    assert len(seeds.calls) == 100
    assert seeds.calls_seen == 400
    assert seeds.calls[0] == {"library": "random", "function": "seed"}
    assert [one["value"] for one in seeds.calls[1:7]] == ["1180591620717411303424", -(2**63), 1.5, True, "text", 0]
    run, experiment = RunId("20240102-030405-00000000"), ExperimentName("e")
    record = Record(id=run, experiment=experiment, status=Status.FINISHED, seeds=seeds)
    assert records.loads(records.dumps(record)) == record


def test_a_kill_before_the_number_was_noted_counts_what_was_seen() -> None:
    assert with_seeding(Seeds(), ProbeReport((process(call(1), call(2)),))).calls_seen == 2


def test_a_run_without_python_has_its_seeds_as_they_were() -> None:
    assert with_seeding(Seeds(run=7), ProbeReport()) == Seeds(run=7)
