"""The probe of one Python process: what it was told, what it calls when modules are imported, and where it writes.

Each process appends JSON lines to a file of its own, `<folder>/<pid>-<random>.jsonl`, a line a write, so that a kill
at any moment loses nothing that was noted. The first line, `process`, says who it is. Nothing here stops a program:
what goes wrong is noted once for each place, and the program goes on.
"""

from __future__ import annotations

import atexit
import os
import sys
import time

from git_replicate_probe import encoding
from git_replicate_probe.descriptors import open_high
from git_replicate_probe.imported import ImportWatch
from git_replicate_probe.place import Place, this_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from git_replicate_probe.files import Files

VARIABLE = "GIT_REPLICATE_PROBE"
PARTS = ("files", "imports", "runtime", "params", "seeds", "trackers", "cells", "shim")
"""The modules that observe, in the order in which they are installed; one that is not there is passed over."""


class Probe:
    """One process's probe; a forked child goes on with a copy of it, and a file of its own."""

    def __init__(self, settings: Mapping[str, Any], place: Place) -> None:
        self.settings = settings
        self.folder: str = settings["folder"]
        self.place = place
        self.forked = 0
        """How many forks lie between this process and the one that was started."""
        self.files: Files | None = None
        self._descriptor = -1
        self._watch: ImportWatch | None = None
        self._failed: set[str] = set()
        self._identity: tuple[int, int] = (0, 0)
        self._endings: list[Callable[[], object]] = []
        self._forkings: list[Callable[[], object]] = []
        self._ended = False

    @property
    def rank(self) -> int:
        """The process's rank in its parallel job, 0 when it is alone or first."""
        return self.place.rank

    @property
    def is_main(self) -> bool:
        """Whether this is the run's own program: not a child of it, not a launcher, and of rank 0."""
        return not (self.forked or self.place.rank or self.place.above or self.place.is_launcher)

    def note(self, kind: str, **fields: Any) -> None:
        """Append a line; a value that JSON does not know is written as its `repr`. Never raises."""
        if not self.folder:
            return
        try:
            line = encoding.write(dict(fields, kind=kind)) + "\n"
            if not self._is_open():
                self._descriptor = self._open()
            os.write(self._descriptor, line.encode("ascii"))
        except Exception as error:  # a full disk, a folder that has gone: the program is to run
            self._failed.add(f"note {kind}: {error!r}")

    def _is_open(self) -> bool:
        """Whether the descriptor is still our file's: a program may close them all, and get the number for its own."""
        if self._descriptor < 0:
            return False
        try:
            status = os.fstat(self._descriptor)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _close(self) -> None:
        if self._is_open():
            os.close(self._descriptor)
        self._descriptor = -1

    def failed(self, where: str, error: BaseException) -> None:
        """Note what went wrong in a part of the probe, the first time for each `where`."""
        if where not in self._failed:
            self._failed.add(where)
            self.note("failure", where=where, error=repr(error)[:500])

    def guarded(self, where: str, call: Callable[..., object], *arguments: Any) -> None:
        """Call something of the probe's; what it raises is noted."""
        try:
            call(*arguments)
        except Exception as error:
            self.failed(where, error)

    def on_import(self, name: str, callback: Callable[[Any], object]) -> None:
        """Call `callback(module)` right after the module was executed, or at once if that has been done already."""
        module = sys.modules.get(name)
        if module is not None and not _is_being_imported(module):
            self.guarded(f"on_import {name}", callback, module)
            return
        if self._watch is None:
            self._watch = ImportWatch(self.failed)
            sys.meta_path.insert(0, self._watch)
        self._watch.add(name, callback)

    def at_end(self, callback: Callable[[], object]) -> None:
        """Call something when the process ends in order: at its exit, or where `multiprocessing` ends a child."""
        self._endings.append(callback)

    def at_fork(self, callback: Callable[[], object]) -> None:
        """Call something in each forked child, as it begins."""
        self._forkings.append(callback)

    def end(self) -> None:
        """Make the last notes, once in each process."""
        if not self._ended:
            self._ended = True
            for callback in self._endings:
                self.guarded(f"at_end {callback!r}", callback)

    def move(self, settings: Mapping[str, Any]) -> None:
        """Note for another run from now on; for none where its folder is empty."""
        self.settings = settings
        self.folder = settings["folder"]
        self._ended = False
        self._failed.clear()
        self._close()

    def after_fork(self) -> None:
        """In a forked child: from now on this is another process."""
        self.forked += 1
        self._ended = False
        self._close()
        for callback in self._forkings:
            self.guarded(f"at_fork {callback!r}", callback)

    def _open(self) -> int:
        path = os.path.join(self.folder, f"{os.getpid()}-{os.urandom(4).hex()}.jsonl")
        descriptor = open_high(path)
        status = os.fstat(descriptor)
        self._identity = (status.st_dev, status.st_ino)
        place = self.place
        fields = {
            "kind": "process", "pid": os.getpid(), "parent": os.getppid(), "time": time.time(), "words": place.words,
            "rank": place.rank, "above": place.above, "launcher": place.is_launcher, "forked": self.forked,
            "python": list(sys.version_info[:3]), "executable": sys.executable, "prefix": sys.prefix,
            "base_prefix": sys.base_prefix,
        }  # fmt: skip
        os.write(descriptor, (encoding.write(fields) + "\n").encode("ascii"))
        return descriptor


def _is_being_imported(module: Any) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def own_probe() -> Probe | None:
    """A probe for a process of a run in which `sitecustomize` did not start one; None where there is no run."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    probe = Probe(encoding.read(text), this_place(os.environ))
    os.register_at_fork(after_in_child=probe.after_fork)
    return probe


def begin() -> None:
    """Start the probe of this process as its environment says; called once, by `sitecustomize`."""
    settings = encoding.read(os.environ[VARIABLE])
    probe = Probe(settings, this_place(os.environ))
    if settings.get("isolation"):
        from git_replicate_probe import isolation

        isolation.install(probe)
    parts = PARTS if settings.get("observe", True) else ("files", "imports") if settings.get("isolation") else ()
    if not parts:
        return
    probe.note("begin")
    for name in parts:
        install_part(probe, name)
    atexit.register(probe.end)
    os.register_at_fork(after_in_child=probe.after_fork)
    probe.on_import("multiprocessing.util", lambda module: _end_children(probe, module))


def load(name: str) -> Any:
    """A module of the probe's, compiled for good: a program that writes no bytecode means its own folders."""
    unwritten = sys.dont_write_bytecode
    sys.dont_write_bytecode = False
    try:
        return __import__(name, fromlist=["install"])
    finally:
        sys.dont_write_bytecode = unwritten


def install_part(probe: Probe, name: str) -> None:
    whole = f"git_replicate_probe.{name}"
    try:
        module = load(whole)
    except ModuleNotFoundError as error:
        if error.name != whole:
            probe.failed(f"install {name}", error)
        return
    except Exception as error:
        probe.failed(f"install {name}", error)
        return
    probe.guarded(f"install {name}", module.install, probe)


def _end_children(probe: Probe, util: Any) -> None:
    """Children that `multiprocessing` forks end by `os._exit`, after its own finalizers."""

    def at_start(_: Probe) -> None:
        util.Finalize(None, probe.end, exitpriority=-100)

    util.register_after_fork(probe, at_start)
