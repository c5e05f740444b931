"""The seed that a run starts from, and the variables that hand it to the command.

The seed comes from the system's entropy, never from a generator that the user may have seeded. What the libraries
make of it is observed in the command's own process, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from git_replicate.core.errors import UsageError
from git_replicate.core.record import Seeds

SEED_VARIABLE: Final = "GIT_REPLICATE_SEED"
HASH_VARIABLE: Final = "PYTHONHASHSEED"
_DETERMINISTIC: Final = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""What CUDA's libraries read when they are loaded; the rest of `--deterministic` is the probe's."""
_DETERMINISTIC_TENSORFLOW: Final = {"TF_DETERMINISTIC_OPS": "1", "TF_CUDNN_DETERMINISTIC": "1"}
"""With these TensorFlow refuses to draw numbers without a seed."""
_LIGHTNING_VARIABLE: Final = "PL_GLOBAL_SEED"
"""What Lightning's `seed_everything()` takes when it is given nothing."""
SEED_LIMIT: Final = 2**32
"""Seeds are 0 to 2^32-1: what NumPy, PYTHONHASHSEED and most other generators take."""


def parse_seed(text: str) -> int | str:
    """The value of `--seed`: "auto", "none" or a number; `UsageError` for anything else."""
    if text in ("auto", "none"):
        return text
    if text.isascii() and text.isdigit():
        return _checked(int(text))
    raise UsageError(f'--seed: {text!r} is not a number, "auto" or "none"', "try: --seed 1")


def draw_seed(
    option: int | str,
    entropy: Callable[[int], bytes],
    environ: Mapping[str, str] | None = None,
    *,
    imposed: bool = True,
    deterministic: bool = False,
) -> Seeds:
    """The run's seed: drawn from `entropy(4)` ("auto"), as given (a number, or its text), or none ("none").

    A PYTHONHASHSEED that the command's environment already has is recorded and kept: the command is to run as it
    would without us. `imposed`: the command gets the seed in its environment; a session's processes do not.
    """
    own = (environ or {}).get(HASH_VARIABLE, "")
    own_hash = int(own) if own.isascii() and own.isdigit() else None
    if isinstance(option, str) and option not in ("auto", "none"):
        option = parse_seed(option)
    if option == "none":
        return Seeds(mode="none", python_hash=own_hash, deterministic=deterministic)
    if isinstance(option, int):
        seed, mode = _checked(option), "given"
    else:
        seed, mode = int.from_bytes(entropy(4), "big"), "auto"
    python_hash = own_hash if own or not imposed else seed
    return Seeds(run=seed, mode=mode, python_hash=python_hash, deterministic=deterministic)


def seed_environment(seeds: Seeds, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that the command gets on top of its environment; those of `--deterministic` only where unset."""
    around = environ or {}
    wanted = dict(_DETERMINISTIC) if seeds.deterministic else {}
    if seeds.deterministic and seeds.run is not None:
        wanted.update({**_DETERMINISTIC_TENSORFLOW, _LIGHTNING_VARIABLE: str(seeds.run)})
    variables = {name: value for name, value in wanted.items() if not around.get(name)}
    if seeds.run is None:
        return variables
    variables[SEED_VARIABLE] = str(seeds.run)
    if not around.get(HASH_VARIABLE):
        variables[HASH_VARIABLE] = str(seeds.run if seeds.python_hash is None else seeds.python_hash)
    return variables


def requested_seed(environ: Mapping[str, str]) -> int | None:
    """The seed that an enclosing run handed down, if there is one."""
    text = environ.get(SEED_VARIABLE, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) < SEED_LIMIT else None


def _checked(seed: int) -> int:
    if isinstance(seed, bool) or not 0 <= seed < SEED_LIMIT:
        raise UsageError(f"seed {seed} is outside 0 to {SEED_LIMIT - 1}", "try: --seed 1")
    return seed
