"""The command as if there were no `git replicate`: its environment, and which program it names."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from typing import NoReturn

from git_replicate.core.errors import UserError
from git_replicate.git.command import LOCAL_VARIABLES

_SHELL = frozenset("|&;<>\n")
"""What joins commands, or turns what they read and write elsewhere."""
_FROM_GIT = (*LOCAL_VARIABLES, "GIT_EXEC_PATH", "GIT_PAGER_IN_USE")


class NotExecutableError(UserError):
    """The command is there but cannot be executed."""

    exit_code = 126


class CommandNotFoundError(UserError):
    """There is no such command."""

    exit_code = 127


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables without those that git set for running us.

    git puts its own program folder in front of PATH (and exports it as GIT_EXEC_PATH when it was told one), and
    sets the variables that `git rev-parse --local-env-vars` lists.
    """
    env = {name: value for name, value in environ.items() if name not in _FROM_GIT}
    first, colon, rest = environ.get("PATH", "").partition(os.pathsep)
    if colon and _is_git_folder(first):
        env["PATH"] = rest
    return env


def _is_git_folder(folder: str) -> bool:
    """Whether this is git's own program folder: no user puts that in front of a PATH."""
    return os.path.basename(folder.rstrip("/")) == "git-core" and os.path.exists(os.path.join(folder, "git"))


def current_directory() -> str:
    """Where we are; "." where that has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "."


def find_command(command: str, env: Mapping[str, str], directory: str) -> str:
    """The file that a command names, as the shell would find it.

    `CommandNotFoundError` (127) if there is none, `NotExecutableError` (126) if it cannot be executed.
    """
    if "/" in command:
        path = os.path.join(directory, command)
        if not os.path.exists(path):
            hint = _quoted(command, env, directory) or "check the path, or the directory you are in"
            raise CommandNotFoundError(f"{command}: no such file", hint)
        if os.path.isdir(path) or not os.access(path, os.X_OK):
            hint = "name a program in it" if os.path.isdir(path) else f"chmod +x {command}, or name its interpreter"
            raise NotExecutableError(f"{command}: not executable", hint)
        return path
    found = shutil.which(command, path=env.get("PATH", os.defpath)) if command else None
    if found:
        return os.path.join(directory, found)
    if command and os.path.exists(os.path.join(directory, command)):
        hint = f"git replicate start -- python {command}" if command.endswith(".py") else f"run it as ./{command}"
        raise CommandNotFoundError(f"{command}: command not found", f"it is a file here; {hint}")
    hint = _quoted(command, env, directory) or "check the spelling, or activate its environment"
    raise CommandNotFoundError(f"{command or '(empty)'}: command not found", hint)


def _quoted(command: str, env: Mapping[str, str], directory: str) -> str:
    """What to say of a whole command line that was quoted as one word; "" of any other."""
    first = command.split(" ", maxsplit=1)[0]
    if first in ("", command):
        return ""
    found = (
        os.path.exists(os.path.join(directory, first)) if "/" in first else shutil.which(first, path=env.get("PATH"))
    )
    if not found:
        return ""
    if _SHELL.intersection(command):  # which the person's own shell would take for itself
        return f"to a shell: -- sh -c {shlex.quote(command)}"
    return f"without quotes around it: -- {command}"


def execute(program: str, command: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Replace this process by a command; `OSError` if the kernel will not."""
    try:
        os.execve(program, list(command), dict(env))
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # A script without a first line that names its interpreter: as execvp(3) does, and so every shell.
        os.execve("/bin/sh", ["/bin/sh", program, *command[1:]], dict(env))
