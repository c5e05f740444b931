"""Means, deviations and confidence intervals of a few numbers, without a statistics package."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from git_replicate.core.frozen import frozen

_T975 = (
    12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600, 2.26216, 2.22814, 2.20099, 2.17881,
    2.16037, 2.14479, 2.13145, 2.11991, 2.10982, 2.10092, 2.09302, 2.08596, 2.07961, 2.07387, 2.06866, 2.06390,
    2.05954, 2.05553, 2.05183, 2.04841, 2.04523, 2.04227,
)  # fmt: skip
"""Student's t, 97.5 % quantile, for 1 to 30 degrees of freedom (any table of the distribution)."""

_LOSS = re.compile(r"loss|error|perplexity")
_LOSSES = frozenset(
    """
    bpc bpd brier cer crps deviance ece eer err fid kid mae mape mase mse msle nll nrmse ppl regret rmse rmsle smape wer
    """.split()
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def mean(values: Sequence[float]) -> float:
    """The mean; NaN as soon as one value is, infinities as they add up; that of equal values is exactly theirs."""
    if all(value == values[0] for value in values):
        return float(values[0])
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
    return metric in minimize or (metric not in maximize and _is_loss(metric))


def _is_loss(metric: str) -> bool:
    """Whether a name is a loss's or an error's, and not one of those that scikit-learn negates."""
    words = [word.lower() for word in _WORD.findall(metric)]
    if "likelihood" in words:
        return "neg" in words or "negative" in words
    return "neg" not in words and bool(_LOSS.search(metric.lower()) or _LOSSES.intersection(words))


@frozen
class Comparison:
    """Two samples: the second's mean less the first's, its 95 % confidence interval (Welch), and the effect size."""

    difference: float
    low: float
    high: float
    effect: float
    """Hedges' g: the difference in pooled standard deviations, corrected for small samples."""
    p: float
    """Two-sided, of Welch's t-test."""
    sizes: tuple[int, int]

    @property
    def apart(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Compare the means of two samples of at least two values each; without any spread a difference is certain."""
    sizes = (len(first), len(second))
    difference = mean(second) - mean(first)
    deviations = (std(first) or 0.0, std(second) or 0.0)
    shares = [deviation**2 / size for deviation, size in zip(deviations, sizes, strict=True)]
    error = math.sqrt(sum(shares))
    if error == 0 or not math.isfinite(error) or not math.isfinite(difference):
        effect = 0.0 if difference == 0 else math.copysign(math.inf, difference)
        return Comparison(difference, difference, difference, effect, float(difference == 0), sizes)
    freedom = sum(shares) ** 2 / sum(share**2 / (size - 1) for share, size in zip(shares, sizes, strict=True))
    total = sum(sizes) - 2
    squares = sum(d**2 * (size - 1) for d, size in zip(deviations, sizes, strict=True))
    effect = difference / math.sqrt(squares / total) * (1 - 3 / (4 * total - 1))
    width = t_quantile(freedom) * error
    return Comparison(
        difference, difference - width, difference + width, effect, t_test(difference / error, freedom), sizes
    )


def t_test(t: float, freedom: float) -> float:
    """The two-sided probability of a Student's t at least this far from zero."""
    return _incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def t_quantile(freedom: float) -> float:
    """The 97.5 % quantile of Student's t for any number of degrees of freedom of 1 or more."""
    low, high = 1.9, 13.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_test(middle, max(freedom, 1.0)) > 0.05 else (low, middle)
    return high


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by Lentz's continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    ) / a  # fmt: skip
    tiny = 1e-300
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), tiny)
    found = d
    for m in range(1, 300):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + term * d or tiny)
            c = 1 + term / c or tiny
            found *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * found
