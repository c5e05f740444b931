"""Regular expressions that are compiled when they are first used.

A hundred of them compiled at import cost 20 ms of every start, and a start uses a few.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast

_METHODS = ("findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn", "pattern", "flags")


def lazy(expression: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """The pattern of an expression; one that is malformed is only found out by whoever uses it."""
    return cast("re.Pattern[AnyStr]", _Lazy(expression, flags))


class _Lazy:
    """Stands for a pattern, and has its methods from the first use on."""

    def __init__(self, expression: str | bytes, flags: int) -> None:
        self._made: tuple[Any, int] = (expression, flags)

    def __getattr__(self, name: str) -> object:
        if name not in _METHODS:
            raise AttributeError(name)
        compiled = re.compile(*self._made)
        self.__dict__.update({method: getattr(compiled, method) for method in _METHODS})
        return getattr(compiled, name)
