"""Whether a run came out like another: identical, within tolerance, or different, and from which step on.

Values are compared as `|a - b| <= atol + rtol * |a|`, where a is the original's; NaN equals NaN. Nothing is decided
about why they differ: that is `core.causes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

from git_replicate.core.frozen import frozen
from git_replicate.core.printed import describe_difference, first_difference, only_times, same_printed
from git_replicate.core.record import Record, Status
from git_replicate.core.settings import Tolerance
from git_replicate.core.table import same

Curve = Sequence[tuple[int | None, float | int]]
"""The (step, value) pairs of one metric, in order."""

OTHER_HARDWARE: Final = Tolerance(rtol=1e-3)
_HARDWARE: Final = ("cpu", "gpu", "gpus", "driver")


class Outcome(StrEnum):
    """What a comparison came to; the order is that of severity."""

    IDENTICAL = "identical"
    WITHIN = "within-tolerance"
    DIFFERS = "differs"
    NONE = "none"  # there is nothing that could be compared, or it must not be


_SEVERITY: Final = tuple(Outcome)


@frozen
class Side:
    """One of two runs, with what its record keeps beside it."""

    record: Record
    curves: Mapping[str, Curve] = field(default_factory=dict)
    log: bytes = b""
    environment: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    stages: Mapping[str, Any] = field(default_factory=dict)
    tops: tuple[str, ...] = ()
    """Worktrees in which the run may have been: it may have printed paths in them."""


@frozen
class Tolerances:
    """By metric, and for all others; `given` overrides both."""

    named: Mapping[str, Tolerance] = field(default_factory=dict)
    given: Tolerance | None = None
    default: Tolerance = Tolerance()

    def of(self, metric: str) -> Tolerance:
        return self.named.get(metric, self.given or self.default)


@frozen
class Verdict:
    """How a run compares with its original; `as_document` is its form in a record."""

    outcome: Outcome
    reason: str = ""
    against: str = ""
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    causes: tuple[Mapping[str, Any], ...] = ()
    printed: Mapping[str, str] = field(default_factory=dict)
    """The first lines that differ, where all that is compared is the same."""
    unkept: tuple[str, ...] = ()
    """What the original was given and no record holds."""

    def as_document(self) -> dict[str, Any]:
        """The verdict without what is empty."""
        parts = {
            "outcome": str(self.outcome), "reason": self.reason, "against": self.against, "metrics": dict(self.metrics),
            "curves": dict(self.curves), "outputs": dict(self.outputs), "log": self.log,
            "printed": dict(self.printed), "unkept": list(self.unkept),
            "causes": [{name: value for name, value in cause.items() if value is not None} for cause in self.causes],
        }  # fmt: skip
        return {name: value for name, value in parts.items() if value}


def same_hardware(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two recorded environments name the same processor, accelerators and driver."""
    return all(first.get(name) == second.get(name) for name in _HARDWARE)


def compare_runs(original: Side, again: Side, tolerances: Tolerances, *, ignore: Sequence[str] = ()) -> Verdict:
    """Compare metrics, curves and outputs; where there are neither, what the commands printed.

    ignore: globs over output paths that do not count.
    """
    first, second = original.record, again.record
    name = f"{first.experiment}/{first.id}"
    if second.code.leaked:
        return Verdict(Outcome.NONE, "the run read files of the worktree instead of the checkout's", name)
    if first.status not in (Status.FINISHED, Status.FAILED):
        return Verdict(Outcome.NONE, f"the original is {first.status}: there is no result to compare with", name)
    if second.status not in (Status.FINISHED, Status.FAILED):
        return Verdict(Outcome.NONE, f"the run is {second.status}", name)
    metrics = {
        metric: _compare_metric(metric, first.metrics.get(metric), second.metrics.get(metric), tolerances)
        for metric in sorted({*first.metrics, *second.metrics})
    }
    curves = {
        metric: _compare_curve(original.curves[metric], again.curves[metric], tolerances.of(metric))
        for metric in sorted(original.curves.keys() & again.curves.keys())
        if len(original.curves[metric]) > 1 or len(again.curves[metric]) > 1
    }
    outputs = _compare_outputs(first, second, ignore)
    found = [Outcome(entry["outcome"]) for entry in (*metrics.values(), *curves.values())]
    found += [Outcome(outcome) for outcome in outputs.values()]
    log, reason = "", ""
    tops = {*original.tops, *again.tops}
    if not found:
        same_lines = same_printed(original.log, again.log, tops)
        log = str(Outcome.IDENTICAL if same_lines else Outcome.DIFFERS)
        found = [Outcome(log)]
    if _ending(first) != _ending(second):
        reason = f"the original {_ending(first)}, the run {_ending(second)}"
        found.append(Outcome.DIFFERS)
    worst = max(found, key=_SEVERITY.index)
    if worst is not Outcome.DIFFERS and _ending(first) != "finished":
        reason = f"both {_ending(first).replace('was ', 'were ')}"
    printed: dict[str, str] = {}
    if log == Outcome.DIFFERS:
        printed = first_difference(original.log, again.log, tops) or only_times(original.log, again.log)
    elif not log and worst is not Outcome.DIFFERS:
        printed = first_difference(original.log, again.log, tops)
    unkept = ("standard input",) if first.stdin.get("kind") == "pipe" else ()
    return Verdict(worst, reason, name, metrics, curves, outputs, log, printed=printed, unkept=unkept)


