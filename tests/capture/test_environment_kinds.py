"""Each kind of environment: conda, GPU, container, scheduler, programs, indexes, lock files, code from outside."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from git_replicate.capture.environment import (
    KINDS,
    RECREATABLE,
    binary,
    capture_environment,
    conda,
    container,
    gpu,
    indexes,
    locks,
    pip,
    scheduler,
)
from git_replicate.capture.environment.extern import collect_extern
from git_replicate.capture.environment.kinds import Scene
from git_replicate.capture.environment.origins import describe_source
from git_replicate.capture.environment.recipe import Recipe, Requirement, Sources
from git_replicate.core.settings import EnvironmentSettings
from tests.support import GitRepo


def scene(command: list[str], directory: Path, **environ: str) -> Scene:
    return Scene(command, str(directory), environ, str(directory))


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_no_two_kinds_own_a_name_and_all_answer_the_same_questions() -> None:
    keys = [key for kind in KINDS for key in kind.KEYS]
    assert len(keys) == len(set(keys))
    assert [kind.NAME for kind in RECREATABLE] == ["conda", "pip"]
    assert all(kind.differs({}, {}) == () for kind in KINDS)


# Made by hand from the documented form of conda-meta.
def meta(folder: Path, name: str, **fields: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}-1-0.json").write_text(json.dumps({"name": name, "version": "1", "build": "0", **fields}))


def test_conda_packages_are_read_without_conda_and_without_tokens(tmp_path: Path) -> None:
    folder = tmp_path / "conda-meta"
    channel = "https://conda.example.org"
    meta(folder, "zlib", url=f"{channel}/c/linux-64/zlib-1-0.conda", md5="aa")
    meta(folder, "paid", url=f"{channel}/t/{'x1' * 8}/c/noarch/paid-1-0.conda", sha256="bb")
    meta(folder, "local", url="file:///home/ada/local-1-0.conda", fn="local-1-0.conda")
    (folder / "broken-1-0.json").write_text("{")
    (folder / "history").touch()
    facts = conda.capture(scene(["sim"], tmp_path, CONDA_PREFIX=str(tmp_path)))
    assert facts.document == {
        "conda": {
            "local": "local-1-0.conda",
            "paid": f"{channel}/t/***/c/noarch/paid-1-0.conda#sha256:bb",
            "zlib": f"{channel}/c/linux-64/zlib-1-0.conda#aa",
        }
    }
    assert facts.doubts == ("conda's record of broken-1-0.json could not be read",)
    assert conda.capture(scene(["sim"], tmp_path)).document == {}


def test_no_driver_is_a_fact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_ROOT", str(tmp_path / "none"))
    monkeypatch.setattr(gpu, "_DEVICES", ())
    facts = gpu.capture(scene(["x"], tmp_path))
    assert facts.document["driver"].startswith(("none", "amdgpu"))
    assert facts.doubts == ()


SMI = """
Driver Version                            : 550.54.15
CUDA Version                              : 12.4
GPU 00000000:01:00.0
    Product Name                          : NVIDIA A100-SXM4-40GB
    GPU UUID                              : GPU-aaaa
GPU 00000000:02:00.0
    Product Name                          : NVIDIA H100 80GB HBM3
    GPU UUID                              : GPU-bbbb
