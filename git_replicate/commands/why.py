"""`git replicate why A B`: what differs between two runs, ranked; with `--bisect`, what of it makes the difference."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from git_replicate.commands import _reading, _running
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from git_replicate.commands.context import Context
    from git_replicate.core.causes import Cause
    from git_replicate.core.verdict import Side, Verdict
    from git_replicate.execution.replication.bisect import Proof
    from git_replicate.execution.replication.hybrids import Hybrid
    from git_replicate.store.indexing.index import Row


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help="a run")
    parser.add_argument("second", metavar="B", help="another run")
    parser.add_argument("--metric", metavar="NAME", default="", help="the metric to speak of (default: all)")
    parser.add_argument(
        "--bisect", action="store_true", help="prove it: run A with parts of B until the smallest cause is found"
    )
    parser.add_argument(
        "--env", choices=("current", "recorded"), default="current",
        help="with --bisect: in the environment that is here, or in A's built again (if A's and B's are the same)",
    )  # fmt: skip
    parser.add_argument(
        "--same-seed",
        action="store_true",
        help="with --bisect: at A's seed alone, though other seeds may differ as much",
    )
    parser.add_argument("--yes", action="store_true", help="with --bisect: do not ask before running somebody else's")
    _reading.add_output(parser, ("text", "json"))


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.core.errors import UserError
    from git_replicate.core.verdict import Tolerances, compare_runs
    from git_replicate.execution.replication.sides import causes_between, read_side

    rows = [_reading.find(context, name) for name in (options.first, options.second)]
    first, second = (read_side(context.repository, row["oid"]) for row in rows)
    known = {*first.record.metrics, *second.record.metrics}
    if options.metric and options.metric not in known:
        raise UserError(f"neither run has the metric {options.metric!r}", f"they have: {', '.join(sorted(known))}")
    if options.bisect:
        return _bisect(options, context, rows, first, second)
    settings = context.settings
    causes = causes_between(context.repository, first, second, not_code=settings.params.files)
    verdict = compare_runs(first, second, Tolerances(settings.tolerance), ignore=settings.outputs.ignore)
    moved = {name: entry for name, entry in verdict.metrics.items() if entry["outcome"] != "identical"}
    if options.metric:
        moved = {name: entry for name, entry in moved.items() if name == options.metric}
    if options.format == "json":
        from git_replicate.render import json_

        answer = {
            "outcome": "ranked" if causes else "same",
            "metric": options.metric or next(iter(moved), ""),
            "causes": [cause.as_document() for cause in causes],
        }
        _reading.put(context, options, json_.dump(answer))
        return 0
    lines = _results(context, verdict, known, options.metric)
    lines += _describe(context, causes, moved=verdict.outcome in ("within-tolerance", "differs"))
    _reading.put(context, options, "\n".join(lines) + "\n")
    return 0


def _results(context: Context, verdict: Verdict, known: Collection[str], metric: str) -> list[str]:
    """How the results of the two runs compare, as lines; metric: the only one to speak of."""
    style = context.console.style
    if verdict.outcome == "none":
        return [style(verdict.reason)]
    moved = {name: entry for name, entry in verdict.metrics.items() if entry["outcome"] != "identical"}
    lines = [
        f"{style(name)}: {style(str(entry.get('original', 'absent')))} -> {style(str(entry.get('rerun', 'absent')))}"
        for name, entry in moved.items()
        if metric in (name, "")
    ]
    lines += [
        f"{style(name)}: the same at the end, but parts at step {entry['first_divergence']}"
        for name, entry in verdict.curves.items()
        if "first_divergence" in entry and name not in moved and metric in (name, "")
    ]
    if not metric:
        lines += [f"{style(path)}: {style(how)}" for path, how in verdict.outputs.items() if how != "identical"]
    if lines or not known:
        printed = f"; what was printed {'is the same' if verdict.log == 'identical' else verdict.log}"
        return lines or ["there are no metrics to compare" + printed * bool(verdict.log)]
    return [f"{style(metric)} is identical" if metric else "the metrics are identical"]


def _describe(context: Context, causes: Sequence[Cause], *, moved: bool) -> list[str]:
    from git_replicate.core.verdict import brief

    style = context.console.style
    if not causes:
        return ["nothing that is recorded differs" + " but the results" * moved]
    lines = [style("what differs, likeliest first", "bold")]
    width = max(len(cause.kind) for cause in causes)
    for cause in causes:
        sides = " -> ".join(map(brief, (cause.first, cause.second)))
        note = f"  ({cause.note})" if cause.note else ""
        lines.append(f"  {cause.score:.2f}  {cause.kind.ljust(width)}  {style(cause.name)}  {style(sides)}{note}")
    return lines


def _bisect(options: argparse.Namespace, context: Context, rows: Sequence[Row], first: Side, second: Side) -> int:
    from git_replicate.core.query import quote
    from git_replicate.execution.place import Place
    from git_replicate.execution.replication.bisect import bisect, describe_value
    from git_replicate.execution.replication.hybrids import describe_parts

    console = context.console
    _running.confirm(context, rows, yes=options.yes)
    place = Place(context.writer, context.config, context.settings, console.say, console.warn)
    name = f"{first.record.experiment}/{first.record.id}"
    other = f"{second.record.experiment}/{second.record.id}"
    console.say(f"A is {name}, B is {other}")
    reruns = context.index.documents(context.index.select("rerun_of = " + quote(name)))

    def tell(hybrid: Hybrid, like: bool | None) -> None:
        likeness = {True: "like B", False: "like A", None: "like neither"}[like]
        known = " (run before)" if hybrid.reused else ""
        parts = describe_parts(hybrid.parts, hybrid.seed, second="B")
        console.say(f"A {parts}: {describe_value(hybrid.result)}, {likeness}{known}")

    with _told_how_to_go_on(context, first.record.id, second.record.id), console.child_unseen():
        proof = bisect(
            first, second, place, metric=options.metric, environment=options.env, one_seed=options.same_seed,
            known=[document for document in reruns if document.get("hybrid")], tell=tell,
        )  # fmt: skip
    if options.format == "json":
        from git_replicate.render import json_

        _reading.put(context, options, json_.dump(_document(proof)))
    else:
        _reading.put(context, options, _describe_proof(context, proof))
    return 0


@contextlib.contextmanager
def _told_how_to_go_on(context: Context, first: str, second: str) -> Iterator[None]:
    """Where the search is interrupted: `latest` may mean another run by then."""
    try:
        yield
    except KeyboardInterrupt:
        context.console.say(f"to go on: git replicate why --bisect {first} {second}")
        raise


def _document(proof: Proof) -> dict[str, Any]:
    causes = [
        {**cause.as_document(), **({"lines": part.lines} if part.lines else {})}
        for cause, part in zip(proof.causes, proof.parts, strict=True)
    ]
    answer: dict[str, Any] = {"outcome": proof.outcome, "metric": proof.metric, "causes": causes}
    more = {"reason": proof.reason, "runs": [hybrid.run for hybrid in proof.hybrids if hybrid.run]}
    return {**answer, **more, **({"noise": dict(proof.noise)} if proof.noise else {})}


def _describe_proof(context: Context, proof: Proof) -> str:
    from git_replicate.core.verdict import brief

    style = context.console.style
    runs = len({hybrid.run for hybrid in proof.hybrids if hybrid.run})
    words = {"not-reproduced": "the difference does not come again", "noise": "noise", "same": "the same"}
    lines = [f"{style(words.get(proof.outcome, proof.outcome), 'bold')}: {style(proof.reason)}"]
    for part in proof.parts:
        where = part.name + (f":{part.lines}" if part.lines else "")
        lines += [f"  {part.kind} {style(where, 'yellow')}"]
        sides = (("-", part.first, "red"), ("+", part.second, "green"))
        lines += [style(f"    {sign} {brief(value)}", color) for sign, value, color in sides if value is not None]
    if proof.noise:
        lines.append(f"noise: standard deviation {proof.noise['std']:.3g} over {count(int(proof.noise['n']), 'run')}")
    if runs:
        of = f" of {style(proof.metric)}" if proof.metric else ""
        lines.append(f"by {count(runs, 'run')}{of} (git replicate log --all shows them)")
    return "\n".join(lines) + "\n"
