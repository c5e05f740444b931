"""What `jsonargparse` made of command line, configuration files and variables together; Lightning's CLI uses it."""

from __future__ import annotations

import sys

from git_replicate_probe.params import flat_names, given_in, is_programs_own
from git_replicate_probe.values import plain
from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.params import Params


def install(params: Params, core: Any) -> None:
    active: list[bool] = []
    for name in ("parse_args", "parse_object", "parse_path", "parse_string", "parse_env"):
        parse = getattr(core.ArgumentParser, name, None)
        if parse is not None:
            setattr(core.ArgumentParser, name, _wrapped(params, parse, active))


def _wrapped(params: Params, parse: Any, active: list[bool]) -> Any:
    @wraps(parse)
    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
        if active or not params.wanted:
            return parse(self, *arguments, **named)
        active.append(True)
        try:
            result = parse(self, *arguments, **named)
        finally:
            active.pop()
        words = named.get("args", arguments[0] if arguments else None) if parse.__name__ == "parse_args" else []
        params.guarded("jsonargparse", _report, params, words, result)
        return result

    return wrapped


def _report(params: Params, words: Any, result: Any) -> None:
    if is_programs_own(words, sys._getframe(3)):
        values = plain(result.as_dict() if hasattr(result, "as_dict") else vars(result))
        given = given_in(sys.argv[1:] if words is None else words, flat_names(values))
        params.seen("jsonargparse", values, given, replaces="argparse")
