"""What a run reads, brought up to date and hashed before it starts: first its stages, then its declared data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from git_replicate.core.frozen import frozen
from git_replicate.core.settings import Settings
from git_replicate.git.repository import Repository


@frozen
class Inputs:
    """The text of `data.toml`, the stages run or restored for it, and what keeps their outputs as they are."""

    text: bytes = b""
    stages_run: tuple[str, ...] = ()
    held: object = None


def prepare_inputs(
    repo: Repository,
    settings: Settings,
    paths: Sequence[str],
    used: Collection[str],
    say: Callable[[str], None],
    *,
    absent: bool = False,
) -> Inputs:
    """Run the stages that are stale and hash the data; `UserError` for a stage that fails or data that is missing.

    paths: declared data relative to the top, or absolute; used: names of data that the command asks for;
    absent: data that is missing is recorded as such, and is no error.
    """
    if not (paths or settings.data.named or settings.stage):
        return Inputs()
    from git_replicate.capture.data import capture_data
    from git_replicate.git.lfs import content_ids

    inputs = Inputs()
    if settings.stage:
        import tomli_w

        from git_replicate.capture.stages import stages_document
        from git_replicate.execution.stages import Stages

        held = Stages(repo, settings.stage, say)
        reports = held.run()
        text = tomli_w.dumps(stages_document({report.name: report.state for report in reports})).encode()
        inputs = Inputs(text, tuple(report.name for report in reports if report.done != "fresh"), held)
    layout = repo.layout
    data = capture_data(
        paths, settings.data.named, top=layout.top or "", common_dir=layout.common_dir, used=used, absent=absent,
        tracked_ids=partial(content_ids, repo),
    )  # fmt: skip
    return replace(inputs, text=data + inputs.text)
