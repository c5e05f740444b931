"""What looks like a metric in an output that the rule of `metrics` does not read, and the patterns that would read it.

A wrong metric is worse than none, so such numbers are never recorded by themselves: a person is told how to ask.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from git_replicate.capture.metrics import OutputMetrics, is_metric_name
from git_replicate.core.frozen import frozen
from git_replicate.core.patterns import lazy

_USUAL: Final = frozenset(
    "acc accuracy auc auroc bleu dice elbo f1 iou kappa loss mae map mape mse nll perplexity ppl precision psnr r2 "
    "recall return reward rmse rouge score ssim wer".split()
)
_NUMBER = r"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?"
_WORD = r"[A-Za-z][\w/@-]{0,40}"
_FOUND = lazy(
    rf"(?<![\w/@-])(?P<name>(?:{_WORD} )?{_WORD})(?P<sign>[ \t]*[:=][ \t]*|[ \t]+)(?P<number>{_NUMBER})(?![\w.])"
)
_MOST_BYTES: Final = 30_000
_LONGEST_LINE: Final = 500
_MOST_PATTERNS: Final = 2


@frozen
class Suggestion:
    """A piece of the output with a metric in it, and the `[results] patterns` that read such pieces."""

    example: str
    patterns: tuple[str, ...]

    def __str__(self) -> str:
        listed = ", ".join(f"'{pattern}'" for pattern in self.patterns)
        said = f'no metrics are recorded; to read "{self.example}" from the output'
        return f"{said}: replicate.toml, [results] patterns = [{listed}]"


def suggest_patterns(log: bytes) -> Suggestion | None:
    """How the metrics that are most often in the end of a log can be read; None if nothing there looks like one."""
    end = log[-_MOST_BYTES:]
    if len(end) < len(log):
        end = end.partition(b"\n")[2]  # the first line may have lost its beginning
    text = end.decode(errors="replace").replace("\r", "\n")
    counted: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for line in text.split("\n"):
        for found in _FOUND.finditer(line, 0, _LONGEST_LINE):
            if pattern := _pattern(line, found):
                counted[pattern] += 1
                examples[pattern] = found[0]
    patterns = tuple(pattern for pattern, _ in counted.most_common(_MOST_PATTERNS))
    if not patterns or not _read(patterns, text):
        return None
    return Suggestion(examples[patterns[0]], patterns)


def is_usual(name: str) -> bool:
    """Whether a name has a word that metrics usually are called by: `val_loss`."""
    return bool(_USUAL & {*re.split(r"[^a-z0-9]|_", name.lower())})


def _pattern(line: str, found: re.Match[str]) -> str:
    """What finds this name and its number in other lines; empty if the name is not that of a metric."""
    words = found["name"].split(" ")
    if not is_usual(words[-1]):
        return ""
    before = line[: found.start()].rstrip()[-1:]
    if before in ("'", '"'):
        return ""
    # A name of one word may be the end of another's: what stands before it tells them apart.
    head = "" if len(words) > 1 else r"\d\s+" if before.isdigit() else rf"{re.escape(before) or '^'}\s*"
    name = r"\s+".join(map(re.escape, words))
    sign = rf"\s*{found['sign'].strip()}\s*" if found["sign"].strip() else r"\s+"
    called = re.sub(r"[^a-z0-9]", "_", " ".join(filter(is_metric_name, words)).lower())
    return rf"{head}{name}{sign}(?P<{called}>[-+.\deE]+)"


def _read(patterns: tuple[str, ...], text: str) -> bool:
    """Whether the patterns really find something."""
    metrics = OutputMetrics(patterns, rule=False)
    metrics.feed(text.encode(errors="replace"))
    metrics.close()
    return bool(metrics.curves())
