"""GPUs that the command can see, and their driver. No driver is a fact, not an error.

The kernel's own files tell that there is a driver; only then is nvidia-ml-py asked, or else `nvidia-smi`, once a boot.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

from git_replicate.capture import machine
from git_replicate.capture.environment.kinds import Difference, Facts, Scene, compare
from git_replicate.capture.environment.python import cache_path, read_cache, write_cache

NAME: Final = "gpu"
KEYS: Final = ("gpu", "driver", "cuda")
NO_DRIVER: Final = "none"
_ROOT: Final = "/proc/driver/nvidia"
_DEVICES: Final = ("/dev/nvidiactl", "/dev/dxg")
_SECONDS: Final = 10


def capture(scene: Scene) -> Facts:
    """Models of the visible GPUs in order, the driver's version, and the newest CUDA that the driver serves."""
    if not os.path.exists(_ROOT) and not any(os.path.exists(path) for path in _DEVICES):
        amd = _first_line("/sys/module/amdgpu/version")
        return Facts({"driver": f"amdgpu {amd}" if amd else NO_DRIVER})
    found = _ask_library() or _remembered(scene.environ)
    if found is None:
        version = re.search(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", _first_line(f"{_ROOT}/version"))
        return Facts(
            {"driver": version[1] if version else "unknown"}, ("the GPUs could not be asked for their models",)
        )
    driver, cuda, devices = found
    document: dict[str, Any] = {"driver": driver, "gpu": _visible(devices, scene.environ), "cuda": cuda}
    return Facts({key: value for key, value in document.items() if value})


def visible_devices(environ: Mapping[str, str]) -> list[str]:
    """The GPUs that a command would see, as CUDA_VISIBLE_DEVICES names them."""
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [device.strip() for device in chosen.split(",") if device.strip() and device.strip() != "-1"]
    found = capture(Scene((), ".", environ)).document.get("gpu", [])
    return [str(number) for number in range(len(found))]


def differs(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> tuple[Difference, ...]:
    return compare(NAME, KEYS, recorded, current, hardware=KEYS)


def _visible(devices: Sequence[tuple[str, str]], environ: Mapping[str, str]) -> list[str]:
    """The models of (uuid, model) that CUDA_VISIBLE_DEVICES leaves, by number or by the beginning of a uuid."""
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return [model for _, model in devices]
    models = []
    for word in (word.strip() for word in chosen.split(",")):
        if word.isdigit():
            match = [devices[int(word)][1]] if int(word) < len(devices) else []
        else:
            match = [model for uuid, model in devices if word and uuid.startswith(word)]
            match = match or (["MIG device"] if word.startswith("MIG-") else [])
        if not match:  # as CUDA does: from the first that is none, nothing is visible
            break
        models.append(match[0])
    return models


def _ask_library() -> tuple[str, str, list[tuple[str, str]]] | None:
    """Driver, CUDA version and devices from nvidia-ml-py; None without it, or if it cannot say."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
        number = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        devices = [(_text(pynvml.nvmlDeviceGetUUID(h)), _text(pynvml.nvmlDeviceGetName(h))) for h in handles]
        cuda = f"{number // 1000}.{number % 1000 // 10}"
        return _text(pynvml.nvmlSystemGetDriverVersion()), cuda, devices
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _remembered(environ: Mapping[str, str]) -> tuple[str, str, list[tuple[str, str]]] | None:
    """What `nvidia-smi` said since the machine was started: it takes up to a second."""
    boot = machine.boot_id()
    # In a container, and in a job that is given only some of them, there are other GPUs than outside.
    key = f"{boot}|{machine.host()}|{environ.get('SLURM_JOB_ID', '')}|{_first_line(f'{_ROOT}/version')}"
    cache = cache_path(environ, "gpus.json")
    known = read_cache(cache, 3) if boot else {}
    if key in known:
        driver, cuda, lines = known[key]
        pairs = (line.partition("\t") for line in lines.splitlines())
        return driver, cuda, [(uuid, model) for uuid, _, model in pairs]
    found = _ask_program(environ)
    if found is not None and boot:
        lines = "\n".join("\t".join(device) for device in found[2])
        write_cache(cache, {**dict(list(known.items())[-20:]), key: [found[0], found[1], lines]})
    return found


def _ask_program(environ: Mapping[str, str]) -> tuple[str, str, list[tuple[str, str]]] | None:
    """The same from `nvidia-smi -q`; None without it, or if it fails."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "-q"], env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = done.stdout.decode(errors="replace")
    facts = {
        name: re.findall(rf"^\s*{label}\s*:\s*(.+?)\s*$", text, re.MULTILINE)
        for name, label in (
            ("driver", "Driver Version"), ("cuda", "CUDA Version"), ("model", "Product Name"), ("uuid", "GPU UUID"),
        )
    }  # fmt: skip
    if done.returncode or not facts["driver"]:
        return None
    return facts["driver"][0], next(iter(facts["cuda"]), ""), list(zip(facts["uuid"], facts["model"], strict=False))


def _first_line(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.readline(4_096).decode(errors="replace").strip()
    except OSError:
        return ""
