"""`git replicate snapshot`: freeze the code as it is now, and print its commit."""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from git_replicate.commands.context import Context


def configure(parser: argparse.ArgumentParser) -> None:
    """No options: what is left out is configured."""


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.place import Place
    from git_replicate.execution.prepare import record_code
    from git_replicate.execution.snapshots import keep_snapshot
    from git_replicate.git.opening import state_dir

    repository, console = context.writer, context.console
    place = Place(repository, context.config, context.settings, console.say, console.warn)
    folder = state_dir(repository.layout)
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="scratch-") as scratch:
        code = record_code(place, scratch)
    keep_snapshot(repository, code)
    console.answer(code.snapshot)
    return 0
