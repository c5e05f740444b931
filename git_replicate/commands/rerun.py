"""`git replicate rerun`: run what a run ran again, and tell whether it came out the same."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from git_replicate.commands import _bugs, _reading, _running
from git_replicate.core.errors import ReplicateError, UsageError, UserError
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_replicate.commands.context import Context
    from git_replicate.execution.replication.rerun import Changes, Rerun
    from git_replicate.store.indexing.index import Row


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("runs", metavar="RUN", nargs="*", help="runs; with --affected FILE[:LINES], as affected takes it")
    add("--affected", action="store_true", help="the runs that affected names; with --onto they are superseded")
    _bugs.add_options(parser)
    add("--set", metavar="NAME=VALUE", action="append", default=[], help="change one param; repeatable")
    add("--seeds", metavar="N", type=_count, default=0, help="run N times with fresh seeds and show the spread")
    add("--onto", metavar="COMMIT", help="on the code of another commit")
    add(
        "--env", choices=("current", "recorded", "strict"), default="current",
        help="current (the default): what is there, differences listed; recorded: build it; strict: refuse others",
    )  # fmt: skip
    add(
        "--rtol",
        metavar="X",
        type=_reading.tolerance,
        help="relative difference of a metric that still counts as the same",
    )
    add("--atol", metavar="X", type=_reading.tolerance, help="absolute difference that still counts as the same")
    add("--allow-different-data", action="store_true", help="run even if data is not what it was")
    add("--online", action="store_true", help="let other trackers send their runs")
    add("--yes", action="store_true", help="do not ask before running what somebody else recorded")
    _reading.add_output(parser, ("text", "json"))


def _count(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs from 1 to 10000")
    return int(text)


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.core.verdict import Outcome

    rows = _rows(options, context)
    changes = _changes(options, context)
    _running.confirm(context, rows, yes=options.yes)
    found: list[Rerun] = []
    failed = False
    for row in rows:
        try:
            reruns = _rerun(context, row, changes)
            found += reruns
            if options.affected and changes.onto:
                _supersede(context, row, reruns)
        except ReplicateError as error:
            failed = True
            context.console.fail(error)
        if found and found[-1].record.status == "interrupted":
            raise KeyboardInterrupt
    compared = bool(options.set or options.seeds)
    _show(context, options, found)
    outcomes = {item.verdict.outcome for item in found}
    if failed or (Outcome.NONE in outcomes and not compared):
        return 1
    return 3 if Outcome.DIFFERS in outcomes and not compared else 0


def _rows(options: argparse.Namespace, context: Context) -> list[Row]:
    """The runs named, or those that contain the bug named and are not replaced yet."""
    if not options.affected:
        if options.introduced_by or options.fixed_by:
            raise UsageError("--introduced-by and --fixed-by go with --affected", "git replicate rerun -h")
        if not options.runs:
            raise UsageError("which run?", "git replicate rerun latest")
        return [_reading.find(context, name) for name in options.runs]
    from git_replicate.core.containment import Presence

    listed, _ = _bugs.find(context, options, options.runs, None, reruns=False)
    surely = [each for each in listed if each.presence in (Presence.YES, Presence.MAYBE) and each.executed is not False]
    rows = [dict(each.row) for each in surely if not each.row.get("superseded_by") and not each.row.get("invalid")]
    left = len(listed) - len(rows)
    more = f"; {left} that did not run it, are superseded or not known are left out" if left else ""
    context.console.say(f"{count(len(rows), 'affected run')} to make again{more}")
    return rows


def _supersede(context: Context, row: Row, reruns: Sequence[Rerun]) -> None:
    """Say of a run that contained a bug which run on fixed code is in its place."""
    from git_replicate.core.record import Status
    from git_replicate.store.annotations import Change, append
    from git_replicate.store.store import start_of

    done = [item.record for item in reruns if item.record.status is Status.FINISHED]
    if done:
        name = f"{done[-1].experiment}/{done[-1].id}"
        start = start_of(context.writer, row["oid"])
        append(context.writer, {start: [Change("superseded_by", name)]}, actor=context.config.identity())


def _changes(options: argparse.Namespace, context: Context) -> Changes:
    from git_replicate.capture.params import parse_assignment
    from git_replicate.core.settings import Tolerance
    from git_replicate.execution.replication.rerun import Changes

    given = None
    if options.rtol is not None or options.atol is not None:
        given = Tolerance(options.rtol or 0.0, options.atol or 0.0)
    onto = None
    if options.onto:
        onto = context.repository.resolve(options.onto)
        if onto is None:
            raise UserError(f"no commit is called {options.onto!r}", "git log --oneline")
    return Changes(
        params=dict(parse_assignment(text) for text in options.set),
        seeds=options.seeds,
        onto=onto,
        environment=options.env,
        different_data=options.allow_different_data,
        online=options.online,
        given=given,
    )


def _rerun(context: Context, row: Row, changes: Changes) -> list[Rerun]:
    from git_replicate.execution.place import Place
    from git_replicate.execution.replication.rerun import rerun

    console = context.console
    place = Place(context.writer, context.config, context.settings, console.say, console.warn)
    with console.child_on_stderr():
        return rerun(row["oid"], place, changes)


def _show(context: Context, options: argparse.Namespace, found: Sequence[Rerun]) -> None:
    from git_replicate.core.samples import describe_sets
    from git_replicate.core.verdict import describe_verdict

    sets = _statistics(context, found) if options.seeds else {}
    if options.format == "json":
        from git_replicate.render import json_

        answer: list[dict[str, Any]] = [
            {"run": item.record.id, "rerun_of": item.record.rerun_of, **item.verdict.as_document(),
             **({"statistics": sets[item.record.rerun_of]} if item.record.rerun_of in sets else {})}
            for item in found
        ]  # fmt: skip
        _reading.put(context, options, json_.dump(answer))
        return
    lines = []
    for name, statistics in sets.items():
        fresh = sum(item.record.rerun_of == name for item in found)
        lines += [f"{name} over {count(fresh, 'fresh seed')}", *describe_sets(statistics)]
    for item in found if not options.seeds else ():
        first, *rest = describe_verdict(item.verdict.as_document())
        lines += [f"{item.record.rerun_of}: {first}", *rest]
    _reading.put(context, options, "\n".join(context.console.style(line) for line in lines) + "\n" * bool(lines))


def _statistics(context: Context, found: Sequence[Rerun]) -> dict[str, dict[str, dict[str, Any]]]:
    """For each original, its runs of other seeds before, held against the fresh ones, by metric."""
    from git_replicate.core.pairing import alike, values_of
    from git_replicate.core.query import quote
    from git_replicate.core.samples import compare_sets

    by_original: dict[str, list[Rerun]] = {}
    for item in found:
        by_original.setdefault(item.record.rerun_of, []).append(item)
    answer = {}
    for name, items in by_original.items():
        original = items[0].original
        fresh = {item.record.id for item in items}
        condition = f"experiment = {quote(original.experiment)} and status = 'finished'"
        rows = [row for row in context.index.select(condition) if row["id"] not in fresh and not row.get("invalid")]
        own = next((row for row in rows if row["id"] == original.id), None)
        before = alike(own, rows, ignore=context.settings.params.ignore) if own else []
        answer[name] = {
            metric: compare_sets(
                values_of(before, metric) or [float(value)],
                [float(item.record.metrics[metric]) for item in items if metric in item.record.metrics],
            )
            for metric, value in original.metrics.items()
        }
    return answer
