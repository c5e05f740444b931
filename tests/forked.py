"""Our command in a process of its own, without the cost of starting one: a server that has imported everything forks.

`run` is what `subprocess.run` of `bin/git-replicate` would be, at a quarter of its price: the process has its own
standard files, directory, environment, process id and exit code. What an interpreter and its libraries read when they
start (their own variables, the locale, the home that libgit2 looks for configuration in) is the server's, so a caller
that changes one of these gets a real process; so does everybody under `GIT_REPLICATE_TEST_PROCESSES=1`.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

CHECKOUT = Path(__file__).resolve().parent.parent
PROGRAM = CHECKOUT / "bin" / "git-replicate"
_READ_AT_START = (
    "PYTHON",
    "LC_",
    "LANG",
    "LD_",
    "HOME",
    "XDG_",
    "TMPDIR",
    "COVERAGE",
    "GIT_CONFIG",
    "GIT_REPLICATE_TEST",
)
_MANY = 1 << 20


def run(
    words: Sequence[str], *, cwd: Path | None, stdin: bytes | None, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[bytes]:
    """Run `git-replicate WORDS…`; what it wrote and its exit code, -n for signal n as `subprocess` has it."""
    command = [sys.executable, str(PROGRAM), *words]
    if "GIT_REPLICATE_TEST_PROCESSES" in env or read_at_start(env) != _Server.environment:
        return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, env=env, timeout=timeout, check=False)
    request = {"words": list(words), "cwd": str(cwd or Path.cwd()), "env": dict(env)}
    with tempfile.TemporaryFile() as given, _Pipe() as out, _Pipe() as err, socket.socket(socket.AF_UNIX) as connection:
        given.write(stdin or b"")
        given.seek(0)
        connection.connect(_Server.address())
        files = array.array("i", [0 if stdin is None else given.fileno(), out.writing.fileno(), err.writing.fileno()])
        connection.sendmsg([b"f"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        connection.sendall(json.dumps(request).encode())
        connection.shutdown(socket.SHUT_WR)
        told = connection.makefile("r")
        process = int(told.readline())
        deadline = time.monotonic() + timeout
        connection.settimeout(timeout)
        try:
            if not all(pipe.is_read(deadline) for pipe in (out, err)):
                raise TimeoutError
            code = int(told.readline())
        except TimeoutError:
            os.kill(process, signal.SIGKILL)
            raise subprocess.TimeoutExpired(command, timeout) from None
    return subprocess.CompletedProcess(command, code, bytes(out.data), bytes(err.data))


def read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that an interpreter and its libraries read when they start."""
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_START)}


class _Pipe:
    """A pipe that a thread reads to its end."""

    def __init__(self) -> None:
        self.data = bytearray()
        reading, writing = os.pipe()
        self._reading, self.writing = os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._reading:
            while piece := self._reading.read(_MANY):
                self.data += piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.writing.close()

    def is_read(self, deadline: float) -> bool:
        """Whether it comes to its end in time; from now on the other end is the process's alone."""
        self.writing.close()
        self._thread.join(max(0, deadline - time.monotonic()))
        return not self._thread.is_alive()


class _Server:
    """The one server of this process, started when it is first asked for."""

    environment = read_at_start(os.environ)
    """What it reads when it starts."""
    _address = ""

    @classmethod
    def address(cls) -> str:
        if not cls._address:
            folder = tempfile.mkdtemp(prefix="forked-", dir="/tmp")  # the path of a socket must be short
            cls._address = os.path.join(folder, "s")
            with socket.socket(socket.AF_UNIX) as waiting:
                waiting.bind(cls._address)
                waiting.listen(64)
                caller, alive = os.pipe()
                words = [sys.executable, "-m", "tests.forked", str(waiting.fileno()), str(caller)]
                server = subprocess.Popen(
                    words, cwd=CHECKOUT, pass_fds=[waiting.fileno(), caller], stdin=subprocess.DEVNULL
                )
            os.close(caller)
            atexit.register(cls._end, server, alive, folder)
        return cls._address

    @classmethod
    def _end(cls, server: subprocess.Popen[bytes], alive: int, folder: str) -> None:
        os.close(alive)  # by this the server knows, even if we are killed
        server.wait()
        os.remove(cls._address)
        os.rmdir(folder)


def prepare() -> None:
    """What is in the environment now is what the server will have read."""
    _Server.environment = read_at_start(os.environ)


def import_all() -> None:
    """Everything that a command may import later, except what runs in the user's process."""
    import git_replicate

    apart = ("git_replicate.probe", "git_replicate.integrations", "git_replicate.__main__")
    for module in pkgutil.walk_packages(git_replicate.__path__, "git_replicate."):
        if not module.name.startswith(apart):
            importlib.import_module(module.name)
    for name in ("pygit2", "psutil"):
        importlib.import_module(name)


def serve(waiting: socket.socket, caller: int) -> None:
    """Fork a process for each request, and tell who asked its id and its exit code, until the caller has gone."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    running: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for source in (waiting, caller, woken):
            selector.register(source, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if caller in ready:
                return
            if woken in ready:
                os.read(woken, _MANY)
            if waiting in ready:
                connection = waiting.accept()[0]
                process = os.fork()
                if process == 0:
                    selector.close()
                    for file in (woken, wake, caller, waiting.detach(), *(one.detach() for one in running.values())):
                        os.close(file)
                    _carry_out(connection)
                running[process] = connection
                connection.sendall(f"{process}\n".encode())
            _reap(running)


def _reap(running: dict[int, socket.socket]) -> None:
    for process in list(running):
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            with running.pop(process) as connection, contextlib.suppress(BrokenPipeError):  # nobody waits any longer
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _carry_out(connection: socket.socket) -> None:
    """Be the process that was asked for, and end as an interpreter ends."""
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        words = _become(connection)
        from git_replicate.cli import main

        code = main(words)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _become(connection: socket.socket) -> list[str]:
    """Take the files, the directory and the environment of a request; its words."""
    with connection, connection.makefile("rb") as rest:
        _, sent, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        files = array.array("i", sent[0][2])
        request = json.loads(rest.read())
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    sys.argv = [str(PROGRAM), *request["words"]]
    return list(request["words"])


if __name__ == "__main__":
    import_all()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        serve(listening, int(sys.argv[2]))
