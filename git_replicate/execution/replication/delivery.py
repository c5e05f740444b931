"""Whether what a sweep asks for reaches its program: decided before anything runs, checked on every run.

A param reaches the program through a placeholder, a declared params file, `{params_file}` or the API; a seed through
`{seed}`, an option that the program is known to parse, or else the probe. A value that reaches nothing, or another
one than was asked for, makes a table of runs that lies: that is an error of the sweep, and so is code that is not
the snapshot's.
"""

from __future__ import annotations

import ast
import difflib
import os
import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from git_replicate.capture.documents import how_to_read_yaml, parse_document
from git_replicate.capture.metrics import is_metric_name
from git_replicate.capture.params import names_in_files, placeholders, same_value
from git_replicate.capture.program import find_program, layers, program_name
from git_replicate.capture.values import flatten, typed
from git_replicate.core.errors import UserError
from git_replicate.core.record import Code, Record, Status
from git_replicate.core.secrets import MASK
from git_replicate.core.settings import Settings
from git_replicate.core.sweep import Planned, Sweep
from git_replicate.execution.params_files import CHANGING_YAML
from git_replicate.execution.replication.changing import program_of, replace_param
from git_replicate.git.history import find_line, mentions
from git_replicate.git.opening import find_layout
from git_replicate.git.repository import Oid, Repository
from git_replicate.git.trees import read_path

_API: Final = "git_replicate"
_PLAIN: Final = re.compile(r"[\w@%+=:,./{}-]+", re.ASCII)
_SCRIPTS: Final = (".py", ".sh", ".R", ".jl", ".pl", ".rb", ".js", ".lua")
_LONGEST_SCRIPT: Final = 1_000_000
_OPTION_CALLS: Final = re.compile(r"(?:add_argument|add_option|option|Option|DEFINE_\w+)$")


# --- before anything runs


def check_program(sweep: Sweep, repo: Repository, code: Code, settings: Settings, prefix: str) -> None:
    """`UserError` for a script that the checkouts would not have: every run would fail alike."""
    command = sweep.command
    word = find_program(command).word
    if word not in command or len(layers(command)) > 1 or "{" in word or not word.endswith(_SCRIPTS):
        return  # launchers may change directories, and programs are found elsewhere
    path = posixpath.normpath(posixpath.join(prefix, word))
    linked = any(
        path == link or path.startswith(f"{link}/") for link in map(posixpath.normpath, settings.isolated.link)
    )
    if path.startswith(("/", "../")) or linked or read_path(repo, Oid(code.tree), os.fsencode(path)):
        return
    if not os.path.exists(os.path.join(repo.layout.top or "", path)):
        raise UserError(f"{word}: no such file", "check the path, or the directory you are in")
    if not code.submodules:
        raise UserError(f"{word} is not in the snapshot, so in no checkout: git ignores it", f"git add --force {word}")


def check_params(sweep: Sweep, repo: Repository, code: Code, settings: Settings) -> None:
    """`UserError` for params of the space that nothing hands to the program."""
    wanted = placeholders(sweep.command)
    if "params_file" in wanted:
        return
    named = {name.replace("-", "_") for name in wanted}
    left = [name for name in sweep.space.dimensions if not ({name, *_prefixes(name)} & named)]
    known, unread = _in_files(repo, code, settings.params.files if left else ())
    left = [name for name in left if name not in known]
    if not left or mentions(repo.layout, Oid(code.snapshot), _API):
        return
    first = left[0]
    shown = ", ".join(left)
    if unread:
        raise UserError(
            f"-p {shown}: reaches nothing, unless through {', '.join(unread)}: {CHANGING_YAML}", how_to_read_yaml()
        )
    raise UserError(
        f"-p {shown}: reaches nothing: the command has no {{{first}}}, and no declared params file has it",
        f"git replicate sweep ... -- {_shown(_with_params(sweep.command, left))}",
    )


