"""Where settings come from: the environment over `replicate.toml` over `git config replicate.*` over the defaults.

- `replicate.toml` lies at the top of the worktree. A key it does not know is a mistake.
- `git config replicate.KEY` takes every setting that is a value or a list (`replicate.random.seed`,
  `replicate.snapshot.largeBytes`), and the place of named data on this machine: `replicate.data.NAME` or, for names
  that git's keys cannot spell, `replicate.data.NAME.path`. Other keys are left to the rest of the tool, unless one
  is so near a setting's name that it must be a slip.
- `GIT_REPLICATE_EXPERIMENT`, `GIT_REPLICATE_RANDOM_SEED` and so on: the settings in `VARIABLES`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from git_replicate.core.settings import Settings, merge_settings, nearest_key, text_settings
from git_replicate.git.config import GitConfig
from git_replicate.git.repository import Layout

CONFIG_FILE: Final = "replicate.toml"
VARIABLES: Final[Mapping[str, str]] = {
    "GIT_REPLICATE_EXPERIMENT": "experiment",
    "GIT_REPLICATE_RANDOM_SEED": "random.seed",
    "GIT_REPLICATE_RESULTS_STDOUT": "results.stdout",
    "GIT_REPLICATE_SNAPSHOT_LARGE_BYTES": "snapshot.large_bytes",
    "GIT_REPLICATE_OUTPUTS_LARGE_BYTES": "outputs.large_bytes",
    "GIT_REPLICATE_OUTPUTS_KEEP": "outputs.keep",
    "GIT_REPLICATE_LOG_BYTES": "log.bytes",
    "GIT_REPLICATE_ENVIRONMENT_PREPARE": "environment.prepare",
    "GIT_REPLICATE_ISOLATED_ALWAYS": "isolated.always",
    "GIT_REPLICATE_PROBE_ENABLED": "probe.enabled",
}
"""Variables that set a setting, for a job script or one shell. An empty one counts as unset."""

_OTHER_KEYS = frozenset({"oncommit", "remote", "remoteprefix", "refuseuntested", "store", "excludedecoration"})
"""Keys of `git config replicate.*` that are no settings of a run but belong to other commands."""


def load_settings(layout: Layout, git_config: GitConfig, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that hold in this worktree; `ConfigError` lists every mistake in every source."""
    environ = os.environ if environ is None else environ
    from_git, mistakes = _git_document(git_config.section("replicate"))
    sources: list[tuple[str, Mapping[str, Any]]] = [("git config", from_git)]
    if layout.top is not None:
        document, wrong = _file_document(os.path.join(layout.top, CONFIG_FILE))
        sources.append((CONFIG_FILE, document))
        mistakes += wrong
    set_here = {name: [environ[name]] for name in VARIABLES if environ.get(name)}
    document, wrong, _ = text_settings({VARIABLES[name]: texts for name, texts in set_here.items()})
    sources.append(("environment", document))
    mistakes += [f"environment: {mistake}" for mistake in wrong]
    machine_paths = _named_data(git_config.section("replicate"))
    # Where named data lies is a fact of this machine, so git's configuration wins over the versioned file here.
    sources.append(("git config", {"data": {"named": machine_paths}} if machine_paths else {}))
    return merge_settings(sources, mistakes)


def _file_document(path: str) -> tuple[Mapping[str, Any], list[str]]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"{CONFIG_FILE}: {error.strerror}"]
    import tomli

    try:
        return tomli.loads(data.decode("utf-8-sig")), []
    except (ValueError, RecursionError) as error:
        return {}, [f"{CONFIG_FILE}: not TOML: {' '.join(str(error).split())}"]


def _git_document(section: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], list[str]]:
    """`git config replicate.*` as a document, and its mistakes."""
    plain = {key: texts for key, texts in section.items() if not _is_named_data(key)}
    document, mistakes, unknown = text_settings(plain)
    wrong = [f"git config: replicate.{mistake}" for mistake in mistakes]
    for key in unknown:
        near = "" if key.lower() in _OTHER_KEYS else nearest_key(key)
        if near:
            wrong.append(f"git config: unknown key replicate.{key} (did you mean {near}?)")
    return document, wrong


def _is_named_data(key: str) -> bool:
    return key.lower().startswith("data.") and key.lower() != "data.paths"


def _named_data(section: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Paths of named data on this machine, by name."""
    named: dict[str, Any] = {}
    for key, texts in section.items():
        if not _is_named_data(key) or not texts:
            continue
        name = key[len("data.") :]
        name = name[: -len(".path")] if name.endswith(".path") and name != ".path" else name
        named[name] = {"path": os.path.expanduser(texts[-1])}
    return named
