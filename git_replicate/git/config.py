"""git's configuration, read once, and the identity that git would use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from git_replicate.core.frozen import frozen
from git_replicate.git.command import QUIET_CONFIG, Git
from git_replicate.git.repository import Layout

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0", "")
_INTEGER = re.compile(r"([+-]?\d+)[kmg]?")


@frozen
class GitConfig:
    """All values of all levels, later ones winning; names are as git prints them (section and key in lower case)."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        return self.values.get(canonical(name), (default,))[-1]

    def get_all(self, name: str) -> tuple[str, ...]:
        return self.values.get(canonical(name), ())

    def bool(self, name: str, default: bool = False) -> bool:
        """A boolean as git reads one; anything else counts as the default."""
        text = self.values.get(canonical(name), (None,))[-1]
        if text is None:
            return default
        lowered = text.lower()
        if lowered in _TRUE or lowered in _FALSE:
            return lowered in _TRUE
        number = _INTEGER.fullmatch(lowered)
        return int(number[1]) != 0 if number else default

    def section(self, name: str) -> dict[str, tuple[str, ...]]:
        """`key` or `subsection.key` to values, for every entry of a section."""
        prefix = name.lower() + "."
        return {key[len(prefix) :]: values for key, values in self.values.items() if key.startswith(prefix)}

    def identity(self) -> tuple[str, str]:
        """Name and email as git would take them, or the login name and host; never fails."""
        env = os.environ
        names = (
            env.get("GIT_AUTHOR_NAME"), self.get("author.name"), self.get("user.name"), env.get("GIT_COMMITTER_NAME"),
        )  # fmt: skip
        emails = (
            env.get("GIT_AUTHOR_EMAIL"), self.get("author.email"), self.get("user.email"),
            env.get("GIT_COMMITTER_EMAIL"), env.get("EMAIL"),
        )  # fmt: skip
        name, email = _first(names), _first(emails)
        if name and email:
            return name, email
        login = _crudless(_login()) or "unknown"
        return name or login, email or _crudless(f"{login}@{os.uname().nodename}") or f"{login}@localhost"


def read_config(layout: Layout | None, directory: str = ".") -> GitConfig:
    """The configuration in force in a repository (outside of one if None), from one git process."""
    git = Git(directory) if layout is None else Git(layout.top or layout.git_dir, git_dir=layout.git_dir)
    done = git.run("read git's configuration", "config", "-z", "--list", "--includes")
    values: dict[str, list[str]] = {}
    entries = [entry for entry in os.fsdecode(done.stdout).split("\0") if entry]
    # What we set on our own command line comes last, and is not the user's.
    for entry in entries[: -len(QUIET_CONFIG)]:
        name, newline, value = entry.partition("\n")
        values.setdefault(name, []).append(value if newline else "true")
    return GitConfig({name: tuple(several) for name, several in values.items()})


def canonical(name: str) -> str:
    """A name as git prints it: section and key in lower case, the subsection as it is."""
    section, _, rest = name.partition(".")
    subsection, dot, key = rest.rpartition(".")
    return f"{section.lower()}{f'.{subsection}' if dot else ''}.{key.lower()}"


def pager(layout: Layout | None) -> str:
    """The pager that git would use, by GIT_PAGER, core.pager, PAGER and git's own default."""
    git = Git(".") if layout is None else Git(layout.top or layout.git_dir, git_dir=layout.git_dir)
    return os.fsdecode(git.run("ask for the pager", "var", "GIT_PAGER", accept=(0, 1, 128)).stdout).strip()


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid{os.getuid()}"


def _first(texts: Iterable[str | None]) -> str:
    """The first text of which something is left."""
    return next((clean for text in texts if (clean := _crudless(text or ""))), "")


def _crudless(text: str) -> str:
    """Text without what git refuses in a name or address: control characters, angle brackets, crud at the ends."""
    kept = "".join(c for c in text if c.isprintable() and c not in "<>")
    return kept.strip(" .,:;\"'\\")


def replaced(values: Mapping[str, Sequence[str]]) -> GitConfig:
    """A configuration from literal values, for callers that have none on disk."""
    return GitConfig({canonical(name): tuple(several) for name, several in values.items()})


def add_value(layout: Layout, name: str, value: str) -> None:
    """Add a value to the repository's own configuration; only ever called for what the user has agreed to."""
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir)
    git.run(f"set {name}", "config", "--local", "--add", name, value)
