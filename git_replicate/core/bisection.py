"""Which of the things that differ between two runs carries the difference of their results: the search alone.

What differs is a set of named parts. A trial is the first run with some of the parts as they are in the second; who
asks here makes trials happen (`measure`). First it is found out whether the difference comes again and is more than
noise; then groups of parts are tried alone, then the parts of those that carry it, then the pieces of a part.
Of a set that carries the difference the smallest is looked for by delta debugging (Zeller and Hildebrandt,
"Simplifying and Isolating Failure-Inducing Input", 2002): no part of what is found can be left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeVar

from git_replicate.core import stats
from git_replicate.core.sizes import count

T = TypeVar("T")

FIRST, SECOND = "first", "second"
"""The seeds of the first run, and of the second; other names stand for fresh ones."""

_FEW, _MANY = 3, 6
"""How often a trial is made to measure noise; as many as the second if the first does not decide it."""
_LEVEL = 0.002
"""The probability, had nothing changed, below which a difference counts as more than noise."""


class Result(NamedTuple):
    """What a trial came to: its end, the metric's value (NaN: `math.nan` itself), or a mark of all its results."""

    ending: str
    value: float | int | None = None
    mark: str = ""


Measure = Callable[[frozenset[str], str, int], Result]
"""Parts taken from the second run, whose seeds, and the number of the repetition."""


class Outcome(StrEnum):
    FOUND = "found"
    NOISE = "noise"
    NOT_REPRODUCED = "not-reproduced"


@dataclass(frozen=True, slots=True)
class Question:
    """Two runs' results, and what differs between the two; parts are named by keys, likeliest first."""

    first: Result
    second: Result
    groups: Sequence[Sequence[str]]
    pieces: Callable[[str], Sequence[str]] = lambda part: ()
    """The smaller parts that a part is made of; none if it cannot be divided."""
    only_second: Sequence[str] = ()
    """Parts that are there only as in the second run: no trial can have them otherwise."""
    only_first: Sequence[str] = ()
    seeds_differ: bool = False
    one_seed: bool = False
    """Whether to go on with the first run's seed without asking whether others would give the same."""


@dataclass(frozen=True, slots=True)
class Finding:
    outcome: Outcome
    reason: str
    parts: tuple[str, ...] = ()
    noise: Mapping[str, float] = field(default_factory=dict)
    """Of the noise where it was measured: std of the value, and n."""
    apart: bool = True
    """Whether the parts were told from each other: no trial of some of them came to something else than either."""


class _Ended(Exception):  # noqa: N818 (it is no error)
    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.reason)
        self.finding = finding


def is_like_second(result: Result, first: Result, second: Result) -> bool | None:
    """Whether a result is like the second rather than the first; None if it is like neither."""
    if first.ending != second.ending:
        return result.ending == second.ending if result.ending in (first.ending, second.ending) else None
    if result.ending != first.ending:
        return None
    if first.value is None and second.value is None:
        return {second.mark: True, first.mark: False}.get(result.mark)
    kinds = [_kind(each.value) for each in (result, first, second)]
    if kinds[1] != kinds[2]:
        return kinds[0] == kinds[2] if kinds[0] in kinds[1:] else None
    if kinds[0] != "number" or result.value is None or first.value is None or second.value is None:
        return None
    return abs(result.value - second.value) < abs(result.value - first.value)


def _kind(value: float | None) -> str:
    if value is None:
        return "absent"
    return "number" if math.isfinite(value) else str(float(value))


def investigate(question: Question, measure: Measure) -> Finding:
    """Find the smallest set of parts that carries the difference, after making sure that there is one."""
    try:
        return _Search(question, measure).run()
    except _Ended as ended:
        return ended.finding


