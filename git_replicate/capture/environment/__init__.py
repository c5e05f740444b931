"""The environment that a command runs in, one module a kind; together they make `environment.toml`.

The text holds only what identifies the environment, sorted, without paths, times or process ids: equal environments
are equal bytes, and so the same blob.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from git_replicate.capture.environment import binary, python, system
from git_replicate.capture.values import clean_text
from git_replicate.core.secrets import MASK, is_secret_name, mask_text
from git_replicate.core.settings import EnvironmentSettings

VARIABLES: Final = (
    "CUBLAS_WORKSPACE_CONFIG", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "JAX_ENABLE_X64", "JAX_PLATFORMS", "LANG",
    "LC_ALL", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS",
    "PYTHONNOUSERSITE", "PYTHONOPTIMIZE", "PYTORCH_CUDA_ALLOC_CONF", "TF_CPP_MIN_LOG_LEVEL", "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TZ", "XLA_FLAGS",
)  # fmt: skip
"""Variables that change results and that no user keeps secrets in; `[environment] variables` adds to them."""


def capture_environment(
    command: Sequence[str], directory: str, environ: Mapping[str, str], settings: EnvironmentSettings
) -> tuple[bytes, tuple[str, ...]]:
    """The text of `environment.toml` for a command, and in words what could not be found out.

    directory: where the command runs; environ: the variables that it gets. Nothing here stops a run.
    """
    document: dict[str, Any] = {}
    doubts: list[str] = []
    try:
        document, doubts = python.capture(command, directory, environ)
        if not document:
            program = binary.capture(command, directory, environ)
            document = {"program": program} if program else {}
    except (OSError, ValueError) as error:
        doubts.append(f"the environment of the command could not be read: {error}")
    document.update(system.capture(environ))
    variables = _variables(environ, settings.variables)
    if variables:
        document["variables"] = variables
    import tomli_w

    plain = {key: value for key, value in sorted(document.items()) if not isinstance(value, dict)}
    tables = {key: value for key, value in sorted(document.items()) if isinstance(value, dict)}
    return tomli_w.dumps(_clean({**plain, **tables})).encode(), tuple(doubts)


def _variables(environ: Mapping[str, str], added: Sequence[str]) -> dict[str, str]:
    """The allowed variables that are set, with secrets and the home folder's name hidden."""
    home = environ.get("HOME", "").rstrip("/")
    chosen: dict[str, str] = {}
    for name in sorted({*VARIABLES, *added}):
        value = environ.get(name)
        if value is None:
            continue
        if is_secret_name(name):
            value = MASK
        elif home and os.path.isabs(home):
            value = ":".join(
                "~" + part[len(home) :] if part == home or part.startswith(f"{home}/") else part
                for part in value.split(":")
            )
        chosen[name] = mask_text(value)
    return chosen


def _clean(value: Any) -> Any:
    """The document with only valid Unicode in it."""
    if isinstance(value, dict):
        return {clean_text(key): _clean(item) for key, item in value.items()}
    return clean_text(value) if isinstance(value, str) else value
