"""The random number generators of one process: seeded where the program does not, and its own seeding noted.

Never over the program's own seeds, and never through `os.urandom`, `secrets`, `uuid` or `tempfile`. What is imposed
on the run's own program is what `random.seed(N)`, `numpy.random.seed(N)` and `torch.manual_seed(N)` would do; other
processes get streams of their own. No library is imported for this, and none that is not imported costs anything.
"""

from __future__ import annotations

import os

from git_replicate_probe.seeding.generators import Generators
from git_replicate_probe.seeding.streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from git_replicate_probe.session import Probe

_LIBRARIES = {
    "random": "stdlib.patch",
    "uuid": "stdlib.keep_uuids_apart",
    "numpy.random.bit_generator": "numpy_.replace_entropy",
    "numpy.random._bit_generator": "numpy_.replace_entropy",  # NumPy 1.17 and 1.18
    "numpy.random.mtrand": "numpy_.patch_global",
    "numpy.random._generator": "numpy_.patch_maker",
    "numpy.random.generator": "numpy_.patch_maker",  # NumPy 1.17
    "torch.random": "torch_.patch",
    "torch.cuda.random": "torch_.patch_devices",
    "torch": "torch_.begin",
    "tensorflow.python.framework.random_seed": "others.patch_tensorflow",
    "tensorflow": "others.begin_tensorflow",
    "jax.random": "others.patch_jax",
}
"""Modules, and what is done to them once they have been executed: a function of a file in `seeding`."""
_CREATORS = {
    "subprocess": "patch_execution",
    "multiprocessing.util": "patch_execution",
    "multiprocessing.process": "patch_start",
    "multiprocessing.spawn": "patch_spawn",
    "multiprocess.util": "patch_execution",
    "multiprocess.process": "patch_start",
    "multiprocess.spawn": "patch_spawn",
    "loky.backend.spawn": "patch_spawn",
    "joblib.externals.loky.backend.spawn": "patch_spawn",
}
"""Modules that create processes, and the method of `Children` that follows them."""
_POOLS = {
    "multiprocessing.pool": "tasks.patch_pool",
    "multiprocess.pool": "tasks.patch_pool",
    "concurrent.futures.process": "tasks.patch_executor",
    "loky.process_executor": "tasks.patch_executor",
    "joblib.externals.loky.process_executor": "tasks.patch_executor",
}


def install(probe: Probe) -> None:
    """Watch for libraries that have generators. Settings: `seed` (None: only observe), `deterministic`, `program`."""
    seed = probe.settings.get("seed")
    streams = None
    if isinstance(seed, int):
        from git_replicate_probe.seeding import processes

        rank = processes.rank_of(os.environ)
        streams = Streams(seed, rank, processes.path_at_start(probe, seed, rank))
    generators = Generators(probe, streams, deterministic=bool(probe.settings.get("deterministic")))
    if streams is not None:
        children = processes.Children(generators)
        children.follow_forks()
        for module, method in _CREATORS.items():
            probe.on_import(module, getattr(children, method))
        for module, function in _POOLS.items():
            probe.on_import(module, _later(function, children))
    for module, function in _LIBRARIES.items():
        probe.on_import(module, _later(function, generators))


def _later(function: str, subject: Any) -> Callable[[Any], object]:
    """Call a function of a file of `seeding`, which is imported only then."""

    def call(module: Any) -> object:
        file, _, name = function.rpartition(".")
        package = __import__(f"git_replicate_probe.seeding.{file}", fromlist=[name])
        return getattr(package, name)(subject, module)

    return call
