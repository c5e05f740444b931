"""Running git itself, so that nothing of the user's runs or changes by it.

No hook, no fsmonitor program, no pager, no optional lock, no lazily fetched object, no message in another
language. Every other file of this package starts git through here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from git_replicate.core.errors import GitError, StorageError
from git_replicate.core.frozen import frozen

QUIET_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.safecrlf=false",
    "core.splitIndex=false",
    "core.quotePath=false",
    "safe.bareRepository=explicit",
    "advice.graftFileDeprecated=false",
)

LOCAL_VARIABLES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS",
    "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)  # fmt: skip
"""What `git rev-parse --local-env-vars` lists (a test compares)."""

_MISLEADING = (
    "GIT_GLOB_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_LITERAL_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_PREFIX",
)  # fmt: skip
"""Variables that would change what our own commands mean, or make git refuse them."""

_LOCALE = ("LANG", "LC_COLLATE", "LC_CTYPE", "LC_MONETARY", "LC_NUMERIC", "LC_TIME")

_LAST_SECONDS = 10.0
"""What git has to end in when its caller was interrupted."""

_FULL_DISK = ("No space left on device", "Disk quota exceeded", "Read-only file system", "Permission denied")


@frozen
class Git:
    """How to start git for one repository; `git_dir` None lets git discover it from `directory`."""

    directory: str
    git_dir: str | None = None
    work_tree: str | None = None
    index: str | None = None

    def environment(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
        env.update(GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", GIT_NO_REPLACE_OBJECTS="1")
        # Messages in English, the rest of the locale as it is: the user's filters run under it.
        if everything := env.pop("LC_ALL", ""):
            env.update(dict.fromkeys(_LOCALE, everything))
        env["LC_MESSAGES"] = "C"
        chosen = {"GIT_DIR": self.git_dir, "GIT_WORK_TREE": self.work_tree, "GIT_INDEX_FILE": self.index}
        env.update({name: value for name, value in chosen.items() if value is not None})
        return env

    def command(self, *arguments: str | bytes, config: Sequence[str] = ()) -> list[str | bytes]:
        words: list[str | bytes] = ["git", "--no-pager", "--literal-pathspecs"]
        for setting in (*QUIET_CONFIG, *config):
            words += ["-c", setting]
        return [*words, *arguments]

    def run(
        self,
        operation: str,
        *arguments: str | bytes,
        stdin: bytes | IO[bytes] | None = None,
        config: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        accept: Sequence[int] = (0,),
        apart: bool = False,
        meanwhile: Callable[[], None] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run to the end and return what came out; `GitError(operation, git's own words)` on another exit code.

        `apart` runs it in a process group of its own, which a Ctrl-C at the terminal does not reach. `meanwhile` is
        called while git runs.
        """
        env = {**self.environment(), **(variables or {})}
        words = self.command(*arguments, config=config)
        data = stdin if isinstance(stdin, bytes) else None
        source = subprocess.DEVNULL if stdin is None else subprocess.PIPE if isinstance(stdin, bytes) else stdin
        process = subprocess.Popen(
            words, cwd=self.directory, env=env, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            process_group=0 if apart else None,
        )  # fmt: skip
        try:
            if meanwhile:
                meanwhile()
            stdout, stderr = process.communicate(data)
        except BaseException:
            _let_end(process)
            raise
        done = subprocess.CompletedProcess(words, process.returncode, stdout, stderr)
        if done.returncode not in accept:
            raise failure(operation, done.stderr, done.returncode)
        return done


def _let_end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a git that nobody wants to hear any more: one that is killed leaves its locks."""
    try:
        process.communicate(timeout=_LAST_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()  # it takes its locks away
        process.communicate()


def failure(operation: str, stderr: bytes, code: int) -> GitError | StorageError:
    """git's refusal as an error of ours: its first telling line, without the prefix."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines[:1] or [f"git exit {code}"]
    detail = telling[0].removeprefix("fatal: ").removeprefix("error: ")
    if any(word in line for line in lines for word in _FULL_DISK):
        return StorageError(f"{operation}: {detail}", "free some space or make the repository writable: df -h .git")
    return GitError(operation, detail)
