"""One run in a checkout as another was: its command, seeds, data and environment, each restored or checked.

What cannot be restored is said before anything runs: data that is missing or other, an environment that is not the
recorded one. What is compared afterwards, and why a run is made again, is not decided here.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal

from git_replicate.capture.config import load_settings
from git_replicate.capture.data import capture_data
from git_replicate.capture.executed import in_environment
from git_replicate.capture.params import names_in_files
from git_replicate.capture.result_folders import make_folders
from git_replicate.capture.stages import inputs_unmade
from git_replicate.capture.values import placeholder_text
from git_replicate.core.causes import data_hash
from git_replicate.core.errors import UserError
from git_replicate.core.paths import unquote_path
from git_replicate.core.record import Code, Record, Seeds
from git_replicate.core.settings import Settings
from git_replicate.core.sizes import count
from git_replicate.core.verdict import Side
from git_replicate.execution.environment import clean_environment
from git_replicate.execution.isolation import Worktree, link_paths, place_data
from git_replicate.execution.params_files import write_params_files
from git_replicate.execution.place import Place
from git_replicate.execution.plan import Request
from git_replicate.execution.run import Ran, run_at
from git_replicate.execution.site import Site
from git_replicate.git.lfs import content_ids
from git_replicate.git.opening import repository_at

EnvironmentChoice = Literal["current", "recorded", "strict", "unchecked"]
"""What is there, differences listed; what was recorded, built; what is there if nothing differs; what is there."""

_NOT_FILES: Final = frozenset({"stdout", "api", "wandb", "tensorboard", "mlflow"})
_OTHER_TRACKERS: Final = ("WANDB_RUN_ID", "WANDB_RESUME", "MLFLOW_RUN_ID")
_LONGEST_SCRIPT: Final = 1_000_000
_INTERPRETER: Final = re.compile(r"(python|pypy)[\d.]*$")


@dataclass(frozen=True, slots=True)
class Setup:
    """How a run is to be made again, where that is not simply as it was."""

    command: tuple[str, ...]
    seeds: Seeds
    delivered: Mapping[str, Any] = field(default_factory=dict)
    """Params that the command has to be handed, by dotted name."""
    environment: EnvironmentChoice = "current"
    recorded: Mapping[str, Any] | None = None
    """The environment to build or to compare with, where it is not the original's own."""
    variables: Mapping[str, str | None] = field(default_factory=dict)
    """Variables of the environment that are to have other values than here; None: that are not to be there."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where data is to be linked from, by its path relative to the top, if not from the worktree."""
    data: Mapping[str, Any] | None = None
    """The data that is to be there, where it is not the original's own."""
    different_data: bool = False
    online: bool = False
    message: str = ""
    hybrid: Mapping[str, Any] = field(default_factory=dict)


def replay(original: Side, place: Place, held: Worktree, code: Code, setup: Setup) -> Ran:
    """Run what a run ran, in a checkout that holds its code; recorded as a rerun of it.

    `UserError`, before anything runs, for data or an environment that must not be other, and all of it at once.
    """
    record = original.record
    inner = inside(place, held, record.directory)
    in_files = names_in_files(inner.settings.params.files, held.top)
    filled = {n: v for n, v in filled_params(record, setup.command).items() if n not in in_files}
    request = _request(record, original, inner.settings, setup, filled)
    placed = place_data(held, setup.sources)
    site, links = furnish(
        held, inner, request, _variables(setup, original, held), code, also=undeclared_inputs(original)
    )
    known = f"{record.experiment}/{record.id}"
    seeds = replace(setup.seeds, libraries={}, calls=(), calls_seen=0)
    site = replace(site, seeds=seeds, rerun_of=known, hybrid=setup.hybrid, params=filled)
    _check_data(original, inner, held, setup, place)
    site = _in_environment(original, site, request, setup, inner)
    return run_at(site, request, inner, held, [*placed, *links])


