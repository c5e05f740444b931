"""What a person sees of a sweep: one line that changes on a terminal, else a line for each run that has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from git_replicate.core.progress import Tally, show_point, span
from git_replicate.core.record import Status
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_replicate.console import Console
    from git_replicate.core.record import Record
    from git_replicate.core.sweep import Planned
    from git_replicate.execution.sweeping.trial import Ended
    from git_replicate.git.repository import Repository

_REDRAW_SECONDS = 0.1


class Progress:
    """The watcher of a sweep that runs in front of a person, or of nobody."""

    def __init__(self, console: Console, repo: Repository, tally: Tally, *, quiet: bool = False) -> None:
        self.tally = tally
        self._console = console
        self._repo = repo
        self._quiet = quiet
        self._began = time.monotonic()
        self._drawn = 0.0
        self._warned: set[str] = set()
        self._recorded = False

    def say(self, line: str) -> None:
        if not self._quiet:
            self._console.say(line)

    def begun(self, planned: Planned) -> None:
        self.tally.running += 1
        self.tick()

    def ended(self, planned: Planned, ended: Ended) -> None:
        self.tally.running -= 1
        record = ended.record
        self.tally.add(planned, record)
        if record is not None:
            self._recorded = True
            self._report(planned, record)
        for warning in ended.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self._console.warn(warning)
        self.tick()

    def _report(self, planned: Planned, record: Record) -> None:
        """A line for the run: always if it failed, otherwise where there is no line that changes."""
        failed = record.status in (Status.FAILED, Status.LOST)
        if self._console.is_lively and not failed:
            return
        point = show_point(planned.point)
        seed = f"seed={planned.seed}" if planned.seed is not None else ""
        words = [self.tally.place(), f"{record.experiment}/{record.id}", str(record.status)]
        words += [f"({record.reason})"] if record.reason and record.status is not Status.FINISHED else []
        metrics = [f"{name} {value:.6g}" for name, value in list(record.metrics.items())[:3]]
        self.say("  ".join([" ".join(words), *filter(None, (point, seed)), *metrics]))
        if failed and (line := self._last_line(record)):
            self.say(f"    {line}")

    def _last_line(self, record: Record) -> str:
        """What a failed run printed last."""
        from git_replicate.core.names import run_ref
        from git_replicate.store.store import read_log

        lines = [line.strip() for line in read_log(self._repo, run_ref(record.experiment, record.id)).splitlines()]
        last = next((line for line in reversed(lines) if line), "")
        return last if len(last) <= 160 else f"{last[:159]}…"

    def stopping(self, why: str, left: int) -> None:
        self.tally.stopped = True
        waits = f"; {left} still running" if left else ""
        more = " (Ctrl-C again interrupts them)" if left and why == "interrupted" else ""
        self.say(f"no new runs: {why}{waits}{more}")

    def tick(self) -> None:
        now = time.monotonic()
        if not self._quiet and now - self._drawn > _REDRAW_SECONDS:
            self._drawn = now
            self._console.status(self.tally.line(now - self._began))

    def close(self, sweep: str, before: Sequence[Record] = (), *, stopped: bool = False) -> None:
        """The end, in some lines. before: the runs that were there already; stopped: whether it ended early."""
        self._console.status("")
        tally = self.tally
        best = tally.best()
        self.say(
            f"sweep {sweep}: {tally.counts()} in {span(time.monotonic() - self._began)}" + (f"; {best}" if best else "")
        )
        for metric, number in tally.odd.items():
            runs = "1 run has" if number == 1 else f"{number} runs have"
            self.say(f"{runs} no finite {metric}, and count as none in what is best")
        if stopped and tally.left and (self._recorded or any(_sweep_of(record) == sweep for record in before)):
            of = f"{tally.left} of {count(tally.total, 'run')} not done"
            self.say(f"{of}; to go on: git replicate sweep --resume {sweep}")
        self.compare([*([sweep] if tally.ended[Status.FINISHED] else []), *finished_in(before)])

    def compare(self, sweeps: Sequence[str]) -> None:
        """Say how the finished runs of sweeps come into one table."""
        names = ", ".join(f"'{name}'" for name in dict.fromkeys(sweeps))
        if names:
            which = f"in ({names})" if "," in names else f"= {names}"
            self.say(f'to compare them: git replicate collate --where "sweep {which}" --group-by params')


def finished_in(records: Sequence[Record]) -> list[str]:
    """The sweeps that finished runs are of, in order."""
    return list(dict.fromkeys(_sweep_of(record) for record in records if record.status is Status.FINISHED))


def _sweep_of(record: Record) -> str:
    return str(record.sweep.get("id", ""))
