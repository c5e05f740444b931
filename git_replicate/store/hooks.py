"""Installing git hooks beside what is there, and taking them away without a trace.

A hook of ours carries an identity line. What was there before is renamed to `<hook>.before-replicate` and called
first with the same arguments and input; its exit code is the hook's. Removing ours renames it back: the very same
file. `core.hooksPath` is honoured, and linked worktrees share the hooks of their repository, as git has it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Final, Literal

from git_replicate.core.errors import UserError
from git_replicate.git.config import GitConfig
from git_replicate.git.repository import Layout

HOOKS: Final = ("post-commit", "post-rewrite", "pre-push")
IDENTITY: Final = "# git replicate hook, version 1; remove it with: git replicate hooks remove"
_SUFFIX: Final = ".before-replicate"
State = Literal["installed", "chained", "absent", "other", "outdated"]


@dataclass(frozen=True, slots=True)
class HookState:
    name: str
    path: str
    state: State


def hooks_folder(layout: Layout, config: GitConfig) -> str:
    """Where git looks for this repository's hooks."""
    configured = config.get("core.hookspath")
    if not configured:
        return os.path.join(layout.common_dir, "hooks")
    base = layout.top or layout.git_dir
    return os.path.join(base, os.path.expanduser(configured))


def template(name: str) -> str:
    """The text of a hook of ours."""
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "hooks")
    if not os.path.isdir(folder):  # a checkout, where the templates lie at the top
        folder = os.path.join(os.path.dirname(os.path.dirname(folder)), "hooks")
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


def hook_states(layout: Layout, config: GitConfig) -> list[HookState]:
    folder = hooks_folder(layout, config)
    return [HookState(name, os.path.join(folder, name), _state(os.path.join(folder, name), name)) for name in HOOKS]


def _state(path: str, name: str) -> State:
    if not os.path.lexists(path):
        return "absent"
    text = _read(path)
    if IDENTITY.encode() not in text:
        return "outdated" if b"# git replicate hook" in text else "other"
    if text != template(name).encode():
        return "outdated"
    return "chained" if os.path.lexists(path + _SUFFIX) else "installed"


def install(layout: Layout, config: GitConfig) -> list[HookState]:
    """Put every hook of ours in place; `UserError` where a folder cannot be written."""
    for hook in hook_states(layout, config):
        if hook.state in ("installed", "chained"):
            continue
        try:
            os.makedirs(os.path.dirname(hook.path), exist_ok=True)
            if hook.state == "other":
                if os.path.lexists(hook.path + _SUFFIX):
                    raise UserError(f"{hook.path}{_SUFFIX} is in the way", "move it, then install again")
                os.rename(hook.path, hook.path + _SUFFIX)
            _write(hook.path, template(hook.name))
        except OSError as error:
            raise UserError(f"install {hook.path}: {error.strerror}", f"ls -ld {os.path.dirname(hook.path)}") from error
    return hook_states(layout, config)


def remove(layout: Layout, config: GitConfig) -> list[HookState]:
    """Take our hooks away and put back what was there before, as it was."""
    for hook in hook_states(layout, config):
        if hook.state in ("absent", "other"):
            continue
        try:
            if os.path.lexists(hook.path + _SUFFIX):
                os.replace(hook.path + _SUFFIX, hook.path)
            else:
                os.unlink(hook.path)
        except OSError as error:
            raise UserError(f"remove {hook.path}: {error.strerror}", f"rm {hook.path}") from error
    return hook_states(layout, config)


def _read(path: str) -> bytes:
    """What a hook says; nothing for one that cannot be read, which is then somebody else's."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _write(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    os.rename(temporary, path)
