"""What `docopt` made of the command line: a table of options, arguments and commands, all of it text or flags.

docopt knows no types, so text that is a number is recorded as one: it is what the program will make of it.
"""

from __future__ import annotations

import sys

from git_replicate_probe.params import given_in, is_programs_own
from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.params import Params


def install(params: Params, module: Any) -> None:
    parse = module.docopt

    @wraps(parse)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        result = parse(*arguments, **named)
        words = named.get("argv", arguments[1] if len(arguments) > 1 else None)
        params.guarded("docopt", _report, params, words, result)
        return result

    module.docopt = wrapped


def _report(params: Params, words: Any, result: Any) -> None:
    if isinstance(words, str):
        words = words.split()
    if not is_programs_own(words, sys._getframe(3)):
        return
    values = {_plain_name(name): _typed(value) for name, value in result.items()}
    given = given_in(sys.argv[1:] if words is None else words, values)
    given.update(_plain_name(name) for name, value in result.items() if value and not name.startswith("-"))
    params.seen("docopt", values, given)


def _plain_name(name: str) -> str:
    return name.strip("<>").lstrip("-").replace("-", "_")


def _typed(value: Any) -> Any:
    if isinstance(value, list):
        return [_typed(item) for item in value]
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
    return value
