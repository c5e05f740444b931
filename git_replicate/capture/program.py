"""The program inside a command: what is left when launchers, interpreters and their own options are taken away.

`torchrun --nproc-per-node 4 train.py --lr 0.1` runs `train.py`, and only `--lr 0.1` is the program's. Launchers are
known by name, with the options of theirs that take a value; an unknown option's next word counts as its value
unless it looks like a program. This is a guess by design: what a program really parsed is better, where it is seen.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from git_replicate.capture.launchers import LAUNCHERS, Launcher, words
from git_replicate.core.frozen import frozen
from git_replicate.core.patterns import lazy


@frozen
class Program:
    """A program's name (its script, module or file, without folder and extension) and its own arguments."""

    name: str
    arguments: tuple[str, ...]
    word: str = ""  # the word of the command that names it; empty when there is none


_PYTHON = lazy(r"(?:python|pypy)(?:w|d|t)?(?:\d(?:\.\d+)?t?)?(?:\.exe)?")
_INTERPRETERS: dict[str, tuple[frozenset[str], frozenset[str]]] = {  # options with a value, options that hold code
    "Rscript": (frozenset(), frozenset({"-e"})),
    "julia": (words("-t -p -L -J -C -O -g --machine-file"), words("-e -E --eval --print")),
    "node": (words("-r --require --import --loader"), words("-e -p --eval --print")),
    "perl": (frozenset(), words("-e -E")),
    "ruby": (words("-I -r"), words("-e")),
    "lua": (words("-l"), words("-e")),
    "octave": (words("--path -p"), words("--eval")),
    "php": (words("-c -d"), words("-r")),
    "matlab": (frozenset(), words("-batch -r")),
}
_BUILDER_VALUES = words("-C -f -I -o -W --directory --file --makefile -s --snakefile -d --working-directory")
_PAPERMILL_PARAMS = words("-p --parameters -r --parameters_raw")
_PAPERMILL_VALUES = words(
    "-f --parameters_file -y --parameters_yaml -b --parameters_base64 -k --kernel --language --cwd --engine "
    "--autosave-cell-every --execution-timeout --execution_timeout --start-timeout --start_timeout --stdout-file "
    "--stderr-file"
)
_SHELLS = words("sh bash dash zsh ksh fish")
_BUILDERS = words("make gmake snakemake just ninja")
_HELPERS = words(
    "cd pushd popd echo printf exit export source . set unset true false : mkdir rmdir rm cp mv ln touch cat ls pwd "
    "sleep wait kill trap ulimit umask test [ date hostname module activate eval alias nvidia-smi which git pip"
)
"""Commands that stand around what a shell line is about."""
_DEEPEST = 16
"""Launchers inside launchers; beyond that it is a game."""
_EXTENSION = lazy(r"\.(?:py|pyw|pyz|sh|bash|R|r|jl|js|mjs|ts|pl|rb|lua|m|ipynb|jar|exe|out|bin|go)$")
_SCRIPT_WORD = lazy(
    r"(?<![\w./=~-])(?<!>)(?<!> )[\w./~+-]*\w\.(?:py|sh|R|r|jl|js|mjs|ts|pl|rb|lua|ipynb|jar)(?![\w./-])"
)
_MODULE_WORD = lazy(r"python[\d.]*\s+(?:-[a-zA-Z]+\s+)*-\w*m\s+([\w.]*\w)")
_ASSIGNMENT = lazy(r"[A-Za-z_]\w*=")


def find_program(command: Sequence[str]) -> Program:
    """The program that a command comes down to.

    Code given on the command line (`python -c`, a shell line with more than plain commands) has no arguments that
    could be told from it, so it is a program without any.
    """
    return _resolve(tuple(command), 0)


def program_name(command: Sequence[str]) -> str:
    """What to call a series of runs of this command: `train` for `python -u src/train.py`; "" for no command."""
    return find_program(command).name


def layers(command: Sequence[str]) -> list[tuple[str, ...]]:
    """The command, and what is left of it as one launcher after the other is taken off."""
    found: list[tuple[str, ...]] = []
    rest = tuple(command)
    while rest and len(found) < _DEEPEST:
        found.append(rest)
        inner = None if is_python(rest[0]) else _unwrap(rest)
        if inner is None or inner.module:
            break
        rest = inner.rest
    return found


def is_python(word: str) -> bool:
    """Whether a word names a Python interpreter: `python3.11`, `/usr/bin/pypy3`."""
    return _PYTHON.fullmatch(os.path.basename(word)) is not None


def may_start_anything(word: str) -> bool:
    """Whether a word names a shell or a build tool, which start other programs."""
    return os.path.basename(word) in _SHELLS | _BUILDERS


