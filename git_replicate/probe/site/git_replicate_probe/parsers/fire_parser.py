"""The arguments that `fire` parsed for the functions and classes that it calls."""

from __future__ import annotations

import sys

from git_replicate_probe.params import given_in
from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.params import Params


def install(params: Params, core: Any) -> None:
    make = core._MakeParseFn

    @wraps(make)
    def wrapped(function: Any, *more: Any) -> Any:
        parse = make(function, *more)

        def parse_and_report(words: Any) -> Any:
            result = parse(words)
            params.guarded("fire", _report, params, function, result[0], result[1])
            return result

        return parse_and_report

    core._MakeParseFn = wrapped


def _report(params: Params, function: Any, arguments: Any, words: Any) -> None:
    inspect = sys.modules.get("inspect")  # fire has imported it
    if inspect is None:
        return
    signature = inspect.signature(function)
    bound = signature.bind_partial(*arguments[0], **arguments[1])
    bound.apply_defaults()
    values = {}
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            values.update(value)
        elif name != "self" and value != ():
            values[name] = value
    defaults = {name: found.default for name, found in signature.parameters.items()}
    changed = {name for name, value in values.items() if name not in defaults or repr(value) != repr(defaults[name])}
    params.seen("fire", values, given_in(words, values) | changed)
