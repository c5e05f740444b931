"""The work of the pre-push hook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from git_replicate.commands import _sharing
from git_replicate.core.errors import ReplicateError, UserError
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.git.remotes import Remote
    from git_replicate.store.sharing.pushed import PushedRef

REFUSED = 3
"""The only exit code that stops the push."""


def before_push(name: str, text: str, context: Context) -> int:
    """Refuse untested code if that is configured, else send the runs of the pushed commits."""
    from git_replicate.git.remotes import find_remote
    from git_replicate.store.sharing.agreed import has_agreed
    from git_replicate.store.sharing.pushed import read_pushed, untested

    repository, console = context.repository, context.console
    pushed = read_pushed(text)
    if context.config.bool("replicate.refuseuntested"):
        for ref in untested(repository, pushed):
            why = f"{ref.name} is not pushed: no finished run has tested {ref.new[:10]} (replicate.refuseUntested)"
            console.fail(UserError(why, "git replicate start -- COMMAND; or git push --no-verify"))
            return REFUSED
    remote = find_remote(name, repository.layout, context.config)
    if has_agreed(repository.layout, remote):
        try:
            _send(remote, pushed, context)
        except ReplicateError as error:
            console.warn(f"the runs of these commits were not sent ({error}): git replicate push {remote.quoted}")
    return 0


def _send(remote: Remote, pushed: list[PushedRef], context: Context) -> None:
    from git_replicate.store.sharing.push import Choice, plan_push, send
    from git_replicate.store.sharing.pushed import runs_of_pushed

    repository = context.repository
    runs = runs_of_pushed(context.index, remote, pushed)
    if not runs:
        return
    names = _sharing.names_for(context, None)
    transport = _sharing.connect(context, remote, interactive=False)
    plan = plan_push(repository, transport, names, Choice((), frozenset(runs)))
    if not (plan.runs.new or plan.said):
        return
    sent = send(repository, transport, names, plan, store=context.config.get("replicate.store"), say=lambda line: None)
    if sent.refused:
        raise UserError(sent.refused[0][1])
    if sent.runs:
        context.console.say(f"sent {count(sent.runs, 'run')} of these commits to {remote.shown}")
