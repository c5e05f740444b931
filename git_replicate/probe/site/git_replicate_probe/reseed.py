"""Seeds the generators of the libraries that a program uses, as it asked for with `git_replicate.seed`.

Keras draws from `random` (version 3) or is TensorFlow (2), and JAX has no global generator: they need nothing here.
"""

from __future__ import annotations

import sys

from git_replicate_probe.imported import ImportWatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.session import Probe


def seed_all(seed: int, probe: Probe | None) -> None:
    """Seed those that are imported now, and the others as soon as the program imports them."""
    import random

    random.seed(seed)
    _wanted["seed"] = seed
    for name, call in _LIBRARIES.items():
        module = sys.modules.get(name)
        if module is not None:
            call(module)
        elif name not in _waiting:
            _waiting.add(name)
            if probe is not None:  # after what the probe itself does to the library
                probe.on_import(name, call)
            else:
                _watch(name, call)


def _numpy(module: Any) -> None:
    module.seed(_wanted["seed"])


def _torch(module: Any) -> None:
    module.manual_seed(_wanted["seed"])


def _tensorflow(module: Any) -> None:
    module.random.set_seed(_wanted["seed"])


_LIBRARIES = {"numpy.random.mtrand": _numpy, "torch": _torch, "tensorflow": _tensorflow}
_wanted: dict[str, int] = {}
"""The seed of the last call: libraries that come later get that one."""
_waiting: set[str] = set()


def _watch(name: str, call: Any) -> None:
    watch = ImportWatch(_say)
    watch.add(name, call)
    sys.meta_path.insert(0, watch)


def _say(where: str, error: BaseException) -> None:
    import warnings

    warnings.warn(f"git replicate: {where}: not seeded: {error!r}", RuntimeWarning, stacklevel=2)