def _resolve(rest: tuple[str, ...], depth: int) -> Program:
    if not rest:
        return Program("", ())
    word, base = rest[0], os.path.basename(rest[0])
    if depth > _DEEPEST:
        return Program(_stem(word), ())
    if is_python(word):
        return _python(rest[1:], base, depth)
    if base in _SHELLS:
        return _shell(rest[1:], base, depth)
    if base in _INTERPRETERS:
        return _interpreted(rest[1:], base)
    if base == "java":
        return _java(rest[1:])
    if base in _BUILDERS:
        return _builder(rest[1:], base)
    if base == "papermill":
        return _papermill(rest[1:], base)
    inner = _unwrap(rest)
    if inner is None:
        return Program(_stem(word), rest[1:], word)
    if inner.module:
        return _module(inner.rest, depth)
    if inner.python and inner.rest and not _looks_like_program(inner.rest[0]):
        return Program(_stem(inner.rest[0]), inner.rest[1:], inner.rest[0])
    return _resolve(inner.rest, depth + 1) if inner.rest else Program(_stem(word), (), word)


@frozen
class _Inner:
    """The command inside a launcher's."""

    rest: tuple[str, ...]
    python: bool = False
    module: bool = False


def _unwrap(rest: tuple[str, ...]) -> _Inner | None:
    """Take one launcher off; None if the first word is not one (or not used as one)."""
    base = os.path.basename(rest[0])
    launcher = LAUNCHERS.get(base)
    if launcher is None:
        return None
    inner = rest[1:]
    if launcher.anything:
        start = next((i for i, word in enumerate(inner) if _looks_like_program(word)), len(inner))
        return _Inner(inner[start:])
    if launcher.verbs:
        found = next((i for i, word in enumerate(inner) if word in launcher.verbs), None)
        if found is None:
            return None
        inner = inner[found + 1 :]
    module = False
    index = 0
    while index < len(inner) and inner[index].startswith("-") and inner[index] != "-":
        option = inner[index]
        index += 1
        if option == "--":
            break
        if launcher.python and option in ("-m", "--module"):
            module = True
        elif "=" not in option:
            index += _takes_value(launcher, option, inner[index : index + 1])
    if launcher.assignments:
        while index < len(inner) and _ASSIGNMENT.match(inner[index]):
            index += 1
    return _Inner(inner[index + launcher.positional :], launcher.python, module)


def _takes_value(launcher: Launcher, option: str, following: tuple[str, ...]) -> int:
    """1 if the word after this option belongs to it, else 0."""
    name = option.lstrip("-")
    spellings = {name, name.replace("-", "_"), name.replace("_", "-")}
    if spellings & launcher.values:
        return 1
    if spellings & launcher.flags or not following or following[0].startswith("-"):
        return 0
    attached = not option.startswith("--") and len(name) > 1 and name[0] in launcher.values
    return 0 if attached or _looks_like_program(following[0]) else int(option.startswith("--") or len(name) == 1)


def _looks_like_program(word: str) -> bool:
    base = os.path.basename(word)
    return (
        is_python(word) or base in _SHELLS or base in LAUNCHERS or base in _INTERPRETERS or base == "java"
        or _EXTENSION.search(base) is not None or (word.startswith("./") and "." not in base)
    )  # fmt: skip


def _python(rest: tuple[str, ...], base: str, depth: int) -> Program:
    """`python [options] script | -m module | -c code | -`."""
    index = 0
    while index < len(rest) and rest[index].startswith("-") and rest[index] != "-":
        option = rest[index]
        index += 1
        if option.startswith("--"):
            index += option == "--check-hash-based-pycs"
            continue
        for position, letter in enumerate(option[1:], 1):
            attached = option[position + 1 :]
            if letter == "m":
                return _module((attached, *rest[index:]) if attached else rest[index:], depth)
            if letter == "c":
                return Program(base, rest[index + (not attached) :])
            if letter in "WX":
                index += not attached
                break
    if index >= len(rest) or rest[index] == "-":
        return Program(base, rest[index + 1 :])
    return Program(_stem(rest[index]), rest[index + 1 :], rest[index])


def _module(rest: tuple[str, ...], depth: int) -> Program:
    """A module run by name; some modules are launchers themselves."""
    if not rest:
        return Program("python", ())
    name = rest[0]
    if name == "accelerate.commands.launch":
        return _resolve(("accelerate-launch", *rest[1:]), depth + 1)
    if name in LAUNCHERS or name == "papermill":
        return _resolve(rest, depth + 1)
    parts = [part for part in name.split(".") if part not in ("__main__", "")]
    return Program(parts[-1] if parts else "python", rest[1:], name)


