"""The machine as far as it is part of an environment: operating system, C library, processor, memory, variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from git_replicate.capture.environment.kinds import Difference, Facts, Scene, compare
from git_replicate.core.paths import lies_in
from git_replicate.core.secrets import MASK, is_secret_name, mask_text

NAME: Final = "system"
KEYS: Final = ("os", "kernel", "machine", "libc", "cpu", "cpus", "memory_gib", "variables")
_HARDWARE: Final = ("machine", "cpu", "cpus", "memory_gib")
VARIABLES: Final = (
    "CUBLAS_WORKSPACE_CONFIG", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "JAX_ENABLE_X64", "JAX_PLATFORMS", "LANG",
    "LC_ALL", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS",
    "PYTHONNOUSERSITE", "PYTHONOPTIMIZE", "PYTHONPATH", "PYTORCH_CUDA_ALLOC_CONF", "TF_CPP_MIN_LOG_LEVEL",
    "TF_DETERMINISTIC_OPS", "TF_ENABLE_ONEDNN_OPTS", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TZ", "XLA_FLAGS",
)  # fmt: skip
"""Variables that change results and that no user keeps secrets in; `[environment] variables` adds to them."""


def capture(scene: Scene) -> Facts:
    """What can be read of the machine; a fact that cannot be read is absent."""
    name = os.uname()
    facts = {
        "os": _release() or f"{name.sysname} {name.release}",
        "kernel": f"{name.sysname} {name.release}",
        "machine": name.machine,
        "libc": _libc(),
        "cpu": _cpu(),
        "cpus": os.cpu_count() or 0,
        "memory_gib": _memory(),
        "variables": _variables(scene),
    }
    return Facts({key: value for key, value in facts.items() if value})


def differs(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> tuple[Difference, ...]:
    return compare(NAME, KEYS, recorded, current, hardware=_HARDWARE)


def _variables(scene: Scene) -> dict[str, str]:
    """The allowed variables that are set, with secrets and the home folder's name hidden."""
    environ = scene.environ
    home = environ.get("HOME", "").rstrip("/")
    chosen: dict[str, str] = {}
    for name in sorted({*VARIABLES, *scene.variables}):
        value = environ.get(name)
        if value is None:
            continue
        if name == "PYTHONPATH":
            value = ":".join(_in_worktree(part, scene) for part in value.split(":"))
        if is_secret_name(name):
            value = MASK
        elif home and os.path.isabs(home):
            value = ":".join(
                "~" + part[len(home) :] if part == home or part.startswith(f"{home}/") else part
                for part in value.split(":")
            )
        chosen[name] = mask_text(value)
    return chosen


def _in_worktree(path: str, scene: Scene) -> str:
    """A folder of the worktree relative to its top (`./src`), for clones lie elsewhere; others as they are."""
    whole = os.path.normpath(os.path.join(scene.directory, path))
    for top in filter(None, (scene.top, *scene.also)):
        if path and lies_in(whole, [top]):
            inner = os.path.relpath(whole, top)
            return inner if inner == "." else f"./{inner}"
    return path


def _release() -> str:
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        for line in _lines(path):
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip().strip("\"'")
    return ""


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


def _cpu() -> str:
    facts: dict[str, str] = {}
    for line in _lines("/proc/cpuinfo", 16_384):
        key, colon, value = line.partition(":")
        if not colon and facts:
            break
        facts.setdefault(key.strip(), value.strip())
    model = facts.get("model name") or facts.get("cpu") or facts.get("Model") or ""
    if not model and "CPU part" in facts:
        model = f"implementer {facts.get('CPU implementer', '')} part {facts['CPU part']}"
    return " ".join(model.split())


def _memory() -> int:
    """Memory in GiB, rounded: the kernel's exact figure changes with every kernel."""
    for line in _lines("/proc/meminfo", 4_096):
        if line.startswith("MemTotal:"):
            return max(round(int(line.split()[1]) / 2**20), 1)
    return 0


def _lines(path: str, limit: int = 65_536) -> list[str]:
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode(errors="replace").splitlines()
    except OSError:
        return []