class _Search:
    """One investigation; what it has learned of noise decides how often each trial is made."""

    def __init__(self, question: Question, measure: Measure) -> None:
        self.question = question
        self.measure = measure
        self.everything = frozenset(part for group in question.groups for part in group)
        self.trials: list[tuple[str, int]] = [(FIRST, 0)]
        self.firsts: list[Result] = []
        self.seconds: list[Result] = []
        self.noise: dict[str, float] = {}
        self.unclear: list[frozenset[str]] = []
        """What was tried and came to something else than either run: it failed, or could not be made."""

    def run(self) -> Finding:
        self._reproduce()
        if self.question.seeds_differ:
            self._level_seeds()
        parts = self._smallest()
        rest = self._rest(parts)
        if len(parts) == 1:
            return Finding(Outcome.FOUND, f"this alone carries {rest or 'the difference'}", tuple(parts), self.noise)
        if any(some < frozenset(parts) for some in self.unclear):
            words = (
                "these carry the difference; which of them do is not known, for runs with less of it came to neither"
            )
            return Finding(Outcome.FOUND, words, tuple(parts), self.noise, apart=False)
        words = f"all of these together carry {rest or 'the difference'}"
        return Finding(Outcome.FOUND, words, tuple(parts), self.noise)

    def _reproduce(self) -> None:
        """Make both runs again; end if the difference does not come again, or is not more than their own noise."""
        ask, nothing = self.question, frozenset[str]()
        self.firsts = [self.measure(nothing, FIRST, 0)]
        self._check_ending("first", self.firsts[0])
        is_second = is_like_second(self.firsts[0], ask.first, ask.second)
        if ask.only_second and is_second and self._is_it(self.firsts[0], nothing):
            raise self._end(
                Outcome.FOUND,
                "the first run with this of the second is like the second, and its own is not here to go further",
                ask.only_second,
            )
        self.seconds = [self.measure(self.everything, SECOND, 0)]
        self._check_ending("second", self.seconds[0])
        is_first = is_like_second(self.seconds[0], ask.first, ask.second) is False
        if ask.only_first and is_first:
            raise self._end(
                Outcome.FOUND,
                "the second run with this of the first is like the first, and its own is not here to go further",
                ask.only_first,
            )
        if (self.firsts[0], self.seconds[0]) == (ask.first, ask.second):
            return
        self._repeat(_FEW)
        steady = len(set(self.firsts)) == len(set(self.seconds)) == 1
        if steady:
            if is_second is False and is_like_second(self.seconds[0], ask.first, ask.second):
                return
            raise self._end(Outcome.NOT_REPRODUCED, self._not_reproduced(is_second))
        if not self._are_apart():
            self._repeat(_MANY)
        self._note_noise(self.firsts)
        if not self._are_apart():
            raise self._end(
                Outcome.NOISE, "the same run made again varies as much: the difference is no more than its noise"
            )
        self.trials = [(FIRST, n) for n in range(len(self.firsts))]

    def _is_it(self, result: Result, parts: frozenset[str]) -> bool:
        """Whether a result that is like the second run's is so for more than the luck of other seeds."""
        second = self.question.second
        return not self.question.seeds_differ or result == second or self.measure(parts, SECOND, 0) == second

    def _check_ending(self, which: str, result: Result) -> None:
        """End if a run ends as neither did: it lacks something here."""
        if result.ending not in (self.question.first.ending, self.question.second.ending):
            raise self._end(Outcome.NOT_REPRODUCED, f"the {which} run, made again, {result.ending}")

    def _not_reproduced(self, is_second: bool | None) -> str:
        first, second = self.firsts[0], self.seconds[0]
        if first == second:
            return f"both runs, made again, come to the same: {_shown(first)}"
        which = "the first" if is_second is not False else "the second"
        return f"{which} run, made again, does not come to what it was: {_shown(first)} and {_shown(second)}"

    def _are_apart(self) -> bool:
        return _apart([self.question.first, *self.firsts], [self.question.second, *self.seconds])

    def _repeat(self, times: int) -> None:
        nothing = frozenset[str]()
        self.firsts += [self.measure(nothing, FIRST, n) for n in range(len(self.firsts), times)]
        self.seconds += [self.measure(self.everything, SECOND, n) for n in range(len(self.seconds), times)]

    def _level_seeds(self) -> None:
        """Go on with equal seeds; end if it is the seeds that make the difference."""
        noisy = len(self.trials) > 1
        again = [self.measure(self.everything, FIRST, n) for _, n in self.trials]
        if again == self.seconds or (noisy and _apart(self.firsts, again)):
            self.seconds = again
            return
        if self.question.one_seed and again != self.firsts:
            self.seconds = again
            return
        pairs = [(self.firsts[0], again[0])]
        for times in (_FEW, _MANY):
            pairs += [self._pair(str(n)) for n in range(len(pairs), times)]
            if all(first == second for first, second in pairs) or _pairs_apart(pairs):
                break
        firsts, seconds = (list(side) for side in zip(*pairs, strict=True))
        self._note_noise(firsts)
        if all(first == second for first, second in pairs):
            raise self._end(Outcome.NOISE, "with equal seeds the two come to the same: the seeds make the difference")
        if not _pairs_apart(pairs):
            raise self._end(
                Outcome.NOISE,
                f"over {count(len(pairs), 'seed')} the difference is no more than what the seeds make "
                "(to find what makes it with the first run's seed: --same-seed)",
            )
        if _steady(pairs):
            self.firsts, self.seconds = firsts[:1], seconds[:1]
            return
        self.trials = [(FIRST, 0), *((str(n), 0) for n in range(1, len(pairs)))]
        self.firsts, self.seconds = firsts, seconds

    def _pair(self, seed: str) -> tuple[Result, Result]:
        return self.measure(frozenset(), seed, 0), self.measure(self.everything, seed, 0)

    def _note_noise(self, results: Sequence[Result]) -> None:
        values = [result.value for result in results if result.value is not None]
        if (deviation := stats.std(values)) is not None:
            self.noise = {"std": deviation, "n": len(values)}

    def _end(self, outcome: Outcome, reason: str, parts: Sequence[str] = ()) -> _Ended:
        return _Ended(Finding(outcome, reason, tuple(parts), self.noise))

    def _carries(self, parts: Sequence[str]) -> bool:
        """Whether the first run with these parts of the second comes to what the second comes to."""
        chosen = frozenset(parts)
        if chosen == self.everything:
            return True
        found = _mean([self.measure(chosen, seed, n) for seed, n in self.trials])
        answer = is_like_second(found, _mean(self.firsts), _mean(self.seconds))
        if answer is None:
            self.unclear.append(chosen)
        return bool(answer)

    def _rest(self, parts: Sequence[str]) -> str:
        """In words, that the parts do not make all of the difference; "" where they do, or that takes many runs."""
        if len(self.trials) > 1 or frozenset(parts) == self.everything:
            return ""
        found, second = self.measure(frozenset(parts), *self.trials[0]), _mean(self.seconds)
        if found.value is None or second.value is None or _shown(found) == _shown(second):
            return ""
        return f"most of the difference: with it {_shown(found)}, with all that differs {_shown(second)}"

    def _smallest(self) -> list[str]:
        groups = [list(group) for group in self.question.groups if group]
        if not groups:
            raise self._end(Outcome.NOT_REPRODUCED, "nothing that can be exchanged differs between the two")
        alone = next((group for group in groups if len(groups) > 1 and self._carries(group)), None)
        chosen = [alone] if alone else smallest(groups, lambda some: self._carries([p for g in some for p in g]))
        parts = smallest([part for group in chosen for part in group], self._carries)
        pieces = [piece for part in parts for piece in (self.question.pieces(part) or (part,))]
        return smallest(pieces, self._carries) if len(pieces) > len(parts) else pieces