def _ending(record: Record) -> str:
    if record.signal:
        return f"was ended by {record.signal}"
    return "finished" if record.exit_code == 0 else f"failed with exit {record.exit_code}"


def _compare_metric(metric: str, first: Any, second: Any, tolerances: Tolerances) -> dict[str, Any]:
    sides = {"original": first, "rerun": second}
    entry: dict[str, Any] = {name: value for name, value in sides.items() if value is not None}
    if first is None or second is None:
        return {"outcome": str(Outcome.DIFFERS), **entry}
    return {"outcome": str(compare_values(first, second, tolerances.of(metric))), **entry}


def compare_values(first: float, second: float, tolerance: Tolerance) -> Outcome:
    """Two numbers; infinities are equal or differ."""
    if same(first, second):
        return Outcome.IDENTICAL
    difference = abs(first - second)
    close = difference == difference and difference <= tolerance.atol + tolerance.rtol * abs(first)
    return Outcome.WITHIN if close and difference != float("inf") else Outcome.DIFFERS


def _compare_curve(first: Curve, second: Curve, tolerance: Tolerance) -> dict[str, Any]:
    """The worst of all points, and the first at which the curves part (its step, or its number where it has none)."""
    worst = Outcome.IDENTICAL
    for number, ((step, a), (other, b)) in enumerate(zip(first, second, strict=False)):
        outcome = Outcome.DIFFERS if step != other else compare_values(a, b, tolerance)
        worst = max(worst, outcome, key=_SEVERITY.index)
        if outcome is Outcome.DIFFERS:
            return {
                "outcome": str(worst), "first_divergence": number if step is None else step, "original": a, "rerun": b,
            }  # fmt: skip
    if len(first) != len(second):
        shorter, longer = sorted((first, second), key=len)
        step = longer[len(shorter)][0]
        return {"outcome": str(Outcome.DIFFERS), "first_divergence": len(shorter) if step is None else step}
    return {"outcome": str(worst)}


def _compare_outputs(first: Record, second: Record, ignore: Sequence[str]) -> dict[str, str]:
    paths = sorted({*first.outputs, *second.outputs})
    found = {}
    for path in paths:
        if any(_matches(path, pattern) for pattern in ignore):
            continue
        a, b = first.outputs.get(path), second.outputs.get(path)
        equal = a is not None and b is not None and a.hash == b.hash
        found[path] = str(Outcome.IDENTICAL if equal else Outcome.DIFFERS)
    return found


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or (pattern.startswith("**/") and fnmatchcase(path, pattern[3:]))


def describe_verdict(verdict: Mapping[str, Any]) -> list[str]:
    """A verdict's document as lines for a person: the outcome, then what is not identical."""
    lines = [verdict["outcome"].replace("-", " ") + (f": {verdict['reason']}" if verdict.get("reason") else "")]
    for name, entry in verdict.get("metrics", {}).items():
        if entry["outcome"] != Outcome.IDENTICAL:
            sides = [_number(entry.get(side)) for side in ("original", "rerun")]
            lines.append(f"  {name}: {sides[0]} -> {sides[1]} {entry['outcome'].replace('-', ' ')}")
    for name, entry in verdict.get("curves", {}).items():
        if "first_divergence" in entry:
            lines.append(f"  curve {name}: parts at step {entry['first_divergence']}")
    lines += [
        f"  output {path}: {outcome}" for path, outcome in verdict.get("outputs", {}).items() if outcome != "identical"
    ]
    if verdict.get("printed"):
        lines.append(describe_difference(verdict["printed"]))
    elif verdict.get("log") == Outcome.DIFFERS:
        lines.append("  what was printed: differs")
    causes = verdict.get("causes", [])
    if not causes and verdict["outcome"] == Outcome.DIFFERS and "reason" not in verdict:
        unkept = "".join(f"its {what} (not kept), " for what in verdict.get("unkept", ()))
        lines.append(f"  nothing that is recorded differs: {unkept}environment variables, a clock,")
        lines.append("    the network, threads or the system's randomness?")
    if causes:
        lines.append("  what differs between the two, likeliest first:")
        for cause in causes[:8]:
            note = f" ({cause['note']})" if "note" in cause else ""
            lines.append(
                f"    {cause['kind']} {cause['name']}: {brief(cause.get('from'))} -> {brief(cause.get('to'))}{note}"
            )
    return lines


def brief(value: Any) -> str:
    """A value in a line; of a hash as much as tells two apart."""
    text = "absent" if value is None else str(value)
    name, colon, digest = text.partition(":")
    return f"{name}:{digest[:12]}" if colon and len(digest) >= 32 and digest.isalnum() else text


def _number(value: Any) -> str:
    return "absent" if value is None else repr(value)
