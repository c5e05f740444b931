"""What this process really computed with: numerical libraries, their threads, and PyTorch's switches.

Only what the program has loaded is asked, nothing is loaded for it, and no device is woken: a process that has not
used CUDA does not begin to at its end.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.session import Probe

_LIBRARIES = (
    "libopenblas", "libscipy_openblas", "libmkl_rt", "libmkl_core", "libblis", "libflexiblas", "libatlas", "libgomp",
    "libiomp5", "libomp", "libtbb", "libcudart", "libcublas", "libcudnn", "libnccl", "libamdhip64", "librocblas",
    "libMIOpen", "libhdf5", "libmpi",
)  # fmt: skip
_BLAS = ("libopenblas", "libscipy_openblas")
_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip
_MOST_DEVICES = 16


def install(probe: Probe) -> None:
    """Look at the end."""
    probe.at_end(lambda: _note(probe))


def _note(probe: Probe) -> None:
    if not probe.is_main:
        return
    found: dict[str, Any] = {}
    for name, ask in (("libraries", _libraries), ("threads", _threads), ("torch", _torch), ("cpu_features", _features)):
        try:
            values = ask()
        except Exception as error:  # a library of a version that we do not know, or half torn down
            probe.failed(f"runtime {name}", error)
            continue
        if values:
            found[name] = values
    if found:
        probe.note("runtime", values=found)


def _loaded() -> dict[str, str]:
    """Paths of the numerical libraries that are mapped into this process, by the first part of their names."""
    found: dict[str, str] = {}
    if not os.path.exists("/proc/self/maps"):
        return found
    with open("/proc/self/maps", "rb") as maps:
        paths = {os.fsdecode(line[line.index(b"/") :].strip()) for line in maps if b".so" in line and b"/" in line}
    for path in sorted(paths):
        base = os.path.basename(path)
        for library in _LIBRARIES:
            if base.startswith((f"{library}.", f"{library}-", f"{library}64", f"{library}_")):
                found.setdefault(library, path)
                break
    return found


def _libraries() -> dict[str, str]:
    """File name by library, and for OpenBLAS how it was built and for which processor it computes."""
    described = {}
    for library, path in _loaded().items():
        described[library] = _openblas(path, "get_config") or os.path.basename(path)
    return described


def _openblas(path: str, question: str) -> Any:
    """The answer of an OpenBLAS that is loaded; its symbols have other names in other builds."""
    ctypes = sys.modules.get("ctypes")
    if ctypes is None or not os.path.basename(path).startswith(_BLAS):
        return None
    library = ctypes.CDLL(path)
    for prefix in ("scipy_openblas_", "openblas_"):
        for suffix in ("", "64_", "_64_", "64"):
            function = getattr(library, f"{prefix}{question}{suffix}", None)
            if function is not None:
                if question == "get_config":
                    function.restype = ctypes.c_char_p
                    return function().decode("ascii", "replace")
                return int(function())
    return None


def _threads() -> dict[str, Any]:
    """How many threads each library computes with, as far as it can be asked; and the variables that say so."""
    threads: dict[str, Any] = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    if hasattr(os, "sched_getaffinity"):
        threads["cpus_allowed"] = len(os.sched_getaffinity(0))
    for path in _loaded().values():
        count = _openblas(path, "get_num_threads")
        if count is not None:
            threads["openblas"] = count
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        threads["torch"] = torch.get_num_threads()
        threads["torch_interop"] = torch.get_num_interop_threads()
    control = sys.modules.get("threadpoolctl")
    if control is not None:
        for pool in control.threadpool_info():
            threads[str(pool.get("internal_api"))] = pool.get("num_threads")
    # The processors that are allowed tell something only beside a library that uses them.
    return threads if set(threads) - {"cpus_allowed"} else {}


def _torch() -> dict[str, Any]:
    """Versions, and the switches that change what PyTorch computes."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "version"):
        return {}
    backends = torch.backends
    found: dict[str, Any] = {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda,
        "hip": getattr(torch.version, "hip", None),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "default_dtype": str(torch.get_default_dtype()),
        "cudnn_benchmark": backends.cudnn.benchmark,
        "cudnn_deterministic": backends.cudnn.deterministic,
    }
    if torch.cuda.is_initialized():
        found["cudnn"] = backends.cudnn.version()
        found["devices"] = [torch.cuda.get_device_name(n) for n in range(min(torch.cuda.device_count(), _MOST_DEVICES))]
    return {name: value for name, value in found.items() if value is not None}


def _features() -> str:
    """The processor's features that NumPy chose its loops by."""
    for name in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):
        features = getattr(sys.modules.get(name), "__cpu_features__", None)
        if isinstance(features, dict):
            return " ".join(sorted(str(feature) for feature, there in features.items() if there))
    return ""
