"""`git replicate check`: which results moved between two code bases, by their recorded runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from git_replicate.commands import _reading
from git_replicate.core.errors import UserError
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.core.pairing import Matches
    from git_replicate.execution.replication.checking import Checked, Row

_COLUMNS = ("run", "was", "name", "from", "to", "change", "parts at", "notes")


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--against", metavar="REF", default="", help="the other code (default: the upstream, the main branch, HEAD~1)")
    add("--where", metavar="EXPR", help="only runs for which an SQL expression holds")
    add("--rtol", metavar="X", type=_reading.tolerance, help="relative difference that still counts as the same")
    add("--atol", metavar="X", type=_reading.tolerance, help="absolute difference that still counts as the same")
    _reading.add_output(parser)


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.core.settings import Tolerance
    from git_replicate.core.table import Table
    from git_replicate.execution.replication.checking import compare_matches, default_reference

    name = options.against or default_reference(context.repository)
    matches = _matches(context, options, name)
    given = None
    if options.rtol is not None or options.atol is not None:
        given = Tolerance(options.rtol or 0.0, options.atol or 0.0)
    checked = compare_matches(context.repository, matches.pairs, context.settings, given)
    moved = [each for each in checked if each.outcome == "differs"]
    if options.format == "json":
        from git_replicate.render import json_

        _reading.put(context, options, json_.dump(_document(name, checked, matches)))
    elif moved or options.format != "text":
        lines = [line for each in moved for line in _lines(each)]
        _reading.draw(context, options, Table(_COLUMNS, tuple(lines)))
    _summary(context, name, checked, matches)
    return 3 if moved else 0


def _matches(context: Context, options: argparse.Namespace, name: str) -> Matches:
    """The pairs of runs; `UserError` if there is nothing to compare."""
    from git_replicate.execution.replication.checking import match_runs

    repo = context.repository
    head, reference = repo.head()[0], repo.resolve(name)
    if reference is None:
        raise UserError(f"no commit is called {name!r}", "git log --oneline")
    if head is None:
        raise UserError("there is no commit yet", "git commit, then run something")
    rows = [row for row in context.index.select(options.where) if not row.get("hybrid")]
    matches = match_runs(repo, rows, head, reference, context.settings)
    if not matches.pairs:
        theirs = matches.alone[0]
        hint = f"git replicate rerun {theirs[0]['id']} --onto HEAD" if theirs else "git replicate log"
        raise UserError(f"no run of HEAD has a partner among those of {name}", hint)
    return matches


def _name(rows: Sequence[Row]) -> str:
    first = f"{rows[0]['experiment']}/{rows[0]['id']}"
    return first if len(rows) == 1 else f"{first} and {len(rows) - 1} more"


def _lines(checked: Checked) -> Iterator[tuple[Any, ...]]:
    """A line for each metric, curve and output that is not the same."""
    ours, theirs = _name(checked.match.second), _name(checked.match.first)
    notes = ", ".join(checked.notes) or None
    curves = checked.verdict.get("curves", {})
    metrics = checked.verdict.get("metrics", {})
    said = False
    for name in dict.fromkeys([*metrics, *curves]):
        entry, curve = metrics.get(name, {}), curves.get(name, {})
        if "differs" in (entry.get("outcome"), curve.get("outcome")):
            a, b = entry.get("original"), entry.get("rerun")
            change = b - a if a is not None and b is not None else None
            yield ours, theirs, name, a, b, change, curve.get("first_divergence"), notes
            said = True
    for path, outcome in checked.verdict.get("outputs", {}).items():
        if outcome == "differs":
            yield ours, theirs, path, None, None, None, None, notes
            said = True
    if not said:
        yield ours, theirs, checked.verdict.get("reason") or "what was printed", None, None, None, None, notes


def _document(name: str, checked: Sequence[Checked], matches: Matches) -> dict[str, Any]:
    def names(rows: Sequence[Row]) -> list[str]:
        return [f"{row['experiment']}/{row['id']}" for row in rows]

    pairs = [
        {
            **each.verdict, "runs": names(each.match.second), "against": names(each.match.first),
            "same_seed": each.match.same_seed, "notes": list(each.notes),
        }
        for each in checked
    ]  # fmt: skip
    alone = {"here": names(matches.alone[1]), "against": names(matches.alone[0])}
    return {"against": name, "pairs": pairs, "unpaired": alone}


def _summary(context: Context, name: str, checked: Sequence[Checked], matches: Matches) -> None:
    counts: dict[str, int] = {}
    for each in checked:
        counts[str(each.outcome)] = counts.get(str(each.outcome), 0) + 1
    words = {"identical": "identical", "within-tolerance": "within tolerance", "differs": "moved", "none": "undecided"}
    said = ", ".join(f"{counts[key]} {words[key]}" for key in words if key in counts)
    context.console.say(f"{count(len(checked), 'pair')} against {name}: {said}")
    theirs, ours = matches.alone
    if theirs or ours:
        context.console.say(f"without a partner: {len(ours)} of HEAD, {len(theirs)} of {name}")
    if theirs:
        context.console.say(f"to make one: git replicate rerun {theirs[0]['id']} --onto HEAD")
