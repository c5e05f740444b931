"""The rules of the code's shape, read from its source: layers, cycles, who may touch git, who may print."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from git_replicate.commands import COMMANDS
from tests.support import CHECKOUT

PACKAGE = CHECKOUT / "git_replicate"
LAYERS: Mapping[str, frozenset[str]] = {
    "core": frozenset(),
    "render": frozenset({"core"}),
    "git": frozenset({"core"}),
    "store": frozenset({"git", "core"}),
    "capture": frozenset({"git", "core"}),
    "probe": frozenset(),
    "integrations": frozenset(),
    "execution": frozenset({"capture", "store", "git", "core", "probe"}),
    "commands": frozenset({"execution", "capture", "store", "render", "git", "core", "console", "cli"}),
    "console": frozenset({"git", "core"}),
    "cli": frozenset({"commands", "console", "core"}),
}
"""Each layer, and those it may import."""
PARTS: Mapping[str, frozenset[str]] = {
    "execution.sweeping": frozenset(),
    "execution.replication": frozenset({"execution.sweeping"}),
    "store.sharing": frozenset(),
    "store.indexing": frozenset({"store", "store.sharing"}),
}
"""Folders of layers that stand above the rest of them, and which parts of the same layer may import them."""
SITE = "git_replicate.probe.site."
"""What is below it runs in the user's interpreter, where the rest of us is not."""


@cache
def sources() -> Mapping[str, ast.Module]:
    """Dotted module name to its syntax tree, for the whole package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(CHECKOUT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@cache
def imports(module: str) -> Sequence[ast.stmt]:
    """The statements of a module that import, and those below which are for types only."""
    return [node for node in ast.walk(sources()[module]) if isinstance(node, ast.Import | ast.ImportFrom | ast.If)]


def imported(module: str, *, typing: bool) -> Iterator[str]:
    """The modules of ours that a module imports, inside functions too; those for types only if `typing`."""
    hidden: set[int] = set()
    for node in imports(module):
        if not typing and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            hidden.update(id(inner) for child in node.body for inner in ast.walk(child))
    for node in imports(module):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in (f"{SITE}{n}" if n.startswith("git_replicate_probe") else n for n in names):
            known = name if name in sources() else name.rpartition(".")[0]
            if known.startswith("git_replicate."):
                assert known in sources(), f"{module}: no module {known}"
                yield known


def test_layers_import_only_what_is_below_them() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in sources()
        if layer(module) in LAYERS
        for name in imported(module, typing=True)
        if layer(name) not in LAYERS[layer(module)] | {layer(module)}
    ]
    assert wrong == []


def part(module: str) -> str:
    """Layer and folder of a module: `execution.sweeping`; the layer alone for what stands in none of its folders."""
    words = module.split(".")[1:]
    below = ".".join(words[:2])
    return below if below in PARTS else words[0]


def test_parts_of_a_layer_import_only_what_is_below_them() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in sources()
        if layer(module) in ("execution", "store")
        for name in imported(module, typing=True)
        if part(name) in PARTS and part(module) not in PARTS[part(name)] | {part(name)}
        if layer(module) == layer(name)
    ]
    assert wrong == []


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer(module) for module in sources()} - {"", "__main__", "hooks"} == set(LAYERS)


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {module: set(imported(module, typing=False)) for module in sources()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for name in sorted(graph[module]):
                visit(name, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_the_probe_needs_nothing_but_the_standard_library_and_an_old_python() -> None:
    wrong = []
    for module, tree in sources().items():
        if not module.startswith(SITE):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                tops = {name.partition(".")[0] for name in names}
                wrong += [f"{module}: {top}" for top in tops - sys.stdlib_module_names - _OF_THE_PROBE]
    assert wrong == []
    for path in sorted((PACKAGE / "probe" / "site").rglob("*.py")):
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 8))


def test_a_logger_needs_its_library_and_our_own_functions_alone_and_an_old_python() -> None:
    wrong = []
    for path in sorted((PACKAGE / "integrations").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 8))
        library = {path.stem, "pytorch_lightning"} if path.stem == "lightning" else {path.stem}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                ours = [name for name in names if name.startswith("git_replicate.")]
                tops = {name.partition(".")[0] for name in names}
                wrong += [f"{path.name}: {n}" for n in ours + sorted(tops - sys.stdlib_module_names - library)]
    assert [line for line in wrong if not line.endswith(": git_replicate")] == []


_OF_THE_PROBE = frozenset({"git_replicate_probe", "sitecustomize"})


def test_python_finds_one_module_in_the_folder_that_it_is_given() -> None:
    found = {path.name for path in (PACKAGE / "probe" / "site").iterdir() if path.suffix != ".pyc"} - {"__pycache__"}
    assert found == {"sitecustomize.py", "git_replicate_probe"}


def test_only_the_git_layer_touches_git() -> None:
    wrong = []
    for module, tree in sources().items():
        if layer(module) == "git":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                wrong += [f"{module}:{node.lineno} imports pygit2" for name in names if name.split(".")[0] == "pygit2"]
            elif isinstance(node, ast.List | ast.Tuple) and node.elts and _is_git(node.elts[0]):
                wrong.append(f"{module}:{node.lineno} starts git")
            elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("subprocess.", "os.exec")):
                wrong += [f"{module}:{node.lineno} starts git" for word in node.args if _is_git(word)]
    assert [line for line in wrong if "completion" not in line] == []


def _is_git(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in ("git", b"git")


def test_the_git_layer_never_says_what_it_is_used_for() -> None:
    wrong = [
        f"{path.name}:{number}"
        for path in sorted((PACKAGE / "git").glob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "experiment" in line.lower()
    ]
    assert wrong == []


def test_only_the_console_prints() -> None:
    wrong = [
        f"{module}:{node.lineno}"
        for module, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stdout.write", "sys.stderr.write")
        if module not in ("git_replicate.console", f"{SITE}sitecustomize")
    ]
    assert wrong == []


def test_one_file_spells_the_ref_namespace() -> None:
    files = [*PACKAGE.rglob("*.py"), *(CHECKOUT / "tools").glob("*.py"), *(CHECKOUT / "hooks").iterdir()]
    named = [path for path in files if _code_says(path, "refs/experiments")]
    assert sorted({path.name for path in named} - {"manual.py"}) == ["names.py"]


def _code_says(path: Path, literal: str) -> bool:
    """Whether a file has the literal outside of docstrings and comments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return literal in text
    tree = ast.parse(text)
    prose = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return any(
        isinstance(node, ast.Constant) and isinstance(node.value, str) and literal in node.value
        for node in ast.walk(tree)
        if id(node) not in prose
    )


