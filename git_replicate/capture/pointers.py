"""Files whose content git-annex, DVC or git-lfs keeps elsewhere: their ids, and content that is not here.

Sources: git-annex's `internals/key_format` (`SHA256E-s1234--<hex>.ext`), DVC's "Structure of the cache directory"
(`files/md5/<2 hex>/<30 hex>`), git-lfs's `docs/spec.md`.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Final

_ANNEX_KEY: Final = re.compile(
    rb"/annex/objects/(?:.*/)?(MD5|SHA1|SHA256|SHA512)E?-s\d+[^/]*--([0-9a-f]{32,128})[^/]*$"
)
_DVC_KEY: Final = re.compile(rb"/files/md5/([0-9a-f]{2})/([0-9a-f]{30})$")
_ANNEX: Final = b"/annex/objects/"
_LFS: Final = b"version https://git-lfs.github.com/spec/v1\n"
MOST_POINTER: Final = 400
"""Bytes; no pointer is as long."""
_LEAST_LFS: Final = 110


def linked_id(path: bytes) -> str:
    """`algorithm:hex` of a link into git-annex's or DVC's store, which hold content by its hash; "" for others."""
    try:
        target = os.readlink(path)
    except OSError:
        return ""
    if found := _ANNEX_KEY.search(target):
        return f"{found[1].decode().lower()}:{found[2].decode()}"
    found = _DVC_KEY.search(target)
    return f"md5:{(found[1] + found[2]).decode()}" if found else ""


def not_here(path: bytes, status: os.stat_result) -> str:
    """The command that fetches the content that a file only points to; "" for a file that is itself.

    status: of the file, or of the link where it leads to nothing.
    """
    try:
        if stat.S_ISLNK(status.st_mode):
            if os.path.exists(path):
                return ""
            target = os.readlink(path)
            return "git annex get" if _ANNEX in target else "dvc pull" if _DVC_KEY.search(target) else ""
        if stat.S_ISREG(status.st_mode) and _LEAST_LFS <= status.st_size < MOST_POINTER:
            with open(path, "rb") as file:
                return "git lfs pull --include" if file.read(len(_LFS)) == _LFS else ""
    except OSError:
        return ""
    return ""
