"""The batch schedulers that runs can be handed to, one module a kind."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Final

from git_replicate.core.errors import UserError
from git_replicate.execution.schedulers import slurm
from git_replicate.execution.schedulers.kinds import Kind

KINDS: Final[tuple[Kind, ...]] = (slurm,)


def find_scheduler(name: str, environ: Mapping[str, str]) -> Kind:
    """The scheduler of a name, or the one that is here; `UserError` if there is none."""
    known = {kind.NAME: kind for kind in KINDS}
    if name and name not in known:
        raise UserError(f"[submit] scheduler: there is none called {name!r}", f"one of: {', '.join(known)}")
    here = [kind for kind in KINDS if shutil.which(kind.PROGRAM, path=environ.get("PATH"))]
    if name and known[name] not in here:
        raise UserError(
            f"{name} is not here: no {known[name].PROGRAM} on PATH", "submit on a login node of the cluster"
        )
    if not here:
        programs = ", ".join(kind.PROGRAM for kind in KINDS)
        raise UserError(
            f"there is no scheduler here (looked for {programs})", "to run it here and now, leave out --submit"
        )
    return known[name] if name else here[0]


def scheduler_named(name: str) -> Kind | None:
    """The scheduler that a job was once handed to."""
    return next((kind for kind in KINDS if name == kind.NAME), None)
