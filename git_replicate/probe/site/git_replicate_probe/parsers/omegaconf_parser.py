"""What OmegaConf read from the command line, and how a configuration of its is read without changing the run."""

from __future__ import annotations

import sys

from git_replicate_probe.params import flat_names, is_programs_own
from git_replicate_probe.values import plain
from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.params import Params

_HARMLESS = ("oc.env", "oc.select", "oc.decode", "oc.create", "oc.dict.", "oc.deprecated", "hydra", "now")
"""Resolvers that may be asked once more than the program asks; one of the program's own might draw a number."""


def install(params: Params, module: Any) -> None:
    from_cli = module.OmegaConf.from_cli

    @wraps(from_cli)
    def wrapped(args_list: Any = None) -> Any:
        config = from_cli(args_list)
        params.guarded("omegaconf", _report, params, args_list, config)
        return config

    module.OmegaConf.from_cli = staticmethod(wrapped)


def _report(params: Params, words: Any, config: Any) -> None:
    if is_programs_own(words, sys._getframe(3)):
        values = plain(contents(config))
        params.seen("omegaconf", values, flat_names(values))


def contents(config: Any) -> Any:
    """The configuration as plain tables, its references followed unless that could change what the program does."""
    omegaconf = sys.modules["omegaconf"]
    raw = omegaconf.OmegaConf.to_container(config, resolve=False)
    if not all(_is_harmless(text) for text in _texts(raw)):
        return raw
    try:
        return omegaconf.OmegaConf.to_container(config, resolve=True)
    except Exception:  # a reference that leads nowhere: the program has not followed it
        return raw


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) and "${" in value else []


def _is_harmless(text: str) -> bool:
    names = [part.partition("}")[0].partition(":") for part in text.split("${")[1:]]
    return all(not colon or name.strip().startswith(_HARMLESS) for name, colon, _ in names)
