"""`git replicate push`: send runs, and what is said of them, to another repository."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from git_replicate.commands import _sharing
from git_replicate.core.errors import UserError
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.git.remotes import Remote
    from git_replicate.store.sharing.published import Published
    from git_replicate.store.sharing.push import Choice, PushPlan, Sent


def configure(parser: argparse.ArgumentParser) -> None:
    _sharing.add_where_to(parser, "a remote, or an address")
    parser.add_argument("--where", metavar="EXPR", help="only runs for which an SQL expression holds")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be sent")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before the first push to a remote")


def execute(options: argparse.Namespace, context: Context) -> int:
    """0 when everything is there, 1 when the other side refused a run."""
    from git_replicate.store.sharing.push import plan_push, send

    remote, experiments = _sharing.meant(context, [options.remote, *options.experiments], pushing=True)
    names = _sharing.names_for(context, options.remote_prefix)
    transport = _sharing.connect(context, remote)
    console, repository = context.console, context.repository
    plan = plan_push(repository, transport, names, _choice(options, context, experiments))
    _tell_plan(plan, remote, context)
    if options.dry_run:
        _show(plan.published(repository), plan, remote, context)
        return 0
    if plan.runs.new or plan.said:
        _agree(options, plan, remote, context)
    sent = send(
        repository, transport, names, plan, store=context.config.get("replicate.store"), say=console.say
    )  # fmt: skip
    return _report(sent, plan, remote, context)


def _choice(options: argparse.Namespace, context: Context, experiments: tuple[str, ...]) -> Choice:
    from git_replicate.store.sharing.push import Choice

    if options.where is None:
        return Choice(experiments)
    rows = context.index.select(options.where)
    return Choice(experiments, frozenset(str(row["ref"]) for row in rows))


def _agree(options: argparse.Namespace, plan: PushPlan, remote: Remote, context: Context) -> None:
    """Ask once for each address, since a snapshot publishes what was never committed."""
    from git_replicate.store.sharing.agreed import has_agreed, note_agreement

    layout = context.repository.layout
    if has_agreed(layout, remote):
        return
    _show(plan.published(context.repository), plan, remote, context)
    if not options.yes:
        if not sys.stdin.isatty():
            raise UserError(
                f"nothing is sent: nobody has agreed to publish runs to {remote.shown} yet",
                f"git replicate push --yes {remote.quoted}",
            )
        if not context.console.confirm(f"publish these, and later runs without asking, to {remote.shown}?"):
            raise UserError("nothing is sent")
    note_agreement(layout, remote, context.config.identity())


def _show(what: Published, plan: PushPlan, remote: Remote, context: Context) -> None:
    say = context.console.say
    what_goes = (
        f"{count(len(plan.runs.new), 'run')}, with commands, output and files" if plan.runs.new else "annotations"
    )
    say(f"to {remote.address or remote.shown}: {what_goes}")
    if what.commits:
        say(f"  and {count(what.commits, 'commit')} that no branch there has:")
        _list(what.first_commits, what.commits, context)
    if what.files:
        from git_replicate.core.sizes import size_text

        say(f"  and {count(what.files, 'file')} that no branch there has ({size_text(what.bytes)}):")
        _list(what.first_files, what.files, context)


def _list(shown: tuple[str, ...], total: int, context: Context) -> None:
    for line in shown:
        context.console.say(f"    {line}")
    if total > len(shown):
        context.console.say(f"    and {total - len(shown):,} more")


def _tell_plan(plan: PushPlan, remote: Remote, context: Context) -> None:
    """What is not going to be sent, and why."""
    if plan.runs.behind:
        context.console.say(
            f"{count(len(plan.runs.behind), 'run')} went further on {remote.shown}: git replicate fetch {remote.quoted}"
        )
    for ref in plan.runs.parted:
        context.console.warn(f"{ref} has another history on {remote.shown}; neither is changed")
    if plan.hidden:
        context.console.say(
            f"{count(plan.hidden, 'removed run')} still on {remote.shown}; delete there: git replicate rm --remote RUN"
        )


def _report(sent: Sent, plan: PushPlan, remote: Remote, context: Context) -> int:
    console = context.console
    for line in sent.said[:10] if sent.refused else []:
        console.say(f"{remote.shown}: {line}")
    words = [count(sent.runs, "run")] if sent.runs else []
    words += ["annotations"] if sent.annotations else []
    words += [count(sent.big.sent, "big output")] if sent.big.sent else []
    if words:
        console.say(f"sent {', '.join(words)} to {remote.shown}")
    elif not sent.refused:
        console.say(f"nothing new for {remote.shown}: it has {count(len(plan.runs.same), 'run')}")
    if sent.big.left:
        named = "; ".join(output.shown for output in sent.big.left[:5])
        more = f"; and {len(sent.big.left) - 5} more" if len(sent.big.left) > 5 else ""
        console.warn(f"big outputs that were not sent ({sent.big.reason}): {named}{more}")
    if not sent.refused:
        return 0
    reasons = sorted({reason for _, reason in sent.refused})
    named = ", ".join(name for name, _ in sent.refused[:3]) + (", ..." if len(sent.refused) > 3 else "")
    refused = f"{remote.shown} refuses {count(len(sent.refused), 'run')} ({named}): {'; '.join(reasons[:3])}"
    raise UserError(refused, sent.advice)
