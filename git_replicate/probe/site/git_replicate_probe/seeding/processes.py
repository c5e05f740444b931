"""The path of process creation: a name for each process of a run that is the same when the run is made again.

    .                                  the run's own program
    ./f:0                              the first child that it forked itself
    ./m:train.work:1                   the second process of `multiprocessing` with that target
    ./x:prepare:0/s:prepare:0          the first program of that name that it started, and what came of it

Children are numbered by kind and name, so that what a library starts on the side (a compiler, a resource tracker)
moves nobody else's number. A parent hands the path on: to forks in memory, to `multiprocessing` with the rest of its
preparations, to other programs in a variable. Programs that something else than Python starts, a shell for example,
number themselves as they come, in a file of the run's folder; of two of one name at one time, either may be first.
"""

from __future__ import annotations

import _thread
import os

from git_replicate_probe.place import program_of
from git_replicate_probe.seeding.streams import FIRST, derive
from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from git_replicate_probe.seeding.generators import Generators
    from git_replicate_probe.session import Probe

VARIABLE = "GIT_REPLICATE_PROBE_PATH"
_KEY = "git_replicate_path"
_NOWHERE = ""
"""In place of a path: the fork is about to execute another program."""
_LONGEST = 2000
"""Characters of a path; longer ones, of programs that start each other for days, are shortened to a digest."""
_KERNELS = frozenset({"ipykernel_launcher", "colab_kernel_launcher"})
"""What runs the cells of a notebook."""
_RANKS = (
    "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "FLUX_TASK_RANK", "SLURM_PROCID",
    "LOCAL_RANK",
)  # fmt: skip


def rank_of(environ: Mapping[str, str]) -> int:
    """The process's rank as far as streams go: the first that is not 0, of the innermost launcher's first."""
    names = ("RANK", *_RANKS) if environ.get("WORLD_SIZE", "").isdigit() else _RANKS
    ranks = (int(environ[name]) for name in names if environ.get(name, "").isdigit())
    return next((rank for rank in ranks if rank), 0)


def path_at_start(probe: Probe, seed: int, rank: int) -> str:
    """This process's path; programs that it starts by any way find it in their environment."""
    handed = os.environ.pop(VARIABLE, "")
    program = _program_name(probe.place.words)
    kind = "launcher" if probe.place.is_launcher else "program"
    try:
        number = _claim(probe.folder, seed, rank, handed, kind, program)
    except OSError as error:
        probe.failed("claim", error)
        number = 0
    if handed or number or probe.place.is_launcher or not _is_asked_for(probe, program):
        path = f"{handed}/s:{program}:{number}"
    else:
        path = FIRST
    if not probe.place.is_launcher:  # what a launcher launches is the run's own program
        os.environ[VARIABLE] = path
    elif handed:
        os.environ[VARIABLE] = handed
    return path


def _is_asked_for(probe: Probe, program: str) -> bool:
    """Whether this is what the run's command comes down to, itself or inside of a profiler, say."""
    asked = str(probe.settings.get("program", program)).rpartition(".")[2]
    words = probe.place.words
    scripts = [os.path.basename(word)[:-3] for word in words if word.endswith(".py")]
    modules = [after.rpartition(".")[2] for word, after in zip(words, words[1:]) if word == "-m"]
    return program in _KERNELS or asked in (program, *scripts, *modules)


def _program_name(words: list[str]) -> str:
    return program_of(words).rpartition(".")[2] or "python"


def _claim(folder: str, *key: Any) -> int:
    """How many processes with this key - of this rank, parent and program - there were before this one."""
    path = os.path.join(folder, f"started-{derive(64, *key):016x}")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, b".")
        return os.lseek(descriptor, 0, os.SEEK_CUR) - 1
    finally:
        os.close(descriptor)


