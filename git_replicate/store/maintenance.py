"""Keeping the repository small: what is due after a number of runs, outside of their path."""

from __future__ import annotations

from git_replicate.git.repository import Layout


def count_runs(layout: Layout, ended: int) -> None:
    """Count the runs that have ended."""
