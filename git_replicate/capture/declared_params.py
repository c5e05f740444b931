"""The params in declared files, before a run.

YAML needs PyYAML, which is often where the command's own Python finds it and not beside us: then that interpreter is
asked to read the file, once. A file that nobody here can read does not stop the run: its hash stands for its params,
so that runs with other params are never taken for the same.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from git_replicate.capture.documents import how_to_read_yaml, read_document
from git_replicate.capture.values import flatten
from git_replicate.core.errors import UserError

Scene = tuple[Sequence[str], str, Mapping[str, str]]
"""A command, the directory it is started in, and its variables."""

_SECONDS: Final = 20
_NO_READER: Final = 3
_NOT_YAML: Final = 4
_READ: Final = f"""
import json, sys
try:
    import yaml
except ImportError:
    sys.exit({_NO_READER})
def plain(value):
    if isinstance(value, dict):
        return {{str(key): plain(item) for key, item in value.items()}}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
try:
    document = yaml.load(sys.stdin.buffer.read(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
except yaml.YAMLError as error:
    sys.stderr.write(" ".join(str(error).split()))
    sys.exit({_NOT_YAML})
print(json.dumps(plain(document), default=str))
"""


@dataclass(slots=True)
class Declared:
    """What declared files hold, by dotted name."""

    values: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What could not be read, as a record has it: without paths of this machine."""


def read_declared(files: Sequence[str], top: str, scene: Scene | None = None) -> Declared:
    """Params from the declared files (relative to `top`), later files over earlier.

    scene: of the command that is to read them. `UserError` for a file that is missing, or not of its kind.
    """
    found = Declared()
    for path in files:
        full = os.path.join(top, path)
        document, notice = read_document(full, shown=path)
        if notice:
            document = _read_elsewhere(full, path, scene)
        if document is None and notice:
            _leave_out(full, path, notice, found)
        elif isinstance(document, Mapping):
            found.values.update(flatten(_text_keys(document)))
        elif document is not None:
            raise UserError(f"params file {path}: holds no table of names and values", f"look at it: cat {path}")
    return found


def _leave_out(full: str, path: str, notice: str, found: Declared) -> None:
    """Have the hash of a file stand for the params in it."""
    import blake3

    with open(full, "rb") as file:
        found.values[re.sub(r"\W+", "_", path)] = f"blake3:{blake3.blake3(file.read()).hexdigest()[:12]}"
    found.missing.append(f"params: {notice}")
    found.warnings.append(f"{notice}: {how_to_read_yaml()}")


def _read_elsewhere(full: str, shown: str, scene: Scene | None) -> Any:
    """The YAML document as the interpreter of a command reads it; None where there is none, or it cannot."""
    from git_replicate.capture.environment.python import find_interpreter

    command, directory, environ = scene or ((), "", {})
    python = find_interpreter(command, directory, environ) if command else ""
    if not python:
        return None
    import subprocess

    try:
        with open(full, "rb") as file:
            done = subprocess.run(
                [python, "-c", _READ], stdin=file, cwd="/", env=dict(environ), capture_output=True,
                timeout=_SECONDS, check=False,
            )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode == _NOT_YAML:
        raise UserError(f"{shown}: not YAML: {done.stderr.decode(errors='replace')}", f"edit {shown}")
    try:
        return json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        return None


def _text_keys(document: Mapping[Any, Any]) -> dict[str, Any]:
    """The document with keys as names; dashes stay, for a file's names are its own."""
    return {str(k): _text_keys(v) if isinstance(v, Mapping) else v for k, v in document.items()}
