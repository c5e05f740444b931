"""What counts as a number, and the file that points go to."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_replicate.capture.tracked import read_points
from tests.probe.running import observe

_HEAD = """
from git_replicate_probe import session
from git_replicate_probe.points import Points, number, numbers, whole
import json, os, sys
probe = session.Probe(json.loads(os.environ["GIT_REPLICATE_PROBE"]), session.this_place({}))
points = Points(probe)
"""


def test_numbers_of_any_kind_count_and_nothing_else(tmp_path: Path) -> None:
    code = """
import decimal, enum, fractions, math
class Scalar:
    shape = (1,)
    def item(self): return 0.25
class Array(Scalar):
    shape = (2, 1)
    def item(self): raise AssertionError("asked")
class Broken:
    def item(self): raise RuntimeError("no")
class Text:
    def item(self): return "x"
given = [1, 0.5, True, 2**80, -math.inf, decimal.Decimal("0.1"), fractions.Fraction(1, 4), Scalar(), Array(), Broken(),
         Text(), None, "1", b"1", 1j, [1], (1,), {1}, object(), int]
print([number(value) for value in given])
loop = {"a": 1}
loop["loop"] = loop
print(numbers({"x": {"y": {"z": 1}, "t": "text"}, 3: 4}), len(numbers(loop)))
print([whole(step) for step in (3, 3.0, 3.5, True, None, "3", Scalar(), float("nan"), 1e300)])
"""
    seen = observe(tmp_path, _HEAD + code)
    assert seen.errors == ""
    assert seen.output.splitlines() == [
        f"[1, 0.5, 1, {2**80}, -inf, 0.1, 0.25, 0.25" + ", None" * 12 + "]",
        "{'x.y.z': 1, '3': 4} 9",
        "[3, 3, None, 1, None, None, None, None, None]",
    ]


def test_a_forked_child_and_a_program_that_closes_all_files_lose_no_point(tmp_path: Path) -> None:
    code = """
points.add("api", "", 1, {"a": 1})
child = os.fork()
if child == 0:
    points.add("api", "", 2, {"a": float("nan"), "\\u00e9\\n": 2})
    os._exit(0)
os.waitpid(child, 0)
os.closerange(3, 4096)
own = os.open("own", os.O_WRONLY | os.O_CREAT)
points.add("api", "", 3, {"a": 10**30})
print(own, os.path.getsize("own"))
"""
    seen = observe(tmp_path, _HEAD + code)
    assert (seen.output, seen.errors) == ("3 0\n", "")
    ((_, curves),) = read_points(str(tmp_path / "notes"), since=None).sources
    assert [(p.step, p.metric) for p in curves] == [(1, "a"), (2, "a"), (2, "é\n"), (3, "a")]
    assert len(list((tmp_path / "notes").glob("*.points"))) == 3
    assert curves.last()["a"] == pytest.approx(1e30)


def test_a_full_disk_is_noted_once_and_stops_nothing(tmp_path: Path) -> None:
    code = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
points.add("api", "", 1, {"a": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
for step in range(100): points.add("api", "", step, {"name": step})
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
points.add("api", "", 5, {"last": 1})
print("ran")
"""
    seen = observe(tmp_path, _HEAD + code)
    assert (seen.output, seen.errors) == ("ran\n", "")
    ((_, curves),) = read_points(str(tmp_path / "notes"), since=None).sources
    assert {"a", "last"} <= set(curves.names)
