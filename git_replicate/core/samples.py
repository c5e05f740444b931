"""Whether two sets of results come from the same distribution: the same runs over other seeds, then and now.

The difference of the means has Welch's 95 % interval and Hedges' g; where SciPy is installed, its Mann-Whitney U test
says how surprising the two sets would be if nothing had changed. A single earlier result is held against the 95 %
prediction interval of the new ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from git_replicate.core import stats
from git_replicate.core.table import Spread, human

FEWEST: Final = 3
"""New results that an interval around them takes: that of two would be 31 standard deviations wide."""


def compare_sets(before: Sequence[float], fresh: Sequence[float]) -> dict[str, Any]:
    """What can be said of one metric; `outcome` is `alike`, `apart`, or `undecided` where there are too few results."""
    known = [[value for value in values if math.isfinite(value)] for values in (before, fresh)]
    one, two = known
    found: dict[str, Any] = {"before": list(before), "fresh": list(fresh)}
    if len(one) < len(before) or len(two) < len(fresh) or not one or len(two) < 2:
        return {"outcome": "undecided", **found}
    found |= {"mean": stats.mean(two), "std": stats.std(two)}
    if len(two) < FEWEST:
        return {"outcome": "undecided", **found}
    if len(one) == 1:
        width = stats.t_quantile(len(two) - 1) * (stats.std(two) or 0.0) * math.sqrt(1 + 1 / len(two))
        low, high = found["mean"] - width, found["mean"] + width
        inside = low <= one[0] <= high
        return {"outcome": "alike" if inside else "apart", **found, "prediction": [low, high]}
    compared = stats.compare(one, two)
    found |= {"before_mean": stats.mean(one), "before_std": stats.std(one), "difference": compared.difference}
    found |= {"ci95": [compared.low, compared.high], "effect": compared.effect, "welch_p": compared.p}
    if (p := mann_whitney(one, two)) is not None:
        found["mann_whitney_p"] = p
    return {"outcome": "apart" if compared.apart else "alike", **found}


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float | None:
    """SciPy's two-sided Mann-Whitney U test; None where SciPy is not installed."""
    try:
        from scipy.stats import mannwhitneyu
    except ImportError:
        return None
    return float(mannwhitneyu(first, second, alternative="two-sided").pvalue)


def describe_sets(statistics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The comparison of each metric in lines for people."""
    lines = []
    for metric, found in statistics.items():
        fresh = human(Spread(found["mean"], found["std"], len(found["fresh"]))) if "mean" in found else "too few"
        if "ci95" in found:
            before = human(Spread(found["before_mean"], found["before_std"], len(found["before"])))
            low, high = found["ci95"]
            lines.append(f"  {metric}: {before} before, {fresh} now: {found['outcome']}")
            tests = [f"Welch p {found['welch_p']:.2g}"]
            tests += [f"Mann-Whitney p {found['mann_whitney_p']:.2g}"] if "mann_whitney_p" in found else []
            lines.append(
                f"    difference {found['difference']:.4g} (95 % {low:.4g} to {high:.4g}), "
                f"Hedges' g {found['effect']:.2g}, {', '.join(tests)}"
            )
        elif "prediction" in found:
            low, high = found["prediction"]
            where = "in" if found["outcome"] == "alike" else "not in"
            lines.append(f"  {metric}: {fresh}; the original, {human(float(found['before'][0]))}, is {where} what")
            lines[-1] += f" other seeds give (95 %: {low:.5g} to {high:.5g})"
        elif "mean" in found:
            known = [value for value in found["before"] if math.isfinite(value)]
            one = human(known[0] if len(known) == 1 else Spread(stats.mean(known), stats.std(known), len(known)))
            lines.append(f"  {metric}: {one} before, {fresh} now: too few to compare (--seeds {FEWEST} or more)")
        else:
            lines.append(f"  {metric}: {len(found['before'])} before, {len(found['fresh'])} now: too few to compare")
        if len(found["fresh"]) > 1 and len(set(found["fresh"])) == 1:
            lines.append("    the same for every seed: does the program use its seed?")
    return lines