def inside(place: Place, held: Worktree, prefix: str) -> Place:
    """The repository as seen from the checkout, with the configuration that lies there."""
    layout = replace(held.checkout.layout, prefix=f"{prefix.rstrip('/')}/" if prefix else "")
    settings = load_settings(layout, place.config)
    return replace(place, repository=repository_at(layout), settings=settings)


def furnish(
    held: Worktree,
    place: Place,
    request: Request,
    environ: Mapping[str, str],
    code: Code,
    *,
    also: Sequence[str] = (),
) -> tuple[Site, list[str]]:
    """Declared data and configured paths linked into the checkout, requested params in its files; and the links made.

    place: the repository as seen from the checkout; also: further paths that the command is known to read.
    """
    settings, prefix = place.settings, place.repository.layout.prefix
    named = [data.path for data in settings.data.named.values() if data.path]
    raw = inputs_unmade(settings.stage, held.origin.top or "")
    links = link_paths(
        held, (*settings.data.paths, *request.data, *named, *raw, *settings.isolated.link, *request.linked, *also)
    )
    make_folders([os.fsdecode(unquote_path(path)) for path in code.folders], held.top)
    directory = os.path.normpath(os.path.join(held.top, prefix))
    os.makedirs(directory, exist_ok=True)
    params, files = dict(request.params), settings.params.files
    template = request.command if request.placeholders else ()
    written = write_params_files(held.top, files, params, template, place.warn)
    origin = held.origin.top or ""
    site = Site(origin, held.top, directory, environ, code, nested=held.nested, written=written, lock=held.lock)
    _say_what_is_missing(site, request.command, place)
    _say_what_leads_back(site, request.command, place)
    return site, links


def undeclared_inputs(original: Side) -> list[str]:
    """The paths in the worktree that the original was seen to read without having declared them.

    What it wrote as well is not among them: the run would write through the link into the user's own file.
    """
    return [path for path in _undeclared(original) if not os.path.isabs(path)]


def outside_inputs(original: Side) -> list[str]:
    """The same outside of the worktree."""
    return [path for path in _undeclared(original) if os.path.isabs(path)]


def _undeclared(original: Side) -> list[str]:
    wrote = {*original.record.outputs, *(file.path for file in original.record.files)}
    names = [name for name, entry in original.data.items() if entry.get("undeclared") and "revision" not in entry]
    return [os.fsdecode(unquote_path(name)) for name in names if name not in wrote]


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


def _say_what_leads_back(site: Site, command: Sequence[str], place: Place) -> None:
    """Warn of words, and of scripts that are not Python, which name the worktree: nobody sees what is read there."""
    for word in command:
        file = os.path.join(site.directory, site.words([word])[0])
        text = word if not os.path.isfile(file) else "" if file.endswith(".py") else _script_text(file)
        if any(_leads_back(inner, site) for inner in _named_inside(text, site.origin)):
            place.warn(
                f"{shlex.quote(word) if text == word else word} names {site.origin}, your own worktree: what it reads "
                "there is not the checkout's, and is noticed only in Python; name it by a relative path"
            )


def _script_text(file: str) -> str:
    """The text of a script; empty for a program."""
    try:
        with open(file, "rb") as opened:
            content = opened.read(_LONGEST_SCRIPT)
    except OSError:
        return ""
    return "" if b"\0" in content else os.fsdecode(content)


def _named_inside(text: str, folder: str) -> list[str]:
    """The paths relative to a folder that a text names, after the folder's own."""
    found = re.finditer(re.escape(folder) + r"(?![\w.-])/*([^\s\"';:,)]*)", text) if folder.strip("/") else ()
    return [match[1] for match in found]


def _leads_back(inner: str, site: Site) -> bool:
    """Whether a path relative to the worktree is one that the checkout should stand for."""
    return not (inner.startswith(".git/") or in_environment(inner, site.origin))


