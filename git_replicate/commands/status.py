"""`git replicate status`: the runs of this machine that have not ended, or whose end nobody has recorded."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.execution.recover import LiveRun
    from git_replicate.execution.waiting import Waiting


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.recover import live_runs
    from git_replicate.execution.waiting import waiting_runs

    runs = live_runs(context.repository)
    waiting = waiting_runs(context.repository)
    console = context.console
    if options.format == "json":
        console.answer(json.dumps([*map(_queued, waiting), *map(_facts, runs)], indent=2))
        return 0
    if not runs and not waiting:
        console.say("no live runs")
    for item in waiting:
        facts = _queued(item)
        console.answer(f"{facts['run']}  queued  {facts['age']}  {item.job}" + f" ({item.words})" * bool(item.words))
    for run in runs:
        facts = _facts(run)
        usage = (
            f"  {facts['cpu_percent']:.0f}% CPU  {facts['memory_bytes'] / 1e6:.0f} MB" if "cpu_percent" in facts else ""
        )
        console.answer(f"{run.name}  {run.state}  {facts['age']}{usage}")
        if facts["last_line"]:
            console.answer(f"    {console.style(facts['last_line'][:200], 'dim')}")
    if any(run.state == "recorder gone" for run in runs) or any(map(_is_over, waiting)):
        console.say("hint: git replicate recover")
    return 0


def _is_over(item: Waiting) -> bool:
    return item.state is not None and item.state.state == "ended"


def _queued(item: Waiting) -> dict[str, Any]:
    from datetime import UTC, datetime

    from git_replicate.execution.run import duration

    record = item.run.record
    queued = record.started or datetime.now(UTC)
    age = (datetime.now(UTC) - queued).total_seconds()
    logs = item.run.ticket.logs()
    return {
        "run": item.run.name, "state": "queued", "queued": queued.isoformat(), "age": duration(max(age, 0.0)),
        "command": list(record.command), "scheduler": item.run.handed.scheduler, "job": item.run.task.job,
        "task": item.run.task.task, "why": item.words, "script": item.run.ticket.path("job.sh"),
        "log": logs[-1] if logs else "",
    }  # fmt: skip


def _facts(run: LiveRun) -> dict[str, Any]:
    from datetime import UTC, datetime

    from git_replicate.execution.run import duration

    started = run.record.started or datetime.now(UTC)
    age = (datetime.now(UTC) - started).total_seconds()
    facts: dict[str, Any] = {
        "run": run.name, "state": run.state, "started": started.isoformat(), "age": duration(max(age, 0.0)),
        "command": list(run.record.command), "last_line": _last_line(run),
    }  # fmt: skip
    return {**facts, **_usage(run)}


def _last_line(run: LiveRun) -> str:
    """The last line that the command has printed so far, without secrets."""
    from git_replicate.core.secrets import mask_text

    tail = b""
    for stream in ("stdout", "stderr"):
        try:
            with open(run.spool.path(stream), "rb") as file:
                file.seek(max(file.seek(0, 2) - 4096, 0))
                tail = file.read() or tail
        except OSError:
            continue
        if tail:
            break
    lines = mask_text(tail).decode(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _usage(run: LiveRun) -> dict[str, Any]:
    """CPU and memory of the command and its children, if they are there to be asked."""
    import psutil

    process = run.spool.read_json("process.json").get("command")
    if not process or run.alive not in ("recorder", "holder", "command"):
        return {}
    try:
        main = psutil.Process(process["pid"])
        family = [main, *main.children(recursive=True)]
        seconds = sum(p.cpu_times().user + p.cpu_times().system for p in family)
        elapsed = max(_now() - main.create_time(), 0.01)
        return {"cpu_percent": 100 * seconds / elapsed, "memory_bytes": sum(p.memory_info().rss for p in family)}
    except psutil.Error:
        return {}


def _now() -> float:
    import time

    return time.time()
