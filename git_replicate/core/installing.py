"""How a package is installed beside this very program: the command to paste, whatever environment it lies in."""

from __future__ import annotations

import os
import sys


def pip_install(*what: str) -> str:
    """The command that installs packages, or a folder, for the Python that runs us; uv's where it has no pip."""
    import shlex
    from importlib.util import find_spec

    words = ["uv", "pip", "install", "--python", sys.executable]
    if find_spec("pip") is not None:
        words = [sys.executable, "-m", "pip", "install"]
    return shlex.join([*words, *what])


def checkout() -> str:
    """The folder that holds our package: the checkout, where it is run from one."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
