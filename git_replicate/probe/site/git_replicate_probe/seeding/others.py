"""TensorFlow, whose operations draw seeds of their own unless there is a global one; JAX, whose keys are explicit.

Keras needs nothing here: version 3 draws its seeds from `random`, version 2 is TensorFlow. What TensorFlow takes from
the system in C++ (`tf.random.Generator.from_non_deterministic_state`) is not reached.
"""

from __future__ import annotations

from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.seeding.generators import Generators

_RANGE = 2**31 - 1


def patch_tensorflow(generators: Generators, module: Any) -> None:
    for name in ("set_seed", "set_random_seed"):
        _observe(generators, module, name, "tensorflow")


def begin_tensorflow(generators: Generators, tensorflow: Any) -> None:
    set_seed = tensorflow.random.set_seed
    set_seed = getattr(set_seed, "__wrapped__", set_seed)
    generators.impose("tensorflow", lambda value: generators.quietly(set_seed, value % _RANGE))
    if generators.deterministic and generators.streams is not None:
        tensorflow.config.experimental.enable_op_determinism()


def patch_jax(generators: Generators, module: Any) -> None:
    generators.note_unseen("jax")
    for name in ("key", "PRNGKey"):
        _observe(generators, module, name, "jax")


def _observe(generators: Generators, module: Any, name: str, library: str) -> None:
    original = getattr(module, name, None)
    if original is None:
        return

    def called(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        value = arguments[0] if arguments else named.get("seed")
        generators.seen(library, name, value)
        return result

    setattr(module, name, wraps(original)(called))
