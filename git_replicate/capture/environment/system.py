"""The machine as far as it is part of a run's environment: operating system, C library, processor, memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


def capture(environ: Mapping[str, str]) -> dict[str, Any]:
    """What can be read of the machine; a fact that cannot be read is absent."""
    name = os.uname()
    facts = {
        "os": _release() or f"{name.sysname} {name.release}",
        "kernel": f"{name.sysname} {name.release}",
        "machine": name.machine,
        "libc": _libc(),
        "cpu": _cpu(),
        "cpus": os.cpu_count() or 0,
        "memory_gib": _memory(),
        "container": _container(environ),
    }
    return {key: value for key, value in facts.items() if value}


def _release() -> str:
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        for line in _lines(path):
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip().strip("\"'")
    return ""


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


def _cpu() -> str:
    facts: dict[str, str] = {}
    for line in _lines("/proc/cpuinfo", 16_384):
        key, colon, value = line.partition(":")
        if not colon and facts:
            break
        facts.setdefault(key.strip(), value.strip())
    model = facts.get("model name") or facts.get("cpu") or facts.get("Model") or ""
    if not model and "CPU part" in facts:
        model = f"implementer {facts.get('CPU implementer', '')} part {facts['CPU part']}"
    return " ".join(model.split())


def _memory() -> int:
    """Memory in GiB, rounded: the kernel's exact figure changes with every kernel."""
    for line in _lines("/proc/meminfo", 4_096):
        if line.startswith("MemTotal:"):
            return max(round(int(line.split()[1]) / 2**20), 1)
    return 0


def _container(environ: Mapping[str, str]) -> str:
    """The kind of container, with the image's name where the container tells it."""
    image = environ.get("APPTAINER_CONTAINER") or environ.get("SINGULARITY_CONTAINER") or ""
    if image:
        return f"apptainer {os.path.basename(image)}"
    if os.path.exists("/run/.containerenv"):
        return "podman"
    return "docker" if os.path.exists("/.dockerenv") else ""


def _lines(path: str, limit: int = 65_536) -> list[str]:
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode(errors="replace").splitlines()
    except OSError:
        return []
