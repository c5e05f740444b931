"""The Python interpreter that a command will run, found and described without running it where files tell enough.

What decides is the command, the child's PATH and the interpreter's own folders. Only a version that no file tells is
asked of the interpreter, once, and remembered by the executable's real path and time.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from git_replicate.capture.program import is_python, layers, may_start_anything
from git_replicate.core.frozen import frozen

_VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?\+?")
_ASK = (
    "import sys,platform;print('\\n'.join([platform.python_version(),sys.implementation.name,sys.prefix,"
    "sys.base_prefix]))"
)
_ASK_SECONDS: Final = 10
_CONDAS: Final = ("conda", "mamba", "micromamba")
_MANAGERS: Final = ("uv", "poetry", "pdm", "hatch", "pipenv", "rye", "pixi")


@frozen
class Interpreter:
    """An interpreter's executable as it is started, its prefixes and its version (empty if unknown)."""

    executable: str
    prefix: str
    base_prefix: str
    version: str
    implementation: str = "cpython"
    system_packages: bool = True


def locate(command: Sequence[str], directory: str, environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The interpreter that a command comes down to ("" if it is not Python's), and doubts for the person."""
    executable = find_interpreter(command, directory, environ)
    if executable:
        return executable, ()
    managed = next((rest[0] for rest in layers(command) if is_managed(rest)), "")
    return "", (f"the environment that {managed!r} runs in was not found",) if managed else ()


def find_interpreter(command: Sequence[str], directory: str, environ: Mapping[str, str]) -> str:
    """The path of the interpreter that a command comes down to; "" if it is not Python's."""
    for rest in layers(command):
        if is_python(rest[0]):
            return which(rest[0], directory, environ)
        if is_managed(rest):
            return _managed(rest, directory, environ)
        script = which(rest[0], directory, environ)
        words = _shebang(script) if script else []
        if words and is_python(words[0]):
            return which(words[0], directory, environ)
        # A shell most likely starts the Python that one gets by typing it; an installed script of a shell, R say, is
        # a program of its own.
        own = "/" in rest[0] and not os.path.isabs(rest[0])
        if may_start_anything(rest[0]) or (own and words and may_start_anything(words[0])):
            return which("python", directory, environ) or which("python3", directory, environ)
    return ""


def is_managed(command: Sequence[str]) -> bool:
    """Whether a command runs in an environment that a tool chooses: `uv run`, `conda run -n`."""
    return os.path.basename(command[0]) in (*_CONDAS, *_MANAGERS) and "run" in command[1:]


def which(word: str, directory: str, environ: Mapping[str, str]) -> str:
    """The executable that a word names in this environment, absolute; "" if there is none."""
    if "/" in word:
        path = os.path.join(directory, word)
        return path if _is_executable(path) else ""
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    for position, folder in enumerate(folders):
        path = os.path.join(directory, folder or ".", word)
        if _is_executable(path):
            shim = os.path.basename(folder.rstrip("/")) == "shims"
            return (_behind_shim(path, folders[position + 1 :], directory, environ) if shim else "") or path
    return ""


def _is_executable(path: str) -> bool:
    return os.access(path, os.X_OK) and not os.path.isdir(path)


def _behind_shim(shim: str, later: Sequence[str], directory: str, environ: Mapping[str, str]) -> str:
    """What a shim of pyenv starts, by pyenv's own order: PYENV_VERSION, .python-version, version; "" if unclear.

    Running the shim to learn it takes a tenth of a second and more.
    """
    root, word = os.path.dirname(os.path.dirname(shim)), os.path.basename(shim)
    chosen = [version for version in environ.get("PYENV_VERSION", "").split(":") if version]
    if not chosen:
        files = [os.path.join(folder, ".python-version") for folder in _upwards(directory)]
        texts = (_head(file, 4_096).decode(errors="replace") for file in (*files, os.path.join(root, "version")))
        chosen = next((text.split() for text in texts if text.strip()), ["system"])
    for version in chosen:
        if version == "system":
            found = (os.path.join(directory, folder or ".", word) for folder in later)
            path = next((path for path in found if _is_executable(path)), "")
        else:
            path = os.path.join(root, "versions", version, "bin", word)
        if path and _is_executable(path):
            return path
    return ""


def _managed(command: Sequence[str], directory: str, environ: Mapping[str, str]) -> str:
    """The interpreter behind `uv run`, `poetry run`, `conda run -n` and their like."""
    tool = os.path.basename(command[0])
    if tool in _CONDAS:
        prefixes = _conda_prefixes(command, environ)
    else:
        active = environ.get("VIRTUAL_ENV", "")
        named = environ.get("UV_PROJECT_ENVIRONMENT", "") if tool == "uv" else ""
        local = (named or ".venv",) if tool != "pixi" else (".pixi/envs/default",)
        folders = list(_upwards(directory))
        found = [os.path.join(folder, name) for folder in folders for name in local]
        prefixes = [*found, active] if tool in ("uv", "pixi") else [active, *found]
    return next((path for prefix in prefixes if prefix and (path := _in_prefix(prefix))), "")


def _in_prefix(prefix: str) -> str:
    path = os.path.join(prefix, "bin", "python")
    return path if _is_executable(path) else ""


def _upwards(directory: str) -> list[str]:
    folders = [directory]
    while os.path.dirname(folders[-1]) != folders[-1]:
        folders.append(os.path.dirname(folders[-1]))
    return folders


def _conda_prefixes(command: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Where the environment named by -n or -p can lie."""
    for option, value in itertools.pairwise(command):
        if option in ("-p", "--prefix"):
            return [value]
        if option in ("-n", "--name"):
            home = os.path.expanduser("~")
            root = environ.get("MAMBA_ROOT_PREFIX") or os.path.dirname(os.path.dirname(environ.get("CONDA_EXE", "")))
            roots = [*environ.get("CONDA_ENVS_PATH", "").split(os.pathsep), os.path.join(root, "envs") if root else ""]
            roots.append(os.path.join(home, ".conda", "envs"))
            inner = [os.path.join(folder, value) for folder in roots if folder]
            return [root, *inner] if value == "base" else inner
    return [environ.get("CONDA_PREFIX", "")]


def _shebang(script: str) -> list[str]:
    """What a script's first line names, through `env` and pip's detour through /bin/sh for long paths."""
    head = _head(script, 1_024).decode(errors="surrogateescape")
    if not head.startswith("#!"):
        return []
    lines = head.splitlines()
    words = lines[0][2:].split()
    if len(lines) > 1 and words[:1] == ["/bin/sh"] and lines[1].startswith("'''exec'"):
        words = shlex.split(lines[1][len("'''exec'") :].partition(' "$0"')[0]) if '"$0"' in lines[1] else []
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return words


def describe(executable: str, directory: str, environ: Mapping[str, str]) -> Interpreter | None:
    """The facts of an interpreter, from its files if they tell, else from itself; None if it cannot be run."""
    config = _venv_config(executable)
    if _head(executable, 2) == b"#!":  # a version manager's shim: only running it tells what it runs
        return _ask(executable, directory, environ, "")
    prefix = os.path.dirname(os.path.dirname(executable))
    if config is None:
        prefix = os.path.dirname(os.path.dirname(os.path.realpath(executable)))
        base = prefix
    else:
        base = os.path.dirname(os.path.realpath(config.get("home", "")))
    version = _file_version(executable, base, config)
    system = config is None or config.get("include-system-site-packages", "false").lower() == "true"
    if version:
        kind = "pypy" if "pypy" in os.path.basename(os.path.realpath(executable)) else "cpython"
        return Interpreter(executable, prefix, base, version, kind, system)
    found = _ask(executable, directory, environ, os.path.realpath(executable))
    if found is None or config is None:
        return found
    return Interpreter(executable, prefix, found.base_prefix, found.version, found.implementation, system)


def _venv_config(executable: str) -> dict[str, str] | None:
    """The `pyvenv.cfg` beside an executable, or None outside a virtual environment."""
    for folder in (os.path.dirname(executable), os.path.dirname(os.path.dirname(executable))):
        text = _head(os.path.join(folder, "pyvenv.cfg"), 8_192).decode(errors="surrogateescape")
        if text:
            pairs = (line.partition("=") for line in text.splitlines())
            return {key.strip().lower(): value.strip() for key, _, value in pairs}
    return None


def _file_version(executable: str, base: str, config: Mapping[str, str] | None) -> str:
    """The full version, where a file tells it for certain: conda's own record, the headers, or a venv's note of it.

    A venv's note counts only if the interpreter has not been replaced since; the headers of the same minor version.
    """
    real = os.path.realpath(executable)
    minor = re.search(r"(\d+\.\d+)t?$", os.path.basename(real))
    for name in _listed(os.path.join(base, "conda-meta")):
        found = re.fullmatch(r"python-(\d+\.\d+\.\d+\w*)-[^-]+\.json", name)
        if found:
            return found[1]
    if minor:
        text = _head(os.path.join(base, "include", f"python{minor[1]}", "patchlevel.h"), 4_096).decode(errors="replace")
        written = re.search(r'#define PY_VERSION\s+"([^"]+)"', text)
        if written and _VERSION.fullmatch(written[1]):
            return written[1]
    if config is not None:
        noted = re.match(r"\d+\.\d+\.\d+", config.get("version_info") or config.get("version") or "")
        folder = os.path.dirname(os.path.dirname(executable))
        try:
            current = os.stat(os.path.join(folder, "pyvenv.cfg")).st_mtime_ns >= os.stat(real).st_mtime_ns
        except OSError:
            current = False
        if noted and current:
            return noted[0]
    return ""


def _ask(executable: str, directory: str, environ: Mapping[str, str], real: str) -> Interpreter | None:
    """Ask the interpreter itself; remembered by `real` path, size and time unless that is empty."""
    key = ""
    cache = cache_path(environ, "interpreters.json")
    known: dict[str, list[str]] = {}
    if real:
        status = os.stat(real)
        key = f"{executable}|{real}|{status.st_size}|{status.st_mtime_ns}"
        known = read_cache(cache, 4)
        if key in known:
            version, kind, prefix, base = known[key]
            return Interpreter(executable, prefix, base, version, kind)
    import subprocess

    try:
        done = subprocess.run(
            [executable, "-I", "-S", "-c", _ASK], cwd=directory, env=dict(environ), stdin=subprocess.DEVNULL,
            capture_output=True, timeout=_ASK_SECONDS, check=False, text=True, errors="surrogateescape",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    facts = done.stdout.split("\n")[:4]
    if done.returncode != 0 or len(facts) < 4:
        return None
    if key:
        write_cache(cache, {**dict(list(known.items())[-200:]), key: facts})
    version, kind, prefix, base = facts
    return Interpreter(executable, prefix, base, version, kind)


def cache_path(environ: Mapping[str, str], name: str) -> str:
    """A file of the user's cache folder."""
    return os.path.join(environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "git-replicate", name)


def read_cache(path: str, length: int) -> dict[str, list[str]]:
    """Lists of so many texts by key; empty if there is no such file, or it is damaged."""
    try:
        document = json.loads(_head(path, 1_000_000) or b"{}")
    except ValueError:
        return {}
    known = document.items() if isinstance(document, dict) else ()
    return {key: value for key, value in known if isinstance(value, list) and len(value) == length}


def write_cache(path: str, known: Mapping[str, list[str]]) -> None:
    """Replace the cache whole; a home that cannot be written only costs the next run the same question."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        draft = f"{path}.{os.getpid()}"
        with open(draft, "w", encoding="ascii") as file:
            json.dump(known, file)
        os.replace(draft, path)
    except OSError:
        return


def package_folders(python: Interpreter, directory: str, environ: Mapping[str, str]) -> list[str]:
    """The folders in which distributions can be installed for an interpreter, in the order of its `sys.path`."""
    minor = ".".join(python.version.split(".")[:2])
    folders = [os.path.join(directory, path) for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if python.system_packages and not environ.get("PYTHONNOUSERSITE"):
        user = environ.get("PYTHONUSERBASE") or os.path.join(environ.get("HOME", ""), ".local")
        folders.append(os.path.join(user, "lib", f"python{minor}", "site-packages"))
    prefixes = [python.prefix, *([python.base_prefix] if python.system_packages else [])]
    for prefix in prefixes:
        for lib in ("lib", "lib64"):
            folders.append(os.path.join(prefix, lib, f"python{minor}", "site-packages"))
            folders.append(os.path.join(prefix, lib, f"pypy{minor}", "site-packages"))
        if prefix == "/usr":  # Debian's own layout
            folders.append(f"/usr/local/lib/python{minor}/dist-packages")
            folders.append("/usr/lib/python3/dist-packages")
    there = [folder for folder in dict.fromkeys(folders) if os.path.isdir(folder)]
    return list({os.path.realpath(folder): folder for folder in reversed(there)}.values())[::-1]


def _head(path: str, size: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError:
        return b""


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
