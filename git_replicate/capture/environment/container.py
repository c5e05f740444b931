"""The container that the command runs in, with its image's name and digest where the container tells them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Final

from git_replicate.capture.environment.kinds import Difference, Facts, Scene, compare

NAME: Final = "container"
KEYS: Final = ("container",)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def capture(scene: Scene, root: str = "/") -> Facts:
    """Kind, image and digest; nothing outside a container."""
    found = _apptainer(scene.environ, root) or _podman(root) or _other(scene.environ, root)
    return Facts({"container": {key: value for key, value in found.items() if value}} if found else {})


def differs(recorded: Mapping[str, object], current: Mapping[str, object]) -> tuple[Difference, ...]:
    return compare(NAME, KEYS, recorded, current)


def _apptainer(environ: Mapping[str, str], root: str) -> dict[str, str]:
    image = environ.get("APPTAINER_CONTAINER") or environ.get("SINGULARITY_CONTAINER") or ""
    if not image:
        return {}
    try:
        labels = json.loads(_read(os.path.join(root, ".singularity.d", "labels.json")) or "{}")
    except ValueError:
        labels = {}
    source = str(labels.get("org.label-schema.usage.singularity.deffile.from", "")) if isinstance(labels, dict) else ""
    digest = _DIGEST.search(source)
    name = source.partition("@")[0] or os.path.basename(image)
    return {"kind": "apptainer", "image": name, "digest": digest[0] if digest else ""}


def _podman(root: str) -> dict[str, str]:
    path = os.path.join(root, "run", ".containerenv")
    if not os.path.exists(path):
        return {}
    facts = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', _read(path), re.MULTILINE))
    identity = facts.get("imageid", "")
    digest = f"sha256:{identity}" if re.fullmatch(r"[0-9a-f]{64}", identity) else ""
    return {"kind": "podman", "image": facts.get("image", ""), "digest": digest}


def _other(environ: Mapping[str, str], root: str) -> dict[str, str]:
    build = environ.get("NVIDIA_BUILD_ID", "")
    image = f"NVIDIA build {build}" if build and build != "<unknown>" else ""
    if os.path.exists(os.path.join(root, ".dockerenv")):
        return {"kind": "docker", "image": image}
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return {"kind": "kubernetes", "image": image}
    kind = environ.get("container") or _read(os.path.join(root, "run", "systemd", "container")).strip()
    return {"kind": kind, "image": image} if kind else {}


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(65_536).decode(errors="replace")
    except OSError:
        return ""
