"""Distributions' names, as packaging standards compare them."""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[-_.]+")


def normalized(name: str) -> str:
    """`Torch_Vision` and `torch.vision` are `torch-vision`."""
    return _SEPARATORS.sub("-", name).lower()
