"""Waiting for what somebody else holds: never equally long, so that those who wait do not keep meeting."""

from __future__ import annotations

import time


def wait(longest: float) -> None:
    """Sleep for a random part of these seconds."""
    import random  # late: its import costs a millisecond, and hardly anybody ever waits

    time.sleep(random.uniform(longest / 10, longest))
