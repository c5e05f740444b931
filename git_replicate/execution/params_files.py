"""Requested params written into the declared params files of a checkout, which are ours to change.

Only names that a file has already are written, with the file's own nesting; its comments are lost, the snapshot keeps
them. Names that a placeholder of the command delivers are left alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from git_replicate.capture.documents import how_to_read_yaml, read_document
from git_replicate.capture.params import placeholders, same_value
from git_replicate.capture.values import flatten
from git_replicate.core.errors import UserError

CHANGING_YAML: Final = "changing YAML takes PyYAML beside git replicate"


def write_params_files(
    top: str, files: Sequence[str], requested: Mapping[str, Any], command: Sequence[str], warn: Callable[[str], None]
) -> dict[str, bytes]:
    """Give the declared files (relative to `top`) the requested values by dotted name; what was written, by path."""
    wanted = placeholders(command)
    left = {n: v for n, v in requested.items() if n not in wanted and n.replace("_", "-") not in wanted}
    written: dict[str, bytes] = {}
    for path in files if left and "params_file" not in wanted else ():
        document, unread = read_document(os.path.join(top, path), shown=path)
        if unread:
            warn(f"{path} keeps its values: {CHANGING_YAML}: {how_to_read_yaml()}")
        if not isinstance(document, dict):
            continue
        known = flatten(document)
        changed = {n: v for n, v in left.items() if n in known and not same_value(known[n], v)}
        if changed:
            written[path] = with_values(path, document, changed)
            _write(os.path.join(top, path), written[path])
    return written


def with_values(path: str, document: dict[str, Any], values: Mapping[str, Any]) -> bytes:
    """The text of a params file with other values for some of its names."""
    for name, value in values.items():
        _set(document, name, value)
    return _text(path, document)


def _set(document: dict[str, Any], name: str, value: Any) -> None:
    """Set a dotted name, wherever its dots are keys' own."""
    if name in document:
        document[name] = value
        return
    for key, inner in document.items():
        if isinstance(inner, dict) and name.startswith(f"{key}."):
            _set(inner, name[len(key) + 1 :], value)


def _text(path: str, document: Mapping[str, Any]) -> bytes:
    kind = os.path.splitext(path)[1].lower()
    if kind == ".json":
        return json.dumps(document, indent=2, ensure_ascii=False, default=str).encode() + b"\n"
    if kind in (".yaml", ".yml"):
        import yaml  # type: ignore[import-untyped, unused-ignore]  # it is there: the file was read with it

        return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True)).encode()
    import tomli_w

    try:
        return tomli_w.dumps(document).encode()
    except (TypeError, ValueError) as error:
        raise UserError(f"params file {path}: TOML cannot hold the value ({error})", "use a JSON file") from error


def _write(path: str, data: bytes) -> None:
    """A file of its own: the one that is there may be a link to the user's."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "wb") as file:
        file.write(data)
    os.replace(temporary, path)
