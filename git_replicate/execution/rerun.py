"""Replicating a run: its code in a checkout, its data checked, its seeds and params again, and the verdict.

Also any other run that takes place in a checkout: `start --isolated` and `start --at`. What a replication cannot do
it says before anything runs: the snapshot is not here, data is missing or different, a masked secret is not known.
"""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from git_replicate.capture.config import load_settings
from git_replicate.capture.data import capture_data
from git_replicate.core.causes import data_hash
from git_replicate.core.errors import GitError, UserError
from git_replicate.core.paths import unquote_path
from git_replicate.core.record import Code, Record, Seeds
from git_replicate.core.secrets import MASK
from git_replicate.core.settings import Settings, Tolerance
from git_replicate.core.verdict import Side, Verdict
from git_replicate.execution.changing import set_params
from git_replicate.execution.isolation import Worktree, link_paths, worktree
from git_replicate.execution.plan import Request
from git_replicate.execution.prepare import Place, record_code
from git_replicate.execution.run import Ran, run_at
from git_replicate.execution.sides import judge_rerun, read_side
from git_replicate.execution.site import Site
from git_replicate.git.opening import repository_at, state_dir
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.store import Parts, finish, list_runs

_NOT_FILES: Final = frozenset({"stdout", "api", "wandb", "tensorboard", "mlflow"})
_OTHER_TRACKERS: Final = ("WANDB_RUN_ID", "WANDB_RESUME", "MLFLOW_RUN_ID")


@dataclass(frozen=True, slots=True)
class Changes:
    """What a rerun is to have other than its original."""

    params: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 0
    """Fresh seeds to run with, so many times; 0: the original's seed, once."""
    onto: Oid | None = None
    different_data: bool = False
    strict: bool = False
    online: bool = False
    given: Tolerance | None = None


@dataclass(frozen=True, slots=True)
class Rerun:
    """A rerun and how it compares."""

    original: Record
    record: Record
    verdict: Verdict


def start_isolated(request: Request, place: Place, at: str = "") -> Ran:
    """Record the code as it is now (or take a commit), and run the command in a checkout of it."""
    repo = place.repository
    if at:
        code = code_of(repo, at)
    else:
        folder = state_dir(repo.layout)
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="scratch-") as scratch:
            code = record_code(place, scratch)
    with worktree(repo.layout, Oid(code.snapshot), code) as held:
        inner = _inside(place, held, repo.layout.prefix)
        site, links = _site(held, inner, request, os.environ, code)
        return run_at(site, request, inner, held, links)


def code_of(repo: Repository, revision: str) -> Code:
    """The code of a commit; `UserError` if there is none of that name."""
    commit = repo.resolve(revision)
    if commit is None:
        raise UserError(f"no commit is called {revision!r}", "git log --oneline")
    return Code(snapshot=commit, tree=repo.read_commit(commit).tree, base=commit)


def rerun(commit: Oid, place: Place, changes: Changes) -> list[Rerun]:
    """Run what a run ran again, as often as asked; each time with its verdict."""
    repo = place.repository
    original = read_side(repo, commit)
    record = original.record
    code = _code_to_run(repo, record, changes)
    if any(MASK in word for word in record.command):
        raise UserError(
            f"the command of {record.id} had a secret, which is not recorded", "run it anew: git replicate start"
        )
    found = []
    with worktree(repo.layout, Oid(code.snapshot), code) as held:
        for number in range(max(changes.seeds, 1)):
            if number:
                from git_replicate.execution.isolation import reuse

                reuse(held, Oid(code.snapshot), code)
            found.append(_once(original, place, held, code, changes))
    return found


def _code_to_run(repo: Repository, record: Record, changes: Changes) -> Code:
    if changes.onto is not None:
        return code_of(repo, changes.onto)
    snapshot = record.code.snapshot
    if not snapshot:
        raise UserError(f"the code of {record.id} was not recorded", "git replicate show " + record.id)
    if not repo.exists(Oid(snapshot)):
        raise UserError(f"the code of {record.id} is not in this clone", "git fetch --unshallow, or fetch the run")
    return replace(record.code, changed_during_run=(), mixed=False, leaked=False, executed=())


def _once(original: Side, place: Place, held: Worktree, code: Code, changes: Changes) -> Rerun:
    record = original.record
    inner = _inside(place, held, record.directory)
    set_to = dict(changes.params)
    seeds = record.seeds
    if changes.seeds:
        seed = int.from_bytes(os.urandom(4), "big")
        seeds = Seeds(run=seed, mode="given", python_hash=seed)
        if isinstance(record.params.get("seed"), int):
            set_to.setdefault("seed", seed)
    command, delivered = set_params(record, set_to) if set_to else (record.command, {})
    request = _request(record, original, inner.settings, command, delivered)
    site, links = _site(held, inner, request, _environment(changes, seeds), code)
    known = f"{record.experiment}/{record.id}"
    site = replace(site, seeds=replace(seeds, libraries={}, calls=()), rerun_of=known)
    _check_data(original, inner, held, changes, place)
    ran = run_at(site, request, inner, held, links)
    return _judged(original, ran.record, place, inner.settings, changes)


