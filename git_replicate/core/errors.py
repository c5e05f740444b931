"""The few kinds of error that a user can meet, each with the hint that helps.

An error says what and why in one line; its hint is something to paste. Exit codes are decided at the one
boundary in `cli`, so nothing here knows a terminal. Anything that is not a `ReplicateError` is a bug.
"""


class ReplicateError(Exception):
    """What went wrong, in one line, and a hint: a command or an edit that helps."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


IN_A_BARE_ONE = "git clone . ../work, and run it there; log, show, collate, diff, push, fetch and gc work in this one"
"""The hint where a bare repository has no working tree."""


class UserError(ReplicateError):
    """Something the user asked for cannot be done as asked."""


class UsageError(ReplicateError):
    """The command line itself is wrong."""


class ConfigError(UserError):
    """`replicate.toml` or `git config replicate.*` is wrong; the message lists every mistake."""


class NotARepositoryError(UserError):
    """There is no git repository here, or git refuses to use it."""


class GitError(ReplicateError):
    """git, or libgit2, said no; `operation` names what we were doing ("read state: ...")."""

    def __init__(self, operation: str, detail: str, hint: str = "") -> None:
        super().__init__(f"{operation}: {detail}" if detail else operation, hint)
        self.operation = operation
        self.detail = detail


class RefMovedError(GitError):
    """A compare-and-swap found another value than expected: somebody else moved or made the ref."""


class RefLockedError(GitError):
    """A ref's lock stayed held by somebody else for longer than we wait."""


class StorageError(ReplicateError):
    """A record could not be stored (full disk, read-only repository)."""


class FormatError(ReplicateError):
    """A stored object is not of a format this version reads; nothing is guessed."""
