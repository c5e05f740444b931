"""Whether two versions of a source file are one program, written differently.

Python only, and only what this interpreter can parse: where it cannot tell, it says nothing, and the file counts as
changed. The other languages' comments are not known here.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Mapping
from typing import Any, Final

_LARGEST: Final = 1_000_000
"""Bytes of a program; a syntax tree takes some hundred times as much memory."""
_LARGEST_NOTEBOOK: Final = 50_000_000

FORMATTING: Final = "only comments or formatting"
DOCUMENTATION: Final = "only comments, docstrings or formatting"
OUTPUTS: Final = "only outputs or text beside the code"


def is_comparable(name: str) -> bool:
    """Whether files of this name can be compared as programs."""
    return name.endswith((".py", ".pyi", ".ipynb"))


def what_little_differs(name: str, first: bytes, second: bytes) -> str:
    """In words, what differs between two versions of which the program is the same; "" if it is not, or unknown."""
    try:
        if name.endswith(".ipynb"):
            return OUTPUTS if _same_notebook(first, second) else ""
        return _difference(first, second) if is_comparable(name) else ""
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # another language or version, or far too deep
        return ""


def _difference(first: str | bytes, second: str | bytes) -> str:
    if max(len(first), len(second)) > _LARGEST:
        return ""
    trees = [_parse(first), _parse(second)]
    if ast.dump(trees[0]) == ast.dump(trees[1]):
        return FORMATTING
    for tree in trees:
        if _reads_documentation(tree):
            return ""
        _drop_documentation(tree)
    return DOCUMENTATION if ast.dump(trees[0]) == ast.dump(trees[1]) else ""


def _parse(text: str | bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the program's own odd literals
        return ast.parse(text)


def _reads_documentation(tree: ast.Module) -> bool:
    """Whether docstrings may be part of what the program does: docopt parses one."""
    return any(
        (isinstance(node, ast.Name) and node.id == "__doc__")
        or (isinstance(node, ast.Attribute) and node.attr == "__doc__")
        for node in ast.walk(tree)
    )


def _drop_documentation(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[isinstance(first.value.value, str) :]


def _same_notebook(first: bytes, second: bytes) -> bool:
    if max(len(first), len(second)) > _LARGEST_NOTEBOOK:
        return False
    (kernel, cells), (other_kernel, other_cells) = _notebook(first), _notebook(second)
    if kernel != other_kernel or len(cells) != len(other_cells):
        return False
    return all(a == b or _same_cell(a, b) for a, b in zip(cells, other_cells, strict=True))


def _same_cell(first: str, second: str) -> bool:
    try:
        return bool(_difference(first, second))
    except SyntaxError:  # a magic command, or another language
        return False


def _notebook(data: bytes) -> tuple[Any, list[str]]:
    """What runs a notebook's cells, and the code of those, in order."""
    document = json.loads(data)
    cells = document.get("cells") if isinstance(document, Mapping) else None
    if not isinstance(cells, list):
        raise ValueError("not a notebook of a known format")
    sources = [c.get("source", "") for c in cells if isinstance(c, Mapping) and c.get("cell_type") == "code"]
    kernel = document.get("metadata", {}).get("kernelspec", {}).get("name")
    return kernel, ["".join(source) for source in sources]
