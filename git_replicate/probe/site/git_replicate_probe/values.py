"""Values as JSON can hold them: what a program's parser returned may be of any type."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEEPEST = 16
_MOST_ITEMS = 1000
_LONGEST = 10_000


def plain(value: Any, depth: int = 0) -> Any:
    """None, booleans, numbers, text, lists and tables with text keys; an object of no known kind is its text.

    Paths and files are their names, enumerations their names (their values if those are the text or number that the
    member is), functions and classes their dotted names. Addresses in memory are left out, for they never repeat.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float):
        return value
    if isinstance(value, (str, bytes, os.PathLike)):
        return _text(value)
    if depth > _DEEPEST:
        return shown(value)
    if _is_enum(value):
        member: Any = value
        return plain(member.value, depth + 1) if isinstance(value, (int, float)) else member.name
    for base in (bool, int, float):
        if isinstance(value, base):
            return base(value)
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{getattr(value, '__module__', '')}.{value.__qualname__}".lstrip(".")
    fields = _fields(value)
    if fields is not None:
        return {_key(key): plain(item, depth + 1) for key, item in fields.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return [plain(item, depth + 1) for item in items] if len(value) <= _MOST_ITEMS else shown(value)
    return _other(value, depth)


def _is_enum(value: Any) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(value, enum.Enum)


def _text(value: Any) -> str:
    if _is_enum(value):
        value = value.value
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    text = os.fsdecode(value) if isinstance(value, bytes) else str.__str__(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def _key(key: Any) -> str:
    return key if type(key) is str else str(plain(key))


def _fields(value: Any) -> Any:
    """The table that a value is, or None: mappings, data classes, namespaces, named tuples, pydantic's and attrs'."""
    if isinstance(value, dict):
        return value
    if hasattr(value, "_asdict") and hasattr(value, "_fields"):
        return value._asdict()
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__ if hasattr(value, name)}
    if hasattr(value, "__attrs_attrs__"):
        return {field.name: getattr(value, field.name, None) for field in value.__attrs_attrs__}
    if type(value).__name__ in ("Namespace", "SimpleNamespace") or hasattr(type(value), "model_fields"):
        return {key: item for key, item in vars(value).items() if not key.startswith("_")}
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):
        return {key: value[key] for key in value.keys()}  # noqa: SIM118  # it may be a mapping by these two alone
    return None


def _other(value: Any, depth: int) -> Any:
    """Arrays and their scalars by what they hold, open files by their names, the rest as text."""
    if type(value).__module__.partition(".")[0] in ("numpy", "torch", "jax", "jaxlib") and hasattr(value, "tolist"):
        size = getattr(value, "size", 0)
        count = value.numel() if callable(getattr(value, "numel", None)) else size
        if isinstance(count, int) and count <= _MOST_ITEMS:
            return plain(value.tolist(), depth + 1)
    if hasattr(value, "read") and isinstance(getattr(value, "name", None), str):
        return value.name
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return shown(value)


def shown(value: Any) -> str:
    """The text of a value, or its type's name if that text has an address or cannot be had."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    try:
        text = str(value)
    except Exception:  # somebody else's __str__
        return kind
    return kind if text.startswith("<") or " at 0x" in text else _text(text)
