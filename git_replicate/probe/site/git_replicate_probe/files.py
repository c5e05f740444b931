"""Files that a process opens, as Python's audit events tell: data read and written, code loaded, programs started.

Folders that it makes, or tries to, are noted as well: those that it writes into and does not make were there before.

Only what is seen for the first time is noted, so that a loop over the same files costs a set look-up. Memory and
notes are bounded: beyond a thousand files of one folder the folder stands for them, and where there are too many
folders one above them - the same folders that would stand for them in the record. What a library opens in C is not
seen.
"""

from __future__ import annotations

import os
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.session import Probe

MOST_IN_FOLDER = 1_000
MOST_NAMES = 3_000
"""Names of files read that are kept before folders are to stand for them; and of files written that are noted."""
MOST_LEFT = 10_000
"""Names for which no folder can stand, beyond which no more are noted."""
MOST_WRITTEN = 20_000
MOST_DEEP = 64
MOST_MADE = 1_000
"""Folders made, but for those in others, that are noted."""
FIRST_NAMES = 200
"""So many files are noted each as it comes; those behind them by the batch, for a kill to lose one at most."""
_BATCH = 100
_WRITES = os.O_WRONLY | os.O_RDWR
_TELLS_FLAGS = sys.implementation.name == "cpython"
_PASSED = ("/proc/", "/sys/", "/dev/", "/etc/", "/run/", "/usr/lib", "/usr/share/zoneinfo/", "/lib/", "/lib64/")
_CODE = (".py", ".pyc", ".pyo")
_LOADERS = (
    "<frozen importlib",
    "<frozen runpy",
    "<frozen zipimport",
    "<builtin>/frozen ",  # PyPy's names of the same
    os.path.join(os.path.dirname(os.__file__), "runpy.py"),
)
"""Whose opening of a file of code is the loading of it; anybody else's is reading."""
_STARTS = {"subprocess.Popen": 0, "os.posix_spawn": 0, "os.exec": 0, "os.system": 0}
"""Events of starting a program, and which argument names it."""
_RARE = frozenset([*_STARTS, "cpython.run_file", "sqlite3.connect", "os.mkdir"])


