"""The holder: the process between the recorder and the command, which outlives a killed recorder.

It is forked, never executed, and does little: it starts the command, waits for it, and writes `exit.json`. If the
command has a pseudo-terminal the holder also carries bytes between that and the real one. It is apart
from the recorder's group, so that nothing sent to that reaches it; when the recorder dies it gives the terminal back
and goes on. It knows no git and stores nothing but the spool's files, which it then keeps short as the recorder did.

Reports to the recorder are lines of JSON: `started`, `stopped`, `typed` (an interrupt), `ended`, `error`. Orders from
it are single bytes: `w` the window size changed, `i` read the terminal's input, `o` stop reading it, `h` and `g`: see
`backlog`. The end of the orders is its death.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from git_replicate.core.frozen import frozen
from git_replicate.execution import terminal
from git_replicate.execution.backlog import GO_ON, HOLD
from git_replicate.execution.environment import execute
from git_replicate.execution.reading import Shortener
from git_replicate.execution.spool import Spool

_CHUNK = 1 << 16
_DRAIN_SECONDS = 0.2


@frozen
class Job:
    """What the holder is to start, and on which terminals."""

    program: str
    command: Sequence[str]
    env: Mapping[str, str]
    directory: str
    spool: Spool
    mask: frozenset[int]  # the signals that the caller had blocked
    terminals: frozenset[int] = frozenset()  # which of 1 and 2 get the pseudo-terminal
    full: bool = False  # the command's input too is the pseudo-terminal, and it is its controlling one
    joined: bool = False  # standard output and error are the same file
    modes: list[Any] | None = None  # of the real terminal, to be restored


@dataclass(slots=True)
class _State:
    reports: int
    orders: int
    wake: int = -1  # readable when a child has changed state
    master: int = -1
    reading: bool = False
    real: int = -1
    modes: list[Any] | None = None
    spool_file: int = -1
    child: int = 0
    ended: dict[str, Any] | None = None
    recorder: bool = True
    held: bool = False  # the command waits because we told it to
    forked: int = 0  # the command's largest resident set before it was executed, bytes
    typed: str = ""  # the signal that a person has sent by a key


def hold(job: Job, reports: int, orders: int) -> NoReturn:
    """Be the holder; never returns to the caller's code."""
    code = 1
    try:
        state = _State(reports, orders, modes=job.modes)
        _start(job, state)
        _wait(job, state)
        code = 0
    except BaseException as error:
        with contextlib.suppress(OSError):
            _report(reports, {"error": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(code)


def _read_all(descriptor: int) -> bytes:
    """What is written to a pipe until its last writer has gone."""
    return b"".join(iter(lambda: os.read(descriptor, 4096), b""))


def _report(reports: int, message: Mapping[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(reports, json.dumps(message).encode() + b"\n")


def _start(job: Job, state: _State) -> None:
    """Start the command on its files and terminals, then leave the recorder's group."""
    state.wake, woken = os.pipe()
    os.set_blocking(state.wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in (signal.SIGPIPE, signal.SIGTTOU, signal.SIGTTIN, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    slave = -1
    if job.terminals:
        state.master, slave = os.openpty()
        state.real = 0 if job.full else min(job.terminals)
        terminal.copy_size(state.real, slave)
        if job.full:
            terminal.set_modes(slave, job.modes)
            os.setsid()
            terminal.take_as_controlling(slave)
        else:
            terminal.leave_output_alone(slave)
    failures, failed = os.pipe()
    with contextlib.suppress(OSError):  # before the command can fill the disk
        job.spool.reserve("exit.json")
    with contextlib.suppress(OSError):  # the disk is full: the command runs all the same
        job.spool.note_process("holder", os.getpid())
    state.child = os.fork()
    if state.child == 0:
        _become(job, slave, failed)
    os.close(failed)
    if slave >= 0:
        os.close(slave)
    if not job.full:
        # Apart, but in the command's session: the kernel lets a group be stopped only while somebody there minds.
        os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP})
    forked, _, problem = _read_all(failures).partition(b"\0")
    state.forked = int(forked or 0)
    os.close(failures)
    if problem:
        _report(state.reports, {"error": problem.decode(errors="replace")})
    _report(state.reports, {"started": state.child})
    if state.master >= 0:
        with contextlib.suppress(OSError):
            state.spool_file = os.open(job.spool.path("stdout"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _become(job: Job, slave: int, failed: int) -> NoReturn:
    """In the command's own process: take its files, its group and the caller's signals, and execute it."""
    try:
        os.setpgid(0, 0)
        if job.full:
            terminal.give_foreground(slave, os.getpid())
            os.dup2(slave, 0)
        for number, stream in ((1, "stdout"), (2, "stderr")):
            if number in job.terminals:
                os.dup2(slave, number)
            else:
                path = job.spool.path("stdout" if job.joined else stream)
                file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                os.dup2(file, number)
        signal.set_wakeup_fd(-1)
        for name in ("SIGCHLD", "SIGPIPE", "SIGTTOU", "SIGTTIN", "SIGXFSZ"):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.signal(signal.SIGHUP, _dispositions["SIGHUP"])
        os.chdir(job.directory)
        # By itself: its holder may be killed at any moment, and then nobody else would know of it. Until it is executed
        # it shares the lock on the run's events, so that the run is never taken for one that has ended.
        with contextlib.suppress(OSError):
            job.spool.note_process("command", os.getpid())
        signal.pthread_sigmask(signal.SIG_SETMASK, job.mask)
        os.write(failed, b"%d" % (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
        execute(job.program, job.command, job.env)
    except OSError as error:
        os.write(failed, f"\0{job.command[0]}: {error.strerror}".encode())
    os._exit(126)


_dispositions: dict[str, Any] = {"SIGHUP": signal.SIG_DFL}
"""How the caller had set the signals that a holder changes for itself."""


def remember_dispositions() -> None:
    """Called by the recorder before it forks: a `nohup` is to reach the command."""
    _dispositions["SIGHUP"] = signal.getsignal(signal.SIGHUP) or signal.SIG_DFL


def _wait(job: Job, state: _State) -> None:
    """Carry bytes and wait until the command has ended; without a recorder, keep the spool short as well."""
    shortener = Shortener(job.spool)
    busy = False
    while state.ended is None:
        _reap(job, state)
        if state.ended is not None:
            break
        watched = [
            state.wake,
            *([state.orders] if state.recorder else []),
            *([state.master] if state.master >= 0 else []),
        ]
        if state.reading:
            watched.append(0)
        ready, _, _ = select.select(watched, [], [], 0.0 if busy else 1.0)
        if state.wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(state.wake, 4096)
        if state.orders in ready:
            _obey(state)
        if state.master >= 0 and state.master in ready:
            _carry_output(state)
        if state.reading and 0 in ready:
            _carry_input(state)
        busy = not state.recorder and shortener.step()
    _drain(state)
    if not state.recorder:
        terminal.set_modes(0, state.modes)
    with contextlib.suppress(OSError):
        job.spool.write_reserved("exit.json", json.dumps(state.ended).encode())
    _report(state.reports, {"ended": state.ended})


def _reap(job: Job, state: _State) -> None:
    pid, status, usage = os.wait4(state.child, os.WNOHANG | os.WUNTRACED)
    if not pid:
        return
    if os.WIFSTOPPED(status):
        if state.held:
            return
        _report(state.reports, {"stopped": os.WSTOPSIG(status)})
        return
    state.ended = {
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "finished": time.time(),
        "peak_memory_bytes": usage.ru_maxrss * 1024,
        "forked_bytes": state.forked,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        **({"typed": state.typed} if state.typed else {}),
    }


def _obey(state: _State) -> None:
    orders = os.read(state.orders, 4096)
    if not orders:
        state.recorder = False
        if state.reading or state.master >= 0:
            terminal.set_modes(0, state.modes)
        state.reading = False
        _hold_command(state, held=False)
    for order in orders:
        if order == ord("w") and state.master >= 0:
            terminal.copy_size(state.real, state.master)
        elif order == ord("i"):
            state.reading = True
        elif order == ord("o"):
            state.reading = False
        elif order in (HOLD[0], GO_ON[0]):
            _hold_command(state, held=order == HOLD[0])


def _hold_command(state: _State, *, held: bool) -> None:
    """Have the command wait, or go on if it was we who had it wait."""
    if held != state.held:
        state.held = held
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(state.child, signal.SIGSTOP if held else signal.SIGCONT)


def _carry_output(state: _State) -> bool:
    """One piece from the pseudo-terminal to the spool and the real one; False when there will be no more."""
    try:
        data = os.read(state.master, _CHUNK)
    except OSError:  # EIO: every program has closed it
        data = b""
    if not data:
        os.close(state.master)
        state.master = -1
        return False
    with contextlib.suppress(OSError):  # a full disk costs the log, not the command
        _write_all(state.spool_file, data)
    with contextlib.suppress(OSError):  # the real terminal may be gone; the command goes on
        _write_all(1 if state.real == 0 else state.real, data)
    return True


def _carry_input(state: _State) -> None:
    try:
        data = os.read(0, _CHUNK)
    except OSError:
        data = b""
    if not data:
        state.reading = False
        return
    if state.master >= 0:
        if terminal.interrupts(state.master, data):
            state.typed = "SIGINT"
            _report(state.reports, {"typed": state.typed})
        _write_all(state.master, data)


def _drain(state: _State) -> None:
    """What the command wrote last; programs it left behind do not hold us up."""
    deadline = time.monotonic() + _DRAIN_SECONDS
    while state.master >= 0 and time.monotonic() < deadline:
        ready, _, _ = select.select([state.master], [], [], 0.01)
        if not ready or not _carry_output(state):
            return


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
