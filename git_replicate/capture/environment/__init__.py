"""The environment that a command runs in, one module a kind; together they make `environment.toml`.

The text holds only what identifies the environment, sorted, without paths, times or process ids: equal environments
are equal bytes, and so the same blob.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from git_replicate.capture.environment import binary, conda, container, gpu, pip, scheduler, system
from git_replicate.capture.environment.kinds import Difference, Kind, RecreatableKind, Scene
from git_replicate.capture.environment.recipe import Recipe, Sources
from git_replicate.capture.values import clean_text
from git_replicate.core.settings import EnvironmentSettings

KINDS: Final[tuple[Kind, ...]] = (pip, conda, binary, system, gpu, container, scheduler)
RECREATABLE: Final[tuple[RecreatableKind, ...]] = (conda, pip)
"""The first that knows how counts."""


def capture_environment(
    command: Sequence[str],
    directory: str,
    environ: Mapping[str, str],
    settings: EnvironmentSettings,
    top: str = "",
    also: tuple[str, ...] = (),
) -> tuple[bytes, tuple[str, ...]]:
    """The text of `environment.toml` for a command, and in words what could not be found out.

    directory: where the command runs; environ: the variables that it gets; top: of the worktree; also: other
    folders that have its code. Nothing here stops a run.
    """
    scene = Scene(command, directory, environ, top, settings.variables, also)
    document: dict[str, Any] = {}
    doubts: list[str] = []
    for kind in KINDS:
        try:
            facts = kind.capture(scene)
        except (OSError, ValueError) as error:
            doubts.append(f"the environment of the command could not be read ({kind.NAME}): {error}")
            continue
        document.update(facts.document)
        doubts += facts.doubts
    import tomli_w

    plain = {key: value for key, value in sorted(document.items()) if not isinstance(value, dict)}
    tables = {key: value for key, value in sorted(document.items()) if isinstance(value, dict)}
    return tomli_w.dumps(_clean({**plain, **tables})).encode(), tuple(doubts)


def differences(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> tuple[Difference, ...]:
    """All that is not as it was recorded, kind by kind."""
    return tuple(difference for kind in KINDS for difference in kind.differs(recorded, current))


def recreate(recorded: Mapping[str, Any], sources: Sources) -> Recipe | None:
    """How to build the recorded environment; None if there is nothing in it that could be built."""
    return next((recipe for kind in RECREATABLE if (recipe := kind.recreate(recorded, sources))), None)


def _clean(value: Any) -> Any:
    """The document with only valid Unicode in it."""
    if isinstance(value, dict):
        return {clean_text(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return clean_text(value) if isinstance(value, str) else value
