"""`git replicate start`: record the code, run a command, record what came out."""

from __future__ import annotations

import argparse
import json
import os
import posixpath
from typing import TYPE_CHECKING

from git_replicate.core.errors import UsageError

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.core.settings import Settings
    from git_replicate.execution.jobs import JobStart
    from git_replicate.execution.place import Place
    from git_replicate.execution.plan import Request


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-e", "--experiment", metavar="NAME", default="", help="name of the series (default: the script's name)")
    add("-m", "--message", metavar="TEXT", default="", help="why this run, in your words")
    add("-p", "--param", metavar="NAME=VALUE", action="append", default=[], help="set a hyperparameter; repeatable")
    add("--seed", metavar="SEED", help="a number, auto (the default: drawn and recorded) or none")
    add("--data", metavar="PATH", action="append", default=[], help="a file or folder the run reads; hashed first")
    add("--output", metavar="GLOB", action="append", default=[], help="files to keep with the run")
    add("--metrics", metavar="FILE", action="append", default=[], help="a JSON, TOML, YAML or CSV file of metrics")
    add("--tag", metavar="TAG", action="append", default=[], help="tag the run; repeatable")
    add("-i", "--interactive", action="store_true", help="ask for experiment, message, params and seed")
    add("-q", "--quiet", action="store_true", help="say nothing but errors")
    add("--strict", action="store_true", help="do not run if the run cannot be recorded in full")
    add("--prepare", action="store_true", help="build the project's environment first (cached), and run in it")
    add("--open", action="store_true", help="record a session that lasts until `git replicate finish`")
    add("--format", choices=("text", "json"), default="text", help="with --open: how to print the run (default: text)")
    add("--isolated", action="store_true", help="run in a checkout of the code as it is now")
    add("--at", metavar="COMMIT", default="", help="run in a checkout of a commit")
    add("--deterministic", action="store_true", help="have libraries use deterministic algorithms only (slower)")
    add("--no-probe", action="store_true", help="do not observe what happens inside the command's Python processes")
    add("--submit", action="store_true", help="freeze the run now and hand it to the batch scheduler")
    add("--submit-option", metavar="OPTION", action="append", default=[], help="an option of the scheduler; repeatable")
    add("--queued", metavar="RUN", default="", help="begin a run that was submitted (what its job does)")
    add("--no-placeholders", action="store_true", help="leave {name} in the command as it is")
    add("--new-run", action="store_true", help="a restarted job begins a new run instead of continuing its own")
    add("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="the command (default: the configured one)")


def execute(options: argparse.Namespace, context: Context) -> int:
    if options.queued or options.submit:
        return _begin_queued(options, context) if options.queued else _submit(options, context)
    if options.submit_option:
        raise UsageError("--submit-option says how to submit, and nothing is submitted", "add --submit")
    from git_replicate.execution.follow import is_nested, is_upper_rank, run_rank, run_within

    nested, upper = is_nested(os.environ), is_upper_rank(os.environ)
    if (nested or upper) and not options.open:
        request = _within(options, context)
        job = None if nested else _job(request, context)
        if job is None:
            run_within(request, _settings_if_needed(request, context))
        top = context.repository.layout.top or ""
        return run_rank(request, context.settings, job, top, context.console.warn)
    from git_replicate.execution.run import open_session, start_run

    request = _request(options, context)
    place = _place(context, quiet=request.quiet)
    if request.session:
        opened = open_session(request, place)
        context.console.answer(opened.name if options.format == "text" else json.dumps(opened._asdict()))
        return 0
    if options.isolated or options.at or context.settings.isolated.always:
        from git_replicate.execution.replication.rerun import start_isolated

        return start_isolated(request, place, options.at).outcome.shell_code
    return start_run(request, place, _job(request, context))


def _submit(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.sweeping.submit import submit

    if options.open:
        raise UsageError("a session cannot be submitted", "leave out --open or --submit")
    request = _request(options, context)
    found = submit(request, _place(context, quiet=request.quiet), options.at, options.submit_option)
    if not request.quiet:
        context.console.say(
            f"queued as {found.scheduler} job {found.job}" if found.job else "queued: its job is not known"
        )
    context.console.answer(found.name)
    return 0


def _begin_queued(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.core.settings import Settings
    from git_replicate.execution.place import Place
    from git_replicate.execution.sweeping.queued import run_queued

    if _words(options):
        raise UsageError("the command of a queued run was given when it was submitted", "leave it out")
    console = context.console
    return run_queued(options.queued, Place(context.writer, context.config, Settings(), console.say, console.warn))


def _place(context: Context, *, quiet: bool) -> Place:
    """Where a run of this worktree happens."""
    from git_replicate.execution.place import Place

    console = context.console
    say = (lambda line: None) if quiet else console.say
    return Place(context.repository, context.config, context.settings, say, console.warn, speaks=not quiet)


def _job(request: Request, context: Context) -> JobStart | None:
    """This start among those of its batch job; None outside one, without asking for a repository there."""
    from git_replicate.execution.jobs import identify, is_job
    from git_replicate.git.opening import state_dir

    if not is_job(os.environ):
        return None
    return identify(state_dir(context.repository.layout), os.environ, request.command)


def _within(options: argparse.Namespace, context: Context) -> Request:
    """What is asked for where somebody else records: a command with its params and seed."""
    from git_replicate.capture.params import parse_assignment
    from git_replicate.execution.plan import Request

    return Request(
        command=tuple(_words(options)) or _configured(context),
        params=tuple(parse_assignment(text) for text in options.param),
        seed=_seed(options.seed),
        placeholders=not options.no_placeholders,
        probe=not options.no_probe,
        deterministic=options.deterministic,
    )


def _settings_if_needed(request: Request, context: Context) -> Settings:
    """The configuration, where the command's placeholders may speak of it."""
    from git_replicate.capture.params import placeholders
    from git_replicate.core.errors import NotARepositoryError
    from git_replicate.core.settings import Settings

    if not placeholders(request.command):
        return Settings()
    try:
        return context.settings
    except NotARepositoryError:
        return Settings()


def _configured(context: Context) -> tuple[str, ...]:
    command = tuple(context.settings.command)
    if not command:
        raise UsageError("no command to run", "git replicate start -- python train.py --lr 0.1")
    return command


def _words(options: argparse.Namespace) -> list[str]:
    """The command, without the `--` that may stand before it."""
    words = list(options.command)
    return words[1:] if words[:1] == ["--"] else words


def _request(options: argparse.Namespace, context: Context) -> Request:
    """The command line as one value; paths made relative to the top of the worktree."""
    from git_replicate.capture.params import parse_assignment
    from git_replicate.execution.plan import Request

    command = tuple(_words(options))
    if not command and not options.open and (not options.interactive or context.settings.command):
        command = _configured(context)
    prefix = context.repository.layout.prefix
    request = Request(
        command=command,
        experiment=options.experiment,
        message=options.message,
        params=tuple(parse_assignment(text) for text in options.param),
        seed=_seed(options.seed),
        data=tuple(from_top(prefix, path) for path in options.data),
        outputs=tuple(from_top(prefix, path) for path in options.output),
        metrics=tuple(from_top(prefix, path) for path in options.metrics),
        tags=tuple(options.tag),
        placeholders=not options.no_placeholders,
        strict=options.strict,
        quiet=options.quiet,
        session=options.open,
        new_run=options.new_run,
        prepare=options.prepare,
        probe=not options.no_probe,
        deterministic=options.deterministic,
    )
    if not options.interactive:
        return request
    from git_replicate.commands._asking import ask_request

    isolated = bool(options.isolated or options.at or context.settings.isolated.always)
    return ask_request(request, context, _seed, isolated=isolated)


def _seed(text: str | None) -> int | str | None:
    if text is None or text in ("auto", "none"):
        return text
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**32:
        raise UsageError(f"--seed {text}: not a number from 0 to 4294967295, auto or none", "try: --seed 1")
    return int(text)


def from_top(prefix: str, path: str) -> str:
    """A path given in the current directory as one relative to the top; absolute ones as they are."""
    return path if os.path.isabs(path) else posixpath.normpath(posixpath.join(prefix, path))
