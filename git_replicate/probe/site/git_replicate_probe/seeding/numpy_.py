"""NumPy: the global generator, and what is made from the system's entropy: `default_rng()`, `SeedSequence()`, ….

All of NumPy's entropy comes through one name in one of its modules, which held `secrets.randbits`; that name is
given another meaning, and `secrets` itself is left alone. Versions before 1.17 have no such name: there only the
global generator is seeded.
"""

from __future__ import annotations

from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from git_replicate_probe.seeding.generators import Generators

LIBRARY = "numpy"
_WORD = 2**32


def replace_entropy(generators: Generators, module: Any) -> None:
    if generators.streams is None:
        return
    original = module.randbits

    def randbits(k: int) -> int:
        entropy = generators.entropy(k, LIBRARY)
        return int(original(k)) if entropy is None else entropy

    module.randbits = randbits


def patch_global(generators: Generators, module: Any) -> None:
    original = module.seed

    def seed(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        generators.seen(LIBRARY, "seed", arguments[0] if arguments else named.get("seed"))
        return result

    def follow(name: str, follower: Callable[[str], object]) -> None:
        function = getattr(module, name, None)
        if function is None:
            return

        def followed(*arguments: Any, **named: Any) -> Any:
            result = function(*arguments, **named)
            follower(LIBRARY)
            return result

        setattr(module, name, wraps(function)(followed))

    module.seed = wraps(original)(seed)
    follow("get_state", generators.saved)
    follow("set_state", generators.restored)
    follow("set_bit_generator", generators.restored)
    generators.impose(LIBRARY, lambda value: _start(module._rand, value))


def _start(state: Any, value: int) -> None:
    """Seed the global generator as `numpy.random.seed` does; a number beyond its range as four words."""
    lock = getattr(getattr(state, "_bit_generator", None), "lock", None)
    if lock is not None:
        if not lock.acquire(False):  # held, in a forked child, by a thread that is not in it
            raise RuntimeError("numpy's global generator was in use while the process was forked")
        lock.release()
    state.seed(value if value < _WORD else [value >> shift & (_WORD - 1) for shift in (0, 32, 64, 96)])


def patch_maker(generators: Generators, module: Any) -> None:
    original = module.default_rng

    def make(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        value = arguments[0] if arguments else named.get("seed")
        if value is not None and not hasattr(value, "bit_generator") and not hasattr(value, "capsule"):
            generators.seen(LIBRARY, "default_rng", value, whole=False)
        return result

    module.default_rng = wraps(original)(make)
