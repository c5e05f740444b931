"""Arguments that `HfArgumentParser` read from a file or table; those of the command line come through argparse."""

from __future__ import annotations

from git_replicate_probe.params import flat_names
from git_replicate_probe.values import plain
from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.params import Params


def install(params: Params, module: Any) -> None:
    parse = module.HfArgumentParser.parse_dict  # the methods for files call it

    @wraps(parse)
    def wrapped(self: Any, args: Any, *more: Any, **named: Any) -> Any:
        result = parse(self, args, *more, **named)
        params.guarded("transformers", _report, params, args, result)
        return result

    module.HfArgumentParser.parse_dict = wrapped


def _report(params: Params, args: Any, result: Any) -> None:
    values: dict[str, Any] = {}
    for part in result:
        values.update(plain(part))
    params.seen("transformers", values, set(args) & set(flat_names(values)))
