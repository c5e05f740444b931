"""Statistics without a statistics package, against values that one gave."""

from __future__ import annotations

import math

import pytest

from git_replicate.core.stats import compare, mean, smaller_is_better, std, t_quantile, t_test


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


@pytest.mark.parametrize("value", [1.8443, 0.1, 1e300])
def test_equal_values_have_their_own_mean_and_no_spread(value: float) -> None:
    for number in range(2, 12):
        assert (mean([value] * number), std([value] * number)) == (value, 0.0)
    assert compare([value] * 3, [value] * 2).apart is False


@pytest.mark.parametrize(
    ("names", "smaller"),
    [
        ("loss error perplexity val_loss TestError mse test_mse RMSE val.rmse MSELoss val/MAE nll WER val_fid", True),
        ("neg_log_likelihood negative_log_likelihood", True),
        ("accuracy auc r2 f1 fidelity interred log_likelihood", False),
        ("neg_mean_squared_error neg_log_loss neg_brier_score neg_root_mean_squared_error", False),
    ],
)  # fmt: skip
def test_small_values_of_losses_and_errors_are_good(names: str, *, smaller: bool) -> None:
    for name in names.split():
        assert smaller_is_better(name, (), ()) is smaller, name
    assert smaller_is_better("mse", ("mse",), ()) is False
    assert smaller_is_better("auc", (), ("auc",)) is True


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706204736), (2.5, 3.574654842), (4, 2.776445105)])
def test_quantiles_are_those_of_student(freedom: float, quantile: float) -> None:
    assert t_quantile(freedom) == pytest.approx(quantile, rel=1e-9)
    assert t_test(quantile, freedom) == pytest.approx(0.05, rel=1e-8)
