"""`git replicate show`: one run in full."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

from git_replicate.commands import _reading

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.store.indexing.index import Row

_FOLDED = ("tags", "comment", "archived", "invalid", "superseded_by")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", default="latest", help="a run (default: the latest)")
    parser.add_argument("--curves", action="store_true", help="the metrics' whole history")
    parser.add_argument("--log", action="store_true", help="what the command printed")
    _reading.add_output(parser, ("text", "json"))


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.store.store import read_files

    row = _reading.find(context, options.run)
    if _reading.present(context, [row]):
        _reading.say_what_is_left(context)
    files = read_files(context.repository, row["oid"])
    log, points, measured = _so_far(context, row) or (files.log or b"", files.metrics_csv, {})
    if options.log:
        context.console.answer(log.decode(errors="replace"), page=True)
        return 0
    document = next(context.index.documents([row]))
    document.update({"status": row["status"], **measured})
    document.update({name: _folded(row, name) for name in _FOLDED if name in row})
    document["environment"] = _toml(files.environment)
    document.update(_toml(files.data))
    for name, stage in document.get("stages", {}).items():
        stage["reused"] = name not in document.get("stages_run", ())
    curves = _curves(points) if options.curves else {}
    if options.format == "json":
        from git_replicate.render import json_

        if options.curves:
            document["curves"] = curves
        _reading.put(context, options, json_.dump(document))
        return 0
    _reading.put(
        context, options, _describe(context, document, curves, None if options.output else context.console.width)
    )
    return 0


def _so_far(context: Context, row: Row) -> tuple[bytes, bytes, dict[str, Any]] | None:
    """Log, curves and metrics of a run of this machine that goes on, or waits for `recover`; None for all others."""
    if row["status"] not in ("running", "lost"):
        return None
    from git_replicate.execution.progress import printed_and_measured
    from git_replicate.execution.recover import live_runs

    run = next((run for run in live_runs(context.repository) if run.record.id == row["id"]), None)
    if run is None:
        return None
    log, metrics = printed_and_measured(run)
    return log, metrics.curves.csv(), {"metrics": metrics.values, "metrics_source": metrics.source}


def _folded(row: Row, name: str) -> Any:
    return json.loads(row[name]) if name == "tags" else bool(row[name]) if name == "archived" else row[name]


def _toml(text: bytes | None) -> dict[str, Any]:
    import tomli

    return tomli.loads(text.decode()) if text else {}


def _curves(text: bytes | None) -> dict[str, list[dict[str, Any]]]:
    """Metric to its points: step, time, value."""
    from git_replicate.capture.curves import Curves

    found: dict[str, list[dict[str, Any]]] = {}
    for point in Curves.from_csv(text) if text else ():
        found.setdefault(point.metric, []).append({"step": point.step, "time": point.time, "value": point.value})
    return found


def _describe(
    context: Context, document: dict[str, Any], curves: dict[str, list[dict[str, Any]]], width: int | None
) -> str:
    from git_replicate.render.details import describe_run

    git_dir = os.path.relpath(context.repository.layout.common_dir)
    return describe_run(document, curves, context.console.style, git_dir, width)