def _request(record: Record, original: Side, settings: Settings, setup: Setup, filled: Mapping[str, Any]) -> Request:
    """What the original was asked to do, as far as its record tells."""
    from git_replicate.capture.values import flatten

    source, given = record.params_source, {*record.params_given}
    requested = {
        name: value
        for name, value in flatten(record.params).items()
        if source.get(name) == "requested" or (source.get(name) == "api" and name in given)
    }
    named = settings.data.named
    data = tuple(
        os.fsdecode(unquote_path(name))
        for name, entry in original.data.items()
        if name not in named and not entry.get("undeclared")
    )
    outputs = tuple(glob.escape(os.fsdecode(unquote_path(path))) for path in record.outputs)
    metrics = dict.fromkeys(source for source in record.metrics_source.values() if source not in _NOT_FILES)
    return Request(
        command=setup.command,
        experiment=record.experiment,
        message=setup.message or record.message,
        params=tuple(
            {
                **requested,
                **flatten(record.params_unused),
                **filled,
                **setup.delivered,
            }.items()
        ),
        data=data,
        absent=setup.different_data,
        outputs=outputs,
        metrics=tuple(metrics),
        placeholders="{params_file}" in setup.command,
    )


def filled_params(record: Record, command: Sequence[str]) -> dict[str, Any]:
    """The params that placeholders put into the command of a run, as they are in this one: the same, or changed."""
    from git_replicate.capture.values import flatten, typed

    asked = {n: v for n, v in flatten(record.params).items() if record.params_source.get(n) == "requested"}
    if tuple(command) == record.command:
        return {n: v for n, v in asked.items() if any(placeholder_text(v) in word for word in command)}
    found = {}
    for name, value in asked.items():
        text = placeholder_text(value)
        if record.command.count(text) == 1 and len(command) >= len(record.command):
            word = command[record.command.index(text)]
            found[name] = value if word == text else typed(word)
        elif any(text in old and old == new for old, new in zip(record.command, command, strict=False)):
            found[name] = value
    return found


def _variables(setup: Setup, original: Side, held: Worktree) -> dict[str, str]:
    environ = dict(os.environ)
    if not environ.get("PYTHONPATH") and (own := _own_search_path(original, held)):
        environ["PYTHONPATH"] = own
    for name in _OTHER_TRACKERS:
        environ.pop(name, None)
    environ.pop("PYTHONHASHSEED", None)
    if setup.seeds.python_hash is not None:
        environ["PYTHONHASHSEED"] = str(setup.seeds.python_hash)
    if not setup.online:
        environ.setdefault("WANDB_MODE", "offline")
    changed = {**environ, **setup.variables}
    return {name: value for name, value in changed.items() if value is not None}


def _own_search_path(original: Side, held: Worktree) -> str:
    """What of the original's PYTHONPATH lay in the worktree, as it lies in the checkout; "" without any."""
    recorded = str(original.environment.get("variables", {}).get("PYTHONPATH", ""))
    inside = [entry for entry in recorded.split(os.pathsep) if entry.split("/")[0] == "."]
    return os.pathsep.join(os.path.normpath(os.path.join(held.top, entry)) for entry in inside)


def _in_environment(original: Side, site: Site, request: Request, setup: Setup, inner: Place) -> Site:
    """The site with the variables of the environment asked for; what of the present one differs is said, or refused."""
    from git_replicate.execution import environments

    known = original.environment if setup.recorded is None else setup.recorded
    name = original.record.id
    if not known and setup.environment != "current":
        raise UserError(
            f"the environment of {name} was not recorded", f"what is missing, and why: git replicate show {name}"
        )
    import tomli_w

    recorded = tomli_w.dumps(known).encode()
    settings = inner.settings.environment
    if setup.environment == "recorded":
        built = environments.build_recorded(
            inner.repository.layout, recorded, read=reader(inner, site.code.tree), top=site.top,
            environ=clean_environment(site.environ), settings=settings, say=inner.say, code=site.code,
        )  # fmt: skip
        for note in built.notes:
            inner.warn(f"environment: {note}")
        programs = _programs(request.command, built.prefix)
        return replace(site, environ=built.variables(site.environ), programs=programs, built_from=built.code)
    if setup.environment == "unchecked":
        return site
    if not known:
        inner.warn(f"the environment of {name} was not recorded: it cannot be compared with this one")
        return site
    _compare_environment(recorded, site, request, setup, inner)
    return site


