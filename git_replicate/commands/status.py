"""`git replicate status`: the runs that have not ended, or whose end nobody has recorded, here and elsewhere."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from git_replicate.commands import _reading
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from git_replicate.commands.context import Context
    from git_replicate.execution.progress import RunElsewhere
    from git_replicate.execution.recover import LiveRun
    from git_replicate.execution.waiting import Waiting

_SHOWN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.progress import runs_elsewhere
    from git_replicate.execution.recover import live_runs
    from git_replicate.execution.waiting import waiting_runs

    runs = live_runs(context.repository)
    waiting = waiting_runs(context.repository)
    here = {*(run.record.id for run in runs), *(item.run.record.id for item in waiting)}
    rows = context.index.select("status in ('running', 'queued')", columns=("host",))
    _reading.present(context, rows)  # those of this machine of which nothing is left are lost
    others = runs_elsewhere(context.repository, [r for r in rows if r["id"] not in here and r["status"] != "lost"])
    facts = [*map(_queued, waiting), *map(_facts, runs), *map(_facts_elsewhere, others)]
    console = context.console
    if options.format == "json":
        console.answer(json.dumps(facts, indent=2))
        return 0
    if not facts:
        console.say("no live runs")
    for line in _queued_lines(waiting):
        console.answer(line)
    for each in facts[len(waiting) :]:
        _print(each, context)
    lost = [row for row in rows if row["id"] not in here and row["status"] == "lost"]
    for row in lost:
        console.say(f"{row['experiment']}/{row['id']}  nothing is left of it")
    if lost or any(run.state == "recorder gone" for run in runs) or any(map(_is_over, waiting)):
        console.say("hint: git replicate recover")
    if others:
        console.say("hint: to see how runs of other clones go on: git replicate fetch")
    return 0


def _print(facts: dict[str, Any], context: Context) -> None:
    """One run: a line for what it is, one for its metrics, one for what it printed last."""
    words = [facts["run"], facts["state"], facts["age"]]
    if facts["state"] == "queued" and facts.get("job"):
        words.append(facts["job"] + f" ({facts['why']})" * bool(facts["why"]))
    words += [f"{facts['cpu_percent']:.0f}% CPU"] if "cpu_percent" in facts else []
    words += [f"{facts['memory_bytes'] / 1e6:.0f} MB"] if facts.get("memory_bytes") else []
    words += [f"seen {facts['seen']} ago"] if "seen" in facts else []
    context.console.answer("  ".join(words))
    values = [f"{name} {value:.6g}" for name, value in list(facts.get("metrics", {}).items())[:_SHOWN]]
    if values:
        context.console.answer(f"    {'  '.join(values)}")
    if facts.get("last_line"):
        context.console.answer(f"    {context.console.style(facts['last_line'][:200], 'dim')}")


def _queued_lines(waiting: Sequence[Waiting]) -> Iterator[str]:
    """A line a queued run; those of a sweep are one line for each reason to wait."""
    from git_replicate.execution.ticket import read_asked

    alike: dict[tuple[str, str], list[Waiting]] = {}
    for item in waiting:
        several = item.run.handed.array
        key = item.run.ticket.folder if several else item.run.name
        alike.setdefault((key, item.words), []).append(item)
    for items in alike.values():
        first = items[0]
        why = f" ({first.words})" if first.words else ""
        age = _queued(first)["age"]
        if not first.run.handed.array:
            yield f"{first.run.name}  queued  {age}  {first.job}{why}"
            continue
        sweep, asked = first.run.record.sweep.get("id", ""), sum(1 for _ in read_asked(first.run.ticket))
        job = f"{first.run.handed.scheduler} job {first.run.task.job}"
        yield f"sweep {sweep}  {len(items)} of {count(asked, 'run')} queued  {age}  {job}{why}"


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

    from git_replicate.execution.hidden import secrets_in
    from git_replicate.execution.progress import last_line, latest_metrics, tail_of
    from git_replicate.execution.run import duration
    from git_replicate.execution.spool import TOLD_FILE

    started = run.record.started or datetime.now(UTC)
    age = (datetime.now(UTC) - started).total_seconds()
    tail = secrets_in(run.spool).mask(tail_of(run))
    facts: dict[str, Any] = {
        "run": run.name, "state": run.state, "started": started.isoformat(), "age": duration(max(age, 0.0)),
        "host": run.record.process.host, "command": list(run.record.command), "last_line": last_line(tail),
        "metrics": latest_metrics(run),
    }  # fmt: skip
    if run.session and (told := run.spool.read_json(TOLD_FILE)):
        facts["probe"] = told
    return {**facts, **_usage(run)}


def _facts_elsewhere(run: RunElsewhere) -> dict[str, Any]:
    from datetime import UTC, datetime

    from git_replicate.execution.run import duration

    record, now = run.record, datetime.now(UTC)
    age = (now - (record.started or now)).total_seconds()
    where = f" on {record.process.host}" if record.process.host else ""
    facts: dict[str, Any] = {
        "run": run.name, "state": f"{record.status}{where}", "started": (record.started or now).isoformat(),
        "age": duration(max(age, 0.0)), "host": record.process.host, "command": list(record.command),
        "seen": duration(max((now - run.seen).total_seconds(), 0.0)), "last_line": run.last_line,
        "metrics": dict(record.metrics),
    }  # fmt: skip
    return {**facts, "memory_bytes": record.process.peak_memory_bytes} if record.process.peak_memory_bytes else facts


def _usage(run: LiveRun) -> dict[str, Any]:
    """CPU and memory of the command and its children, if they are there to be asked; that it stands still, if so."""
    import psutil

    process = run.spool.read_json("process.json").get("command")
    if not process or run.alive not in ("recorder", "holder", "command"):
        return {}
    try:
        main = psutil.Process(process["pid"])
        family = [main, *main.children(recursive=True)]
        if main.status() == psutil.STATUS_STOPPED:
            return {"state": "stopped (Ctrl-Z)", "memory_bytes": sum(p.memory_info().rss for p in family)}
        seconds = sum(p.cpu_times().user + p.cpu_times().system for p in family)
        elapsed = max(_now() - main.create_time(), 0.01)
        return {"cpu_percent": 100 * seconds / elapsed, "memory_bytes": sum(p.memory_info().rss for p in family)}
    except psutil.Error:
        return {}


def _now() -> float:
    import time

    return time.time()
