"""What the commands share that run recorded runs again: asking first where somebody else recorded them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from git_replicate.core.errors import UserError

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.store.indexing.index import Row

_SHOWN = 10


def confirm(context: Context, rows: Sequence[Row], *, yes: bool) -> None:
    """Show the commands of runs that somebody else recorded, and ask; `UserError` if the answer is no."""
    if yes:
        return
    own = context.config.identity()[1]
    documents = list(context.index.documents(rows))
    foreign = [document for document in documents if document.get("user", {}).get("email", "") != own]
    if not foreign:
        return
    for document in foreign[:_SHOWN]:
        user = document.get("user", {})
        context.console.say(f"{document['id']} by {user.get('name', '')}: {shlex.join(document.get('command', []))}")
    if len(foreign) > _SHOWN:
        context.console.say(f"and {len(foreign) - _SHOWN} more")
    if not sys.stdin.isatty():
        raise UserError(
            "somebody else recorded what would run here, and nobody is there to be asked",
            f"git replicate {shlex.join([*sys.argv[1:2], '--yes', *sys.argv[2:]])}",
        )
    if not context.console.confirm("run this here?"):
        raise UserError("nothing was run", "to answer beforehand: --yes")