"""


@pytest.mark.parametrize(
    ("visible", "models"),
    [
        (None, ["NVIDIA A100-SXM4-40GB", "NVIDIA H100 80GB HBM3"]),
        ("1", ["NVIDIA H100 80GB HBM3"]),
        ("GPU-bb,0", ["NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"]),
        ("0,7,1", ["NVIDIA A100-SXM4-40GB"]),
        ("", None),
    ],
)
def test_the_gpus_that_the_command_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, models: list[str] | None
) -> None:
    (tmp_path / "nvidia").mkdir()
    monkeypatch.setattr(gpu, "_ROOT", str(tmp_path / "nvidia"))
    monkeypatch.setattr(gpu, "_ask_library", lambda: None)
    executable(tmp_path / "bin" / "nvidia-smi", f"#!/bin/sh\necho asked >> {tmp_path}/asked\ncat <<'END'{SMI}END\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    environ = {
        "XDG_CACHE_HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        **({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}),
    }
    documents = [gpu.capture(scene(["x"], tmp_path, **environ)).document for _ in range(2)]
    assert (tmp_path / "asked").read_text() == "asked\n"
    assert (
        documents[0] == documents[1] == {"driver": "550.54.15", "cuda": "12.4", **({"gpu": models} if models else {})}
    )


def test_a_driver_that_nobody_can_ask_is_known_from_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n")
    monkeypatch.setattr(gpu, "_ROOT", str(tmp_path))
    monkeypatch.setattr(gpu, "_ask_library", lambda: None)
    monkeypatch.setattr(gpu, "_ask_program", lambda environ: None)
    facts = gpu.capture(scene(["x"], tmp_path))
    assert facts.document == {"driver": "535.104.05"}
    assert facts.doubts == ("the GPUs could not be asked for their models",)


def test_containers_tell_their_image(tmp_path: Path) -> None:
    def found(**environ: str) -> Any:
        return container.capture(scene(["x"], tmp_path, **environ), str(tmp_path)).document.get("container")

    assert found() is None
    assert found(KUBERNETES_SERVICE_HOST="10.0.0.1") == {"kind": "kubernetes"}
    (tmp_path / ".dockerenv").touch()
    assert found(NVIDIA_BUILD_ID="114410972") == {"kind": "docker", "image": "NVIDIA build 114410972"}
    digest = "ab" * 32
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".containerenv").write_text(f'engine="podman-5"\nimage="lab/train:3"\nimageid="{digest}"\n')
    assert found() == {"kind": "podman", "image": "lab/train:3", "digest": f"sha256:{digest}"}
    (tmp_path / ".singularity.d").mkdir()
    label = {"org.label-schema.usage.singularity.deffile.from": f"lab/train@sha256:{digest}"}
    (tmp_path / ".singularity.d" / "labels.json").write_text(json.dumps(label))
    assert found(APPTAINER_CONTAINER="/home/ada/x.sif") == {
        "kind": "apptainer", "image": "lab/train", "digest": f"sha256:{digest}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "facts"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_PARTITION": "gpu", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "4"},
         {"kind": "slurm", "queue": "gpu", "nodes": 2, "gpus": 4}),
        ({"PBS_JOBID": "7.host", "PBS_QUEUE": "q", "NCPUS": "8"}, {"kind": "pbs", "queue": "q", "cpus": 8}),
        ({"LSB_JOBID": "7", "LSB_QUEUE": "normal"}, {"kind": "lsf", "queue": "normal"}),
        ({"JOB_ID": "7", "SGE_TASK_ID": "undefined", "NSLOTS": "3"}, {"kind": "sge", "cpus": 3}),
        ({"FLUX_JOB_ID": "f7", "FLUX_JOB_SIZE": "4"}, {"kind": "flux", "tasks": 4}),
        ({"JOB_ID": "7"}, None),
    ],
)  # fmt: skip
def test_schedulers(tmp_path: Path, environ: dict[str, str], facts: dict[str, Any] | None) -> None:
    assert scheduler.capture(scene(["x"], tmp_path, **environ)).document.get("scheduler") == facts


def test_another_languages_interpreter_tells_its_version_once(tmp_path: Path) -> None:
    script = f"#!/bin/sh\necho asked >> {tmp_path}/asked\necho 'R scripting front-end version 4.4.1 (2024-06-14)'\n"
    executable(tmp_path / "bin" / "Rscript", script)
    environ = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "c")}
    for _ in range(2):
        program = binary.capture(scene(["Rscript", "fit.R"], tmp_path, **environ)).document["program"]
        assert (program["name"], program["version"]) == ("Rscript", "4.4.1")
        assert program["hash"].startswith("blake3:")
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_indexes_are_recorded_without_credentials_and_without_folders(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://ada:pw12345@wheels.example.org/simple\nextra-index-url =\n"
        "    https://b.example.org/simple\n    file:///opt/wheels\n[install]\nfind-links = /opt/w\n"
    )
    (tmp_path / "pyproject.toml").write_text('[[tool.uv.index]]\nname = "cu"\nurl = "https://c.example.org/cu124"\n')
    environ = {
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path),
        "UV_INDEX": "own=https://tok@d.example.org/simple",
    }  # fmt: skip
    found = indexes.capture(environ, "", str(tmp_path))
    assert [a for a in found if "example.org" in a] == [
        "https://***@d.example.org/simple", "https://***@wheels.example.org/simple", "https://b.example.org/simple",
        "https://c.example.org/cu124",
    ]  # fmt: skip
    assert indexes.usable(found[0]) == "https://d.example.org/simple"
    assert indexes.has_any(environ)


def test_lock_files_are_noticed_and_name_the_files_they_allow(tmp_path: Path) -> None:
    lock = (
        '[[package]]\nname = "Some_Thing"\nversion = "1.0"\nsource = { registry = "https://e.org/simple" }\n'
        'sdist = { hash = "sha256:aa" }\nwheels = [{ hash = "sha256:bb" }]\n'
    )
    (tmp_path / "uv.lock").write_text(lock)
    assert list(locks.capture(str(tmp_path))) == ["uv.lock"]
    pylock = '[[packages]]\nname = "other"\nversion = "2"\nwheels = [{ hashes = { sha256 = "cc" } }]\n'
    found = locks.locked_versions({"uv.lock": lock.encode(), "pylock.toml": pylock.encode()}.get)
    assert found == {
        ("some-thing", "1.0"): locks.Locked(("sha256:aa", "sha256:bb"), "https://e.org/simple"),
        ("other", "2"): locks.Locked(("sha256:cc",)),
    }
    assert locks.locked_versions({"uv.lock": b"\xff not toml"}.get) == {}


def test_an_editable_install_is_code_with_a_commit_and_its_changes(repo: GitRepo, tmp_path: Path) -> None:
    commit = repo.git("rev-parse", "HEAD")
    repo.git("remote", "add", "origin", "https://ada:pw12345@example.org/lib.git")
    (repo.top / "src").mkdir()
    assert describe_source(str(repo.top / "src"), (str(repo.top),)) == {"folder": "src"}
    assert describe_source(str(repo.top), ("", str(tmp_path), str(repo.top))) == {"folder": "repo"}
    outside = str(tmp_path / "elsewhere")
    clean = describe_source(str(repo.top), (outside,))
    assert clean == {"url": "https://***@example.org/lib.git", "commit": commit}
    repo.write("train.py", "print('changed')\n")
    dirty = describe_source(str(repo.top), (outside,))
    assert dirty["dirty"].startswith("blake3:")
    assert describe_source(str(repo.top), (outside,)) == dirty
    repo.write("train.py", "print('changed again')\n")
    assert describe_source(str(repo.top), (outside,))["dirty"] != dirty["dirty"]
    assert describe_source(str(tmp_path / "none"), (outside,)) == {"local": True}


def test_imported_code_that_no_commit_holds_is_kept(repo: GitRepo, tmp_path: Path) -> None:
    repo.write("clean.py", "x = 1\n")
    repo.commit()
    repo.write("train.py", "changed = True\n")
    repo.write("new.py", "new = True\n")
    loose = tmp_path / "loose" / "helper.py"
    loose.parent.mkdir()
    loose.write_text("y = 1\n")
    imported = [str(repo.top / name) for name in ("clean.py", "train.py", "new.py", "gone.py")]
    inside = tmp_path / "work" / "mine.py"
    installed = tmp_path / "v" / "lib" / "site-packages" / "p.py"
    found = collect_extern([*imported, str(loose), str(inside), str(installed)], str(tmp_path / "work"), [])
    assert found.files == {
        "extern/repo/train.py": b"changed = True\n",
        "extern/repo/new.py": b"new = True\n",
        "extern/loose/helper.py": b"y = 1\n",
    }


def test_a_recipes_identity_is_what_is_built_not_how_it_is_called() -> None:
    first = Recipe("packages", "3.11.7", requirements=(Requirement("a", "1", "a==1"),), source="one")
    same = Recipe("packages", "3.11.7", requirements=(Requirement("a", "1", "a==1"),), source="two", notes=("n",))
    other = Recipe("packages", "3.11.7", requirements=(Requirement("a", "2", "a==2"),), source="one")
    assert first.identity == same.identity != other.identity


def test_two_looks_at_the_same_environment_are_the_same_text(tmp_path: Path) -> None:
    texts = {capture_environment(["python3"], str(tmp_path), os.environ, EnvironmentSettings())[0] for _ in range(2)}
    assert len(texts) == 1


def test_git_replicate_itself_is_left_out_where_it_cannot_be_had() -> None:
    built = pip.recreate(
        {
            "python": "3.11.7",
            "packages": {"git-replicate": "0.1.0", "lost": "1.0", "six": "1.16.0"},
            "origins": {
                "git-replicate": {"vcs": "git", "commit": "a" * 40},
                "lost": {"vcs": "git", "commit": "b" * 40},
            },
        },
        Sources(),
    )
    assert built is not None
    assert [missing.name for missing in built.missing] == ["lost"]
    assert [requirement.name for requirement in built.requirements] == ["six"]
    assert built.notes == (
        "git-replicate 0.1.0 is left out: a run gets what `import git_replicate` gives from the probe",
    )
