"""The ways to choose points of a space, and to give one up early, by the names that options and records use."""

from __future__ import annotations

from typing import Final

GRID: Final = "grid"
RANDOM: Final = "random"
MANUAL: Final = "manual"
"""A person chooses."""
SAMPLERS: Final = ("tpe", "gp", "cmaes")
"""Those that choose points as results come in; Optuna has them."""
PRUNERS: Final = ("median", "percentile")
"""Optuna's pruners that need nothing of other trials but their curves."""
