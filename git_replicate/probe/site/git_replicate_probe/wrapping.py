"""A function in place of another, without `functools`, whose import takes longer than the rest of the probe's start."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def wraps(original: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `functools.wraps`: the decorated function passes for the original."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
            if hasattr(original, name):
                setattr(function, name, getattr(original, name))
        function.__dict__.update(getattr(original, "__dict__", {}))
        function.__dict__["__wrapped__"] = original
        return function

    return decorate
