"""What a run in a checkout needs that no commit has: found in earlier runs, or in what a failed one printed.

Data that git ignores is not in a snapshot, and a path in the program's own text is on no command line. A run of the
same program in the worktree was seen to read it; where there is none, the program's error names it. A folder that git
ignores is neither: a run was seen to write into it.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from shlex import quote
from typing import Final, NamedTuple

from git_replicate.core import record as records
from git_replicate.core.names import run_ref
from git_replicate.core.record import Code, Record, Status
from git_replicate.core.verdict import Side
from git_replicate.execution.place import Place
from git_replicate.execution.plan import Request
from git_replicate.execution.replication.delivery import same_program
from git_replicate.execution.replication.replay import outside_inputs, undeclared_inputs
from git_replicate.execution.replication.sides import read_side
from git_replicate.execution.site import Site
from git_replicate.git.repository import Oid
from git_replicate.store.indexing.index import Index
from git_replicate.store.store import read_log

_SEARCHED: Final = 20
_NAMED: Final = 3
_TAIL: Final = 20_000
"""Characters at the end of a log in which an error's words are looked for."""
_NO_MODULE: Final = re.compile(
    r"No module named '(?P<module>[\w.]+)'|cannot import name '(?P<name>\w+)' from '[\w.]+' \((?P<init>/[^)\n]*)\)"
)
_WORD: Final = re.compile(r"'([^'\n]+)'|\"([^\"\n]+)\"|([^\s'\":,;()\[\]<>=]+)")


class Needs(NamedTuple):
    """What an earlier run of a program used of the worktree that no snapshot holds; paths are relative to the top."""

    linked: tuple[str, ...] = ()
    """What it read without declaring it."""
    folders: tuple[str, ...] = ()
    """Folders that it wrote into and did not make, quoted."""

    def with_folders(self, code: Code) -> Code:
        """The code with these folders as well, for a run in a checkout of it."""
        return replace(code, folders=tuple(sorted({*code.folders, *self.folders})))


def needs_of_program(index: Index, command: Sequence[str]) -> Needs:
    """What the newest finished run of the same program used; or if none has finished, the newest that failed."""
    for status in (Status.FINISHED, Status.FAILED):
        if side := _newest_side(index, command, status):
            return Needs(tuple(undeclared_inputs(side)), side.record.code.folders)
    return Needs()


def find_needs(place: Place, command: Sequence[str]) -> Needs:
    """The same, from an index that is made fresh first."""
    with contextlib.closing(Index.open(place.repository)) as index:
        index.refresh()
        return needs_of_program(index, command)


def say_what_a_job_needs(request: Request, place: Place) -> None:
    """Tell of what an earlier run of the program read that no submission can freeze, for nobody declared it."""
    if request.linked:
        place.say(
            f"earlier runs read {_listed(request.linked)}, which nobody declared: linked into the job's checkout, "
            f"as it is by then (to have it recorded now: --data {quote(request.linked[0])})"
        )
    with contextlib.closing(Index.open(place.repository)) as index:
        side = _newest_side(index, request.command)
    outside = outside_inputs(side) if side else []
    if outside:
        place.say(f"earlier runs read {_listed(outside)}, outside of the repository: the job needs it there as well")


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more


def _newest_side(index: Index, command: Sequence[str], status: Status = Status.FINISHED) -> Side | None:
    """The newest run of the same program, with that status, among the last few."""
    rows = index.select(f"status = '{status}'", limit=_SEARCHED, columns=("oid",))
    for row, document in zip(rows, index.documents(rows), strict=True):
        if same_program(records.from_document(document).command, command):
            return read_side(index.repository, Oid(str(row["oid"])))
    return None


def hint_at_missing(record: Record, site: Site, place: Place) -> None:
    """Warn, of a run that failed in a checkout, of what it wanted that is in the worktree alone."""
    if record.status is not Status.FAILED:
        return
    if folders := sorted({*record.code.folders} - {*site.code.folders}):
        place.warn(f"{_listed(folders)}: to be written into, and not in the checkout; later runs will find it there")
        return
    text = read_log(place.repository, run_ref(record.experiment, record.id))[-_TAIL:]
    path = missing_module(text, site) or missing_path(text, site)
    if path:
        place.warn(
            f"{path} is not in the snapshot, so not in the checkout; "
            f'for runs that read it: replicate.toml, [isolated] link = ["{path}"], or --data {path}'
        )


def missing_module(text: str, site: Site) -> str:
    """The file, in the worktree alone, of the module that the last import error in a text is about; or ""."""
    for found in reversed([*_NO_MODULE.finditer(text)]):
        package, _, name = found["module"].rpartition(".") if found["module"] else ("", "", found["name"])
        within = _inner(os.path.dirname(found["init"] or ""), ".", site) if found["init"] else ""
        folders = [within] if within else [os.path.join(root, *package.split(".")) for root in _roots(site)]
        for folder in folders:
            for ending in (".py", ".so", ".*.so", ""):
                for path in glob.glob(os.path.join(glob.escape(os.path.join(site.origin, folder)), name + ending)):
                    inner = os.path.relpath(path, site.origin)
                    if not inner.startswith("..") and not os.path.lexists(os.path.join(site.top, inner)):
                        return inner
    return ""


def _roots(site: Site) -> list[str]:
    """Where modules of a worktree lie, relative to the top."""
    return list(dict.fromkeys([os.path.relpath(site.directory, site.top), ".", "src"]))


def missing_path(text: str, site: Site) -> str:
    """The outermost part of the last path named in a text that is in the worktree and not in the checkout; or ""."""
    prefix = os.path.relpath(site.directory, site.top)
    for found in reversed([*_WORD.finditer(text)]):
        quoted, bare = found[1] or found[2], found[3]
        if not quoted and "/" not in bare and "." not in bare:  # a word like any other
            continue
        inner = _inner(quoted or bare, prefix, site)
        original = os.path.join(site.origin, inner)
        if inner and os.path.exists(original) and site.path(original) != original:  # nor is it of an environment
            parts = inner.split("/")
            outer = ("/".join(parts[:count]) for count in range(1, len(parts) + 1))
            if path := next((each for each in outer if not os.path.lexists(os.path.join(site.top, each))), ""):
                return path
    return ""


def _inner(word: str, prefix: str, site: Site) -> str:
    """A path relative to the top, of one named in the command's folder or absolutely; "" outside the worktree."""
    try:
        if os.path.isabs(word):
            inner = os.path.relpath(word, site.top)
            inner = os.path.relpath(word, site.origin) if inner.startswith("..") else inner
        else:
            inner = os.path.normpath(os.path.join(prefix, word))
    except ValueError:  # a NUL in it
        return ""
    bad = "\0" in inner or inner in (".", "..") or inner.startswith("../") or inner.split("/")[0] == ".git"
    return "" if bad else inner