class Files:
    """The audit hook of a process and what it has seen."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._passed = (*_PASSED, *_installed_folders(), probe.folder.rstrip("/") + "/")
        homes = (os.path.expanduser("~"), str(probe.settings.get("top") or "/"))
        self._wide = tuple(path.rstrip("/") + "/" for path in homes)  # no folder above these stands for its files
        self._started = probe.settings.get("started") or time.time()
        self._directory: str | None = None
        self._seen: set[str] = set()  # absolute paths read, and those that are of no interest
        self._folders: dict[str, set[str]] = {}  # the names of `seen` by folder
        self._rolled: set[str] = set()  # folders that stand for the files in them
        self._deep: tuple[str, ...] = ()  # folders that stand for all below them, ending in a slash
        self._names = 0
        self._kept = 0  # names for which no folder stood when that was tried last
        self._pending: list[tuple[str, str, int, float]] = []  # reads still to be noted: folder, name, mtime, time
        self._making: list[tuple[str, str, int, float]] = []  # and files written
        self._full = False
        self._written: set[str] = set()
        self.code: set[str] = set()  # absolute paths of source files
        self._programs: set[str] = set()
        self._made: set[str] = set()

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The audit hook. It runs within the program's own calls, so nothing may leave it but an interruption."""
        if event == "open":
            path = arguments[0]
            if path in self._seen if type(path) is str else type(path) is int:
                return
            try:
                self._opened(path, arguments[2] if _TELLS_FLAGS or not arguments[1] else _flags(arguments[1]))
            except Exception as error:
                self._probe.failed("files", error)
        elif event == "os.chdir":
            self._directory = None
            self._forget_relative()
        elif event in _RARE:
            try:
                self._other(event, arguments)
            except Exception as error:
                self._probe.failed("files", error)

    def _opened(self, path: Any, flags: Any) -> None:
        if not isinstance(path, str):
            path = os.fsdecode(path)
        if path.endswith(_CODE) and _is_loading():
            self.loaded(path)
            return
        writes = flags & _WRITES if type(flags) is int else 0
        whole = self._absolute(path)
        if self._is_passed(whole):
            return
        if not flags & os.O_WRONLY and not (writes and flags & os.O_TRUNC):
            self._read(path, whole)
        if writes:
            self._write(whole)

    def _is_passed(self, path: str) -> bool:
        """Whether a file is the system's, the interpreter's, a package's or our own."""
        return (
            path.startswith(self._passed)
            or "/site-packages/" in path
            or "/dist-packages/" in path
            or "/__pycache__/" in path
        )

    def _absolute(self, path: str) -> str:
        if path.startswith("/"):
            return path
        if self._directory is None:
            self._directory = os.getcwd().rstrip("/") + "/"
        return self._directory + path

    def _forget_relative(self) -> None:
        """Relative names mean other files from now on."""
        self._seen = {path for path in self._seen if path.startswith("/")}

    def _write(self, path: str) -> None:
        if path in self._written or path.endswith(_CODE):
            return
        if len(self._written) < MOST_WRITTEN:
            self._written.add(path)
        if len(self._written) <= MOST_NAMES:
            folder, _, name = path.rpartition("/")
            self._making.append((folder, name, 0, time.time()))
            self._flush_some(self._making, len(self._written))

    def _read(self, given: str, path: str) -> None:
        folder, _, name = path.rpartition("/")
        if folder in self._rolled or path in self._seen or path.startswith(self._deep):
            return
        try:
            status = os.stat(path)
        except OSError:
            return  # it will not be opened, or is there later
        if not stat.S_ISREG(status.st_mode) or self._full:
            return
        if status.st_mtime >= self._started or path in self._written:
            return  # the run made it
        self._seen.update((path, given))
        self._remember(folder, name)
        if folder not in self._rolled:
            self._pending.append((folder, name, status.st_mtime_ns, time.time()))
            self._flush_some(self._pending, self._names)
        if self._names > self._kept + MOST_NAMES:
            self._compact()

    def _flush_some(self, pending: list[tuple[str, str, int, float]], known: int) -> None:
        if known <= FIRST_NAMES or len(pending) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Note what waits to be."""
        pending, self._pending = self._pending, []
        making, self._making = self._making, []
        for kind, files in (("reads", pending), ("writes", making)):
            if files:
                start = files[0][3]
                folders: dict[str, int] = {}
                short = [
                    [folders.setdefault(folder, len(folders)), name, mtime, round(when - start, 6)]
                    for folder, name, mtime, when in files
                ]
                self._probe.note(kind, folders=list(folders), time=start, files=short)

    def forget_pending(self) -> None:
        """In a forked child: what waited is for the parent to note."""
        self._pending, self._making = [], []

    def _remember(self, folder: str, name: str) -> None:
        """Keep a name of a folder; of too many, the folder's alone."""
        names = self._folders.setdefault(folder, set())
        names.add(name)
        self._names += 1
        if len(names) > MOST_IN_FOLDER and self._may_stand(folder):
            self._forget(folder)
            self._rolled.add(folder)
            self._probe.note("folder", path=folder, time=time.time())
            self._remember(*os.path.split(folder))

    def _forget(self, folder: str) -> None:
        names = self._folders.pop(folder, set())
        self._names -= len(names)
        self._seen.difference_update(f"{folder}/{name}" for name in names)

    def _compact(self) -> None:
        """Let the lowest folders below which there are too many names stand for all of it."""
        deep = []
        levels: dict[int, dict[str, int]] = {}
        for folder, names in self._folders.items():
            levels.setdefault(folder.count("/"), {})[folder] = len(names)
        for depth in range(max(levels, default=0), 1, -1):
            for folder, count in levels.pop(depth, {}).items():
                if count > MOST_IN_FOLDER and self._may_stand(folder):
                    deep.append(folder + "/")
                else:
                    level = levels.setdefault(depth - 1, {})
                    above = os.path.dirname(folder)
                    level[above] = level.get(above, 0) + count
        self._deep += tuple(deep)
        for folder in [path for path in self._folders if (path + "/").startswith(self._deep)]:
            self._forget(folder)
        self._rolled = {path for path in self._rolled if not (path + "/").startswith(self._deep)}
        for folder in deep:
            self._probe.note("folder", path=folder.rstrip("/"), deep=True, time=time.time())
        self._kept = self._names
        if self._names > MOST_LEFT or len(self._deep) > MOST_DEEP:
            self._full = True
            self._probe.note("unseen", what="files", why="too many in too many places")

    def _may_stand(self, folder: str) -> bool:
        """Whether a folder is narrow enough to stand for its files: not the root, nor what lies there or holds us."""
        return folder.count("/") > 1 and not any(wide.startswith(folder + "/") for wide in self._wide)

    def loaded(self, path: str) -> None:
        """Note the source file of code that is being loaded, with its times, unless it is an installed package's."""
        whole = os.path.abspath(path)
        if whole.endswith((".pyc", ".pyo")):
            whole = _source_of(whole)
        if whole in self.code:
            return
        if self._is_passed(whole):
            return
        self.code.add(whole)
        try:
            status = os.stat(whole)
        except OSError:
            return  # a module that was made up says that it has a file
        self._probe.note(
            "code", path=whole, mtime=status.st_mtime_ns, ctime=status.st_ctime_ns, bytes=status.st_size,
            time=time.time(),
        )  # fmt: skip

    def _other(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "cpython.run_file":
            self.loaded(os.fsdecode(arguments[0]))
        elif event == "sqlite3.connect":
            if isinstance(arguments[0], (str, bytes)):
                path = os.fsdecode(arguments[0])
                self._read(path, self._absolute(path))
        elif event == "os.mkdir":
            self._make(arguments[0])
        else:
            self._program(event, arguments)

    def _make(self, path: Any) -> None:
        """Note a folder that the program is about to make, or finds there: it would have made it."""
        whole = os.path.normpath(self._absolute(os.fsdecode(path)))
        if len(self._made) > MOST_MADE or whole in self._made or os.path.dirname(whole) in self._made:
            return
        self._made.add(whole)
        if len(self._made) > MOST_MADE:
            whole = "/"  # from here on nothing is known of any
        self._probe.note("made", path=whole, time=time.time())

    def _program(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note the name of a program that is started, without its arguments."""
        if event == "os.system":
            name = "sh"
        else:
            words = arguments[1]
            first = arguments[0] or (words if isinstance(words, (str, bytes)) else words[0])
            name = os.path.basename(os.fsdecode(first).partition(" ")[0])
        if name not in self._programs and len(self._programs) < 100:
            self._programs.add(name)
            self._probe.note("program", name=name)


def _flags(mode: str) -> int:
    """What a mode of `open` stands for: PyPy's event has something else in the place of the flags."""
    way = os.O_RDWR if "+" in mode else os.O_RDONLY if "r" in mode else os.O_WRONLY
    return way | (os.O_TRUNC if "w" in mode else 0)


def _is_loading() -> bool:
    """Whether the file that is being opened is opened by the import system, or by Python itself for its program."""
    try:
        frame = sys._getframe(3)
    except ValueError:
        return True
    return frame.f_code.co_filename.startswith(_LOADERS)


def _installed_folders() -> list[str]:
    """Where the standard library and packages are, each ending in a slash."""
    found = {os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}
    found.update(path for path in sys.path if path.endswith(("site-packages", "dist-packages")))
    found.update({os.path.realpath(path) for path in found})
    return [path.rstrip("/") + "/" for path in found]


def _source_of(path: str) -> str:
    """The source of a compiled file that lies in `__pycache__`, if it is there; else the compiled file."""
    folder, _, name = path.rpartition("/")
    if os.path.basename(folder) == "__pycache__":
        source = f"{os.path.dirname(folder)}/{name.partition('.')[0]}.py"
        if os.path.exists(source):
            return source
    return path


def install(probe: Probe) -> None:
    """Start listening; there is no way to stop."""
    files = Files(probe)
    probe.files = files
    probe.at_end(files.flush)
    probe.at_fork(files.forget_pending)
    add = getattr(sys, "addaudithook", None)
    if add is not None:
        add(files.hook)
