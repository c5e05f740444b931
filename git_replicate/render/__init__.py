"""Answers drawn: one file a format, each a function from a table to text. `RENDERERS` names them."""

from __future__ import annotations

from collections.abc import Callable

from git_replicate.core.table import Table

FORMATS = ("text", "csv", "json", "jsonl", "markdown", "latex", "html")


def renderer(name: str) -> Callable[[Table], str]:
    """The function that draws a table in a format; `text` has options of its own and is not among them."""
    from git_replicate.render import csv_, html, json_, latex, markdown

    return {
        "csv": csv_.render,
        "json": json_.render,
        "jsonl": json_.render_lines,
        "markdown": markdown.render,
        "latex": latex.render,
        "html": html.render,
    }[name]
