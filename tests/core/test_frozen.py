"""A frozen class is what `@dataclass(frozen=True, slots=True)` would make of it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Mapping
from dataclasses import field

import pytest

from git_replicate.core.frozen import frozen


@frozen
class Point:
    x: int
    y: int = 2
    names: tuple[str, ...] = ()
    table: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.x + self.y


@frozen
class Other:
    """Documented."""

    x: int
    y: int = 2


@frozen
class Named:
    name: str

    def __str__(self) -> str:
        return f"<{self.name}>"


def test_fields_are_given_by_place_or_name_or_have_their_defaults() -> None:
    assert (Point(1).x, Point(1).y, Point(1).table, Point(1, y=5, names=("a",)).total) == (1, 2, {}, 6)
    assert Point(1).table is not Point(1).table
    with pytest.raises(TypeError, match=r"__init__\(\) missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        Point(1, z=1)  # type: ignore[call-arg]


def test_a_class_without_a_docstring_has_no_signature_worked_out_for_it() -> None:
    assert (Point.__doc__, Other.__doc__) == ("Point", "Documented.")


def test_equal_fields_of_the_same_class_are_equal() -> None:
    assert Point(1) == Point(1, 2)
    assert Point(1) != Point(2)
    other: object = Other(1)
    assert Point(1) != other
    assert hash(Other(1)) == hash(Other(1, 2))
    assert {Other(1): "a"}[Other(1)] == "a"
    with pytest.raises(TypeError, match="unhashable type: 'dict'"):
        hash(Point(1))


def test_nothing_changes_or_is_added() -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.other = 2  # type: ignore[attr-defined]
    assert not hasattr(point, "__dict__")


def test_it_is_a_dataclass() -> None:
    assert dataclasses.replace(Point(1), y=3) == Point(1, 3)
    assert [f.name for f in dataclasses.fields(Point)] == ["x", "y", "names", "table"]
    assert dataclasses.asdict(Other(1)) == {"x": 1, "y": 2}
    assert Other.__dict__["__match_args__"] == ("x", "y")


def test_copies_and_pickles_are_equal() -> None:
    point = Point(1, names=("a",), table={"b": 1})
    assert copy.deepcopy(point) == point
    assert copy.copy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point


def test_text_shows_the_fields_unless_the_class_has_its_own() -> None:
    assert repr(Other(1)) == "Other(x=1, y=2)"
    assert (str(Named("a")), repr(Named("a"))) == ("<a>", "Named(name='a')")
