"""Turns imports of an isolated run from the user's worktree to the checkout, and reports those that it cannot.

Python imports this at its start, after it has read the `.pth` files of its packages. Entries of `sys.path` and the
mappings of editable installs that lead into the worktree lead into the checkout from then on. At its end the process
writes which files of the worktree it has loaded as code all the same. Nothing here stops a program; another
`sitecustomize` further down the path is run as it would have been.
"""

import atexit
import json
import os
import sys

_VARIABLE = "GIT_REPLICATE_ISOLATED"


def _say(line: str) -> None:
    os.write(2, line.encode("utf-8", "replace") + b"\n")


def _map_path(path: object, origin: str, target: str) -> object:
    """A path below the worktree as the same path of the checkout, if that has it; anything else as it is."""
    if not isinstance(path, str):
        return path
    real = os.path.realpath(path)
    if real != origin and not real.startswith(origin + os.sep):
        return path
    mapped = target + real[len(origin) :]
    return mapped if os.path.lexists(mapped) else path


def _map_finders(origin: str, target: str) -> None:
    """The finders of editable installs keep a MAPPING of package names to folders in their module."""
    modules = {getattr(finder, "__module__", "") for finder in sys.meta_path}
    for name, module in list(sys.modules.items()):
        if name not in modules and not name.startswith("__editable__"):
            continue
        mapping = getattr(module, "MAPPING", None)
        if isinstance(mapping, dict):
            for package, folder in list(mapping.items()):
                mapping[package] = _map_path(folder, origin, target)
        spaces = getattr(module, "NAMESPACES", None)
        if isinstance(spaces, dict):
            for package, folders in list(spaces.items()):
                spaces[package] = [_map_path(folder, origin, target) for folder in folders]


def _report(origin: str, target: str, folder: str) -> None:
    """Write the files of the worktree that are loaded as code, one a line, to a file of this process's own."""
    leaked = set()
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str):
            continue
        real = os.path.realpath(path)
        below = real.startswith(origin + os.sep) and not real.startswith(target + os.sep)
        if below and os.sep + "site-packages" + os.sep not in real and os.sep + "lib" + os.sep + "python" not in real:
            leaked.add(os.path.relpath(real, origin))
    if leaked:
        name = os.path.join(folder, "leaked-{}".format(os.getpid()))  # noqa: UP032
        with open(name, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("".join(path + "\n" for path in sorted(leaked)))


def _guarded_report(origin: str, target: str, folder: str) -> None:
    try:
        _report(origin, target, folder)
    except OSError as error:
        _say("git replicate: what code was loaded is not known: {}".format(error))  # noqa: UP032


def _begin() -> None:
    told = json.loads(os.environ.get(_VARIABLE, "{}"))
    if not told:
        return
    origin, target = os.path.realpath(told["from"]), os.path.realpath(told["to"])
    sys.path[:] = [str(_map_path(path, origin, target)) for path in sys.path]
    _map_finders(origin, target)
    sys.path_importer_cache.clear()
    atexit.register(_guarded_report, origin, target, told["report"])


def _chain() -> None:
    """Run the `sitecustomize` that this one hides."""
    import importlib.machinery
    import importlib.util

    here = os.path.dirname(os.path.realpath(__file__))
    rest = [path for path in sys.path if os.path.realpath(path or ".") != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


try:
    _begin()
except (OSError, ValueError, KeyError) as _error:
    _say("git replicate: imports are not turned to the checkout: {}".format(_error))  # noqa: UP032
_chain()
