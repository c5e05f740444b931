"""The data class that `tyro.cli` filled, or the arguments with which it is about to call a function."""

from __future__ import annotations

import sys

from git_replicate_probe.params import flat_names, given_in, is_programs_own
from git_replicate_probe.values import plain
from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.params import Params


def install(params: Params, module: Any) -> None:
    cli = module.cli

    @wraps(cli)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        result = cli(*arguments, **named)
        params.guarded("tyro", _report, params, named.get("args"), result)
        return result

    module.cli = wrapped
    make = getattr(module, "_cli_impl", None)
    if make is None:
        return

    @wraps(make)
    def made(*arguments: Any, **named: Any) -> Any:
        result = make(*arguments, **named)
        params.guarded("tyro", _report_call, params, named.get("args"), result)
        return result

    module._cli_impl = made


def _report_call(params: Params, words: Any, result: Any) -> None:
    """Note a call that is about to be made, if it is one of a function: a class is seen once it has been filled."""
    call = result[0] if isinstance(result, tuple) else result
    function, inspect = getattr(call, "func", None), sys.modules.get("inspect")  # which tyro has imported
    if inspect is None or not inspect.isfunction(function) or not is_programs_own(words, sys._getframe(3)):
        return
    bound = inspect.signature(function).bind_partial(*call.args, **call.keywords)
    bound.apply_defaults()
    values = plain(dict(bound.arguments))
    given = given_in(sys.argv[1:] if words is None else words, flat_names(values))
    params.seen("tyro", values, given, replaces="argparse")


def _report(params: Params, words: Any, result: Any) -> None:
    found = result[0] if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], list) else result
    is_table = hasattr(found, "__dataclass_fields__") or hasattr(type(found), "model_fields") or isinstance(found, dict)
    if (is_table or hasattr(found, "__attrs_attrs__")) and is_programs_own(words, sys._getframe(3)):
        values = plain(found)
        given = given_in(sys.argv[1:] if words is None else words, flat_names(values))
        params.seen("tyro", values, given, replaces="argparse")
