"""Statistics without a statistics package, against values that one gave."""

from __future__ import annotations

import math

import pytest

from git_replicate.core.stats import compare, t_quantile, t_test


def test_samples_are_compared_as_welch_does() -> None:
    found = compare([1, 2, 3, 4, 5], [2, 4, 6, 8, 10])
    assert found.difference == 3
    assert (found.low, found.high) == pytest.approx((-0.887741643736975, 6.887741643736975), rel=1e-9)
    assert found.p == pytest.approx(0.10753119493062728, rel=1e-9)
    assert found.effect == pytest.approx(1.0838709677419354, rel=1e-9)
    assert not found.apart


def test_samples_without_spread_are_apart_when_they_differ() -> None:
    assert compare([1, 1], [1, 1]).apart is False
    apart = compare([1, 1], [2, 2])
    assert (apart.apart, apart.effect, apart.p) == (True, math.inf, 0.0)


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706204736), (2.5, 3.574654842), (4, 2.776445105)])
def test_quantiles_are_those_of_student(freedom: float, quantile: float) -> None:
    assert t_quantile(freedom) == pytest.approx(quantile, rel=1e-9)
    assert t_test(quantile, freedom) == pytest.approx(0.05, rel=1e-8)
