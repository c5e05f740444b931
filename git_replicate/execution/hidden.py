"""The secrets that a live run was given, kept in its spool so that whoever concludes it masks them.

They cannot be kept as hashes: what is masked is looked for in a text. The file is its user's alone, as the raw output
beside it and the command line in `/proc` are, and goes with the spool.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from git_replicate.capture.curves import Curves
from git_replicate.capture.metric_files import Metrics
from git_replicate.capture.noted_params import noted_values
from git_replicate.capture.params import hidden_values
from git_replicate.capture.parsed_params import read_parsed
from git_replicate.capture.probe_report import PROBE_FOLDER, ProbeReport, read_report
from git_replicate.core.known_secrets import (
    NOTHING_KNOWN,
    KnownSecrets,
    hidden_in,
    hidden_variables,
    hidden_words,
    known_secrets,
)  # fmt: skip
from git_replicate.core.secrets import mask_text
from git_replicate.execution.plan import Plan
from git_replicate.execution.spool import Spool

SECRETS_FILE: Final = "secrets.json"


def given_secrets(
    command: Iterable[str], *, params: KnownSecrets = NOTHING_KNOWN, environ: Mapping[str, str], message: str = ""
) -> KnownSecrets:
    """The secrets that a command is given. params: those of its params."""
    found = [*hidden_words(command), *hidden_variables(environ), *hidden_in(message, mask_text(message))]
    return known_secrets(found) | params


def write_secrets(spool: Spool, known: KnownSecrets) -> None:
    """Put them where `secrets_in` finds them; nothing is written where there are none."""
    if known:
        spool.write(SECRETS_FILE, json.dumps(known.values).encode())


def secrets_in(spool: Spool) -> KnownSecrets:
    """The secrets that the run was given when it started."""
    text = spool.read(SECRETS_FILE)
    return KnownSecrets(tuple(json.loads(text))) if text else KnownSecrets()


def secrets_with(spool: Spool, report: ProbeReport) -> KnownSecrets:
    """Those, and what the program itself was seen to take for its params."""
    seen = {**read_parsed(report).values, **noted_values(report)}
    return secrets_in(spool) | known_secrets(hidden_values(seen))


def secrets_so_far(spool: Spool, plan: Plan) -> KnownSecrets:
    """All that is known of a run that goes on."""
    return secrets_with(spool, read_report(spool.path(PROBE_FOLDER), plan.top))


def mask_metrics(metrics: Metrics, known: KnownSecrets) -> Metrics:
    """The metrics, under names without secrets."""
    names = {*metrics.values, *metrics.curves.names}
    if not known or not any(known.mask(name) != name for name in names):
        return metrics
    curves = Curves()
    for point in metrics.curves:
        curves.add(known.mask(point.metric), point.value, point.step, point.time)
    return Metrics(
        values={known.mask(name): value for name, value in metrics.values.items()},
        best={known.mask(name): value for name, value in metrics.best.items()},
        source={known.mask(name): value for name, value in metrics.source.items()},
        curves=curves,
    )
