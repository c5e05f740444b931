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
    options: dict[str, str] = {}
    flags: dict[str, list[str]] = {}
    several: dict[str, str] = {}
    _spellings(parser, values, options, flags, several)
    options = {name: option for name, option in options.items() if name in kept}
    flags = {name: both for name, both in flags.items() if name in kept}
    several = {name: how for name, how in several.items() if name in kept}
    params.seen("argparse", kept, given & set(kept), options=options, flags=flags, several=several)


def _spellings(
    parser: Any, values: dict[str, Any], options: dict[str, str], flags: dict[str, list[str]], several: dict[str, str]
) -> None:
    """How a param is given: by an option, none ("") where it is by its position, flags on and off, several values.

    Options spelled as anybody would guess (`--batch-size` for `batch_size`) are left out.
    """
    for action in parser._actions:
        strings = sorted((word for word in action.option_strings if word.startswith("--")), key=len)
        strings = strings or list(action.option_strings)
        name = action.dest
        if how := _how_several(action):
            several[name] = how
        choices = action.choices
        if isinstance(choices, dict) and hasattr(choices.get(values.get(name)), "_actions"):
            _spellings(choices[values[name]], values, options, flags, several)  # the subparser that was chosen
        if action.option_strings and action.nargs == 0:
            no = [word for word in strings if word.startswith("--no-")] if len(strings) > 1 else []
            yes = [word for word in strings if word not in no]
            if getattr(action, "const", None) is False:
                yes, no = [], strings
            known = flags.setdefault(name, ["", ""])
            flags[name] = [(yes or known[:1])[-1], (no or known[1:])[-1]]
            if how == "count" and action.option_strings[0] not in strings:
                options[name] = action.option_strings[0]  # -v, of which -vv is two
        elif not action.option_strings:
            options[name] = ""
        elif f"--{name.replace('_', '-')}" not in strings:
            options[name] = strings[-1]


def _how_several(action: Any) -> str:
    """How an action takes several values: "words", "repeat", "count"; "" for one that takes one, or none."""
    kind = type(action).__name__
    if action.nargs == 0:
        return "count" if kind == "_CountAction" else ""
    if kind in ("_AppendAction", "_ExtendAction"):
        return "repeat" if action.nargs is None or kind == "_ExtendAction" else ""
    return "words" if isinstance(action.nargs, int) or action.nargs in ("+", "*") else ""


def _is_code(value: Any) -> bool:
    return callable(value) and (hasattr(value, "__code__") or hasattr(value, "__func__"))