class Children:
    """Hands each child of this process its path, and moves the streams in forked ones."""

    def __init__(self, generators: Generators) -> None:
        assert generators.streams is not None
        self.generators = generators
        self.streams = generators.streams
        self.creator = ""
        """In a child of `multiprocessing`: the path of the process that made it."""
        self.thread = _thread.get_ident()
        self._numbers: dict[str, int] = {}
        self._due: dict[int, str] = {}
        self._lock = _thread.RLock()  # a signal handler may start a process in the midst of starting one
        self._threads = 0

    def follow_forks(self) -> None:
        os.register_at_fork(before=self._before_fork, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def child(self, kind: str, name: str = "") -> str:
        """The path of the next child of that kind and name."""
        key = f"{kind}:{name}:" if name else f"{kind}:"
        path = f"{self.streams.path}/{key}{self.number(key)}"
        return path if len(path) < _LONGEST else f"./{derive(128, path):032x}"

    def number(self, key: str) -> int:
        """How often this process has been asked for that key before."""
        with self._lock:
            number = self._numbers.get(key, 0)
            self._numbers[key] = number + 1
        return number

    def become(self, path: str) -> None:
        """Go on as the child of `multiprocessing` at a path."""
        self.creator = path.rpartition("/")[0]
        self.thread = _thread.get_ident()
        self._move(path)

    def _move(self, path: str) -> None:
        self._numbers.clear()
        self._due.clear()
        self.streams.move(path)
        os.environ[VARIABLE] = path
        self.generators.restart()

    def _before_fork(self) -> None:
        thread = _thread.get_ident()
        self._threads = _thread._count()
        if thread not in self._due:
            self._due[thread] = self.child("f")

    def _in_parent(self) -> None:
        if self._due.get(_thread.get_ident(), "").rpartition("/")[2].startswith("f:"):
            del self._due[_thread.get_ident()]

    def _in_child(self) -> None:
        self._lock = _thread.RLock()  # a thread that is not in this process may hold the old one
        path = self._due.get(_thread.get_ident(), _NOWHERE)
        if path == _NOWHERE:
            return
        self.generators.leave("tensorflow")  # which does not work in a forked child in any case
        if self._threads:  # one of them may have held PyTorch's lock, and would hold it here for ever
            self.generators.leave("torch")
        try:
            if path.rpartition("/")[2].startswith("f:"):
                self.creator = ""
                self._move(path)
            else:
                self.become(path)
        except Exception as error:
            self.generators.probe.failed("fork", error)

    def patch_execution(self, module: Any) -> None:
        """`subprocess` and `multiprocessing` start programs by few functions, which they may hold by name."""
        import _posixsubprocess

        original = getattr(_posixsubprocess.fork_exec, "__wrapped__", _posixsubprocess.fork_exec)
        if _posixsubprocess.fork_exec is original:
            _posixsubprocess.fork_exec = self._handing(original, words=0, variables=5)
        if getattr(module, "_fork_exec", None) is original:  # since Python 3.11
            module._fork_exec = _posixsubprocess.fork_exec
        for name in ("posix_spawn", "posix_spawnp"):  # which `subprocess` prefers since Python 3.13
            original = getattr(os, name, None)
            if original is not None and not hasattr(original, "__wrapped__"):
                setattr(os, name, self._handing(original, words=1, variables=2))

    def _handing(self, original: Callable[..., Any], *, words: int, variables: int) -> Callable[..., Any]:
        """What starts a program, with the path in the child's variables; the numbers are places of its arguments."""

        def start(*arguments: Any, **named: Any) -> Any:
            path, given = _NOWHERE, None
            try:
                path = self.child("x", _name_of(arguments[words]))
                given = _with_path(arguments[variables], path)
            except Exception as error:
                self.generators.probe.failed("start", error)
            if given is not None:
                arguments = (*arguments[:variables], given, *arguments[variables + 1 :])
            thread = _thread.get_ident()
            due = self._due.get(thread)
            self._due[thread] = _NOWHERE
            try:
                if given is not None or path == _NOWHERE or VARIABLE not in os.environ:
                    return original(*arguments, **named)
                return self._inheriting(path, lambda: original(*arguments, **named))
            finally:
                if due is None:
                    self._due.pop(thread, None)
                else:
                    self._due[thread] = due

        return wraps(original)(start)

    def _inheriting(self, path: str, start: Callable[[], Any]) -> Any:
        """Start a child that inherits the variables of this process, which `os.environ` may not all know."""
        with self._lock:
            os.putenv(VARIABLE, path)
            try:
                return start()
            finally:
                os.putenv(VARIABLE, os.environ.get(VARIABLE, path))

    def patch_start(self, module: Any) -> None:
        original = module.BaseProcess.start

        def start(process: Any) -> Any:
            thread = _thread.get_ident()
            self._due[thread] = self.child("m", _target_of(process))
            try:
                return original(process)
            finally:
                self._due.pop(thread, None)

        module.BaseProcess.start = wraps(original)(start)

    def patch_spawn(self, module: Any) -> None:
        """A spawned child is told its path with the rest, before it imports the program."""
        collect, prepare = module.get_preparation_data, module.prepare

        def get_preparation_data(*arguments: Any, **named: Any) -> Any:
            data = collect(*arguments, **named)
            path = self._due.get(_thread.get_ident())
            if path:
                data[_KEY] = path
            return data

        def prepare_child(data: Any, *arguments: Any, **named: Any) -> Any:
            path = data.get(_KEY)
            if path:
                self.generators.probe.guarded("spawn", self.become, path)
            return prepare(data, *arguments, **named)

        module.get_preparation_data = wraps(collect)(get_preparation_data)
        module.prepare = wraps(prepare)(prepare_child)


def _target_of(process: Any) -> str:
    """What a process of `multiprocessing` runs: its target, or the class that it is of."""
    target = getattr(process, "_target", None)
    target = getattr(target, "func", target)  # of a partial
    named = type(process) if target is None else target
    module = getattr(named, "__module__", "") or ""
    name = getattr(named, "__qualname__", type(named).__qualname__)
    text = f"{'__main__' if module == '__mp_main__' else module}.{name}"
    return text.replace("/", "_").replace(":", "_")


def _name_of(words: Any) -> str:
    """The name of a program that is about to be started: the Python program, or else the file."""
    texts = [os.fsdecode(word) for word in words]
    base = os.path.basename(texts[0]) if texts else ""
    name = _program_name(texts) if base.startswith(("python", "pypy")) else base
    return name.replace("/", "_").replace(":", "_")


def _with_path(given: Any, path: str) -> Any:
    """The variables of a child, a mapping or a list, with its path if the probe goes along; None: it inherits."""
    if given is None:
        return None
    if hasattr(given, "keys"):
        return {**given, VARIABLE: path} if VARIABLE in given else given
    entries, own = list(given), os.fsencode(VARIABLE) + b"="
    rest = [entry for entry in entries if not entry.startswith(own)]
    return [*rest, own + os.fsencode(path)] if len(rest) < len(entries) else entries
