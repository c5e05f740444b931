"""The command line: one parser, one error boundary, the exit codes.

Codes: 0 done, 1 a user's error, 2 usage, 3 differs, 70 a bug (with a report file), 130 interrupted. `start` has the
command's own, or 125 when it could not start it, 126 and 127 for not executable and not found, as `env` does.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from git_replicate import __version__
from git_replicate.commands import COMMANDS, PROGRAM, Command, find_command
from git_replicate.console import Console
from git_replicate.core.errors import ReplicateError, StorageError, UsageError, UserError
from git_replicate.core.installing import checkout, pip_install

NOT_STARTED = 125
_DEPENDENCIES = frozenset({"blake3", "psutil", "pygit2", "tomli", "tomli_w"})
"""A checkout can be run without them until one is needed."""
_STORAGE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE}
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    _open_standard_files()
    words = list(sys.argv[1:] if arguments is None else arguments)
    console = Console()
    command: Command | None = None
    try:
        command = _choose(words)
        if command is None:
            console.answer(overview(), page=True)
            return 0 if words else 2
        from git_replicate.commands.context import Context
        from git_replicate.commands.parser import load, parse_options

        module = load(command)
        options = parse_options(command, module, words[1:])
        return int(module.execute(options, Context(console)))
    except SystemExit as leave:  # argparse's own -h and --version
        return leave.code if isinstance(leave.code, int) else 0
    except ReplicateError as error:
        console.fail(error)
        return _exit_code(error, command)
    except ModuleNotFoundError as error:
        if error.name not in _DEPENDENCIES:
            return _report(error, words, console)
        console.fail(UserError(f"{error.name} is not installed for {sys.executable}", pip_install(checkout())))
        return NOT_STARTED if command is not None and command.name == "start" else 1
    except BrokenPipeError:  # the reader of the answer has gone
        return 0
    except OSError as error:
        if error.errno not in _STORAGE_ERRORS:
            return _report(error, words, console)
        console.fail(StorageError(f"{error.strerror}: {error.filename or 'the repository'}", "df -h . ~"))
        return NOT_STARTED if command is not None and command.name == "start" else 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return _report(error, words, console)


def _open_standard_files() -> None:
    """Give the caller's closed standard files to nobody: as git does, or the next file opened would be one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _choose(words: Sequence[str]) -> Command | None:
    """The command named; None to show the overview."""
    if not words or words[0] in ("-h", "--help", "help"):
        return None
    if words[0] == "--version":
        raise SystemExit(_version())
    command = find_command(words[0])
    if command is None:
        import difflib

        near = difflib.get_close_matches(words[0], [c.name for c in COMMANDS], 1)
        hint = f"did you mean: {PROGRAM} {near[0]}" if near else f"see: {PROGRAM} -h"
        raise UsageError(f"there is no command {words[0]!r}", hint)
    return command


def _version() -> int:
    Console().answer(f"git-replicate {__version__}")
    return 0


def overview() -> str:
    """What `git replicate -h` prints."""
    lines = [f"usage: {PROGRAM} COMMAND [options]", "", "Record every experiment in git, and replicate it.", ""]
    for group in dict.fromkeys(command.group for command in COMMANDS):
        lines.append(f"{group}:")
        lines += [f"  {command.name:<12} {command.summary}" for command in COMMANDS if command.group == group]
        lines.append("")
    lines.append(f"Help on one: {PROGRAM} COMMAND -h")
    return "\n".join(lines)


def _exit_code(error: ReplicateError, command: Command | None) -> int:
    own = getattr(error, "exit_code", None)
    if isinstance(own, int):
        return own
    if command is not None and command.name == "start":
        return NOT_STARTED
    return 2 if isinstance(error, UsageError) else 1


def _report(error: Exception, words: Sequence[str], console: Console) -> int:
    """A bug: say so in one line and leave what a report needs in a file; 70."""
    import tempfile
    import traceback

    from git_replicate.core.secrets import mask_command

    trace = "".join(traceback.format_exception(error))
    text = f"git-replicate {__version__}, Python {sys.version}\n{mask_command(words)}\n\n{trace}"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="git-replicate-", suffix=".txt", delete=False) as file:
            file.write(text)
        hint = f"please report it with {file.name}"
    except OSError as full:
        where = traceback.extract_tb(error.__traceback__)[-1]
        hint = f"please report it: {where.filename}, line {where.lineno} (no report file: {full.strerror})"
    console.fail(ReplicateError(f"this is a bug: {type(error).__name__}: {error}", hint))
    return 70
