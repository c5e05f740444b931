"""Starts the probe in a Python process of a run, and then the `sitecustomize` that this file hides.

Any Python, however old, must be able to read this file; on one that the probe does not know it stays away. It leaves
no trace in `sys.path`: the program finds what it would have found without it.
"""

import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
if sys.version_info >= (3, 8) and os.environ.get("GIT_REPLICATE_PROBE"):
    _unwritten = sys.dont_write_bytecode
    try:
        sys.dont_write_bytecode = False  # in a folder of our own, where it saves each process 10 ms
        from git_replicate_probe.session import begin

        begin()
    except Exception as _error:  # the program is to run, whatever is wrong with us
        sys.stderr.write("git replicate: the probe did not start: {!r}\n".format(_error))  # noqa: UP032
    finally:
        sys.dont_write_bytecode = _unwritten

sys.path[:] = [_path for _path in sys.path if _path != _here]
sys.path_importer_cache.pop(_here, None)
_hidden = sys.modules.pop(__name__)
try:
    import sitecustomize  # noqa: F401
except ImportError as _error:
    if getattr(_error, "name", __name__) != __name__:
        raise
    sys.modules[__name__] = _hidden
