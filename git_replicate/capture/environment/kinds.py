"""What every kind of environment has in common: what it is asked, what it answers, how it is compared.

A kind is a module with `NAME`, `KEYS`, `capture` and `differs`, and where it can be built again `recreate`; adding one
is adding its file to `KINDS` in this package. A kind owns some of the top-level names of `environment.toml` (`KEYS`);
no two kinds own the same. Facts that cannot be found out are absent, or a doubt in words; nothing here stops a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

from git_replicate.capture.environment.recipe import Recipe, Sources
from git_replicate.capture.values import flatten
from git_replicate.core.frozen import frozen


@frozen
class Scene:
    """The command whose environment is asked for: its words, where it runs, its variables, the worktree's top."""

    command: Sequence[str]
    directory: str
    environ: Mapping[str, str]
    top: str = ""
    variables: tuple[str, ...] = ()
    """Names of variables to record beside the usual ones."""
    also: tuple[str, ...] = ()
    """Other folders whose code is the worktree's: what a checkout stands for."""


@frozen
class Facts:
    """What a kind found: its part of `environment.toml`, and in words what could not be found out."""

    document: Mapping[str, Any] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


@frozen
class Difference:
    """One thing that is not as it was recorded; None: absent.

    name: a package's name, or the dotted name in `environment.toml`. hardware: whether it is a fact of the machine
    itself (processor, GPU, driver), which no environment can be built to restore.
    """

    kind: str
    name: str
    recorded: Any
    current: Any
    hardware: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {_shown(self.recorded)} -> {_shown(self.current)}"


class Kind(Protocol):
    """One kind of environment; its modules are values of this type."""

    @property
    def NAME(self) -> str: ...  # noqa: N802 (a module's constant)
    @property
    def KEYS(self) -> tuple[str, ...]: ...  # noqa: N802

    def capture(self, scene: Scene) -> Facts:
        """What there is; a kind that is not there answers nothing."""
        ...

    def differs(self, recorded: Mapping[str, Any], current: Mapping[str, Any]) -> tuple[Difference, ...]:
        """What is not as it was, between two whole documents."""
        ...


class RecreatableKind(Kind, Protocol):
    """A kind that can be built again from what was recorded."""

    def recreate(self, recorded: Mapping[str, Any], sources: Sources) -> Recipe | None:
        """How to build it, decided without doing anything; None if the document has nothing of this kind."""
        ...


def compare(
    kind: str,
    keys: Sequence[str],
    recorded: Mapping[str, Any],
    current: Mapping[str, Any],
    *,
    hardware: Sequence[str] = (),
    bare: Sequence[str] = (),
) -> tuple[Difference, ...]:
    """The differences in some top-level names of two documents, tables taken apart, in order of name.

    hardware: the names that are facts of the machine; bare: the tables whose entries are named without the table.
    """
    found = []
    for key in keys:
        first, second = (_parts(key, document.get(key)) for document in (recorded, current))
        for name in sorted({*first, *second}):
            before, now = first.get(name), second.get(name)
            if before != now:
                shown = name.removeprefix(f"{key}.") if key in bare else name
                found.append(Difference(kind, shown, before, now, key in hardware))
    return tuple(found)


def _parts(key: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    return (
        {f"{key}.{name}": item for name, item in flatten(value).items()} if isinstance(value, Mapping) else {key: value}
    )


def _shown(value: Any) -> str:
    if value is None:
        return "absent"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
