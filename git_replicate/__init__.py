"""git replicate: every experiment recorded in git, and replicable.

How a run flows through the package::

    capture   asks the machine and the working tree      params, seeds, environment, data, metrics
       |
    core      keeps what they said as plain values       a Record
       |
    execution runs the command and adds the outcome      launch, run
       |
    store     turns a record into blobs, a tree,         snapshot, store, notes, annotations
       |      commits and one ref
    store     remembers it in a disposable index         index
       |
    core      chooses, tabulates, explains               query, collate, compare
       |
    render    draws the answer                           text, csv, json, ...

Imports point one way: commands -> execution -> capture, store -> git -> core, and render -> core.

A program that is run imports this package too, for `log`, `param`, `params`, `seed`, `output` and `run` (docs/api.md).
These are made where programs run, in `probe`, and taken from there when one of them is first asked for: whoever
imports the package for another reason does not pay for them.
"""

TYPE_CHECKING = False  # as `typing` has it, which would cost more than all the rest of this file
if TYPE_CHECKING:
    from types import ModuleType

    from git_replicate_probe.api import log, output, param, params, run, seed

__all__ = ["log", "output", "param", "params", "run", "seed"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in __all__:
        value = globals()[name] = getattr(_api(), name)  # found at once from now on
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def _api() -> "ModuleType":
    """The module of the probe that has them; in a process without a probe that is imported from its folder."""
    import importlib
    import importlib.util
    import os
    import sys

    package = "git_replicate_probe"
    if package not in sys.modules:
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "probe", "site", package)
        spec = importlib.util.spec_from_file_location(
            package, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[package] = module
        spec.loader.exec_module(module)
    return importlib.import_module(f"{package}.api")
