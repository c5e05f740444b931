"""What `argparse` parsed, and so all that is built on it: subclasses call the method that is wrapped here."""

from __future__ import annotations

import sys

from git_replicate_probe.params import is_programs_own
from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.params import Params


def install(params: Params, argparse: Any) -> None:
    parser_class = argparse.ArgumentParser
    parse = parser_class.parse_known_args
    get_values = getattr(parser_class, "_get_values", None)
    active: list[set[str]] = []  # names given, of the parse that is going on; subparsers add to it

    @wraps(parse)
    def parse_known_args(self: Any, args: Any = None, namespace: Any = None, **more: Any) -> Any:
        if active or not params.wanted:
            return parse(self, args, namespace, **more)
        active.append(set())
        try:
            result = parse(self, args, namespace, **more)
        finally:
            given = active.pop()
        params.guarded("argparse", _report, params, self, args, result[0], given if get_values else None)
        return result

    parser_class.parse_known_args = parse_known_args
    if get_values is None:
        return

    @wraps(get_values)
    def wrapped(self: Any, action: Any, arg_strings: Any) -> Any:
        if active and (arg_strings or action.option_strings):
            active[-1].add(action.dest)
        return get_values(self, action, arg_strings)

    parser_class._get_values = wrapped


def _report(params: Params, parser: Any, args: Any, namespace: Any, given: set[str] | None) -> None:
    if not is_programs_own(args, sys._getframe(3)):
        return
    values = dict(vars(namespace))
    if given is None:
        given = {name for name, value in values.items() if value != parser.get_default(name)}
    # `set_defaults(func=…)` hands a function on, which is no param.
    kept = {name: value for name, value in values.items() if name in given or not _is_code(value)}
    params.seen("argparse", kept, given & set(kept))


def _is_code(value: Any) -> bool:
    return callable(value) and (hasattr(value, "__code__") or hasattr(value, "__func__"))
