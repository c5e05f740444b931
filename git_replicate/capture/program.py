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
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """A program's name (its script, module or file, without folder and extension) and its own arguments."""

    name: str
    arguments: tuple[str, ...]
    word: str = ""  # the word of the command that names it; empty when there is none


@dataclass(frozen=True, slots=True)
class _Launcher:
    """How to find the command inside a launcher's: which options take a value, which none, what comes before."""

    values: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    verbs: tuple[str, ...] = ()  # a word that must follow, such as `run`
    positional: int = 0  # words between the options and the command, such as timeout's duration
    python: bool = False  # the command is a script or module of Python's
    assignments: bool = False  # NAME=value words come before the command
    anything: bool = False  # the options are too many to know: the command starts at what looks like a program


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TORCHRUN = _Launcher(
    values=_words(
        "nnodes nproc_per_node rdzv_backend rdzv_endpoint rdzv_id rdzv_conf max_restarts monitor_interval start_method "
        "event_log_handler role log_dir r redirects t tee local_ranks_filter node_rank master_addr master_port "
        "local_addr logs_specs numa_binding signals_to_handle duplicate_stdout_filters"
    ),
    flags=_words("standalone no_python run_path use_env m module"),
    python=True,
)
_ACCELERATE = _Launcher(
    verbs=("launch",),
    flags=_words(
        "m module no_python debug q quiet cpu multi_gpu tpu use_fsdp use_deepspeed use_megatron_lm use_xpu ipex fp8 "
        "same_network use_parallelism_config"
    ),
    python=True,
)
_MPI = _Launcher(
    values=_words(
        "n np c host hosts hostfile machinefile f H ppn x mca bind-to map-by rank-by wdir path output-filename N "
        "report-uri tune am app genv env envlist p wd timeout"
    ),
    flags=_words(
        "oversubscribe allow-run-as-root v verbose q quiet tag-output use-hwthread-cpus display-map report-bindings "
        "l prepend-rank nolocal bycore bynode"
    ),
)
_SRUN = _Launcher(
    values=_words(
        "n ntasks c cpus-per-task N nodes p partition t time J job-name o output e error i input D chdir A account "
        "w nodelist x exclude C constraint q qos L licenses M clusters d dependency G gpus mem gres gpus-per-task "
        "gpus-per-node mem-per-cpu mem-per-gpu ntasks-per-node cpu-bind gpu-bind mpi jobid r relative T threads "
        "container-image container-mounts container-name export"
    ),
    flags=_words(
        "exclusive overlap pty l label u unbuffered v verbose Q quiet s oversubscribe k no-kill K kill-on-bad-exit W O "
        "overcommit exact X disable-status E preserve-env"
    ),
)
_RUNNERS = _words("no-sync locked frozen isolated no-project active offline q quiet v verbose n no-cache s silent")
_UV = _Launcher(
    verbs=("run",),
    values=_words(
        "with with-editable with-requirements extra group no-group only-group p python package project directory "
        "env-file index default-index index-url extra-index-url find-links config-file color no-extra w i f"
    ),
    flags=_RUNNERS | _words("all-extras all-groups no-dev dev only-dev exact m module script gui-script no-env-file"),
    python=True,
)
_RUN = _Launcher(
    verbs=("run",),
    values=_words("C directory P project p manifest-path e environment E env-file"),
    flags=_RUNNERS,
)
_CONDA = _Launcher(
    verbs=("run",),
    values=_words("n name p prefix cwd e env a attach"),
    flags=_words("no-capture-output live-stream s v vv vvv verbose dev debug-wrapper-scripts clean-env"),
)
_CONTAINER = _Launcher(anything=True)