def test_no_function_is_longer_than_a_page() -> None:
    long = [
        f"{module}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for module, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.end_lineno and node.end_lineno - node.lineno + 1 > 60
    ]
    assert long == []


def test_every_function_is_annotated() -> None:
    bare = []
    for module, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                missing = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
                if missing or node.returns is None:
                    bare.append(f"{module}.{node.name}: {missing or 'return'}")
    assert bare == []


def test_every_module_says_why_it_exists() -> None:
    empty = {name for name, tree in sources().items() if not ast.get_docstring(tree) and tree.body}
    assert empty == set()


def test_no_error_of_whatever_kind_is_passed_over_in_silence() -> None:
    silent = [
        f"{module}:{node.lineno}"
        for module, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        if len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
        if node.type is None or "Exception" in ast.unparse(node.type)
    ]
    assert silent == []


def test_nothing_is_left_to_do_later() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
    found = [path.name for path in PACKAGE.rglob("*.py") if words.search(path.read_text(encoding="utf-8"))]
    assert found == []


_LISTS_MODULES = """
import sys
sys.argv = ["git-replicate", *sys.argv[1:]]
from git_replicate.cli import main
code = main()
heavy = {"pygit2", "psutil", "blake3", "tomli_w", "sqlite3", "rich", "numpy"} & set(sys.modules)
sys.exit(f"imported {sorted(heavy)}" if heavy else code)
"""


@pytest.mark.parametrize("words", [["-h"], *([command.name, "-h"] for command in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LISTS_MODULES, *words],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_hooks_with_nothing_to_do_start_no_python() -> None:
    for hook in (CHECKOUT / "hooks").iterdir():
        lines = hook.read_text(encoding="utf-8").splitlines()
        calls = [number for number, line in enumerate(lines) if "git replicate hooks run" in line]
        assert calls, hook
        assert all(any(line.startswith("if test ") for line in lines[:number]) for number in calls), hook


def test_every_command_is_in_the_one_table() -> None:
    files = {path.stem for path in (PACKAGE / "commands").glob("*.py")}
    helpers = {"__init__", "context", "examples"}
    modules = {command.module for command in COMMANDS}
    assert modules <= files
    assert all("def configure" not in (PACKAGE / "commands" / f"{f}.py").read_text() for f in files - modules - helpers)