def _inside(place: Place, held: Worktree, prefix: str) -> Place:
    """The repository as seen from the checkout, with the configuration that lies there."""
    layout = replace(held.checkout.layout, prefix=f"{prefix.rstrip('/')}/" if prefix else "")
    settings = load_settings(layout, place.config)
    return replace(place, repository=repository_at(layout), settings=settings)


def _site(
    held: Worktree, place: Place, request: Request, environ: Mapping[str, str], code: Code
) -> tuple[Site, list[str]]:
    """Furnish the checkout: declared data and configured paths linked, the command's folder made."""
    settings, prefix = place.settings, place.repository.layout.prefix
    named = [data.path for data in settings.data.named.values() if data.path]
    links = link_paths(held, (*settings.data.paths, *request.data, *named, *settings.isolated.link))
    directory = os.path.normpath(os.path.join(held.top, prefix))
    os.makedirs(directory, exist_ok=True)
    site = Site(held.origin.top or "", held.top, directory, environ, code, lock=held.lock)
    _say_what_is_missing(site, request.command, place)
    return site, links


def _say_what_is_missing(site: Site, command: Sequence[str], place: Place) -> None:
    """Warn of arguments that name files of the worktree which are not in the checkout."""
    prefix = os.path.relpath(site.directory, site.top)
    for word in command[1:]:
        value = word.partition("=")[2] or word
        inner = site.inner(value) if os.path.isabs(value) else os.path.normpath(os.path.join(prefix, value))
        if inner is None or inner in (".", "..") or inner.startswith("../"):
            continue
        original, here = os.path.join(site.origin, inner), os.path.join(site.top, inner)
        if os.path.exists(original) and not os.path.lexists(here) and site.path(original) != original:
            place.warn(
                f"{inner} is not in the snapshot, so not in the checkout; "
                f'if the command reads it: replicate.toml, [isolated] link = ["{inner}"]'
            )


def _request(
    record: Record, original: Side, settings: Settings, command: tuple[str, ...], delivered: Mapping[str, Any]
) -> Request:
    """What the original was asked to do, as far as its record tells."""
    from git_replicate.capture.values import flatten

    requested = {
        name: value for name, value in flatten(record.params).items() if record.params_source.get(name) == "requested"
    }
    named = settings.data.named
    data = tuple(os.fsdecode(unquote_path(name)) for name in original.data if name not in named)
    outputs = tuple(glob.escape(os.fsdecode(unquote_path(path))) for path in record.outputs)
    metrics = dict.fromkeys(source for source in record.metrics_source.values() if source not in _NOT_FILES)
    return Request(
        command=command,
        experiment=record.experiment,
        message=record.message,
        params=tuple({**requested, **flatten(record.params_unused), **delivered}.items()),
        data=data,
        outputs=outputs,
        metrics=tuple(metrics),
        placeholders="{params_file}" in command,
    )


def _environment(changes: Changes, seeds: Seeds) -> dict[str, str]:
    environ = dict(os.environ)
    for name in _OTHER_TRACKERS:
        environ.pop(name, None)
    environ.pop("PYTHONHASHSEED", None)
    if seeds.python_hash is not None:
        environ["PYTHONHASHSEED"] = str(seeds.python_hash)
    if not changes.online:
        environ.setdefault("WANDB_MODE", "offline")
    return environ


def _check_data(original: Side, inner: Place, held: Worktree, changes: Changes, place: Place) -> None:
    """`UserError` with every piece of data that is missing or other than the original's, and both hashes."""
    wrong = []
    for name, entry in original.data.items():
        here = _data_here(name, entry, inner, held)
        recorded = data_hash(entry)
        if recorded is None or recorded == here:
            continue
        wrong.append(f"{name} is {'missing' if here is None else here} here, and was {recorded}")
    if not wrong:
        return
    if changes.different_data:
        place.warn(f"other data than the original's: {'; '.join(wrong)}")
        return
    raise UserError(
        f"data of {original.record.id}: {'; '.join(wrong)}", "to go on all the same: --allow-different-data"
    )


def _data_here(name: str, entry: Mapping[str, Any], inner: Place, held: Worktree) -> str | None:
    import tomli

    layout, named = inner.repository.layout, inner.settings.data.named
    paths = [] if name in named else [os.fsdecode(unquote_path(name))]
    if paths:
        link_paths(held, paths)
    chosen = {name: named[name]} if name in named else {}
    try:
        text = capture_data(paths, chosen, top=held.top, common_dir=layout.common_dir)
    except UserError:
        return None
    return data_hash(tomli.loads(text.decode())["data"].get(name))


def _judged(original: Side, record: Record, place: Place, settings: Settings, changes: Changes) -> Rerun:
    """Compare, and store the verdict in the rerun's record."""
    repo = place.repository
    ref = next((run for run in list_runs(repo) if run.id == record.id), None)
    if ref is None:
        raise GitError("store the verdict", "the run is not in the repository", "git replicate recover")
    again = read_side(repo, ref.commit)
    verdict = judge_rerun(repo, original, again, settings, changes.given)
    judged = replace(again.record, verdict=verdict.as_document())
    finish(repo, judged, ref.commit, Parts())
    return Rerun(original.record, judged, verdict)
