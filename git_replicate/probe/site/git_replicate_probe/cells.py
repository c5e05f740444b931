"""The cells that a notebook's kernel executes, noted in their order.

Each note is a cell's source, IPython's counter and how it went; what the counters say of the order, and whether it is
that of the notebook's file, is decided by `capture.cells`.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from git_replicate_probe.session import Probe


def install(probe: Probe) -> None:
    """Wait for IPython, or look at the one that runs."""
    if not probe.place.rank:
        probe.on_import("IPython.core.interactiveshell", lambda module: _watch(probe, module))


def _watch(probe: Probe, module: Any) -> None:
    cells = _Cells(probe)
    shell_class = module.InteractiveShell
    if shell_class.initialized():
        cells.listen(shell_class.instance())
        return
    init = shell_class.init_events

    def init_events(self: Any) -> None:
        init(self)
        probe.guarded("cells", cells.listen, self)

    init_events.__doc__ = init.__doc__
    shell_class.init_events = init_events


class _Cells:
    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._began = 0.0

    def listen(self, shell: Any) -> None:
        """Have the shell say when a cell begins and ends."""
        shell.events.register("pre_run_cell", self._before)
        shell.events.register("post_run_cell", self._after)

    def _before(self, info: Any = None) -> None:
        self._began = time.time()

    def _after(self, result: Any = None) -> None:
        self._probe.guarded("cells", self._note, result)

    def _note(self, result: Any) -> None:
        info = result.info
        if info is None or not info.store_history:
            return
        now = time.time()
        error = result.error_before_exec or result.error_in_exec
        self._probe.note(
            "cell", count=result.execution_count, source=info.raw_cell, cell=getattr(info, "cell_id", None) or "",
            time=self._began or now, seconds=round(now - self._began, 6) if self._began else None,
            error="" if error is None else f"{type(error).__name__}: {error}"[:500], notebook=notebook(),
        )  # fmt: skip


def notebook() -> str:
    """The notebook's file where whoever runs the kernel names it; "" elsewhere."""
    name = os.environ.get("JPY_SESSION_NAME", "") or os.environ.get("PAPERMILL_INPUT_PATH", "")
    if not name:
        main = sys.modules.get("__main__")
        name = str(getattr(main, "__vsc_ipynb_file__", "") or "")
    return os.path.abspath(name) if name.endswith(".ipynb") else ""
