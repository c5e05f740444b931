"""Where a run happens."""

from __future__ import annotations

from collections.abc import Callable

from git_replicate.core.frozen import frozen
from git_replicate.core.settings import Settings
from git_replicate.git.config import GitConfig
from git_replicate.git.repository import Repository


@frozen
class Place:
    """Where a run happens: the repository, what is configured for it, and how to talk to the person."""

    repository: Repository
    config: GitConfig
    settings: Settings
    say: Callable[[str], None]
    warn: Callable[[str], None]
    speaks: bool = True  # whether what is said is heard
