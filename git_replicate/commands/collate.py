"""`git replicate collate`: many runs in one table."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from git_replicate.commands import _reading
from git_replicate.core import collate
from git_replicate.core.errors import GitError, UsageError, UserError
from git_replicate.core.query import parse_sort
from git_replicate.core.sizes import count
from git_replicate.core.table import Table, fold_constants, human, plain

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.store.indexing.index import Row

_DEFAULT_AGGREGATES = ("mean", "std", "n")
_MOST_CURVES = 2_000
"""Runs whose curves are compared, of those that ended with the same metrics."""
_MOST_TREES = 50
"""Snapshots of which it is asked how they differ."""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _reading.add_experiment(parser)
    _reading.add_choice(parser)
    add("--columns", metavar="NAMES", help="these columns, separated by commas")
    add("--group-by", metavar="NAMES", help="one row a group; params: every param but the seed")
    add("--aggregate", metavar="NAMES", help="of mean, std, n, ci95, min, max, median (default: mean,std,n)")
    add("--rows", metavar="NAMES", help="pivot: what the rows are")
    add("--cols", metavar="NAMES", help="pivot: what the columns are")
    add("--cell", metavar="METRIC", help="pivot: what the cells hold, mean ± std")
    add("-a", "--all", action="store_true", help="failed, running, invalid, archived and rerun runs as well")
    _reading.add_output(parser)


def execute(options: argparse.Namespace, context: Context) -> int:
    options.experiment = _reading.experiment(options)
    if bool(options.rows or options.cols) != bool(options.cell):
        raise UsageError(
            "--rows, --cols and --cell go together", "--rows params.lr --cols params.depth --cell accuracy"
        )
    if _write_listing(options, context):
        return 0
    rows = _choose(options, context)
    if not rows:
        _say_none(options, context)
    columns = _selections(options, context, rows)
    draws = options.format == "text"
    grouped = bool(options.group_by or options.cell)
    if draws and columns and not grouped and "id" not in columns:
        columns = ["id", *columns]  # rows that look alike are told apart
    table = _table(options, context, rows, columns)
    if rows or options.output or not draws:
        if draws and not grouped:
            table = _for_eyes(table, chosen=bool(options.columns))
        _reading.draw(
            context,
            options,
            fold_constants(table) if draws and rows and (options.group_by or not options.columns) else table,
        )
    if grouped:
        _compare_curves(context, rows)
        _compare_code(context, rows)
    for doubt in collate.doubts(rows) if grouped else ():
        context.console.say(f"note: {doubt}")
    return 0


def _write_listing(options: argparse.Namespace, context: Context) -> bool:
    """The answer for a machine that wants every run: of so many runs, none is made an object. False: it is not that."""
    names = _names(options.columns)
    if options.format != "csv" or options.group_by or options.cell or options.aggregate:
        return False
    if any(name.startswith("at(") for name in names):
        return False
    from git_replicate.render.csv_ import write

    full = [_full(context, name) for name in names]
    if options.all and any(row["status"] != "running" for row in _running(options, context)):
        return False  # as what it is shown is not in the index
    listing = context.index.listing(
        write,
        _where(options),
        columns=full or (*collate.FIRST, "params", "metrics"),
        sort=options.sort or ["started"],
        limit=options.limit,
        reason="NULL" if options.all else _WHY_NOT,
    )
    if listing is None:
        return False
    left = dict(listing.left_out)
    if left.pop("running", 0):
        for row in _running(options, context):
            left[row["status"]] = left.get(row["status"], 0) + 1
    _say_left_out(context, left)
    if not listing.count:
        _say_none(options, context)
    _reading.put(context, options, listing.text)
    return True


def _running(options: argparse.Namespace, context: Context) -> list[Row]:
    """The runs that count as running, as `_reading.present` shows them."""
    rows = context.index.select(_where(options, "status = 'running'"), columns=("host",))
    _reading.present(context, rows)
    return rows


def _say_none(options: argparse.Namespace, context: Context) -> None:
    """Say that there is nothing to collate; `UserError` where the experiment asked for is not there at all."""
    from git_replicate.store.lookup import check_experiment

    if options.experiment:
        check_experiment(context.index, options.experiment)
    context.console.say("no runs to collate" + ("" if options.all else "; --all takes failed ones as well"))


def _say_left_out(context: Context, left: Mapping[str, int]) -> None:
    if left:
        counts = ", ".join(_counted(number, reason) for reason, number in sorted(left.items()))
        context.console.say(f"note: left out: {counts} (--all takes them)")


def _for_eyes(table: Table, *, chosen: bool) -> Table:
    """The table with ids as short as they are typed and times by the person's clock; without times not asked for."""
    from datetime import datetime

    def shown(name: str, value: Any) -> Any:
        if name == "id" and value:
            return _reading.short_id(value)
        if name in ("started", "finished") and value:
            return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return value

    kept = [i for i, name in enumerate(table.columns) if chosen or name != "started"]
    columns = tuple(table.columns[i] for i in kept)
    rows = tuple(tuple(shown(table.columns[i], row[i]) for i in kept) for row in table.rows)
    return replace(table, columns=columns, rows=rows)


def _compare_curves(context: Context, rows: Sequence[Row]) -> None:
    """Give equal curves one name: their files differ in when the points were seen."""
    from git_replicate.capture.curves import Curves

    twins = collate.alike(rows)[:_MOST_CURVES]
    for row, text in zip(twins, context.index.curves(twins), strict=True):
        if text is not None:
            row["curves"] = hash(tuple((p.step, p.metric, repr(p.value)) for p in Curves.from_csv(text)))