_LAUNCHERS: dict[str, _Launcher] = {
    "env": _Launcher(values=_words("u unset C chdir"), flags=_words("i ignore-environment v debug"), assignments=True),
    "nice": _Launcher(values=_words("n adjustment")),
    "ionice": _Launcher(values=_words("c class n classdata"), flags=_words("t ignore")),
    "nohup": _Launcher(),
    "time": _Launcher(values=_words("f format o output"), flags=_words("p portability v verbose a append q quiet")),
    "timeout": _Launcher(
        values=_words("k kill-after s signal"), flags=_words("foreground preserve-status v verbose"), positional=1
    ),
    "stdbuf": _Launcher(values=_words("i input o output e error")),
    "setsid": _Launcher(flags=_words("c ctty f fork w wait")),
    "taskset": _Launcher(flags=_words("a all-tasks c cpu-list"), positional=1),
    "chrt": _Launcher(flags=_words("f r o b i a v"), positional=1),
    "numactl": _Launcher(values=_words("N m C i p cpunodebind membind physcpubind interleave preferred"),
                         flags=_words("l localalloc a all")),
    "prlimit": _Launcher(),
    "unbuffer": _Launcher(flags=_words("p")),
    "xvfb-run": _Launcher(values=_words("e error-file f auth-file n server-num p xauth-protocol s server-args w wait"),
                          flags=_words("a auto-servernum l listen-tcp")),
    "sudo": _Launcher(values=_words("u user g group h host C D chdir p prompt"), flags=_words("E n H b i s k"),
                      assignments=True),
    "caffeinate": _Launcher(values=_words("t w"), flags=_words("d i m s u")),
    "nsys": _CONTAINER, "ncu": _CONTAINER, "perf": _CONTAINER, "docker": _CONTAINER, "podman": _CONTAINER,
    "apptainer": _CONTAINER, "singularity": _CONTAINER, "strace": _CONTAINER, "valgrind": _CONTAINER,
    "py-spy": _CONTAINER, "memray": _CONTAINER, "horovodrun": _CONTAINER, "jsrun": _CONTAINER,
    "torchrun": _TORCHRUN, "torch.distributed.run": _TORCHRUN, "torch.distributed.launch": _TORCHRUN,
    "accelerate": _ACCELERATE, "accelerate-launch": _Launcher(flags=_ACCELERATE.flags, python=True),
    "deepspeed": _Launcher(
        values=_words("H hostfile i include e exclude num_nodes num_gpus master_port master_addr node_rank launcher "
                      "launcher_args autotuning elastic_training save_pid bind_core_list ssh_port venv_script"),
        flags=_words("module no_python no_local_rank force_multi enable_each_rank_log bind_cores_to_rank"),
        python=True,
    ),
    "mpirun": _MPI, "mpiexec": _MPI, "mpiexec.hydra": _MPI, "orterun": _MPI, "srun": _SRUN, "aprun": _MPI,
    "uv": _UV, "uvx": _Launcher(values=_UV.values | {"from"}, flags=_UV.flags, python=True),
    "poetry": _RUN, "pdm": _RUN, "hatch": _RUN, "pipenv": _RUN, "pixi": _RUN, "rye": _RUN,
    "conda": _CONDA, "mamba": _CONDA, "micromamba": _CONDA,
    "coverage": _Launcher(
        verbs=("run",), values=_words("rcfile data-file source include omit concurrency context"),
        flags=_words("a append branch p parallel-mode timid L pylib"), python=True,
    ),
    "cProfile": _Launcher(values=_words("o s"), python=True), "profile": _Launcher(values=_words("o s"), python=True),
    "pdb": _Launcher(values=_words("c"), python=True), "ipdb": _Launcher(values=_words("c"), python=True),
    "ipython": _Launcher(values=_words("c"), flags=_words("i"), python=True),
    "ipython3": _Launcher(values=_words("c"), flags=_words("i"), python=True),
    "kernprof": _Launcher(values=_words("o outfile s setup u unit i"), flags=_words("l v b line-by-line"), python=True),
    "viztracer": _Launcher(values=_words("o output_file tracer_entries"), python=True),
    "scalene": _Launcher(values=_words("outfile"), flags=_words("cpu gpu memory html json cli"), python=True),
    "debugpy": _Launcher(values=_words("listen connect log-to"), flags=_words("wait-for-client"), python=True),
}  # fmt: skip

_PYTHON = re.compile(r"(?:python|pypy)(?:w|d|t)?(?:\d(?:\.\d+)?t?)?(?:\.exe)?")
_INTERPRETERS: dict[str, tuple[frozenset[str], frozenset[str]]] = {  # options with a value, options that hold code
    "Rscript": (frozenset(), frozenset({"-e"})),
    "julia": (_words("-t -p -L -J -C -O -g --machine-file"), _words("-e -E --eval --print")),
    "node": (_words("-r --require --import --loader"), _words("-e -p --eval --print")),
    "perl": (frozenset(), _words("-e -E")),
    "ruby": (_words("-I -r"), _words("-e")),
    "lua": (_words("-l"), _words("-e")),
    "octave": (_words("--path -p"), _words("--eval")),
    "php": (_words("-c -d"), _words("-r")),
    "matlab": (frozenset(), _words("-batch -r")),
}
_SHELLS = _words("sh bash dash zsh ksh fish")
_EXTENSION = re.compile(r"\.(?:py|pyw|pyz|sh|bash|R|r|jl|js|mjs|ts|pl|rb|lua|m|ipynb|jar|exe|out|bin|go)$")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def find_program(command: Sequence[str]) -> Program:
    """The program that a command comes down to.

    Code given on the command line (`python -c`, a shell line with more than plain commands) has no arguments that
    could be told from it, so it is a program without any.
    """
    return _resolve(tuple(command), 0)


def program_name(command: Sequence[str]) -> str:
    """What to call a series of runs of this command: `train` for `python -u src/train.py`; "" for no command."""
    return find_program(command).name


