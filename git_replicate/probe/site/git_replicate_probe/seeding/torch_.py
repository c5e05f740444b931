"""PyTorch: the default generator, which differs from process to process, and with it the generators of all devices.

`DataLoader` draws the seeds of its workers from the default generator, so they follow. A `torch.Generator()` without
a seed starts from a constant in any case. A generator's own method `seed()` cannot be reached from Python.
"""

from __future__ import annotations

from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.seeding.generators import Generators

LIBRARY = "torch"
_BITS = 64


def begin(generators: Generators, torch: Any) -> None:
    seed_all = getattr(torch.random.manual_seed, "__wrapped__", torch.random.manual_seed)
    started = False

    def seeder(value: int) -> None:
        nonlocal started
        value &= 2**_BITS - 1
        if started and not torch.cuda.is_initialized():
            torch.default_generator.manual_seed(value)  # devices that are not in use would queue each seed
        else:
            generators.quietly(seed_all, value)
        started = True

    generators.impose(LIBRARY, seeder)
    if generators.deterministic:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False


def _patch(generators: Generators, module: Any, seeds: str, draws: str, prefix: str = "") -> None:
    """Wrap a function that seeds from a number, and one that seeds from the system's entropy."""
    original, unseeded = getattr(module, seeds), getattr(module, draws)

    def manual_seed(seed: Any) -> Any:
        result = generators.quietly(original, seed)
        generators.seen(LIBRARY, prefix + seeds, seed, whole=not prefix)
        return result

    def seed() -> Any:
        entropy = generators.entropy(_BITS, LIBRARY)
        if entropy is None:
            result = generators.quietly(unseeded)
        else:
            generators.quietly(original, entropy)
            result = None if prefix else entropy
        generators.seen(LIBRARY, prefix + draws, whole=not prefix)
        return result

    setattr(module, seeds, wraps(original)(manual_seed))
    setattr(module, draws, wraps(unseeded)(seed))


def patch(generators: Generators, module: Any) -> None:
    _patch(generators, module, "manual_seed", "seed")


def patch_devices(generators: Generators, module: Any) -> None:
    _patch(generators, module, "manual_seed", "seed", "cuda.")
    _patch(generators, module, "manual_seed_all", "seed_all", "cuda.")
