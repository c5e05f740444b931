"""Launching a command and following it: the recorder's side.

The recorder forks a holder, and that the command. Where an output goes to no terminal the command writes straight to
a spool file, which the recorder follows and passes on; otherwise the holder carries a pseudo-terminal. The command
is in a process group of its own, so that what is sent to ours - by a terminal, `timeout`, a scheduler - reaches it
exactly once: through us.

Not handled: what a command's left-over background programs print after its end is neither shown nor recorded.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from git_replicate.capture import machine
from git_replicate.execution import holder, signals, terminal
from git_replicate.execution.backlog import Backlog
from git_replicate.execution.checkpoints import Checkpoints
from git_replicate.execution.environment import find_command
from git_replicate.execution.guard import Guard
from git_replicate.execution.outcome import Outcome, read_outcome
from git_replicate.execution.processes import PeakMemory, is_git, is_stopped
from git_replicate.execution.reading import Shortener
from git_replicate.execution.spool import STREAMS, Spool

_TO_GROUP = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP)
_TO_COMMAND = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCONT, signal.SIGWINCH)
_WATCHED = frozenset({*_TO_GROUP, *_TO_COMMAND, signal.SIGCHLD})
_SAME_SIGNAL_SECONDS = 1.0
_PIPE_GRACE_SECONDS = 0.5
_FASTEST, _SLOWEST = 0.004, 0.03
_CHUNK = 1 << 20


@dataclass(slots=True)
class _Stream:
    """One spool file and where it is passed on to."""

    name: str
    file: int
    target: int
    length: int = 0
    broken: float | None = None
    told: int = 0  # nobody reads: the signal that says so to the command next
    pipe: bool = False


@dataclass(slots=True)
class _Watch:
    """The state of the recorder's loop."""

    spool: Spool
    holder: int
    reports: int
    orders: int
    streams: list[_Stream]
    events: int
    began: float
    full: bool
    window: bool  # the command has a pseudo-terminal
    modes: list[Any] | None
    shortener: Shortener
    backlog: Backlog
    command: int = 0
    ended: dict[str, Any] | None = None
    problem: str = ""
    interrupted_by: str | None = None
    seen: dict[tuple[int, bool], float] = field(default_factory=dict)
    memory: PeakMemory = field(default_factory=PeakMemory)
    unread: bytes = b""
    taken: bool = False  # what is typed goes to the command


def launch(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    directory: str,
    spool: Spool,
    guard: Guard | None = None,
    checkpoints: Checkpoints | None = None,
) -> Outcome:
    """Run a command to its end, or to that which the guard puts to it. Raises before it runs if there is none."""
    program = find_command(command[0], env, directory)
    sys.stdout.flush()
    sys.stderr.flush()
    holder.remember_dispositions()
    mask = signals.take_over(_WATCHED)
    started = datetime.now(UTC)
    try:
        watch = _fork(_job(program, command, env, directory, spool, mask))
        try:
            _follow(watch, guard, checkpoints)
        finally:
            if checkpoints is not None:
                checkpoints.stop()
            if watch.full and terminal.in_foreground(0):
                terminal.set_modes(0, watch.modes)
            if watch.command and terminal.foreground_of(0) == watch.command:
                _without_stopping(0)
    finally:
        # Whoever ends this process from now on loses the record: a terminal that closes signals more than once.
        signals.ignore((signal.SIGHUP, signal.SIGTERM))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return _outcome(watch, started, guard)


def _job(
    program: str,
    command: Sequence[str],
    env: Mapping[str, str],
    directory: str,
    spool: Spool,
    mask: Iterable[int],
) -> holder.Job:
    """Decide which of the command's files are terminals."""
    terminals = frozenset(number for number in (1, 2) if os.isatty(number))
    input_terminal = os.isatty(0) and terminal.in_foreground(0)
    # In a pipeline others may read the same terminal (a pager): there the command has it as it is.
    piped = any(terminal.is_fifo(number) for number in (1, 2) if number not in terminals)
    full = bool(terminals) and input_terminal and not piped
    return holder.Job(
        program=program,
        command=tuple(command),
        env=env,
        directory=directory,
        spool=spool,
        mask=frozenset(mask),
        terminals=terminals,
        full=full,
        joined=terminal.same_file(1, 2),
        modes=terminal.modes_of(0) if full else None,
    )