def interpreter_word(command: Sequence[str]) -> str:
    """The word that names the Python interpreter, if launchers end in one (`env python -u x.py`: `python`)."""
    rest = tuple(command)
    for _ in range(16):
        if not rest or _is_python(rest[0]):
            return rest[0] if rest else ""
        inner = _unwrap(rest)
        if inner is None or inner.python:
            return ""
        rest = inner.rest
    return ""


def shell_like(command: Sequence[str]) -> bool:
    """Whether a command comes down to a shell script or line, or a build tool, that may start anything."""
    rest = tuple(command)
    for _ in range(16):
        base = os.path.basename(rest[0]) if rest else ""
        if base in _SHELLS or base in ("make", "snakemake", "just", "ninja"):
            return True
        inner = _unwrap(rest) if rest else None
        if inner is None:
            return False
        rest = inner.rest
    return False


def _is_python(word: str) -> bool:
    return _PYTHON.fullmatch(os.path.basename(word)) is not None


def _resolve(rest: tuple[str, ...], depth: int) -> Program:
    if not rest:
        return Program("", ())
    word, base = rest[0], os.path.basename(rest[0])
    if depth > 16:
        return Program(_stem(word), ())
    if _is_python(word):
        return _python(rest[1:], base, depth)
    if base in _SHELLS:
        return _shell(rest[1:], base, depth)
    if base in _INTERPRETERS:
        return _interpreted(rest[1:], base)
    if base == "java":
        return _java(rest[1:])
    inner = _unwrap(rest)
    if inner is None:
        return Program(_stem(word), rest[1:], word)
    if inner.module:
        return _module(inner.rest, depth)
    if inner.python and inner.rest and not _looks_like_program(inner.rest[0]):
        return Program(_stem(inner.rest[0]), inner.rest[1:], inner.rest[0])
    return _resolve(inner.rest, depth + 1) if inner.rest else Program(_stem(word), (), word)


@dataclass(frozen=True, slots=True)
class _Inner:
    """The command inside a launcher's."""

    rest: tuple[str, ...]
    python: bool = False
    module: bool = False


def _unwrap(rest: tuple[str, ...]) -> _Inner | None:
    """Take one launcher off; None if the first word is not one (or not used as one)."""
    base = os.path.basename(rest[0])
    launcher = _LAUNCHERS.get(base)
    if launcher is None:
        return None
    words = rest[1:]
    if launcher.anything:
        start = next((i for i, word in enumerate(words) if _looks_like_program(word)), len(words))
        return _Inner(words[start:])
    if launcher.verbs:
        found = next((i for i, word in enumerate(words) if word in launcher.verbs), None)
        if found is None:
            return None
        words = words[found + 1 :]
    module = False
    index = 0
    while index < len(words) and words[index].startswith("-") and words[index] != "-":
        option = words[index]
        index += 1
        if option == "--":
            break
        if launcher.python and option in ("-m", "--module"):
            module = True
        elif "=" not in option:
            index += _takes_value(launcher, option, words[index : index + 1])
    if launcher.assignments:
        while index < len(words) and _ASSIGNMENT.match(words[index]):
            index += 1
    return _Inner(words[index + launcher.positional :], launcher.python, module)


def _takes_value(launcher: _Launcher, option: str, following: tuple[str, ...]) -> int:
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
        _is_python(word) or base in _SHELLS or base in _LAUNCHERS or base in _INTERPRETERS or base == "java"
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
    if name in _LAUNCHERS:
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
            words = plain_command(rest[index]) if index < len(rest) else None
            return _resolve(words, depth + 1) if words else Program(base, ())
        if option in ("-o", "+o", "-O", "+O", "--rcfile", "--init-file"):
            index += 1
    if index >= len(rest):
        return Program(base, ())
    return Program(_stem(rest[index]), rest[index + 1 :], rest[index])


def plain_command(code: str) -> tuple[str, ...] | None:
    """The last command of a shell line that is nothing but plain commands joined by `&&` or `;`, else None.

    A line with a variable, substitution, pipe, redirection, pattern or loop is left alone: its words are not what
    the program gets.
    """
    if re.search(r"[$`|<>(){}*?!#~\n\\]|(?<!&)&(?!&)", code):
        return None
    lexer = shlex.shlex(code, posix=True, punctuation_chars=";&")
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError:
        return None
    command: list[str] = []
    for token in tokens:
        if token in ("&&", ";"):
            command = []
        else:
            command.append(token)
    while command and (command[0] == "exec" or _ASSIGNMENT.match(command[0])):
        command.pop(0)
    return tuple(command) or None


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


def _stem(word: str) -> str:
    base = os.path.basename(word.rstrip("/"))
    return _EXTENSION.sub("", base) or base
