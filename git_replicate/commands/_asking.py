"""`start -i`: asking what people usually set; defaults come from the options, the configuration and the last run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from git_replicate.core.errors import ReplicateError, UserError

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.core.record import Record
    from git_replicate.execution.plan import Request

_Answer = TypeVar("_Answer")
_NOTHING = "-"
"""The answer that stands for none, where there is a default."""


_SAME = "="
"""The answer that stands for no change."""


class CancelledError(UserError):
    """The person would rather not."""

    exit_code = 130


def ask_request(
    request: Request, context: Context, parse_seed: Callable[[str | None], int | str | None], *, isolated: bool
) -> Request:
    """The request with a person's answers; `CancelledError` at the end of the input."""
    from git_replicate.capture.params import program_name
    from git_replicate.core.names import clean_component, experiment_name

    if not sys.stdin.isatty():
        raise UserError("-i asks, and standard input is not a terminal", "answer by options: see -h")
    settings, last = context.settings, _last_run(context)
    command = request.command
    again: Request | None = None
    if not command and not request.session and last is not None and _last_command(last):
        again = _as_the_last(request, context, last)
    if again is not None:
        command = again.command
    elif not command and not request.session:
        command = _ask(context, "command", "", _command)
    same = last is not None and program_name(last.command) == program_name(command)
    named = request.experiment or settings.experiment or (last.experiment if last and same else "")
    named = named or clean_component(program_name(command)) or "default"
    experiment = _ask(context, "experiment", named, lambda text: str(experiment_name(text)))
    message = _ask(context, "message", request.message or (last.message if last else ""), str)
    if again is not None:
        request, given = again, again.params
    else:
        before, known = command, last if same else None

        def parse(text: str) -> tuple[tuple[str, ...], tuple[tuple[str, Any], ...]]:
            words, left = _with_options(before, _assignments(text), known)
            _check_params(context, words, [pair[0] for pair in left if pair not in request.params], isolated)
            return words, left

        command, given = _ask(context, "params (name=value ...)", _params(request, command, last), parse)
    default = last.seeds.run if last and last.seeds.mode == "given" else settings.random.seed
    seed = _ask(
        context, "seed (a number, auto, none)", str(default if request.seed is None else request.seed), parse_seed
    )
    return replace(request, command=command, experiment=experiment, message=message, params=given, seed=seed)


def _as_the_last(request: Request, context: Context, last: Record) -> Request | None:
    """What the last run did, with changes; None for another command."""

    def parse(text: str) -> Request | None:
        if not text:
            return None
        changes = dict(_assignments("" if text == _SAME else text))
        try:
            command, requested = set_params(last, changes)
        except UserError as error:
            raise UserError(str(error).removeprefix("--set "), f"{_NOTHING} asks for another command") from error
        params = {**dict(_assignments(_params(request, command, last))), **requested}
        return replace(request, command=command, params=tuple(params.items()))

    from git_replicate.execution.replication.changing import set_params

    context.console.say(f"the last run: {_last_command(last)}")
    return _ask(
        context, f"as the last run, but (name=value ...; {_SAME}: nothing; {_NOTHING}: another command)", _SAME, parse
    )


def _ask(context: Context, question: str, default: str, parse: Callable[[str], _Answer]) -> _Answer:
    """Ask until the answer makes sense."""
    shown = f"{question} ({_NOTHING} for none)" if default and question.startswith(("message", "params")) else question
    while True:
        try:
            text = context.console.ask(shown, default)
        except UserError as error:
            context.console.say("")
            raise CancelledError("cancelled: nothing was recorded", "answer by options instead: see -h") from error
        except KeyboardInterrupt:
            context.console.say("")
            raise CancelledError("cancelled: nothing was recorded") from None
        try:
            return parse("" if text == _NOTHING else text)
        except ReplicateError as error:
            context.console.fail(error)


def _command(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UserError(f"not a command: {error}", "quote it as in a shell") from error
    if not words:
        raise UserError("no command to run", "for example: python train.py --lr 0.1")
    return words


def _assignments(text: str) -> tuple[tuple[str, Any], ...]:
    from git_replicate.capture.params import parse_assignment

    try:
        return tuple(parse_assignment(word) for word in shlex.split(text))
    except ValueError as error:
        raise UserError(f"not params: {error}", "for example: lr=0.1 name='a b'") from error


def _params(request: Request, command: tuple[str, ...], last: Record | None) -> str:
    """The params asked for by option, else those of the last run that this command takes."""
    from git_replicate.capture.params import placeholders
    from git_replicate.capture.values import flatten, placeholder_text
    from git_replicate.core.secrets import MASK

    values = dict(request.params)
    if not values and last is not None:
        taken = placeholders(command)
        requested = {name: last.params_source.get(name) for name in flatten(last.params)}
        values = {
            name: value for name, value in flatten(last.params).items()
            if requested[name] == "requested" and ("params_file" in taken or name in taken)
        }  # fmt: skip
    words = [f"{name}={placeholder_text(value)}" for name, value in values.items()]
    return shlex.join(word for word in words if MASK not in word)


def _with_options(
    command: tuple[str, ...], given: tuple[tuple[str, Any], ...], last: Record | None
) -> tuple[tuple[str, ...], tuple[tuple[str, Any], ...]]:
    """The command with the params that its own options give set to these values, and the params that are left.

    last: a run of the same program, which tells what options there are.
    """
    from git_replicate.capture.params import placeholders
    from git_replicate.execution.replication.changing import replace_param, set_params

    words, taken = list(command), placeholders(command)
    left = []
    for name, value in given:
        if name in taken:
            left.append((name, value))
        elif last is not None and last.params_source.get(name) in ("parsed", "command"):
            try:
                changed, requested = set_params(replace(last, command=tuple(words)), {name: value})
            except UserError as error:
                raise UserError(str(error).removeprefix("--set "), error.hint) from error
            words, left = list(changed), [*left, *requested.items()]
        elif not replace_param(words, name, str(value)):
            left.append((name, value))
    return tuple(words), tuple(left)


def _check_params(context: Context, command: tuple[str, ...], names: list[str], isolated: bool) -> None:
    """`UserError` for params that nothing hands to the program, before anything runs."""
    from git_replicate.execution.replication.delivery import command_taking, reaches

    lost = [
        name for name in names if not reaches(name, command, context.repository, context.settings, isolated=isolated)
    ]
    if command and lost:
        there = ", ".join(lost)
        raise UserError(
            f"{there}: reaches nothing: no option of the command, and no {{{lost[0]}}} in it",
            f"{_NOTHING} for none, or leave with Ctrl-C and: git replicate start -i -- {command_taking(command, lost)}",
        )


def _last_command(last: Record | None) -> str:
    from git_replicate.core.secrets import MASK

    return shlex.join(last.command) if last and not any(MASK in word for word in last.command) else ""


def _last_run(context: Context) -> Record | None:
    """The newest run, if there is one that can be read."""
    from git_replicate.core.errors import FormatError, GitError
    from git_replicate.store.store import read_run

    try:
        rows = context.index.select("hybrid is null", sort=("-started",), limit=1)
        return read_run(context.repository, str(rows[0]["oid"])).record if rows else None
    except (FormatError, GitError, UserError):
        return None
