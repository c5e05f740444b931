"""Which of the programs seen in a run are one and the same, and what each of them is called beside the others.

A program is known by the words that started it alone: `python train.py`, `python ./train.py` and `python -m train` are
one. What each of them parsed is not looked at here.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Sequence

from git_replicate.capture.program import Program, may_start_anything


def is_same_program(one: Program, two: Program) -> bool:
    """Whether two commands come down to the same script or module, named from the same folder or from another."""
    first, second = _place(one), _place(two)
    if not first or not second:
        return one.name == two.name
    shorter = min(len(first), len(second))
    return first[-shorter:] == second[-shorter:]


def is_of_python(words: Sequence[str]) -> bool:
    """Whether a process ran a module of Python's own library, as scripts do beside their programs: `-m json.tool`."""
    return "-m" in words[:-1] and words[words.index("-m") + 1].partition(".")[0] in sys.stdlib_module_names


def is_handed_on(program: Program, seen: Program) -> bool:
    """Whether a program was handed all of another's arguments, in their order, or those behind its own name.

    So do `./train.sh --lr 0.1` with `python train.py "$@"` in it, and a launcher that nobody knows:
    `launch --nodes 2 train.py --lr 0.1`.
    """
    arguments, got = program.arguments, seen.arguments
    if arguments and _stands_in(arguments, got):
        return True
    behind = [arguments[n + 1 :] for n, word in enumerate(arguments) if seen.word and word == seen.word]
    return any(_stands_in(words, got) if words else not got for words in behind)


def _stands_in(words: Sequence[str], among: Sequence[str]) -> bool:
    starts = range(len(among) - len(words) + 1)
    return any(tuple(among[start : start + len(words)]) == tuple(words) for start in starts)


def table_names(programs: Sequence[Program]) -> list[str]:
    """A name for each program, its own with as many of the folders above it as tell it from the others."""
    names = []
    for program in programs:
        place = _place(program) or (program.name,)
        others = [_place(other) for other in programs if other is not program]
        depth = 1
        while depth < len(place) and any(other[-depth:] == place[-depth:] for other in others):
            depth += 1
        names.append(re.sub(r"\W+", "_", "_".join(place[-depth:])) or "python")
    return [name if names.count(name) == 1 else f"{name}_{n}" for n, name in enumerate(names, 1)]


def _place(program: Program) -> tuple[str, ...]:
    """The folders and the name of a script or module; () for code that has none."""
    if may_start_anything(program.word):  # a build tool, whose target has its name from nothing that is run
        return (program.word,)
    parts = [part for part in program.word.split(".") if part != "__main__"]
    if "/" not in program.word and len(parts) > 1 and parts[-1] == program.name:  # a module
        return tuple(parts)
    folders = posixpath.dirname(posixpath.normpath(program.word)) if program.word else ""
    above = tuple(part for part in folders.split("/") if part not in ("", "."))
    while above[:1] == ("..",):
        above = above[1:]
    return (*above, program.name) if program.word else ()
