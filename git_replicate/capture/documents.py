"""Reading a TOML, YAML or JSON file of the user's, told apart by its name.

YAML is read with PyYAML if that is installed beside us; without it the file is left out with a notice, because
a missing optional library must not stop a run.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from typing import Any

from git_replicate.core.errors import UserError

LIMIT = 20_000_000
"""Bytes above which a file is no document of params or metrics."""


def read_document(path: str, *, shown: str) -> tuple[Any, str]:
    """The document in a file, and "" or else the notice why there is none.

    `shown` is how the user named it. `UserError` for a file that is missing, too large or not of its kind.
    """
    try:
        if os.path.getsize(path) > LIMIT:
            raise UserError(f"{shown}: larger than {LIMIT // 1_000_000} MB", "declare a smaller file")
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UserError(f"{shown}: {error.strerror or error}", f"look: ls -l {shown}") from error
    return parse_document(data, shown=shown)


def parse_document(data: bytes, *, shown: str) -> tuple[Any, str]:
    """As `read_document`, for a file's bytes."""
    kind = os.path.splitext(shown)[1].lower()
    if not data.strip():
        return {}, ""
    if kind in (".yaml", ".yml"):
        return _yaml(data, shown)
    try:
        text = data.decode("utf-8-sig")
        if kind == ".toml":
            import tomli

            return tomli.loads(text), ""
        return json.loads(text), ""
    except (ValueError, RecursionError) as error:
        name = "TOML" if kind == ".toml" else "JSON"
        raise UserError(f"{shown}: not {name}: {_one_line(error)}", f"edit {shown}") from error


def _yaml(data: bytes, shown: str) -> tuple[Any, str]:
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return None, f"{shown} was not read: reading YAML takes PyYAML beside git replicate"
    try:
        return yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)), ""
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{shown}: not YAML: {_one_line(error)}", f"edit {shown}") from error


def how_to_read_yaml() -> str:
    """The command that puts PyYAML beside us."""
    return shlex.join([sys.executable, "-m", "pip", "install", "pyyaml"])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
