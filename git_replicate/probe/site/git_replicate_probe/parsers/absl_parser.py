"""The flags that `absl.flags` parsed: the program's own, and of libraries' flags those that were given."""

from __future__ import annotations

import sys

from git_replicate_probe.params import is_installed
from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.params import Params


def install(params: Params, flagvalues: Any) -> None:
    flags_class = flagvalues.FlagValues
    call = flags_class.__call__

    @wraps(call)
    def wrapped(self: Any, *arguments: Any, **more: Any) -> Any:
        result = call(self, *arguments, **more)
        params.guarded("absl", _report, params, self)
        return result

    flags_class.__call__ = wrapped


def _report(params: Params, flags: Any) -> None:
    values: dict[str, Any] = {}
    given: list[str] = []
    for module, defined in flags.flags_by_module_dict().items():
        path = getattr(sys.modules.get(module), "__file__", None) or ""
        library = module.startswith("absl.") or is_installed(path)
        for flag in defined:
            if flag.present or not library:
                values[flag.name] = flag.value
            if flag.present:
                given.append(flag.name)
    params.seen("absl", values, given)
