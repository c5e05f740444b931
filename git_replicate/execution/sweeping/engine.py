"""The local engine: worker processes of this machine behind the standard `Executor` interface.

Each slot has one worker, which carries out one call after the other and so keeps what is dear to make: imports, the
repository, a checkout. A worker that dies fails its call alone, and the slot gets a new one. Workers are in process
groups of their own: what a terminal sends to the foreground reaches them only through `interrupt`.

Any other `Executor` will do for a sweep; what this one adds is said by `Engine`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple, Protocol

import git_replicate
from git_replicate.execution.sweeping.worker import HEARD, read_frame, write_frame

_LOOK_SECONDS = 0.5
"""How often a busy worker is looked at: a command that it left running keeps its end of the pipe open."""


class WorkerDiedError(Exception):
    """The worker that a call was given to was killed."""


class Engine(Protocol):
    """What a sweep wants of whatever carries out its runs."""

    @property
    def slots(self) -> int:
        """How many runs it carries out at the same time."""
        ...

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]: ...

    def interrupt(self, number: int) -> None:
        """Send a signal to every run that is being carried out."""
        ...


class _Call(NamedTuple):
    future: Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class LocalEngine(Executor):
    """So many workers as there are environments; each adds its variables to those of this process."""

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._busy: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._slots = [
            threading.Thread(target=self._serve, args=(number, variables), daemon=True)
            for number, variables in enumerate(environments)
        ]
        for slot in self._slots:
            slot.start()

    @property
    def slots(self) -> int:
        return len(self._slots)

    @property
    def busy(self) -> int:
        """How many calls are being carried out."""
        with self._lock:
            return len(self._busy)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Have a function called that can be found by its name; its arguments and answer are pickled."""
        if keywords:
            raise TypeError("a call takes no keywords")
        future: Future[Any] = Future()
        self._calls.put(_Call(future, function, arguments))
        return future

    def interrupt(self, number: int = signal.SIGINT) -> None:
        with self._lock:
            for process in self._busy.values():
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers go once they have done what was submitted."""
        if cancel_futures:
            with contextlib.suppress(queue.Empty):
                while (call := self._calls.get_nowait()) is not None:
                    call.future.cancel()
        for _ in self._slots:
            self._calls.put(None)
        if wait:
            for slot in self._slots:
                slot.join()

    def _serve(self, number: int, variables: Mapping[str, str]) -> None:
        """One slot: its calls, given to its worker."""
        # Workers inherit this, and hear nothing before they can note it.
        signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        process: subprocess.Popen[bytes] | None = None
        while (call := self._calls.get()) is not None:
            if not call.future.set_running_or_notify_cancel():
                continue
            process = process or _start_worker(variables)
            with self._lock:
                self._busy[number] = process
            try:
                result, error = _ask(process, call)
            except (OSError, EOFError, WorkerDiedError):
                process.wait()
                result, error = None, WorkerDiedError(f"a worker was killed ({_how(process.returncode)})")
                process = None
            finally:
                with self._lock:
                    self._busy.pop(number, None)
            if error is not None:
                call.future.set_exception(error)
            else:
                call.future.set_result(result)
        if process is not None:
            assert process.stdin
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"


def _start_worker(variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    package = os.path.dirname(os.path.dirname(os.path.abspath(git_replicate.__file__)))
    # -P: the directory may hold modules of the user's with names of ours, or of the standard library.
    module = "git_replicate.execution.sweeping.worker"
    start = f"import sys; sys.path.insert(0, {package!r}); from {module} import main; main()"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0,
        env={**os.environ, **variables},
    )  # fmt: skip


def _ask(process: subprocess.Popen[bytes], call: _Call) -> tuple[Any, BaseException | None]:
    assert process.stdin
    assert process.stdout
    write_frame(process.stdin, (call.function, call.arguments))
    while not select.select([process.stdout], [], [], _LOOK_SECONDS)[0]:
        if process.poll() is not None:
            raise WorkerDiedError
    answer = read_frame(process.stdout)
    if answer is None:
        raise EOFError
    result, error = answer
    return result, error
