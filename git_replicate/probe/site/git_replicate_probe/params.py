"""What the program's own command line parser made of its arguments: the truth about its hyperparameters.

Only the main program's parse counts: not that of a launcher or tool in the same process, nor one in a child. A
parser's module is looked at when the program imports it, and not before.
"""

from __future__ import annotations

import sys

from git_replicate_probe.session import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import FrameType
    from typing import Any

    from git_replicate_probe.session import Probe

_HOOKS = {
    "argparse": "argparse_parser",
    "click.core": "click_parser",
    "typer._click.core": "click_parser",
    "absl.flags._flagvalues": "absl_parser",
    "hydra.core.utils": "hydra_parser",
    "omegaconf.omegaconf": "omegaconf_parser",
    "jsonargparse._core": "jsonargparse_parser",
    "jsonargparse.core": "jsonargparse_parser",
    "transformers.hf_argparser": "transformers_parser",
    "tyro._cli": "tyro_parser",
    "fire.core": "fire_parser",
    "docopt": "docopt_parser",
}
"""Modules whose import brings a parser, and which of ours sees it."""
_PARSERS = tuple(
    "argparse simple_parsing jsonargparse transformers.hf_argparser trl.scripts trl.trainer.utils tap configargparse "
    "pyrallis draccus datargs lightning.pytorch.cli pytorch_lightning.cli absl argcomplete contextlib functools click "
    "typer tyro omegaconf git_replicate_probe".split()
)
"""Modules that parse on somebody else's behalf."""
_TOOLS = tuple(
    "torch.distributed accelerate.commands deepspeed.launcher horovod.runner ray.scripts ray._private _pytest pytest "
    "unittest pip coverage kernprof line_profiler scalene viztracer debugpy IPython ipykernel traitlets jupyter_core "
    "papermill nbconvert hydra git_replicate setuptools distutils wandb mlflow tensorboard dask distributed sagemaker "
    "fire runpy pdb cProfile profile trace timeit uvicorn flask celery".split()
)
"""Modules whose own arguments are no hyperparameters."""
_TEST_RUNNERS = frozenset({"pytest", "py.test", "unittest", "nose2"})


class Params:
    """Where the parsers' hooks report to."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    @property
    def wanted(self) -> bool:
        """Whether this process's arguments are the run's."""
        return self.probe.is_main and self.probe.place.program not in _TEST_RUNNERS

    def seen(self, parser: str, values: dict[str, Any], given: Iterable[str], **more: Any) -> None:
        """Note parsed values (nested or dotted) and the dotted names that were given, not left at a default."""
        if self.wanted:
            from git_replicate_probe.values import plain

            self.probe.note("params", parser=parser, values=plain(values), given=sorted(given), **more)

    def guarded(self, where: str, call: Any, *arguments: Any) -> None:
        self.probe.guarded(f"params {where}", call, *arguments)


def install(probe: Probe) -> None:
    """Wait for parsers."""
    params = Params(probe)
    if probe.place.rank or probe.place.above:
        return
    for name, hook in _HOOKS.items():
        probe.on_import(name, _Hook(params, hook))


class _Hook:
    def __init__(self, params: Params, name: str) -> None:
        self._params = params
        self._name = f"git_replicate_probe.parsers.{name}"

    def __call__(self, module: Any) -> None:
        load(self._name).install(self._params, module)


def is_programs_own(arguments: Sequence[str] | None, frame: FrameType | None) -> bool:
    """Whether a parse, called from `frame`, is of the program's own command line.

    A tool's is not. Otherwise it is if the words are the process's own, or if the caller is code of the user's.
    """
    caller = frame
    while caller is not None and is_below(caller.f_globals.get("__name__", ""), _PARSERS):
        caller = caller.f_back
    if caller is None:
        return True
    name = caller.f_globals.get("__name__", "")
    if is_below(name, _TOOLS):
        return False
    if arguments is None:
        return True
    own = set(sys.argv[1:])
    if arguments and all(word in own for word in arguments):
        return True
    return name == "__main__" or not is_installed(caller.f_code.co_filename)


def is_below(name: str, tops: tuple[str, ...]) -> bool:
    """Whether a dotted module name is one of `tops`, or in one of them."""
    return name.startswith(tops) and any(name == top or name.startswith(top + ".") for top in tops)


def is_installed(path: str) -> bool:
    """Whether a file belongs to the interpreter or an installed package."""
    return "/site-packages/" in path or "/dist-packages/" in path or path.startswith((_stdlib(), "<frozen"))


def _stdlib() -> str:
    import os

    return os.path.dirname(os.__file__) + "/"


def given_in(words: Iterable[str], names: Iterable[str]) -> set[str]:
    """Those of the dotted names that the words of a command line set: `--model.depth 3`, `--no-cuda`, `lr=0.1`."""
    options = set()
    for word in words:
        option = word.partition("=")[0].lstrip("+~") if "=" in word or word.startswith("--") else ""
        option = option.lstrip("-").replace("-", "_")
        options.update({option, option[3:]} if option.startswith("no_") else {option})
    return {name for name in names if name.replace("-", "_") in options}


def flat_names(values: Any, prefix: str = "") -> list[str]:
    """The dotted names of nested tables' leaves."""
    names: list[str] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        names += flat_names(value, f"{name}.") if isinstance(value, dict) and value else [name]
    return names
