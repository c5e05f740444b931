"""The layers and rules of the code, as tests."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import CHECKOUT

PACKAGE = CHECKOUT / "git_replicate"
LAYERS: dict[str, set[str]] = {
    "core": set(),
    "render": {"core"},
    "git": {"core"},
    "capture": {"core", "git"},
    "store": {"core", "git"},
    "execution": {"core", "git", "capture", "store"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, inside functions as well, but not for type checkers alone."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours() -> dict[str, set[str]]:
    names = {name_of(path) for path in modules()}
    return {name_of(path): {found for found in imports(path) if found in names} for path in modules()}


def test_imports_point_one_way() -> None:
    wrong = []
    for module, used in ours().items():
        layer = module.split(".")[1] if module.count(".") else ""
        if layer in LAYERS:
            allowed = LAYERS[layer] | {layer}
            wrong += [f"{module} -> {other}" for other in used if "." in other and other.split(".")[1] not in allowed]
    assert wrong == []


def test_no_import_goes_in_a_circle() -> None:
    graph = {module: {other for other in used if other != module} for module, used in ours().items()}
    # A package is imported before its modules, and holds nothing but its docstring or a table.
    packages = {name_of(path) for path in modules() if path.name == "__init__.py"}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for other in graph[module] - packages:
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_only_the_git_folder_touches_git() -> None:
    wrong = []
    for path in modules():
        if "git" in path.relative_to(PACKAGE).parts[:1]:
            continue
        text = path.read_text()
        if "pygit2" in text.replace("libgit2", "") and "import pygit2" in text:
            wrong.append(f"{path.name}: pygit2")
        wrong += [f"{path.name}: {mark}" for mark in ('["git"', "['git'") if mark in text]
    assert wrong == []


@pytest.mark.parametrize(
    ("word", "allowed"), [("refs/experiments", {"core/names.py"}), ("experiment", None)], ids=["refs", "git-layer"]
)
def test_words_stay_where_they_belong(word: str, allowed: set[str] | None) -> None:
    files = modules() if allowed is not None else sorted((PACKAGE / "git").glob("*.py"))
    found = {str(path.relative_to(PACKAGE)) for path in files if word in path.read_text().lower()}
    assert found - (allowed or set()) == set()


def test_only_the_console_prints() -> None:
    wrong = []
    for path in modules():
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        if path.name != "console.py" and any(isinstance(c.func, ast.Name) and c.func.id == "print" for c in calls):
            wrong.append(path.name)
    assert wrong == []


def test_functions_are_short() -> None:
    long = []
    for path in modules():
        functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
        long += [f"{path.name}:{node.name}" for node in functions if (node.end_lineno or 0) - node.lineno >= 60]
    assert long == []


@pytest.mark.parametrize("words", [["-h"], ["log", "-h"], ["hooks"], ["log"]])
def test_quick_commands_import_neither_pygit2_nor_psutil(words: list[str], repo: object) -> None:
    script = (
        "import sys; from git_replicate.cli import main; main(sys.argv[1:]);"
        " print([m for m in ('pygit2', 'psutil', 'blake3') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); {script}", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "[]"