def _compare_code(context: Context, rows: Sequence[Row]) -> None:
    """Give snapshots one name that differ in declared params files and data alone, which are told by themselves."""
    from git_replicate.core.paths import lies_in
    from git_replicate.git.changed import changed_paths

    settings = context.settings
    declared = (*settings.params.files, *settings.data.paths)
    trees = list(dict.fromkeys(row["tree"] for row in rows if row.get("tree")))
    if not declared or not 1 < len(trees) <= _MOST_TREES:
        return
    names = {}
    for tree in trees:
        try:
            changed = changed_paths(context.repository.layout, trees[0], tree)
        except GitError:
            return  # not all of the code is in this clone
        names[tree] = repr([each for each in changed if not lies_in(each.path, declared)])
    for row in rows:
        row["tree"] = names.get(row.get("tree"), row.get("tree"))


def _choose(options: argparse.Namespace, context: Context) -> list[Row]:
    """The runs that count, and a word on those that do not."""
    rows = context.index.select(
        _where(options), sort=options.sort or ["started"], columns=(*_READ, *_asked(options, context))
    )
    _reading.present(context, rows)
    if not options.all:
        kept = []
        left: dict[str, int] = {}
        for row in rows:
            reason = _why_not(row)
            if reason:
                left[reason] = left.get(reason, 0) + 1
            else:
                kept.append(row)
        _say_left_out(context, left)
        rows = kept
    return rows[: options.limit] if options.limit is not None else rows


def _where(options: argparse.Namespace, *conditions: str) -> str | None:
    from git_replicate.core.query import all_of, quote

    parts = [f"experiment = {quote(options.experiment)}"] if options.experiment else []
    return all_of([*parts, *conditions], options.where)


def _asked(options: argparse.Namespace, context: Context) -> list[str]:
    """Every name on the command line that is a column of the index."""
    keys = [name for text in (options.group_by, options.rows, options.cols) for name in _names(text)]
    for key in keys:
        _check_key(context, key)
    names = [*_names(options.columns), *keys, *_names(options.cell)]
    return [_full(context, name) for name in names if name != "params" and not name.startswith("at(")]


def _check_key(context: Context, name: str) -> None:
    """`UserError` for what no run can be grouped by; the word that stands for every param is not far from a slip."""
    try:
        if name != "params" and not name.startswith("at("):
            _full(context, name)
    except UserError as error:
        if difflib.get_close_matches(name, ["params"], 1, 0.75):
            raise UserError(error.message, "did you mean params?") from error
        raise


def _counted(number: int, reason: str) -> str:
    """`2 failed`, `1 rerun`."""
    return count(number, reason) if reason == "rerun" else f"{number:,} {reason}"


def _why_not(row: Row) -> str:
    if row["status"] != "finished":
        return str(row["status"])
    return next((name for name, key in _MARKS if row.get(key)), "")


_READ = (
    *collate.FIRST, "invalid", "superseded_by", "archived", "rerun_of", "mixed", "leaked", "host", "pid", "boot_id",
    "tree", "data", "environment", "curves", "params", "metrics",
)  # fmt: skip
"""What this command looks at, besides the columns asked for by name."""
_MARKS = (("invalid", "invalid"), ("superseded", "superseded_by"), ("archived", "archived"), ("rerun", "rerun_of"),
          ("mixed", "mixed"), ("leaked", "leaked"))  # fmt: skip
_WHY_NOT = " ".join([
    "CASE WHEN runs.status <> 'finished' THEN runs.status",
    *(f"WHEN coalesce(runs.{key}, '') <> '' THEN '{name}'" for name, key in _MARKS), "END",
])  # fmt: skip
"""`_why_not` as the index's own SQL."""


def _names(text: str | None) -> list[str]:
    """Names separated by commas, those inside brackets left alone."""
    names, depth, word = [], 0, ""
    for character in text or "":
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            names.append(word.strip())
            word = ""
        else:
            word += character
    return [name for name in (*names, word.strip()) if name]


def _selections(options: argparse.Namespace, context: Context, rows: Sequence[Row]) -> list[str]:
    """The full names of the columns asked for; `at(…)` columns are worked out and put into the rows."""
    from git_replicate.commands.selection import fill_selection

    names = _names(options.columns) + ([options.cell] if options.cell else [])
    full = []
    for name in names:
        if name.startswith("at("):
            fill_selection(context, rows, name)
            full.append(f"metrics.{name}")
        else:
            full.append(_full(context, name))
    return full


def _full(context: Context, name: str) -> str:
    """A name as the index calls it; an unknown one is an error with a suggestion."""
    return context.index.resolve(name).name


def _table(options: argparse.Namespace, context: Context, rows: Sequence[Row], columns: Sequence[str]) -> Table:
    def full(text: str | None, *, beside: str | None = None) -> list[str]:
        names, others = (
            [name if name == "params" else _full(context, name) for name in _names(listed)] for listed in (text, beside)
        )
        return collate.group_keys(rows, names, context.settings.params.ignore, others=others)

    if options.cell:
        lines = full(options.rows, beside=options.cols)
        heads = full(options.cols, beside=",".join(lines))
        return collate.pivot(rows, lines, heads, columns[-1], human if options.format == "text" else plain)
    if options.group_by:
        metrics = [name for name in columns if name.startswith("metrics.")] or sorted(
            {name for row in rows for name in row if name.startswith("metrics.")}
        )
        functions = _names(options.aggregate)
        compact = options.format != "csv" and not options.format.startswith("json") and not functions
        return collate.aggregate(
            rows,
            full(options.group_by),
            metrics,
            functions or _DEFAULT_AGGREGATES,
            compact=compact,
            order=[(_full(context, name), falls) for name, falls in map(parse_sort, options.sort or ())],
        )
    if options.aggregate:
        raise UsageError("--aggregate needs --group-by", "--group-by params")
    return collate.plain_table(rows, columns or collate.every_column(rows))
