"""The terminal: the only file that prints.

Standard output is the answer, standard error is the talk. Text goes out with control characters made visible and
with anything the terminal's encoding lacks replaced, so that nothing in a record can drive a terminal or end in a
traceback.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

from git_replicate.core.errors import ReplicateError, UserError
from git_replicate.core.patterns import lazy

if TYPE_CHECKING:
    import re

    from git_replicate.git.config import GitConfig

_CONTROL = lazy(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_CLEAR = "\x1b[K"
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
_STYLE = lazy(r"\x1b\[[0-9;]*m")


def visible(text: str, *, styled: bool = False) -> str:
    """Text with control characters shown as escapes; colour sequences of our own stay if `styled`."""
    if not styled:
        return _CONTROL.sub(_escape, text)
    pieces = _STYLE.split(text)
    styles = _STYLE.findall(text)
    return "".join(_CONTROL.sub(_escape, piece) + style for piece, style in zip(pieces, [*styles, ""], strict=True))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class Console:
    """Standard output, standard error and what is known of the terminal behind them."""

    def __init__(self, *, color: bool = False, pager: str = "", prefix: str = "git replicate: ") -> None:
        self.color = color
        self._pager = pager
        self._prefix = prefix
        self._status = ""

    def configured(self, config: GitConfig) -> Console:
        """The same console with colour and pager as git's configuration says."""
        return Console(color=_wants_color(config), pager=_chosen_pager(config), prefix=self._prefix)

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None when the answer does not go to one, and must not be cut."""
        if not sys.stdout.isatty():
            return None
        import shutil

        return shutil.get_terminal_size((80, 24)).columns

    def style(self, text: str, *styles: str) -> str:
        """Text in colours if the terminal shows them; the text itself is made safe."""
        text = visible(text)
        codes = ";".join(_STYLES[style] for style in styles)
        return f"\x1b[{codes}m{text}\x1b[m" if self.color and codes and text else text

    def answer(self, text: str, *, page: bool = False) -> None:
        """Write an answer to standard output, through git's pager if it may be long and a person reads it."""
        text = text if text.endswith("\n") or not text else text + "\n"
        if page and self._pager and sys.stdout.isatty():
            self._page(text)
        else:
            _answer(lambda: _write(sys.stdout, text))

    def _page(self, text: str) -> None:
        import subprocess

        env = {"LESS": "FRX", "LV": "-c", **os.environ}
        try:
            # As git does, the pager setting is a shell command.
            process = subprocess.Popen(self._pager, shell=True, stdin=subprocess.PIPE, env=env)
        except OSError:
            _answer(lambda: _write(sys.stdout, text))
            return
        try:
            process.communicate(text.encode(errors="replace"))
        except BrokenPipeError:
            process.wait()

    @contextlib.contextmanager
    def child_on_stderr(self) -> Iterator[None]:
        """While a command runs whose output is not our answer, standard output is standard error."""
        sys.stdout.flush()
        saved = os.dup(1)
        os.dup2(2, 1)
        try:
            yield
        finally:
            sys.stdout.flush()
            os.dup2(saved, 1)
            os.close(saved)

    @contextlib.contextmanager
    def child_unseen(self) -> Iterator[None]:
        """While commands run of which nobody wants to see the output; what we say goes where it always went."""
        sys.stdout.flush()
        talk, saved = sys.stderr, (os.dup(1), os.dup(2))
        null = os.open(os.devnull, os.O_WRONLY)
        with open(saved[1], "w", encoding=talk.encoding, errors="replace", closefd=False) as own:
            sys.stderr = own
            for stream in (1, 2):
                os.dup2(null, stream)
            try:
                yield
            finally:
                sys.stderr = talk
                for stream, kept in zip((1, 2), saved, strict=True):
                    os.dup2(kept, stream)
        for descriptor in (null, *saved):
            os.close(descriptor)

    def say(self, line: str) -> None:
        self._talk(f"{visible(line, styled=self.color)}\n")

    def warn(self, line: str) -> None:
        self._talk(f"{self._prefix}warning: {visible(line)}\n")

    @property
    def is_lively(self) -> bool:
        """Whether there is a line below all that is said which may change."""
        return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def status(self, line: str) -> None:
        """The line that changes; "" takes it away. Nothing is shown where no terminal can take it back."""
        if not self.is_lively:
            return
        import shutil

        width = shutil.get_terminal_size((80, 24)).columns - 1
        line = visible(line)
        self._status = line if len(line) <= width else f"{line[: width - 1]}…"
        _talk(f"\r{_CLEAR}{self._status}")

    def _talk(self, text: str) -> None:
        """Write to standard error, above the line that changes."""
        _talk(f"\r{_CLEAR}{text}{self._status}" if self._status else text)

    def fail(self, error: ReplicateError) -> None:
        """An error in one line, and its hint in another."""
        self._talk(f"{self._prefix}{visible(' '.join(error.message.split()))}\n")
        if error.hint:
            self._talk(f"hint: {visible(error.hint)}\n")

    def ask(self, question: str, default: str = "") -> str:
        """A person's answer, or the default when it is empty; `UserError` when nobody is there to answer."""
        if not sys.stdin.isatty():
            raise UserError(f"cannot ask ({question}): standard input is not a terminal", "answer by options: see -h")
        shown = f" [{visible(default)}]" if default else ""
        _talk(f"{question}{shown}: ")
        line = sys.stdin.readline()
        if not line:
            raise UserError(f"no answer ({question})", "answer by options: see -h")
        return line.strip() or default

    def confirm(self, question: str) -> bool:
        """Whether a person says yes; anything else is no. `UserError` when nobody is there to say it."""
        if not sys.stdin.isatty():
            raise UserError(f"{question} nobody is here to answer", "with --yes, if you are sure")
        return self.ask(f"{question} (y/N)").lower() in ("y", "yes")


def _talk(text: str) -> None:
    """Write to standard error; that it has gone (a closed terminal, a full disk) changes nothing of what we do."""
    try:
        _write(sys.stderr, text)
    except RuntimeError:  # a signal's handler speaks while a line is being written: Python's buffer takes no second one
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), text.encode(errors="replace"))
    except OSError:
        _abandon(sys.stderr)


def _answer(write: Callable[[], None]) -> None:
    """Write to standard output; `BrokenPipeError` when the reader has gone, `UserError` when it cannot be written."""
    try:
        write()
    except OSError as error:
        _abandon(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise
        raise UserError(f"standard output: {error.strerror}", "df -h .") from error


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text if text.isascii() else text.encode(encoding, "replace").decode(encoding, "replace"))
    stream.flush()


def _abandon(stream: TextIO) -> None:
    """Let what is left in a stream go nowhere: the interpreter would try again at its end, and change the exit code."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def _wants_color(config: GitConfig) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    setting = (config.get("color.replicate") or config.get("color.ui") or "auto").lower()
    if setting == "always":
        return True
    if setting in ("false", "never", "no", "off", "0"):
        return False
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _chosen_pager(config: GitConfig) -> str:
    """git's order: GIT_PAGER, core.pager, PAGER, less; none inside git's own pager."""
    if os.environ.get("GIT_PAGER_IN_USE"):
        return ""
    chosen = (os.environ.get("GIT_PAGER"), config.get("core.pager") or None, os.environ.get("PAGER"), "less")
    pager = next(value for value in chosen if value is not None)
    if not config.bool("pager.replicate", True):
        return ""
    import shutil

    return "" if pager in ("", "cat") or (pager == "less" and not shutil.which("less")) else pager
