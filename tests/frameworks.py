"""The interpreter that has the libraries of `frameworks.txt`, for tests marked `frameworks`.

`make test-frameworks` builds one and names it in `GIT_REPLICATE_TEST_PYTHON`; without that variable the tests' own
interpreter is asked, which rarely has them. Libraries never become dependencies of the tests themselves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache

INTERPRETER = os.environ.get("GIT_REPLICATE_TEST_PYTHON") or sys.executable
"""Read when the tests are collected: the variable is gone once they run."""

_ASKS = """
import importlib.util, json, sys
print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]))
"""


@cache
def missing_modules(modules: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the top-level modules that the interpreter cannot import; OSError if there is no such interpreter."""
    done = subprocess.run([INTERPRETER, "-c", _ASKS, *modules], capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout))