def reaches(name: str, command: Sequence[str], repo: Repository, settings: Settings, *, isolated: bool) -> bool:
    """Whether a param that no option of the command gives may reach the program of a run that starts now.

    isolated: in a checkout, whose params files are ours to change.
    """
    wanted = {found.replace("-", "_") for found in placeholders(command)}
    if "params_file" in wanted or {name, *_prefixes(name)} & wanted:
        return True
    top = repo.layout.top or ""
    if isolated and settings.params.files and name in names_in_files(settings.params.files, top):
        return True
    try:
        with open(os.path.join(top, repo.layout.prefix, find_program(command).word), "rb") as script:
            if _API.encode() in script.read(_LONGEST_SCRIPT):
                return True
    except (OSError, ValueError):  # no file of that name: it is a module, or a program
        pass
    head = repo.resolve("HEAD")
    return head is not None and mentions(repo.layout, head, _API)


def _in_files(repo: Repository, code: Code, files: Sequence[str]) -> tuple[set[str], list[str]]:
    """The params in the declared files of the snapshot, and the files that cannot be read here."""
    found: set[str] = set()
    unread: list[str] = []
    texts = repo.read_many([f"{code.snapshot}:{path}" for path in files])
    for path, text in zip(files, texts, strict=True):
        document, notice = parse_document(text or b"", shown=path)
        if notice:
            unread.append(path)
        if isinstance(document, Mapping):
            found |= set(flatten(document))
    return found, unread


def with_seed(sweep: Sweep, repo: Repository, code: Code, earlier: Record | None, prefix: str) -> Sweep:
    """The sweep with `{seed}` in its command, where it has seeds and the program is known to take one.

    earlier: a run of the same command, which tells what its program parses.
    """
    command = list(sweep.command)
    if not sweep.seeds or {"seed", "params_file"} & placeholders(command) or "seed" in sweep.space.dimensions:
        return sweep
    if replace_param(command, "seed", "{seed}"):
        return replace(sweep, command=tuple(command))
    option = _known_option(earlier) or _written_option(sweep, repo, code, prefix)
    if not option or "--" in command:
        return sweep
    return replace(sweep, command=(*command, *option))


def _known_option(earlier: Record | None) -> tuple[str, ...]:
    if earlier is None or earlier.params_source.get("seed") != "parsed" or program_of(earlier, "seed"):
        return ()
    return ("seed={seed}",) if earlier.runtime.get("parser") == "hydra" else ("--seed", "{seed}")


def _written_option(sweep: Sweep, repo: Repository, code: Code, prefix: str) -> tuple[str, ...]:
    """What the source of a Python script shows: a parser's call with the option's name."""
    word = find_program(sweep.command).word
    if not word.endswith(".py"):
        return ()
    path = posixpath.normpath(posixpath.join(prefix, word))
    text = next(iter(repo.read_many([f"{code.snapshot}:{path}"])))
    try:
        tree = ast.parse(text or b"")
    except (SyntaxError, ValueError):
        return ()
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    named = any(
        _OPTION_CALLS.search(ast.unparse(call.func))
        and any(isinstance(word, ast.Constant) and word.value in ("--seed", "seed") for word in call.args)
        for call in calls
    )
    return ("--seed", "{seed}") if named else ()


