"""`random`: its global generator, and instances of `random.Random` that are made without a seed.

`SystemRandom` is the system's entropy and stays so. So do the generators that `tempfile` makes names with: with the
same seed, two runs at once would want the same files.
"""

from __future__ import annotations

import os
import sys

from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType
    from typing import Any

    from git_replicate_probe.seeding.generators import Generators

LIBRARY = "random"
_IDENTITIES = frozenset({"tempfile", "uuid", "secrets"})
"""Modules whose generators must not be replayed."""
_BITS = 128


def patch(generators: Generators, module: Any) -> None:
    kind, instance = module.Random, module._inst
    original, set_state, get_state = kind.seed, kind.setstate, kind.getstate

    def seed(self: Any, a: Any = None, version: int = 2) -> None:
        entropy = None
        if a is None and not _makes_identities(sys._getframe(1)):
            entropy = generators.entropy(_BITS, LIBRARY)
        original(self, a if entropy is None else entropy, version)
        if self is instance:
            generators.seen(LIBRARY, "seed", a)
        elif a is not None:
            generators.seen(LIBRARY, "Random", a, whole=False)

    def setstate(self: Any, state: Any) -> None:
        set_state(self, state)
        if self is instance:
            generators.restored(LIBRARY)

    def getstate(self: Any) -> Any:
        if self is instance:
            generators.saved(LIBRARY)
        return get_state(self)

    for stand_in, name in ((seed, "seed"), (setstate, "setstate"), (getstate, "getstate")):
        setattr(kind, name, wraps(getattr(kind, name))(stand_in))
        setattr(module, name, getattr(instance, name))  # bound when the module was made
    generators.impose(LIBRARY, lambda value: original(instance, value))
    if generators.streams is not None:
        os.register_at_fork(after_in_child=lambda: _after_fork(generators))  # behind the module's own, which reseeds


def _after_fork(generators: Generators) -> None:
    """In a child Python seeds the global generator from the system's entropy, whoever had seeded it before."""
    generators.release(LIBRARY)
    generators.restart(only=LIBRARY)


def _makes_identities(frame: FrameType | None) -> bool:
    """Whether the caller, behind `random.Random.__init__`, makes names that must be unique."""
    while frame is not None and frame.f_globals.get("__name__") == "random":
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") in _IDENTITIES


def keep_uuids_apart(generators: Generators, module: Any) -> None:
    """Where `uuid` would ask the global generator of `random`, and that is ours, it asks the system instead."""

    def node() -> int:
        return _system(48) | (1 << 40) if generators.is_ours(LIBRARY) else int(random_node())

    def clocked(given: Mapping[str, Any]) -> bool:
        return given.get("node") is not None or getattr(module, "_generate_time_safe", None) is None

    random_node = module._random_getnode
    module._random_getnode = wraps(random_node)(node)
    _fill(generators, module, "uuid1", {"clock_seq": 14}, clocked)
    _fill(generators, module, "uuid6", {"clock_seq": 14})
    _fill(generators, module, "uuid8", {"a": 48, "b": 12, "c": 62})


def _fill(
    generators: Generators,
    module: Any,
    name: str,
    blanks: Mapping[str, int],
    applies: Callable[[Mapping[str, Any]], bool] = lambda given: True,
) -> None:
    """Give a function of `uuid` the bits that it would otherwise draw; `blanks`: how many, by parameter."""
    original = getattr(module, name, None)
    if original is None:  # uuid6 and uuid8 came with Python 3.14
        return
    order = original.__code__.co_varnames[: original.__code__.co_argcount + original.__code__.co_kwonlyargcount]

    def make(*arguments: Any, **named: Any) -> Any:
        given = {**dict(zip(order, arguments)), **named}
        if len(arguments) <= len(order) and generators.is_ours(LIBRARY) and applies(given):
            drawn = {key: _system(bits) for key, bits in blanks.items() if given.get(key) is None}
            return original(**{**given, **drawn})
        return original(*arguments, **named)

    setattr(module, name, wraps(original)(make))


def _system(bits: int) -> int:
    return int.from_bytes(os.urandom((bits + 7) // 8), "big") >> (-bits % 8)