def _shell(rest: tuple[str, ...], base: str, depth: int) -> Program:
    """`bash [options] script args`, or `bash -c 'code' name args`."""
    index = 0
    while index < len(rest) and rest[index].startswith(("-", "+")) and len(rest[index]) > 1:
        option = rest[index]
        index += 1
        if not option.startswith("--") and "c" in option[1:]:
            return _shell_code(rest[index], base, depth) if index < len(rest) else Program(base, ())
        if option in ("-o", "+o", "-O", "+O", "--rcfile", "--init-file"):
            index += 1
    if index >= len(rest):
        return Program(base, ())
    return Program(_stem(rest[index]), rest[index + 1 :], rest[index])


def _shell_code(code: str, base: str, depth: int) -> Program:
    """The one program that a shell line is about; the shell itself where there are several, or none.

    Of a line with variables, pipes or loops only the name is told: its words are not what the program gets.
    """
    commands = plain_commands(code)
    if commands is None:
        files = {_stem(word): word for word in _SCRIPT_WORD.findall(code)}
        files.update({module.rpartition(".")[2]: module for module in _MODULE_WORD.findall(code)})
        return Program(next(iter(files)) if len(files) == 1 else base, ())
    programs = [_resolve(words, depth + 1) for words in commands if os.path.basename(words[0]) not in _HELPERS]
    named = [program for program in programs if program.word and _is_file(program)]
    for found in (named, programs):
        if len(found) == 1:
            return found[0]
    return Program(base, ())


def plain_commands(code: str) -> list[tuple[str, ...]] | None:
    """The commands of a shell line that is nothing but plain commands joined by `&&` or `;`, else None.

    A line with a variable, substitution, pipe, redirection, pattern or loop is left alone.
    """
    if re.search(r"[$`|<>(){}*?!#~\n\\]|(?<!&)&(?!&)", code):
        return None
    lexer = shlex.shlex(code, posix=True, punctuation_chars=";&")
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError:
        return None
    commands: list[list[str]] = [[]]
    for token in tokens:
        if token in ("&&", ";"):
            commands.append([])
        elif commands[-1] or not (token == "exec" or _ASSIGNMENT.match(token)):
            commands[-1].append(token)
    return [tuple(command) for command in commands if command]


def _interpreted(rest: tuple[str, ...], base: str) -> Program:
    """Another language's interpreter: its options, then a script."""
    values, code = _INTERPRETERS[base]
    index = 0
    while index < len(rest) and rest[index].startswith("-"):
        if rest[index] in code:
            return Program(base, ())
        index += 1 + (rest[index] in values)
    if index >= len(rest):
        return Program(base, ())
    return Program(_stem(rest[index]), rest[index + 1 :], rest[index])


def _builder(rest: tuple[str, ...], base: str) -> Program:
    """`make target NAME=value`: called after its target if it is given exactly one, else after the tool."""
    targets: list[str] = []
    values: list[str] = []
    index = 0
    while index < len(rest):
        word = rest[index]
        index += 1
        if word.startswith("-"):
            numbered = word in ("-j", "-l", "--cores") and index < len(rest) and rest[index].isdigit()
            index += numbered or word in _BUILDER_VALUES
        else:
            (values if _ASSIGNMENT.match(word) else targets).append(word)
    return Program(_stem(targets[0]) if len(targets) == 1 else base, tuple(values), base)


def _papermill(rest: tuple[str, ...], base: str) -> Program:
    """`papermill [options] notebook [output] [-p NAME VALUE]`: the notebook, with `NAME=VALUE` for its params."""
    notebooks: list[str] = []
    values: list[str] = []
    index = 0
    while index < len(rest):
        word = rest[index]
        index += 1
        if word in _PAPERMILL_PARAMS:
            values.append("=".join(rest[index : index + 2]))
            index += 2
        elif word.startswith("-"):
            index += word in _PAPERMILL_VALUES
        else:
            notebooks.append(word)
    return Program(_stem(notebooks[0]), tuple(values), notebooks[0]) if notebooks else Program(base, ())


def _java(rest: tuple[str, ...]) -> Program:
    """`java [options] -jar file args` or `java [options] Class args`."""
    index = 0
    while index < len(rest) and rest[index].startswith("-"):
        if rest[index] == "-jar":
            index += 1
            break
        index += 1 + (rest[index] in ("-cp", "-classpath", "--class-path", "-p", "--module-path", "-m"))
    if index >= len(rest):
        return Program("java", ())
    name = rest[index] if rest[index].endswith(".jar") else rest[index].rpartition(".")[2]
    return Program(_stem(name), rest[index + 1 :], rest[index])


def _is_file(program: Program) -> bool:
    """Whether a program is a script, a module or a file of the user's, not some command on the search path."""
    return "/" in program.word or "." in program.word or program.word != program.name


def _stem(word: str) -> str:
    base = os.path.basename(word.rstrip("/"))
    return _EXTENSION.sub("", base) or base
