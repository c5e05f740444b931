"""The curves that a program wrote for TensorBoard, found and put together.

A metric is named by its tag. Files of one directory are one row of events, a later file going on where an earlier
one ended. Where several directories have the same tag (`train` and `validation`), their names go before it, without
the part that all of them share.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from git_replicate.capture.curves import Curves
from git_replicate.capture.event_files import EventFile, Restart, Scalar
from git_replicate.capture.values import clean_text
from git_replicate.core.paths import quote_path

SOURCE: Final = "tensorboard"
"""What a record names as the origin of these metrics."""
MOST_FILES: Final = 1_000
_MARK: Final = ".tfevents."
_MOST_LOOKED_AT: Final = 50_000
"""Names that a search looks at; what lies deeper in a very large worktree has to be declared."""
_SKIPPED: Final = frozenset({"node_modules", "site-packages", "__pycache__"})
_CLOCK_SLACK: Final = 2.0


def is_event_file(path: str) -> bool:
    return _MARK in os.path.basename(path)


class EventSearch:
    """The event files below a folder; the search may be made ahead, while something else is waited for."""

    def __init__(self, top: str) -> None:
        self._top = top
        self._found: list[str] | None = None

    def look(self) -> None:
        """Search now: what comes later is not found."""
        self._found = _search(self._top)

    def files(self, *, since: float | None, known: Iterable[str] = ()) -> list[str]:
        """Those changed since a moment (seconds since 1970); of very many, those in folders nearer to the top.

        known: files that are to be looked at wherever they lie. Absolute paths, sorted.
        """
        if self._found is None:
            self.look()
        found: set[str] = set()
        for path in (*known, *(self._found or ())):
            try:
                status = os.stat(path)
            except OSError:
                continue
            if since is None or status.st_mtime >= since - _CLOCK_SLACK:
                found.add(os.path.abspath(path))
        return sorted(found)[:MOST_FILES]


def find_event_files(top: str, *, since: float | None, known: Iterable[str] = ()) -> list[str]:
    """What a search finds that is made now."""
    return EventSearch(top).files(since=since, known=known)


def _search(top: str) -> list[str]:
    """Every event file in a folder, except in hidden ones, environments and what is too far down."""
    found: list[str] = []
    waiting = deque([top])
    seen = 0
    while waiting and seen < _MOST_LOOKED_AT:
        try:
            with os.scandir(waiting.popleft()) as entries:
                inside = list(entries)
        except OSError:
            continue
        seen += len(inside)
        names = "\0".join([entry.name for entry in inside])
        if "pyvenv.cfg" in names and any(entry.name == "pyvenv.cfg" for entry in inside):
            continue
        if _MARK in names:
            found += [entry.path for entry in inside if _MARK in entry.name]
        folders = [entry for entry in inside if entry.is_dir(follow_symlinks=False) and _MARK not in entry.name]
        waiting += [entry.path for entry in folders if entry.name[0] != "." and entry.name not in _SKIPPED]
    return found


def read_event_files(
    paths: Sequence[str],
    *,
    top: str,
    since: float | None = None,
    seen: Mapping[str, Mapping[str, list[Scalar]]] | None = None,
) -> tuple[Curves, list[str]]:
    """The curves in these files, and notices of what could not be read.

    A point's time is in seconds since the run's start; a writer's clock that says something else altogether gives
    points without a time. `seen`: folder to tag to points that a writer was seen to be given. They count instead of
    the files', which lack what a writer had not written yet when it was killed, and are rounded to 32 bits.
    """
    folders: dict[str, dict[str, list[Scalar]]] = {}
    notices: list[str] = []
    for path in sorted(paths):
        tags = folders.setdefault(os.path.dirname(path), {})
        file = EventFile(path)
        shown = quote_path(os.fsencode(os.path.relpath(path, top)))
        try:
            for event in file.events():
                if isinstance(event, Restart):
                    _forget(tags, event.step)
                else:
                    tags.setdefault(clean_text(event.tag), []).append(event)
        except OSError as error:
            file.problem = error.strerror or str(error)
        if file.problem:
            notices.append(f"metrics {shown}: {file.problem}")
    _put_seen(folders, seen or {})
    return _united(folders, since), notices


def _put_seen(folders: dict[str, dict[str, list[Scalar]]], seen: Mapping[str, Mapping[str, list[Scalar]]]) -> None:
    known = {os.path.realpath(folder): folder for folder in folders}
    for folder, tags in seen.items():
        local = folder if os.path.isabs(folder) else os.path.join("/", folder)  # gs://bucket/runs
        folders.setdefault(known.get(os.path.realpath(local), local), {}).update(tags)


def _forget(tags: dict[str, list[Scalar]], step: int) -> None:
    """A writer that begins again at a step replaces what came from there on."""
    for tag, points in tags.items():
        tags[tag] = [point for point in points if point.step < step]


def _united(folders: Mapping[str, Mapping[str, list[Scalar]]], since: float | None) -> Curves:
    curves = Curves()
    places = [folder for folder, tags in folders.items() if any(tags.values())]
    shared = os.path.commonpath(places) if places else ""
    owners: dict[str, int] = {}
    for folder in places:
        for tag in folders[folder]:
            owners[tag] = owners.get(tag, 0) + 1
    for folder in places:
        inner = os.path.relpath(folder, shared)
        for tag, points in folders[folder].items():
            alone = owners[tag] == 1 or inner == "."
            name = tag if alone else clean_text(f"{inner}/{tag}")
            for point in points:
                curves.add(name, point.value, point.step, _elapsed(point.time, since))
    return curves


def _elapsed(time: float, since: float | None) -> float | None:
    """Seconds since the run's start, None where the event's own time is not of this run."""
    if since is None or not -_CLOCK_SLACK <= time - since < 10 * 365 * 86_400:
        return None
    return max(time - since, 0.0)
