"""What counts as the same program, written differently, and that nothing else does."""

from __future__ import annotations

import json

import pytest

from git_replicate.core.same_program import what_little_differs

FORMATTING = "only comments or formatting"
DOCUMENTATION = "only comments, docstrings or formatting"
OUTPUTS = "only outputs or text beside the code"


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ("x = 1\n", "x = 1  # one\n", FORMATTING),
        ("f(a, 'b')\n", 'f(\n    a,\n    "b",\n)\n', FORMATTING),
        ("x = 1\n", "x = 2\n", ""),
        ("if a:\n    b()\nc()\n", "if a:\n    b()\n    c()\n", ""),
        ("x = 1\n", "x = 1.0\n", ""),
        ("x = 1\n", "x = True\n", ""),
        ("def f():\n    return 1\n", 'def f():\n    """One."""\n    return 1\n', DOCUMENTATION),
        ('"""Usage: a."""\nrun(__doc__)\n', '"""Usage: b."""\nrun(__doc__)\n', ""),
        ('"""Usage: a."""\nrun(m.__doc__)\n', '"""Usage: b."""\nrun(m.__doc__)\n', ""),
        ("x = '''a'''\n", "x = '''b'''\n", ""),
        ("print 1\n", "print 1  # old\n", ""),
        ("x = 1\0\n", "x = 1\0 # null\n", ""),
        ("(" * 5000, "(" * 5000 + "#", ""),
        ("x = 1\n" + "#" * 1_000_000, "x = 1\n", ""),
        ("# coding: latin-1\nx = 'é'\n", "# coding: utf-8\nx = 'é'\n", ""),
        ("x = '\\d'\n", "x = '\\d' # odd\n", FORMATTING),
    ],
)
def test_a_python_file_is_the_same_if_its_syntax_tree_is(first: str, second: str, answer: str) -> None:
    assert what_little_differs("a.py", first.encode(), second.encode()) == answer


def test_files_of_other_languages_are_never_the_same() -> None:
    assert what_little_differs("a.jl", b"x = 1\n", b"x = 1 # one\n") == ""


def notebook(*cells: tuple[str, str], kernel: str = "python3") -> bytes:
    found = [{"cell_type": kind, "source": text.splitlines(keepends=True), "outputs": [text]} for kind, text in cells]
    return json.dumps({"cells": found, "metadata": {"kernelspec": {"name": kernel}}, "nbformat": 4}).encode()


def test_a_notebook_is_the_same_if_the_code_of_its_cells_is() -> None:
    first = notebook(("markdown", "# Title"), ("code", "%matplotlib inline\n"), ("code", "x = 1\ny = 2\n"))
    same = notebook(("code", "%matplotlib inline\n"), ("code", "x = 1 # one\ny = 2\n"), ("markdown", "words"))
    assert what_little_differs("a.ipynb", first, same) == OUTPUTS
    for other in (
        notebook(("code", "%matplotlib inline\n")),
        notebook(("code", "x = 1\ny = 2\n"), ("code", "%matplotlib inline\n")),
        notebook(("code", "%matplotlib qt\n"), ("code", "x = 1\ny = 2\n")),
        notebook(("code", "%matplotlib inline\n"), ("code", "x = 1\ny = 2\n"), kernel="julia"),
        b"{}", b"[]", b"not json", b'{"cells": 1}', b"",
    ):  # fmt: skip
        assert what_little_differs("a.ipynb", first, other) == ""