def smallest(items: Sequence[T], carries: Callable[[Sequence[T]], bool]) -> list[T]:
    """Items of which none can be left out, of a set that carries; the first ones are tried alone first."""
    left = list(items)
    if len(left) > 1 and carries(left[:1]):
        return left[:1]
    size = 2
    while len(left) > 1:
        step = math.ceil(len(left) / size)
        chunks = [left[n : n + step] for n in range(0, len(left), step)]
        part = next((chunk for chunk in chunks if carries(chunk)), None)
        if part is not None:
            left, size = part, 2
            continue
        rests = ([item for item in left if item not in chunk] for chunk in chunks)
        rest = next((rest for rest in rests if len(chunks) > 2 and carries(rest)), None)
        if rest is not None:
            left, size = rest, max(size - 1, 2)
        elif size < len(left):
            size = min(size * 2, len(left))
        else:
            break
    return left


def _mean(results: Sequence[Result]) -> Result:
    """One result for many of the same kind; of several kinds the commonest."""
    if len(set(results)) == 1:
        return results[0]
    endings = [result.ending for result in results]
    ending = max(set(endings), key=endings.count)
    values = [result.value for result in results if result.ending == ending and result.value is not None]
    marks = [result.mark for result in results]
    return Result(ending, stats.mean(values) if values else None, max(set(marks), key=marks.count))


def _apart(firsts: Sequence[Result], seconds: Sequence[Result]) -> bool:
    """Whether two samples differ by more than their noise."""
    numbers = [_numbers(results) for results in (firsts, seconds)]
    if numbers[0] is None or numbers[1] is None:
        return not {*map(_class, firsts)} & {*map(_class, seconds)}
    return stats.compare(numbers[0], numbers[1]).p < _LEVEL


def _pairs_apart(pairs: Sequence[tuple[Result, Result]]) -> bool:
    """Whether the differences of pairs are more than their noise."""
    firsts, seconds = (_numbers(side) for side in zip(*pairs, strict=True))
    if firsts is None or seconds is None:
        return not {_class(first) for first, _ in pairs} & {_class(second) for _, second in pairs}
    differences = [second - first for first, second in zip(firsts, seconds, strict=True)]
    middle, error = stats.mean(differences), (stats.std(differences) or 0.0) / math.sqrt(len(differences))
    if error == 0:
        return middle != 0
    return stats.t_test(middle / error, len(differences) - 1) < _LEVEL


def _steady(pairs: Sequence[tuple[Result, Result]]) -> bool:
    """Whether the difference is so much the same for every seed that one seed is enough."""
    firsts, seconds = (_numbers(side) for side in zip(*pairs, strict=True))
    if firsts is None or seconds is None:
        return False
    differences = [second - first for first, second in zip(firsts, seconds, strict=True)]
    return (stats.std(differences) or 0.0) < abs(stats.mean(differences)) / 8


def _numbers(results: Sequence[Result]) -> list[float] | None:
    """The values if all ended alike with a finite one."""
    values = [result.value for result in results if result.value is not None and math.isfinite(result.value)]
    alike = len({result.ending for result in results}) == 1
    return values if alike and len(values) == len(results) else None


def _class(result: Result) -> tuple[str, str, str]:
    return (result.ending, _kind(result.value), result.mark if result.value is None else "")


def _shown(result: Result) -> str:
    if result.ending != "finished":
        return result.ending
    return f"{result.value:.6g}" if result.value is not None else "its results"


__all__ = ["FIRST", "SECOND", "Finding", "Measure", "Outcome", "Question", "Result", "investigate", "is_like_second"]
