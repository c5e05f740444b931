"""Other repositories, reached by git itself: listing their refs, fetching and pushing.

What is configured for pushes and fetches of branches must not change what ours mean: nothing is pruned, followed,
mirrored or mapped, and no hook of this side runs. No refspec is ever written to the configuration. Addresses,
credentials and proxies are git's business. Where nobody sits at a terminal, nothing waits for a password.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from git_replicate.core.errors import GitError
from git_replicate.core.patterns import lazy
from git_replicate.core.secrets import mask_text
from git_replicate.git.command import Git
from git_replicate.git.remotes import Remote
from git_replicate.git.repository import Layout, Oid

_ANY_CODE = range(-64, 256)
_LISTED = lazy(r"([0-9a-f]{40}|[0-9a-f]{64})\t(refs/[^\t\n]+)")
_FETCH = (
    "--stdin", "--no-prune", "--no-prune-tags", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
    "--refmap=", "--no-auto-maintenance", "--no-write-commit-graph", "--no-filter",
)  # fmt: skip
_PUSH = ("--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")
_PASSING = lazy(
    r"failed to update ref|cannot lock ref|unable to (?:create|write|resolve)|reference already exists"
    r"|failed to lock|incorrect old value|remote ref is at"
)
_REFUSED_LOGIN = lazy(
    r"could not read (?:Username|Password)|terminal prompts disabled|Authentication failed|Permission denied"
    r"|Host key verification failed|The requested URL returned error: 40[13]|Invalid username or password"
)
_NOBODY_THERE = lazy(
    r"does not appear to be a git repository|Could not resolve|unable to access|Connection (?:refused|timed out)"
    r"|No route to host|Network is unreachable|[Rr]epository .*not found|unable to look up|Could not read from remote"
    r"|not a git repository|early EOF|hung up"
)


class RefGoneError(GitError):
    """A ref that was listed a moment ago is not there any more."""


@dataclass(frozen=True, slots=True)
class RefPush:
    """What became of one ref that was pushed: its name over there, and why it was refused ("" if it was not)."""

    ref: str
    refusal: str = ""

    @property
    def passing(self) -> bool:
        """Whether it was refused for something that somebody else did at that very moment."""
        return bool(self.refusal and _PASSING.search(self.refusal))


@dataclass(frozen=True, slots=True)
class Pushed:
    """The answers to one push, and what the other side said to people."""

    refs: tuple[RefPush, ...]
    said: tuple[str, ...]


class Transport:
    """One other repository, as seen from ours. `GitError` for one that cannot be reached, or lets nobody in."""

    def __init__(self, layout: Layout, remote: Remote, *, interactive: bool) -> None:
        self._git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir, work_tree=layout.top)
        self.remote = remote
        self._variables = _prompting(remote, interactive=interactive)

    def list_refs(self) -> dict[str, Oid]:
        """Every ref over there, without what tags peel to."""
        done = self._run("list-refs", "ls-remote", "--refs", "--quiet", "--", self.remote.name)
        if done.returncode:
            raise self._failure("list the refs of", done)
        lines = os.fsdecode(done.stdout).split("\n")
        return {found[2]: Oid(found[1]) for line in lines if (found := _LISTED.fullmatch(line))}

    def fetch(self, refspecs: Sequence[str]) -> None:
        """Fetch by these refspecs. One that would not fast-forward is left as it is: whoever asks looks afterwards.

        `RefGoneError`: one of them is not there (any more), and nothing was fetched.
        """
        stdin = "".join(f"{refspec}\n" for refspec in refspecs)
        done = self._run("fetch", "fetch", *_FETCH, "--", self.remote.name, stdin=os.fsencode(stdin))
        stderr = os.fsdecode(done.stderr)
        if "couldn't find remote ref" in stderr:
            raise RefGoneError(f"fetch from {self.remote.shown}", "a ref has gone from there meanwhile")
        if done.returncode and ("fatal:" in stderr or " ! [" not in stderr):
            raise self._failure("fetch from", done)

    def push(self, refspecs: Sequence[str], *, leases: Mapping[str, Oid] | None = None) -> Pushed:
        """Push by these refspecs, none forced. `leases`: a ref is deleted only if this is its value over there."""
        options = [f"--force-with-lease={ref}:{oid}" for ref, oid in (leases or {}).items()]
        done = self._run("push", "push", *_PUSH, *options, "--", self.remote.name, *refspecs)
        refs: dict[str, RefPush] = {}
        for line in os.fsdecode(done.stdout).split("\n"):
            parts = line.split("\t")
            if len(parts) < 3 or len(parts[0]) != 1:
                continue
            name = parts[1].rpartition(":")[2]
            refusal = _refusal(parts[2]) if parts[0] == "!" else ""
            if refusal or name not in refs:  # one remote may have several addresses
                refs[name] = RefPush(name, refusal)
        if done.returncode and not any(ref.refusal for ref in refs.values()):
            raise self._failure("push to", done)
        return Pushed(tuple(refs.values()), _said(done.stderr))

    def _run(self, operation: str, *words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        # A remote that mirrors takes no refspecs.
        plain = self.remote.configured and "=" not in self.remote.name
        config = [f"remote.{self.remote.name}.mirror=false"] if plain else []
        return self._git.run(operation, *words, stdin=stdin, config=config, variables=self._variables, accept=_ANY_CODE)

    def _failure(self, what: str, done: subprocess.CompletedProcess[bytes]) -> GitError:
        """git's own reason in one line, and what to do about it."""
        remote = self.remote
        lines = [line.strip() for line in mask_text(done.stderr).decode(errors="replace").splitlines()]
        lines = [line for line in lines if line and not line.startswith(("hint:", "Please make sure", "and the repo"))]
        text = "\n".join(lines)
        reasons = [line for line in lines if not line.startswith("fatal: Could not read from remote")] or lines
        telling = next((line for line in reasons if line.startswith(("fatal:", "error:", "ssh:"))), "")
        detail = telling or next(iter(reasons), f"git exit {done.returncode}")
        for prefix in ("fatal: ", "error: ", "remote: "):
            detail = detail.removeprefix(prefix)
        hint = f"git ls-remote {remote.quoted}"
        if _REFUSED_LOGIN.search(text):
            detail = (
                f"it refuses the login ({next(filter(_REFUSED_LOGIN.search, lines), detail).removeprefix('fatal: ')})"
            )
            hint = f"log in once, in a terminal: git ls-remote {remote.quoted}"
        elif "prerequisite" in text:
            detail, hint = "it builds on commits that are not here", "fetch the code that its runs ran first"
        elif "No space left" in text or "Read-only file system" in text:
            hint = "free some space or make the repository writable: df -h .git"
        elif _NOBODY_THERE.search(text):
            hint = f"is the address right, and the network there? {hint}"
        return GitError(f"{what} {remote.shown}", detail, hint)


