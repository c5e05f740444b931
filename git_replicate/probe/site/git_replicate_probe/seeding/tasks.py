"""Tasks of process pools: each starts from streams of its own.

Which worker takes which task is a race. With one stream a worker, the same program with the same seed would give
other numbers each time; so a task's streams depend on who handed it out and on its number, not on who has it.
Pools of threads are left alone: their threads share the process's generators.
"""

from __future__ import annotations

import _thread

from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from git_replicate_probe.seeding.processes import Children

_POOLS = 32
"""Bits of a task's number below the number of its executor."""


def patch_pool(children: Children, module: Any) -> None:
    _patch_worker(children, module, "worker", _label_of_pool_task)


def _patch_worker(children: Children, module: Any, name: str, label: Callable[[Any], str]) -> None:
    original = getattr(module, name)

    def worker(*arguments: Any, **named: Any) -> Any:
        if children.creator and children.thread == _thread.get_ident() and arguments:
            children.generators.probe.guarded("tasks", _follow, children, arguments[0], label)
        return original(*arguments, **named)

    setattr(module, name, wraps(original)(worker))


def _follow(children: Children, queue: Any, label: Callable[[Any], str]) -> None:
    """Have the queue of a worker's tasks tell when one is taken."""
    take = queue.get

    def get(*arguments: Any, **named: Any) -> Any:
        task = take(*arguments, **named)
        if task is not None:
            children.generators.probe.guarded("task", begin, task)
        return task

    def begin(task: Any) -> None:
        children.streams.begin_task(children.creator, label(task))
        children.generators.restart()

    queue.get = get


def _label_of_pool_task(task: Any) -> str:
    job, index = task[:2]
    return f"p:{job}:{index}"


def _label_of_call(item: Any) -> str:
    return f"e:{item.work_id >> _POOLS}:{item.work_id & (1 << _POOLS) - 1}"


def patch_executor(children: Children, module: Any) -> None:
    """Number the calls of each executor apart from those of the others; the numbers are names only."""
    _patch_worker(children, module, "_process_worker", _label_of_call)
    kind = module.ProcessPoolExecutor
    original = kind.__init__

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:  # noqa: N807
        original(self, *arguments, **named)
        if getattr(self, "_queue_count", None) == 0:
            self._queue_count = children.number("executor") << _POOLS

    kind.__init__ = wraps(original)(__init__)
