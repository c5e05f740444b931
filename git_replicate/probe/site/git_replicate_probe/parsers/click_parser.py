"""The params that `click` gave to a command's function, those of the groups above it included; `typer` as well."""

from __future__ import annotations

from git_replicate_probe.params import _TOOLS, is_below
from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.params import Params

_GIVEN = ("COMMANDLINE", "ENVIRONMENT", "PROMPT")


def install(params: Params, core: Any) -> None:
    invoke = core.Command.invoke

    @wraps(invoke)
    def wrapped(self: Any, ctx: Any) -> Any:
        params.guarded("click", _report, params, ctx)
        return invoke(self, ctx)

    core.Command.invoke = wrapped


def _report(params: Params, ctx: Any) -> None:
    callback = getattr(ctx.command, "callback", None)
    if callback is None or is_below(getattr(callback, "__module__", "") or "", _TOOLS):
        return
    source = getattr(ctx, "get_parameter_source", lambda name: None)
    given = [name for name in ctx.params if getattr(source(name), "name", "") in _GIVEN]
    options: dict[str, str] = {}
    flags: dict[str, list[str]] = {}
    several: dict[str, str] = {}
    for param in ctx.command.params:
        strings = [word for word in param.opts if word.startswith("-")]
        counts = getattr(param, "count", False)
        if counts or param.nargs != 1 or getattr(param, "multiple", False):
            several[param.name] = "count" if counts else "words" if param.nargs != 1 else "repeat"
        if not strings:
            options[param.name] = ""
        elif counts or getattr(param, "is_flag", False):
            flags[param.name] = [strings[-1], ([*getattr(param, "secondary_opts", ()), ""])[0]]
        elif f"--{param.name.replace('_', '-')}" not in strings:
            options[param.name] = strings[-1]
    params.seen("click", dict(ctx.params), given, options=options, flags=flags, several=several)
