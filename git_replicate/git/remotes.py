"""Which other repositories there are: the configured remotes, and whatever else git takes for one."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import shlex
from dataclasses import dataclass
from typing import Final

from git_replicate.core.errors import UserError
from git_replicate.core.secrets import mask_text
from git_replicate.git.command import Git
from git_replicate.git.config import GitConfig
from git_replicate.git.repository import Layout

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*::?//|[A-Za-z][A-Za-z0-9+.-]*::|[^/\s]+:(?!//)")
"""An address, or a host and a path in the way of scp."""


@dataclass(frozen=True, slots=True)
class Remote:
    """Another repository: a configured remote, an address, or the path of a repository or bundle."""

    name: str
    urls: tuple[str, ...]
    """Where pushes go, as git resolves them; these may hold credentials, so they are never shown."""
    configured: bool = False
    ssh_command: str = ""

    @property
    def shown(self) -> str:
        """The name for people, without credentials."""
        return str(mask_text(self.name))

    @property
    def quoted(self) -> str:
        """The name to paste into a shell."""
        return shlex.quote(self.shown)

    @property
    def key(self) -> str:
        """A file name that stands for the addresses, whatever the remote is called."""
        addresses = "\n".join(self.urls).encode("utf-8", "surrogateescape")
        return hashlib.sha256(addresses).hexdigest()[:16]

    @property
    def address(self) -> str:
        """Where pushes go, for people."""
        return ", ".join(str(mask_text(url)) for url in self.urls)


def remote_names(config: GitConfig) -> list[str]:
    """The configured remotes, sorted."""
    keys = config.section("remote")
    return sorted({name for name, dot, key in (key.rpartition(".") for key in keys) if dot and key == "url"})


def is_remote(text: str, config: GitConfig) -> bool:
    """Whether git would take a word for another repository: a remote, an address, or a path that is there."""
    if text in remote_names(config) or _URL.match(text):
        return True
    return text.startswith(("/", "./", "../", "~")) or text == "." or os.path.exists(text)


def find_remote(text: str, layout: Layout, config: GitConfig) -> Remote:
    """The remote of this name; `UserError` for a word that names none."""
    ssh = config.get("core.sshcommand")
    names = remote_names(config)
    if text in names:
        git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir)
        done = git.run("look up a remote", "remote", "get-url", "--push", "--all", text)
        urls = tuple(_absolute(url, layout) for url in os.fsdecode(done.stdout).splitlines())
        return Remote(text, urls, configured=True, ssh_command=ssh)
    if not is_remote(text, config):
        near = difflib.get_close_matches(text, names, 1)
        raise UserError(f"no remote is called {text!r}", f"did you mean {near[0]}?" if near else "git remote -v")
    if not _URL.match(text):
        path = os.path.abspath(os.path.expanduser(text))
        if not os.path.exists(path):
            raise UserError(f"there is no repository and no bundle at {text}", f"ls -d {shlex.quote(text)}")
        return Remote(path, (path,), ssh_command=ssh)
    return Remote(text, (text,), ssh_command=ssh)


def _absolute(url: str, layout: Layout) -> str:
    """The address; a relative path as git reads it, from the top."""
    if _URL.match(url) or os.path.isabs(url):
        return url
    return os.path.normpath(os.path.join(layout.top or layout.git_dir, url))


def default_remote(layout: Layout, config: GitConfig, branch: str | None, *, pushing: bool) -> Remote:
    """The remote that is meant when none is named: the one configured, the branch's own, origin, the only one."""
    names = remote_names(config)
    short = (branch or "").removeprefix("refs/heads/")
    keys = ["replicate.remote"]
    keys += [f"branch.{short}.pushremote", "remote.pushdefault"] if pushing else []
    keys += [f"branch.{short}.remote"]
    for key in keys:
        if (value := config.get(key)) and value != ".":
            return find_remote(value, layout, config)
    if "origin" in names or len(names) == 1:
        return find_remote("origin" if "origin" in names else names[0], layout, config)
    if not names:
        raise UserError("this repository has no remote", "git remote add origin URL")
    raise UserError(f"which remote? there are {', '.join(names)}", f"git config replicate.remote {names[0]}")
