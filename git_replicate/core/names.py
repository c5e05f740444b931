"""Names of runs and experiments, and of the refs that hold them.

The only file that spells the ref namespace. What a user may call a run (`latest~2`, a prefix, `best:acc`)
is resolved in `store.lookup`; here are only the shapes.
"""

import re
from datetime import UTC, datetime
from typing import NewType

from git_replicate.core.errors import UserError
from git_replicate.core.patterns import lazy

RunId = NewType("RunId", str)
"""`YYYYMMDD-HHMMSS-xxxxxxxx`: UTC start time and eight random hex digits."""

ExperimentName = NewType("ExperimentName", str)
"""One or more valid ref components, none of them shaped like a run id."""

RUNS_PREFIX = "refs/experiments/"
NOTES_REF = "refs/notes/experiments"
ANNOTATIONS_REF = "refs/notes/experiments-annotations"
TRASH_PREFIX = "refs/replicate/trash/"
REMOTES_PREFIX = "refs/replicate/remotes/"
HELD_PREFIX = "refs/replicate/held/"
"""What was last seen of other repositories' annotations."""
RESERVED_FOLDER = ".replicate"
"""The folder of a run's tree that holds the record; never part of a snapshot."""

RUN_ID_PATTERN = lazy(r"\d{8}-\d{6}-[0-9a-f]{8}")
_BAD_COMPONENT = lazy(r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|@\{|^\.|\.$|\.lock$|^@$|^-")


def new_run_id(now: datetime, entropy: bytes) -> RunId:
    """Name a run started at `now` (aware) with four bytes of the system's own entropy."""
    return RunId(f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{entropy[:4].hex()}")


def is_run_id(text: str) -> bool:
    return RUN_ID_PATTERN.fullmatch(text) is not None


def experiment_name(text: str) -> ExperimentName:
    """Check a name given by a user; `UserError` says which part git would refuse and offers one it takes."""
    parts = text.split("/")
    for part in parts:
        if not part or _BAD_COMPONENT.search(part):
            offer = "/".join(filter(None, (clean_component(p) for p in parts))) or "default"
            raise UserError(f"not a valid experiment name: {text!r}", f"try: -e {offer}")
        if is_run_id(part):
            raise UserError(f"an experiment cannot be named like a run: {part!r}", "try: -e my-experiment")
    return ExperimentName(text)


def clean_component(text: str) -> str:
    """The nearest valid ref component to any text; empty if nothing is left of it."""
    kept = re.sub(r"[^\w.+=-]+", "-", text, flags=re.UNICODE)
    kept = re.sub(r"\.{2,}", ".", kept).strip(".-")
    while kept.endswith(".lock"):
        kept = kept[: -len(".lock")].strip(".-")
    return f"run-{kept}" if is_run_id(kept) else kept


def run_ref(experiment: ExperimentName, run: RunId) -> str:
    return f"{RUNS_PREFIX}{experiment}/{run}"


def parse_run_ref(ref: str) -> tuple[ExperimentName, RunId] | None:
    """The experiment and run of a run ref, or None for any other ref (a nested repository's snapshot, say)."""
    if not ref.startswith(RUNS_PREFIX):
        return None
    experiment, _, run = ref[len(RUNS_PREFIX) :].rpartition("/")
    if not experiment or not is_run_id(run):
        return None
    return ExperimentName(experiment), RunId(run)


def trash_ref(experiment: ExperimentName, run: RunId) -> str:
    return f"{TRASH_PREFIX}{experiment}/{run}"