def _compare_environment(recorded: bytes, site: Site, request: Request, setup: Setup, inner: Place) -> None:
    """Say every difference between the recorded environment and this one; `UserError` where none may be."""
    from git_replicate.capture.environment import capture_environment
    from git_replicate.execution.environments import compare_environments

    environ = clean_environment(site.environ)
    words = site.words(request.command)
    now, _ = capture_environment(words, site.directory, environ, inner.settings.environment, site.top, site.homes)
    found = compare_environments(recorded, now)
    if not found:
        return
    differences = count(len(found), "difference")
    if setup.environment == "strict":
        raise UserError(
            f"{differences} from the recorded environment: {'; '.join(map(str, found))}",
            "to build the recorded one: --env recorded; to go on with this one: --env current",
        )
    inner.warn(f"{differences} from the recorded environment (to build that: --env recorded):")
    for difference in found:
        inner.say(f"  {difference}")


def reader(place: Place, tree: str) -> Any:
    """How the files of a tree are read, by path; None for what it has not."""

    def read(path: str) -> bytes | None:
        return next(place.repository.read_many([f"{tree}:{path}"])) if tree else None

    return read


def _programs(command: Sequence[str], prefix: str) -> dict[str, str]:
    """The command's program where its place names an environment: that of the one which was built."""
    if not command or "/" not in command[0]:
        return {}
    name = os.path.basename(command[0])
    names = (name, "python") if _INTERPRETER.match(name) else (name,)
    inner = (os.path.join(prefix, "bin", each) for each in names)
    found = next((path for path in inner if os.path.exists(path)), None)
    return {command[0]: found} if found else {}


def _check_data(original: Side, inner: Place, held: Worktree, setup: Setup, place: Place) -> None:
    """`UserError` with every piece of data that is missing or other than it is to be, and both hashes."""
    wrong: list[str] = []
    unsure: list[str] = []
    for name, entry in (original.data if setup.data is None else setup.data).items():
        if "revision" in entry or entry.get("unhashed"):
            continue
        here = data_here(name, entry, inner, held)
        recorded = data_hash(entry)
        if recorded is None or recorded == here:
            continue
        found = unsure if entry.get("undeclared") else wrong
        found.append(f"{name} is {'missing' if here is None else here} here, and was {recorded}")
    if unsure:
        place.warn(f"read by the original, not declared, and other than it was: {'; '.join(unsure[:5])}")
    if not wrong:
        return
    if setup.different_data:
        place.warn(f"other data than the original's: {'; '.join(wrong)}")
        return
    raise UserError(
        f"data of {original.record.id}: {'; '.join(wrong)}", "to go on all the same: --allow-different-data"
    )


def data_here(name: str, entry: Mapping[str, Any], inner: Place, held: Worktree) -> str | None:
    """The hash of recorded data as it is in a checkout, or linked into it; None if it is not there."""
    import tomli

    layout, named = inner.repository.layout, inner.settings.data.named
    paths = [] if name in named else [os.fsdecode(unquote_path(name))]
    if paths:
        link_paths(held, paths)
    chosen = {name: named[name]} if name in named else {}
    try:
        ids = partial(content_ids, inner.repository)
        text = capture_data(paths, chosen, top=held.top, common_dir=layout.common_dir, tracked_ids=ids)
    except UserError:
        return None
    return data_hash(tomli.loads(text.decode())["data"].get(name))
