"""`@frozen`: a frozen, slotted dataclass that costs a fifth to define.

`dataclasses` writes and compiles six methods for every class, half a millisecond whenever a command starts, and a
command defines a hundred of them. Here only `__init__` is written for each; comparison, hash, text and what keeps a
value as it is are the same functions for all. `dataclasses.replace`, `fields` and `asdict` work as for any dataclass.

Not here: field options other than defaults and metadata (`compare=False`, `kw_only`, `InitVar` and the like).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a class of annotated fields an immutable value, equal to any other of its class with equal fields."""
    if not cls.__doc__:
        cls.__doc__ = cls.__name__  # else `dataclasses` works out a signature to put there
    made = dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    own = cls.__dict__
    for name, method in {**_METHODS, "__init__": _initialiser(made)}.items():
        if name not in own:
            setattr(made, name, method)
    return made


def _initialiser(cls: type) -> Callable[..., None]:
    """The `__init__` of a class: each field from its argument, or its default."""
    scope: dict[str, Any] = {"_put": object.__setattr__, "_absent": MISSING}
    arguments, lines = ["_self"], []
    for f in fields(cls):
        given = f.name
        if f.default is not MISSING:
            scope[f"_of_{f.name}"] = f.default
            arguments.append(f"{f.name}=_of_{f.name}")
        elif f.default_factory is not MISSING:
            scope[f"_of_{f.name}"] = f.default_factory
            arguments.append(f"{f.name}=_absent")
            given = f"_of_{f.name}() if {f.name} is _absent else {f.name}"
        else:
            arguments.append(f.name)
        lines.append(f" _put(_self, {f.name!r}, {given})\n")
    exec(f"def __init__({', '.join(arguments)}):\n{''.join(lines) or ' pass'}", scope)
    made: Callable[..., None] = scope["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _content(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self.__dataclass_fields__)


def _equal(self: Any, other: object) -> bool:
    return _content(self) == _content(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_content(self))


def _text(self: Any) -> str:
    parts = (f"{name}={getattr(self, name)!r}" for name in self.__dataclass_fields__)
    return f"{type(self).__qualname__}({', '.join(parts)})"


def _refuse(self: Any, name: str, *_: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot change {name!r} of a value")


def _restore(self: Any, state: Iterable[Any]) -> None:
    for name, item in zip(self.__dataclass_fields__, state, strict=True):
        object.__setattr__(self, name, item)


_METHODS = {
    "__eq__": _equal, "__hash__": _hash, "__repr__": _text, "__setattr__": _refuse, "__delattr__": _refuse,
    "__getstate__": _content, "__setstate__": _restore,
}  # fmt: skip
