"""Where packages come from on this machine: the configured indexes of pip and uv, without credentials.

Only what is configured is told, so a machine that uses the usual index says nothing. Addresses of folders are this
machine's own and are not recorded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Final

from git_replicate.capture.environment.locks import parse_toml
from git_replicate.core.secrets import MASK, mask_text

_VARIABLES: Final = (
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL",
)  # fmt: skip
_LINKS: Final = ("PIP_FIND_LINKS", "UV_FIND_LINKS")
_PIP_KEYS: Final = ("index-url", "extra-index-url")
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
_TOKEN_PATH = re.compile(r"/t/[^/\s]{8,}(?=/)")
_MOST_BYTES: Final = 100_000


def capture(environ: Mapping[str, str], prefix: str, top: str = "") -> tuple[str, ...]:
    """The addresses of the indexes that an interpreter's installers use, in order, credentials masked."""
    found: dict[str, None] = {}
    for address in _addresses(environ, prefix, top):
        if "://" in address and not address.startswith("file:"):
            found[mask_address(address)] = None
    return tuple(found)


def has_any(environ: Mapping[str, str], top: str = "") -> bool:
    """Whether anything but the usual index is configured, folders of wheels included."""
    links = any(environ.get(name) for name in _LINKS)
    return links or next(iter(_addresses(environ, "", top, links=True)), None) is not None


def mask_address(address: str) -> str:
    """An address with `***` for its user, its password, and the token that a channel's path may hold."""
    return mask_text(_TOKEN_PATH.sub(f"/t/{MASK}", _USER_INFO.sub(f"{MASK}@", address.strip())))


def usable(address: str) -> str:
    """A recorded address as installers can use it: without the mask, so that a netrc or keyring may answer for it."""
    return address.replace(f"{MASK}@", "")


def _addresses(environ: Mapping[str, str], prefix: str, top: str, *, links: bool = False) -> Iterator[str]:
    for name in _VARIABLES:
        for word in environ.get(name, "").split():
            yield word.partition("=")[2] if re.match(r"[\w-]+=\w+://", word) else word
    keys = (*_PIP_KEYS, "find-links") if links else _PIP_KEYS
    for path in _pip_files(environ, prefix):
        yield from _pip_file(path, keys)
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", ""), ".config")
    for path in (os.path.join(top, "uv.toml"), os.path.join(home, "uv", "uv.toml"), "/etc/uv/uv.toml"):
        if os.path.isabs(path):
            yield from _uv_table(parse_toml(_read(path)))
    project = _read(os.path.join(top, "pyproject.toml")) if top else b""
    if b"tool.uv" in project:
        yield from _uv_table(parse_toml(project).get("tool", {}).get("uv", {}))


def _pip_files(environ: Mapping[str, str], prefix: str) -> list[str]:
    """The files that pip reads, in its order."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    home = environ.get("HOME", "")
    user = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    system = [
        os.path.join(folder, "pip", "pip.conf") for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
    ]
    own = [os.path.join(home, ".pip", "pip.conf"), os.path.join(user, "pip", "pip.conf")]
    files = [*system, "/etc/pip.conf", *own, os.path.join(prefix, "pip.conf") if prefix else "", named]
    return [path for path in files if os.path.isabs(path)]


def _pip_file(path: str, keys: tuple[str, ...]) -> Iterator[str]:
    """The values of some keys of an ini file, each possibly over several indented lines."""
    key = ""
    for line in _read(path).decode(errors="replace").splitlines():
        if not line.strip() or line.lstrip().startswith(("#", ";", "[")):
            key = ""
            continue
        if not line[0].isspace():
            key = line.partition("=")[0].strip().replace("_", "-")
        if key in keys:
            yield from (line if line[0].isspace() else line.partition("=")[2]).split()


def _uv_table(table: Mapping[str, object]) -> Iterator[str]:
    indexes = table.get("index")
    for index in indexes if isinstance(indexes, list) else ():
        if isinstance(index, Mapping) and isinstance(index.get("url"), str):
            yield str(index["url"])
    for name in ("index-url", "extra-index-url"):
        value = table.get(name)
        yield from (str(item) for item in (value if isinstance(value, list) else [value] if value else []))


def _read(path: str) -> bytes:
    if not os.access(path, os.R_OK):  # most are absent, and asking is cheaper than a failed open
        return b""
    try:
        with open(path, "rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return b""
