"""The configuration that Hydra composed for the program's function, without Hydra's own part."""

from __future__ import annotations

import sys

from git_replicate_probe.params import flat_names
from git_replicate_probe.parsers.omegaconf_parser import contents
from git_replicate_probe.values import plain
from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.params import Params


def install(params: Params, utils: Any) -> None:
    run_job = utils.run_job

    @wraps(run_job)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        task = named.get("task_function", arguments[0] if arguments else None)
        if not callable(task):
            return run_job(*arguments, **named)

        @wraps(task)
        def seen(config: Any) -> Any:
            params.guarded("hydra", _report, params, config)
            return task(config)

        if "task_function" in named:
            return run_job(*arguments, **dict(named, task_function=seen))
        return run_job(seen, *arguments[1:], **named)

    utils.run_job = wrapped


def _report(params: Params, config: Any) -> None:
    values = plain(contents(config))
    names = flat_names(values)
    given: set[str] = set()
    for override in _overrides():
        key = override.partition("=")[0].strip().lstrip("+~").partition("@")[0].replace("/", ".")
        given.update(name for name in names if name == key or name.startswith(key + "."))
    params.seen("hydra", values, given)


def _overrides() -> list[str]:
    hydra_config = sys.modules["hydra.core.hydra_config"].HydraConfig.get()
    return [str(override) for override in hydra_config.overrides.task]