def _fork(job: holder.Job) -> _Watch:
    reports, report = os.pipe()
    order, orders = os.pipe()
    spool = job.spool
    with contextlib.suppress(OSError):
        spool.note_process("recorder", os.getpid())
    files = {}
    for name, number in zip(STREAMS, (1, 2), strict=True):
        if number not in job.terminals and not (job.joined and number == 2):
            files[name] = os.open(spool.path(name), os.O_RDONLY | os.O_CREAT, 0o600)
    events = os.open(spool.path("events"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    # The holder shares the lock: if we die before it has written who it is, the run is still seen to be alive.
    with contextlib.suppress(OSError):
        fcntl.flock(events, fcntl.LOCK_EX | fcntl.LOCK_NB)
    child = os.fork()
    if child == 0:
        os.close(reports)
        os.close(orders)
        holder.hold(job, report, order)
    os.close(report)
    os.close(order)
    os.set_blocking(reports, False)
    numbers = {"stdout": 1, "stderr": 2}
    streams = [
        _Stream(name, file, numbers[name], pipe=terminal.may_wait(numbers[name])) for name, file in files.items()
    ]
    return _Watch(
        spool, child, reports, orders, streams, events, time.monotonic(), job.full, bool(job.terminals), job.modes,
        Shortener(spool), Backlog(orders),
    )  # fmt: skip


def _follow(watch: _Watch, guard: Guard | None, checkpoints: Checkpoints | None) -> None:
    """Pass output and signals on until the holder has gone."""
    pause = _FASTEST
    unseen = set(STREAMS) - {stream.name for stream in watch.streams}
    while True:
        if watch.full and not watch.taken and terminal.in_foreground(0):
            _take_terminal(watch)  # at first, and when a shell brings us back: it sends no signal to what runs
        moved = _pass_on(watch)
        moved = watch.shortener.step(unseen, busy=moved) or moved
        pause = _FASTEST if moved else min(pause * 1.5, _SLOWEST)
        info = signal.sigtimedwait(_WATCHED, pause)
        while info is not None:
            _handle(watch, info)
            info = signal.sigtimedwait(_WATCHED, 0)
        _read_reports(watch)
        if watch.command:
            watch.memory.look(watch.command, time.monotonic() - watch.began)
        if checkpoints is not None and watch.command:
            checkpoints.look(time.monotonic() - watch.began)
        if guard is not None and watch.command:
            _kill_group(watch, guard.signal_due(time.monotonic() - watch.began, watch.spool))
        if watch.ended is not None or _holder_gone(watch):
            break
    while _pass_on(watch):
        info = signal.sigtimedwait(_WATCHED - {signal.SIGCHLD}, 0)
        if info is not None and info.si_signo in (signal.SIGINT, signal.SIGTERM):
            watch.interrupted_by = watch.interrupted_by or machine.signal_name(info.si_signo)


def _take_terminal(watch: _Watch) -> None:
    """The real terminal only carries bytes from now on; the pseudo-terminal does the rest."""
    terminal.set_raw(0)
    os.write(watch.orders, b"iw")
    watch.taken = True


def _pass_on(watch: _Watch) -> bool:
    """Pass on what the command has written since; whether there was anything."""
    moved = False
    for stream in watch.streams:
        data = os.read(stream.file, _CHUNK)
        if not data:
            continue
        moved = True
        stream.length += len(data)
        _look_behind(watch)
        _note_event(watch, stream.name, len(data))
        if stream.broken is None:
            _write(watch, stream, data)
        _tell_broken(watch, stream)
    return moved


def _look_behind(watch: _Watch) -> None:
    """Have the command wait while it is too far ahead of what is passed on."""
    watch.backlog.check(sum(os.fstat(stream.file).st_size - stream.length for stream in watch.streams))


def _tell_broken(watch: _Watch, stream: _Stream) -> None:
    """Tell a command that writes where nobody reads, as a pipe would have told it; then, if it goes on, to end."""
    if not stream.told or not watch.command or stream.broken is None:
        return
    if stream.told == signal.SIGPIPE:
        _kill_group(watch, signal.SIGPIPE)
        stream.broken, stream.told = time.monotonic(), signal.SIGTERM
    elif time.monotonic() - stream.broken > _PIPE_GRACE_SECONDS:
        _kill_group(watch, signal.SIGTERM)
        stream.broken = time.monotonic()


def _note_event(watch: _Watch, name: str, length: int) -> None:
    line = f"{name} {length} {time.monotonic() - watch.began:.3f}\n"
    with contextlib.suppress(OSError):  # a full disk: the order of the streams is lost, the output is not
        os.write(watch.events, line.encode())


def _write(watch: _Watch, stream: _Stream, data: bytes) -> None:
    """To our own output; while a pipe there is full, signals still get through."""
    view = memoryview(data)
    while view:
        try:
            if stream.pipe and not select.select([], [stream.target], [], 0.05)[1]:
                while (info := signal.sigtimedwait(_WATCHED - {signal.SIGCHLD}, 0)) is not None:
                    _handle(watch, info)
                _look_behind(watch)
                continue
            view = view[os.write(stream.target, view[:4096] if stream.pipe else view) :]
        except OSError as error:
            stream.broken = time.monotonic()
            if error.errno == errno.EPIPE:
                stream.told = signal.SIGPIPE
            return


def _handle(watch: _Watch, info: signal.struct_siginfo) -> None:
    """Give a signal to the command, once."""
    number = info.si_signo
    if number == signal.SIGCHLD or _is_double(watch, info):
        return
    if number == signal.SIGWINCH and watch.window:
        os.write(watch.orders, b"w")
        if watch.full:  # the kernel tells the command
            return
    if number == signal.SIGCONT:
        _resume(watch)
        return
    if number in (signal.SIGINT, signal.SIGTERM):
        watch.interrupted_by = machine.signal_name(number)
    while not watch.command and watch.ended is None and not _holder_gone(watch):
        select.select([watch.reports], [], [], 0.01)
        _read_reports(watch)
    watch.backlog.release()
    if number in _TO_GROUP:
        _kill_group(watch, number)
    elif watch.command:
        with contextlib.suppress(ProcessLookupError):
            os.kill(watch.command, number)


def _is_double(watch: _Watch, info: signal.struct_siginfo) -> bool:
    """The `git` that runs us passes on what it gets, and a terminal or `timeout` has sent us the same already."""
    wrapper = info.si_pid == os.getppid() and is_git(info.si_pid)
    now = time.monotonic()
    other = watch.seen.get((info.si_signo, not wrapper))
    watch.seen[info.si_signo, wrapper] = now
    return other is not None and now - other < _SAME_SIGNAL_SECONDS and is_git(os.getppid())


def _kill_group(watch: _Watch, number: int) -> None:
    if number and watch.command and watch.ended is None:
        watch.backlog.release()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(watch.command, number)


def _read_reports(watch: _Watch) -> bool:
    """Take in what the holder says; whether anybody is left who could say more."""
    try:
        data = os.read(watch.reports, 1 << 16)
    except BlockingIOError:
        return True
    *lines, watch.unread = (watch.unread + data).split(b"\n")
    for line in lines:
        message = json.loads(line)
        watch.command = message.get("started", watch.command)
        watch.problem = message.get("error", watch.problem)
        watch.ended = message.get("ended", watch.ended)
        watch.interrupted_by = message.get("typed", watch.interrupted_by)
        if "stopped" in message and is_stopped(watch.command):  # it may have been told to go on meanwhile
            _stop(watch, message["stopped"])
    return bool(data)


def _stop(watch: _Watch, number: int) -> None:
    """The command was stopped: give the terminal back and stop our whole group, as the shell expects.

    If it was stopped for wanting the terminal, and that is ours to give, it gets it instead.
    """
    if watch.full:
        os.write(watch.orders, b"o")
        watch.taken = False
        if terminal.in_foreground(0):
            terminal.set_modes(0, watch.modes)
        os.killpg(0, signal.SIGSTOP)
    elif number in (signal.SIGTTIN, signal.SIGTTOU) and terminal.in_foreground(0):
        terminal.give_foreground(0, watch.command)
        _kill_group(watch, signal.SIGCONT)
    elif os.isatty(0):
        if terminal.foreground_of(0) == watch.command:
            _without_stopping(0)
        os.killpg(0, signal.SIGSTOP)
    elif number != signal.SIGSTOP:
        os.kill(os.getpid(), signal.SIGSTOP)


def _without_stopping(descriptor: int) -> None:
    """Put our own group in the foreground again; from the background the kernel would stop us for it."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    terminal.give_foreground(descriptor, os.getpgrp())
    signal.signal(signal.SIGTTOU, before)


def _resume(watch: _Watch) -> None:
    if watch.full and terminal.in_foreground(0):
        _take_terminal(watch)
    _kill_group(watch, signal.SIGCONT)


def _holder_gone(watch: _Watch) -> bool:
    """Whether the holder was killed; then the command's end can only be seen, not read."""
    pid, _ = os.waitpid(watch.holder, os.WNOHANG)
    if not pid:
        return False
    if watch.backlog.held:
        _kill_group(watch, signal.SIGCONT)
    # A command that is not executed yet has the reports open, and may not have written down who it is.
    while _read_reports(watch):
        select.select([watch.reports], [], [], _SLOWEST)
    watch.command = watch.command or watch.spool.read_json("process.json").get("command", {}).get("pid", 0)
    while watch.ended is None and watch.spool.command_runs():
        _pass_on(watch)
        info = signal.sigtimedwait(_WATCHED, _SLOWEST)
        if info is not None:
            _handle(watch, info)
    return True


def _outcome(watch: _Watch, started: datetime, guard: Guard | None) -> Outcome:
    """What the holder saw, or what is left to say without it."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(watch.holder, 0)
    for descriptor in (watch.reports, watch.orders, watch.events, *(stream.file for stream in watch.streams)):
        os.close(descriptor)
    outcome = read_outcome(
        watch.ended or {}, started, peak=watch.memory.bytes, interrupted_by=watch.interrupted_by, problem=watch.problem,
        group=watch.command,
    )  # fmt: skip
    return guard.judged(outcome) if guard is not None else outcome
