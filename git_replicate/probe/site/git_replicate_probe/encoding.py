"""JSON without the `json` package, whose import takes as long as all of the probe's own start.

The C parts of that package are used directly where the interpreter has them as expected, and the package otherwise.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Reading:
    """What the C scanner asks for."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def read(text: str) -> Any:
    """The value that a JSON text holds; `ValueError` or `StopIteration` for a text that is none."""
    try:
        from _json import make_scanner
    except ImportError:
        import json

        return json.loads(text)
    context: Any = _Reading
    return make_scanner(context)(text, 0)[0]


def write(value: Any) -> str:
    """The value as JSON in one line of ASCII; what JSON does not know is written as its `repr`."""
    try:
        from _json import encode_basestring_ascii, make_encoder

        encode = make_encoder(None, repr, encode_basestring_ascii, None, ": ", ", ", False, True, True)
        return "".join(encode(value, 0))
    except (ImportError, TypeError, AttributeError):
        import json

        return json.dumps(value, default=repr, skipkeys=True)
