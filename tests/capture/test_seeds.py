"""Drawing a seed and handing it down."""

from __future__ import annotations

import pytest

from git_replicate.capture.seeds import draw_seed, parse_seed, requested_seed, seed_environment
from git_replicate.core.errors import UsageError
from git_replicate.core.record import Seeds


def entropy(size: int) -> bytes:
    return b"\x00\x01\x02\x03\x04"[:size]


def test_auto_draws_from_the_entropy_given() -> None:
    seeds = draw_seed("auto", entropy)
    assert seeds == Seeds(run=0x00010203, mode="auto", python_hash=0x00010203)
    assert seed_environment(seeds) == {"GIT_REPLICATE_SEED": "66051", "PYTHONHASHSEED": "66051"}


def test_a_given_seed_is_taken_as_it_is() -> None:
    assert draw_seed(7, entropy) == draw_seed("7", entropy) == Seeds(run=7, mode="given", python_hash=7)


def test_none_only_observes() -> None:
    seeds = draw_seed("none", entropy, {"PYTHONHASHSEED": "5"})
    assert seeds == Seeds(run=None, mode="none", python_hash=5)
    assert seed_environment(seeds) == {}


@pytest.mark.parametrize(("own", "recorded"), [("0", 0), ("random", None)])
def test_the_callers_own_hash_seed_is_kept(own: str, recorded: int | None) -> None:
    environ = {"PYTHONHASHSEED": own}
    seeds = draw_seed(7, entropy, environ)
    assert seeds.python_hash == recorded
    assert seed_environment(seeds, environ) == {"GIT_REPLICATE_SEED": "7"}


def test_deterministic_libraries_are_asked_for_where_nobody_has_asked() -> None:
    seeds = draw_seed(7, entropy, deterministic=True)
    assert seeds.deterministic
    assert seed_environment(seeds, {"CUBLAS_WORKSPACE_CONFIG": ":16:8"}) == {
        "GIT_REPLICATE_SEED": "7", "PYTHONHASHSEED": "7", "PL_GLOBAL_SEED": "7", "TF_DETERMINISTIC_OPS": "1",
        "TF_CUDNN_DETERMINISTIC": "1",
    }  # fmt: skip
    assert seed_environment(draw_seed("none", entropy, deterministic=True)) == {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    assert "PL_GLOBAL_SEED" not in seed_environment(draw_seed(7, entropy))


@pytest.mark.parametrize("text", ["-1", str(2**32), "x", "1.5", "", "٣"])
def test_what_no_generator_takes_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_seed(text)


def test_the_enclosing_runs_seed() -> None:
    assert requested_seed({"GIT_REPLICATE_SEED": "7"}) == 7
    assert requested_seed({"GIT_REPLICATE_SEED": "x"}) is None
    assert requested_seed({}) is None


def test_a_session_whose_processes_get_no_seed_claims_none_for_their_hashes() -> None:
    assert draw_seed(7, entropy, imposed=False) == Seeds(run=7, mode="given", python_hash=None)
    assert draw_seed(7, entropy, {"PYTHONHASHSEED": "3"}, imposed=False).python_hash == 3
