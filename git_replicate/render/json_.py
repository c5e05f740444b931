"""JSON: flat objects, null for what is absent, the words nan, inf and -inf for what JSON has no number for."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from git_replicate.core.table import Spread, Table


def render(table: Table) -> str:
    return dump([_object(table, row) for row in table.rows])


def render_lines(table: Table) -> str:
    return dump_lines(_object(table, row) for row in table.rows)


def dump(value: Any) -> str:
    return json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def dump_lines(values: Iterable[Any]) -> str:
    return "".join(json.dumps(jsonable(value), ensure_ascii=False, allow_nan=False) + "\n" for value in values)


def _object(table: Table, row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(table.columns, row, strict=True))


def jsonable(value: Any) -> Any:
    """A value as JSON can hold it: times in UTC, tables and lists as they are."""
    if isinstance(value, Spread):
        return {"mean": jsonable(value.mean), "std": jsonable(value.std), "n": value.n}
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value
