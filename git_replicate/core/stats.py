"""Means, deviations and confidence intervals of a few numbers, without a statistics package."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

_T975 = (
    12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600, 2.26216, 2.22814, 2.20099, 2.17881,
    2.16037, 2.14479, 2.13145, 2.11991, 2.10982, 2.10092, 2.09302, 2.08596, 2.07961, 2.07387, 2.06866, 2.06390,
    2.05954, 2.05553, 2.05183, 2.04841, 2.04523, 2.04227,
)  # fmt: skip
"""Student's t, 97.5 % quantile, for 1 to 30 degrees of freedom (any table of the distribution)."""


def mean(values: Sequence[float]) -> float:
    """The mean; NaN as soon as one value is, infinities as they add up."""
    try:
        return math.fsum(values) / len(values)
    except (ValueError, OverflowError):  # infinities of both signs, or a sum beyond the largest float
        return sum(values) / len(values)


def std(values: Sequence[float]) -> float | None:
    """The sample's standard deviation, with n - 1; None for a single value."""
    if len(values) < 2:
        return None
    middle = mean(values)
    if not math.isfinite(middle):
        return math.nan
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def ci95(values: Sequence[float]) -> float | None:
    """Student's half-width of the 95 % confidence interval of the mean; None for a single value."""
    deviation = std(values)
    return None if deviation is None else student_t(len(values) - 1) * deviation / math.sqrt(len(values))


def student_t(freedom: int) -> float:
    """The 97.5 % quantile of Student's t; beyond 30 degrees by Hill's expansion (CACM algorithm 396), to 5 digits."""
    if freedom <= len(_T975):
        return _T975[freedom - 1]
    z = 1.959963984540054
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / float(freedom**power) for power, term in enumerate(terms, 1))


def median(values: Sequence[float]) -> float:
    if any(value != value for value in values):
        return math.nan
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def smaller_is_better(metric: str, maximize: Sequence[str], minimize: Sequence[str]) -> bool:
    """Whether small values of a metric are good: those of losses are, unless the configuration says otherwise."""
    if metric in minimize:
        return True
    return metric not in maximize and bool(re.search(r"loss|error|perplexity|\brmse\b|\bmae\b", metric))