def _refusal(summary: str) -> str:
    """The reason in `[remote rejected] (pre-receive hook declined)`."""
    found = re.search(r"\((.*)\)\s*$", summary)
    return mask_text(found[1] if found else summary.strip("[] "))


def _said(stderr: bytes) -> tuple[str, ...]:
    lines = mask_text(stderr).decode(errors="replace").splitlines()
    said = (line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:"))
    return tuple(line for line in said if line)


def _prompting(remote: Remote, *, interactive: bool) -> dict[str, str]:
    """Variables by which git and ssh ask a person at a terminal, or nobody."""
    if interactive:
        return {"GIT_TERMINAL_PROMPT": os.environ.get("GIT_TERMINAL_PROMPT", "1")}
    ssh = os.environ.get("GIT_SSH_COMMAND") or remote.ssh_command or ("" if os.environ.get("GIT_SSH") else "ssh")
    words = ssh.split()
    if words and os.path.basename(words[0]) == "ssh":
        return {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": f"{ssh} -oBatchMode=yes"}
    return {"GIT_TERMINAL_PROMPT": "0"}


def batches(items: Iterable[str], size: int) -> list[list[str]]:
    """The items in lists of at most so many."""
    every = list(items)
    return [every[start : start + size] for start in range(0, len(every), size)]
