"""What the probes noted of files: data that was read and written, code that was loaded, packages imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from git_replicate.capture.opened import Read, is_below
from git_replicate.capture.probe_report import ProbeReport
from git_replicate.core.frozen import frozen

C_READERS: Final = frozenset(
    "h5py tables netCDF4 lmdb pyarrow cv2 polars duckdb rasterio osgeo fiona pyogrio tensorflow tensorflow_datasets "
    "decord av torchcodec torchaudio soundfile librosa safetensors tensorstore lance vaex datatable fastparquet "
    "rocksdb plyvel leveldb pysam cyvcf2 SimpleITK itk openslide pyvips xgboost lightgbm catboost faiss tokenizers "
    "sentencepiece fasttext kenlm llama_cpp vllm onnxruntime openvino tensorrt jpeg4py turbojpeg ROOT pyreadr "
    "pyreadstat ffcv indexed_gzip".split()
)
"""Modules that open files in native code, where no audit event tells of them."""
_HARMLESS: Final = frozenset(
    "git git-replicate uname lscpu nproc hostname ldconfig ldd which file getconf nvidia-smi rocm-smi sysctl sw_vers "
    "stty tput clear gcc g++ cc c++ clang ld as objdump nvcc ptxas llvm-symbolizer locale id whoami true false "
    "echo".split()
)
"""Programs that are started all the time and read no data."""


@frozen
class LoadedCode:
    """A file that was loaded as code: absolute path, when (seconds since 1970), and its times then (ns)."""

    path: str
    time: float
    mtime_ns: int
    ctime_ns: int


@dataclass(slots=True)
class SeenFiles:
    """The union over all processes of a run; paths are absolute."""

    reads: dict[str, Read] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    """Folders that stand for what was read in them."""
    written: dict[str, float] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    """Folders that the run made, or would have made if they had not been there."""
    code: dict[str, list[LoadedCode]] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    """Top-level modules, not of the standard library, and the file or folder of each ("" where there is none)."""
    prefixes: set[str] = field(default_factory=set)
    unseen: list[str] = field(default_factory=list)
    """In words, what may have read files that no one saw."""


def read_seen_files(report: ProbeReport) -> SeenFiles:
    """What all of the report's processes did with files."""
    opened = report.opened
    seen = SeenFiles(opened.reads, opened.folders, opened.written, opened.made)
    programs: set[str] = set()
    for process in report.processes:
        seen.prefixes |= {str(process.facts.get(name, "")) for name in ("prefix", "base_prefix")} - {""}
        for note in process.notes:
            _add(seen, note, programs)
    readers = sorted(C_READERS & seen.modules.keys())
    others = sorted(name for name in programs - _HARMLESS if not name.startswith(("python", "pypy")))
    seen.unseen += [*readers, *(f"program {name}" for name in others)]
    if opened.cut:
        seen.unseen.append("files: too many in too many places")
    if report.incomplete:
        seen.unseen.append("notes beyond what is read")
    return seen


def _add(seen: SeenFiles, note: Mapping[str, Any], programs: set[str]) -> None:
    kind, path = note.get("kind"), note.get("path")
    if kind == "modules" and isinstance(note.get("modules"), Mapping):
        seen.modules.update({str(name): str(file) for name, file in note["modules"].items()})
    elif kind == "program":
        programs.add(str(note.get("name", "")))
    elif kind == "unseen":
        seen.unseen.append(f"{note.get('what')}: {note.get('why')}")
    elif kind == "code" and isinstance(path, str):
        path = os.path.normpath(path)
        times = [int(note.get(name, 0)) for name in ("mtime", "ctime")]
        seen.code.setdefault(path, []).append(LoadedCode(path, float(note.get("time", 0.0)), *times))


def data_read(seen: SeenFiles, since: float, top: str = "") -> list[Read]:
    """The files, and folders that stand for theirs, that were there before the run read them.

    since: when the run started; what was made or changed after that is taken for the run's own product; top: of the
    worktree. Hidden files are left out, for they are how a tool remembers things, and so is what belongs to the
    interpreter's environment.
    """
    environments = {prefix for prefix in seen.prefixes if not f"{top}/".startswith(f"{prefix.rstrip('/')}/")}
    passed = seen.folders | environments
    reads = [Read(path) for path in sorted(seen.folders) if not is_below(path, passed)]
    folders: dict[str, bool] = {}
    for path, read in sorted(seen.reads.items()):
        folder = os.path.dirname(path)
        if folder not in folders:
            folders[folder] = is_below(path, passed)
        own = path in seen.written and seen.written[path] <= read.time
        later = read.mtime_ns is not None and read.mtime_ns >= since * 1e9
        hidden = os.path.basename(path).startswith(".")
        if not (own or later or hidden or path in seen.code or folders[folder]):
            reads.append(read)
    return reads