def same_program(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two commands run the same script."""
    return program_name(first) == program_name(second) and find_program(first).word == find_program(second).word


# --- after a run


def fault(sweep: Sweep, planned: Planned, record: Record, top: str = "") -> UserError | None:
    """Why no further run of the sweep makes sense, if the run shows that; `top`: of a worktree, to find code in."""
    if record.code.leaked:
        return UserError(
            f"run {record.id} read files of your own worktree instead of the snapshot's: the sweep stops",
            f"git replicate show {record.id}",
        )
    return _undelivered(sweep, planned, record) or _own_seed(sweep, planned, record, top) or _unmeasured(sweep, record)


def not_as_set(record: Record, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the params asked for that the run, as it is recorded, has not or has otherwise."""
    values = {**flatten(record.params), **dict.fromkeys(record.params_null)}
    return {
        name: value for name, value in wanted.items()
        if not (name in values and (values[name] == MASK or _is(values[name], value) or values[name] == [value]))
    }  # fmt: skip


def _unmeasured(sweep: Sweep, record: Record) -> UserError | None:
    missing = [objective.metric for objective in sweep.objectives if objective.metric not in record.metrics]
    if record.status is not Status.FINISHED or not missing:
        return None
    there = ", ".join(list(record.metrics)[:8]) or "none"
    near = difflib.get_close_matches(missing[0], record.metrics, 1)
    return UserError(
        f"run {record.id} has no metric {missing[0]} (its metrics: {there})",
        f"--metric {near[0]}" if near else _how_to_tell(missing[0], record),
    )


def _how_to_tell(metric: str, record: Record) -> str:
    """What makes a run have a metric: a line, where lines are looked at and a name is no usual word of logs."""
    if is_metric_name(metric) and set(record.metrics_source.values()) <= {"stdout"}:
        return f"print it in a line of its own: {metric}: 0.9"
    if not metric.isidentifier():
        return "write it to a JSON file: --metrics metrics.json"
    return rf"in replicate.toml: [results] patterns = ['{metric}: (?P<{metric}>\S+)']"


def _undelivered(sweep: Sweep, planned: Planned, record: Record) -> UserError | None:
    unused = flatten(record.params_unused)
    values = {**flatten(record.params), **dict.fromkeys(record.params_null)}
    for name, wanted in planned.point.items():
        seen = values.get(name)
        parsed = record.params_source.get(name) in ("parsed", "api")
        if parsed and not _is(seen, wanted):
            why = f"the program parsed {name} = {seen}"
        elif name in unused:
            why = f"the run has {name} = {seen}" if name in values else "nothing reads it"
        else:
            continue
        words = command_taking(sweep.command, [name])
        if isinstance(wanted, list | tuple):  # a parser that takes several values takes a word for each
            words = words.replace(f"{{{name}}}", f"{{{name}...}}")
        return UserError(
            f"-p {name}: {wanted} was asked for, and {why}: the runs would not differ in it",
            f"git replicate sweep ... -- {words}",
        )
    return None


def _own_seed(sweep: Sweep, planned: Planned, record: Record, top: str) -> UserError | None:
    """That the program has another seed than its run: as a param of its own, or in a seeding call."""
    if planned.seed is None or "seed" in placeholders(sweep.command):
        return None
    hint = f"git replicate sweep ... -- {_shown(_with_params(sweep.command, ['seed']))}"
    seen = record.params.get("seed")
    if record.params_source.get("seed") in ("parsed", "api") and not _is(seen, planned.seed):
        return UserError(f"the program parsed seed = {seen}, not the run's seed {planned.seed}", hint)
    own = {library for library, status in record.seeds.libraries.items() if status == "own"}
    calls = [call for call in record.seeds.calls if call.get("library") in own and "value" in call]
    if not calls or any(_is(call["value"], planned.seed) for call in calls):
        return None
    call = calls[0]
    function = str(call.get("function", ""))
    where = _line_of(record, top, function, call["value"])
    return UserError(
        f"{where}the program seeds itself ({call['library']}: {function}({call['value']})), whatever the run's seed: "
        f"runs with several seeds would be no spread",
        f"take the seed from the command line: {hint.removeprefix('git replicate sweep ... -- ')}",
    )


def _line_of(record: Record, top: str, function: str, value: Any) -> str:
    """Where in the snapshot a call with this value is, or else a call at all: `train.py:3: `; "" if nowhere."""
    if not top or not record.code.snapshot:
        return ""
    layout, name = find_layout(top), function.rpartition(".")[2]
    for text in (f"{name}({value}", f"{name}("):
        if found := find_line(layout, Oid(record.code.snapshot), text):
            return f"{found[0]}:{found[1]}: "
    return ""


def _is(seen: Any, wanted: Any) -> bool:
    return same_value(seen, wanted) or same_value(typed(str(seen)), typed(str(wanted)))


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _with_params(command: Sequence[str], names: Sequence[str]) -> list[str]:
    """The command as it would take the params: where it gives them now, or as further options."""
    words = list(command)
    for name in names:
        if not replace_param(words, name, f"{{{name}}}"):
            words += [f"--{name.replace('_', '-')}", f"{{{name}}}"]
    return words


def command_taking(command: Sequence[str], names: Sequence[str]) -> str:
    """The command line as it would take these params by placeholders."""
    return _shown(_with_params(command, names))


def _shown(words: Sequence[str]) -> str:
    """The words as they are typed; placeholders need no quotes."""
    return " ".join(word if _PLAIN.fullmatch(word) else shlex.quote(word) for word in words)
