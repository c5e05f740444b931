"""`git replicate fetch`: take runs, and what is said of them, from another repository or a bundle."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from git_replicate.commands import _sharing
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.git.remotes import Remote
    from git_replicate.store.sharing.fetch import Taken


def configure(parser: argparse.ArgumentParser) -> None:
    _sharing.add_where_to(parser, "a remote, an address, or a bundle")
    parser.add_argument("--outputs", action="store_true", help="big outputs as well, by git-lfs")


def execute(options: argparse.Namespace, context: Context) -> int:
    """0 when all that is there is here, 1 when a run could not be taken."""
    from git_replicate.store.sharing.fetch import fetch_runs

    remote, experiments = _sharing.meant(context, [options.remote, *options.experiments], pushing=False)
    names = _sharing.names_for(context, options.remote_prefix)
    transport = _sharing.connect(context, remote)
    taken = fetch_runs(context.repository, transport, names, experiments=experiments, say=context.console.say)
    _report(taken, remote, context)
    if options.outputs:
        _outputs(remote, experiments, context)
    return 1 if taken.failed or taken.parted else 0


def _report(taken: Taken, remote: Remote, context: Context) -> None:
    console = context.console
    words = [f"{count(len(taken.new), 'run')} new"] if taken.new else []
    words += [f"{count(len(taken.moved), 'run')} gone on"] if taken.moved else []
    words += [f"{count(len(taken.removed), 'run')} removed there"] if taken.removed else []
    words += [f"{count(len(taken.restored), 'run')} brought back"] if taken.restored else []
    console.say(f"from {remote.shown}: {', '.join(words) or 'nothing new'}")
    if taken.hidden:
        console.say(f"{count(taken.hidden, 'removed run')} there {'is' if taken.hidden == 1 else 'are'} left out")
    if taken.odd:
        console.warn(f"{count(taken.odd, 'ref')} there have no name of a run, and are left out")
    if taken.unreadable:
        console.warn(f"{count(taken.unreadable, 'run')} came without a record that can be read")
    for name in taken.parted:
        console.warn(f"{name} has another history here, which stays; see both: git ls-remote {remote.quoted}")
    for name in taken.failed:
        console.warn(f"{name} could not be taken; try again: git replicate fetch {remote.quoted}")


def _outputs(remote: Remote, experiments: tuple[str, ...], context: Context) -> None:
    from git_replicate.core.names import RUNS_PREFIX
    from git_replicate.store.sharing.big import get_big
    from git_replicate.store.sharing.remote import of_experiments
    from git_replicate.store.tested import read_records

    repository = context.repository
    refs = of_experiments(dict(repository.list_refs(RUNS_PREFIX)), experiments)
    records = (record for _, record in read_records(repository, refs))
    big = get_big(repository.layout, remote, records, store=context.config.get("replicate.store"))
    context.console.say(f"{count(big.sent, 'big output')} taken")
    if big.left:
        named = "; ".join(output.shown for output in big.left[:5])
        more = f"; and {len(big.left) - 5} more" if len(big.left) > 5 else ""
        context.console.warn(f"big outputs that did not come ({big.reason}): {named}{more}")
