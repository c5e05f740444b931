"""Environments are compared with what was recorded, built again from it, and kept for the next time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import tomli_w

from git_replicate.capture.environment import differences
from git_replicate.core.errors import UserError
from git_replicate.core.settings import EnvironmentSettings
from git_replicate.execution import builders, environments
from git_replicate.execution.environments import BuildError, Built, UnavailableError, free_folder
from git_replicate.git.opening import find_layout
from tests.support import GitRepo, replicate

PYTHON = ".".join(map(str, sys.version_info[:3]))


def wheel(folder: Path, name: str, version: str, text: str = "") -> str:
    """A wheel made by hand; its sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": text or f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    for version in ("1.0", "2.0"):
        wheel(folder, "alpha", version)
    wheel(folder, "beta", "0.5")
    return folder


@pytest.fixture(params=["uv", "pip"])
def offline(request: pytest.FixtureRequest, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables under which uv, or venv and pip alone, find nothing but the wheels made here."""
    if request.param == "uv" and not builders.find_uv(os.environ):
        pytest.skip("uv is not installed")
    if request.param == "pip":
        monkeypatch.setattr(builders, "find_uv", lambda environ: ())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    return {
        **kept, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull, "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(wheels), "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_OFFLINE": "1",
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
    }  # fmt: skip


def record(packages: Mapping[str, str], python: str = PYTHON, **tables: object) -> bytes:
    return tomli_w.dumps({"python": python, "implementation": "cpython", "packages": packages, **tables}).encode()


def build(repo: GitRepo, recorded: bytes, environ: Mapping[str, str], *, allow_missing: bool = False) -> Built:
    return environments.build_recorded(
        find_layout(str(repo.top)), recorded, read=lambda path: None, top=str(repo.top), environ=environ,
        settings=EnvironmentSettings(), say=lambda line: None, allow_missing=allow_missing,
    )  # fmt: skip


def ask(python: str, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_the_recorded_versions_are_built_once(repo: GitRepo, offline: dict[str, str]) -> None:
    recorded = record({"alpha": "1.0", "beta": "0.5"})
    built = build(repo, recorded, offline)
    assert ask(built.python, "import alpha, beta; print(alpha.version, beta.version)") == "1.0 0.5"
    assert builders.installed(built.python, offline) == {"alpha": "1.0", "beta": "0.5"}
    assert (built.reused, built.notes) == (False, ())
    again = build(repo, recorded, {**offline, "PATH": "/nowhere"})
    assert (again.reused, again.prefix) == (True, built.prefix)
    assert (Path(built.prefix) / "bin" / "alpha").read_text().count(f"{built.prefix}/bin/python") == 1


@pytest.mark.slow
def test_an_interpreter_without_a_pip_for_others_gives_the_environment_one_of_its_own(
    repo: GitRepo, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builders, "find_uv", lambda environ: ())
    monkeypatch.setattr(builders, "_serves_others", lambda python, environ: False)
    environ = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    built = build(repo, record({"alpha": "1.0"}), environ)
    assert builders.installed(built.python, environ) == {"alpha": "1.0"}


@pytest.mark.slow
def test_what_only_pip_is_configured_to_find_is_had(repo: GitRepo, offline: dict[str, str]) -> None:
    told = {name: value for name, value in offline.items() if name != "UV_FIND_LINKS"}
    built = build(repo, record({"alpha": "1.0", "beta": "0.5"}), told)
    assert ask(built.python, "import alpha, beta; print(alpha.version)") == "1.0"


@pytest.mark.slow
def test_all_that_cannot_be_had_is_told_at_once(repo: GitRepo, offline: dict[str, str]) -> None:
    with pytest.raises(UnavailableError) as raised:
        build(repo, record({"alpha": "9.9", "beta": "0.5", "gamma": "1"}), offline)
    assert [item.name for item in raised.value.missing] == ["alpha", "gamma"]
    assert not list((repo.top / ".git/replicate/environments").glob("*/complete.json"))


def test_what_no_record_can_restore_is_told_before_anything_is_built(repo: GitRepo, offline: dict[str, str]) -> None:
    offline = {name: value for name, value in offline.items() if not name.endswith("FIND_LINKS")}
    origins = {
        "mine": {"editable": True, "local": True},
        "theirs": {"editable": True, "url": "https://example.org/t.git", "commit": "c" * 40, "dirty": "blake3:1"},
    }
    packages = {"alpha": "1.0", "mine": "1", "theirs": "1", "label": "1.0+own", "nover": ""}
    with pytest.raises(UnavailableError) as raised:
        build(repo, record(packages, origins=origins), offline)
    assert {item.name: item.reason for item in raised.value.missing} == {
        "mine": "it was installed from a folder of the machine that recorded it",
        "theirs": "its source had changes that were not committed, on cccccccccccc",
        "label": "1.0+own is a build (own) of an index that was not recorded",
        "nover": "its version was not known",
    }
    assert not (repo.top / ".git/replicate/environments").exists()


def test_what_is_missing_may_be_left_out(repo: GitRepo, offline: dict[str, str]) -> None:
    recorded = record({"alpha": "2.0", "mine": "1"}, origins={"mine": {"local": True}})
    built = build(repo, recorded, offline, allow_missing=True)
    assert built.notes == ("left out: mine: it was installed from a folder of the machine that recorded it",)
    assert builders.installed(built.python, offline) == {"alpha": "2.0"}


@pytest.mark.slow
def test_the_lock_file_of_the_snapshot_decides_which_file_is_meant(
    repo: GitRepo, offline: dict[str, str], wheels: Path
) -> None:
    digest = wheel(wheels, "alpha", "3.0")
    wheel(wheels, "beta", "0.5", "other = 1\n")

    def build_with(expected: str) -> Built:
        lock = f'[[package]]\nname = "alpha"\nversion = "3.0"\nwheels = [{{ hash = "sha256:{expected}" }}]\n'
        return environments.build_recorded(
            find_layout(str(repo.top)), record({"alpha": "3.0", "beta": "0.5"}),
            read=lambda path: lock.encode() if path == "uv.lock" else None, top=str(repo.top), environ=offline,
            settings=EnvironmentSettings(), say=lambda line: None,
        )  # fmt: skip

    assert build_with(digest).notes == ()
    with pytest.raises(UnavailableError) as raised:
        build_with("0" * 64)
    assert [item.name for item in raised.value.missing] == ["alpha"]


@pytest.mark.slow
def test_a_build_that_was_killed_is_begun_anew(repo: GitRepo, offline: dict[str, str]) -> None:
    recorded = record({"beta": "0.5"})
    built = build(repo, recorded, offline)
    folder = Path(built.prefix).parent
    (folder / "complete.json").unlink()
    shutil.rmtree(Path(built.prefix) / "lib")
    again = build(repo, recorded, offline)
    assert not again.reused
    assert ask(again.python, "import beta; print(beta.version)") == "0.5"


@pytest.mark.slow
def test_another_patch_release_of_python_is_told(repo: GitRepo, offline: dict[str, str]) -> None:
    minor = ".".join(PYTHON.split(".")[:2])
    built = build(repo, record({"beta": "0.5"}, python=f"{minor}.99"), offline)
    assert [note for note in built.notes if note.endswith(f"instead of {minor}.99")]


def test_a_python_that_is_not_here_is_said_so(repo: GitRepo, offline: dict[str, str]) -> None:
    with pytest.raises(BuildError, match=r"there is no Python 3\.1\.4 here"):
        build(repo, record({}, python="3.1.4"), offline)


def test_a_command_runs_in_it(repo: GitRepo, offline: dict[str, str]) -> None:
    built = build(repo, record({"alpha": "1.0"}), offline)
    env = built.variables({"PATH": os.environ["PATH"], "PYTHONHOME": "/x", "CONDA_PREFIX": "/y"})
    assert env["VIRTUAL_ENV"] == built.prefix
    assert "PYTHONHOME" not in env
    assert "CONDA_PREFIX" not in env
    done = subprocess.run(
        ["python", "-c", "import alpha; print(alpha.version)"], env=env, capture_output=True, text=True
    )
    assert done.stdout == "1.0\n"


def project(repo: GitRepo, environ: Mapping[str, str], create: str = "") -> Built:
    return environments.build_project(
        find_layout(str(repo.top)), top=str(repo.top), environ=environ, settings=EnvironmentSettings(create=create),
        say=lambda line: None,
    )  # fmt: skip


@pytest.mark.slow
def test_requirements_of_the_worktree_are_built_and_kept_until_they_change(
    repo: GitRepo, offline: dict[str, str]
) -> None:
    repo.write("requirements.txt", "-r more.txt\nbeta\n")
    repo.write("more.txt", "alpha==1.0\n")
    first = project(repo, offline)
    assert builders.installed(first.python, offline).items() >= {"alpha": "1.0", "beta": "0.5"}.items()
    assert project(repo, offline).reused
    repo.write("more.txt", "alpha==2.0\n")
    second = project(repo, offline)
    assert (second.reused, ask(second.python, "import alpha; print(alpha.version)")) == (False, "2.0")


@pytest.mark.slow
def test_requirements_that_name_no_python_are_built_with_that_of_the_path_not_the_first_of_pyenv(
    repo: GitRepo, offline: dict[str, str], tmp_path: Path
) -> None:
    other = tmp_path / "pyenv" / "versions" / "2.7.18" / "bin" / "python"
    other.parent.mkdir(parents=True)
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    repo.write("requirements.txt", "beta\n")
    built = project(repo, {**offline, "PYENV_ROOT": str(tmp_path / "pyenv")})
    assert str(other) not in Path(f"{os.path.dirname(built.prefix)}.log").read_text()


def test_the_projects_own_script_makes_it(repo: GitRepo, offline: dict[str, str]) -> None:
    repo.write("make_env.sh", 'mkdir -p "$1/bin"; touch "$1/bin/tool"\n')
    built = project(repo, offline, "make_env.sh")
    assert (Path(built.prefix) / "bin" / "tool").exists()
    assert built.python == ""
    assert project(repo, offline, "make_env.sh").reused
    repo.write("make_env.sh", "echo hopeless; exit 3\n")
    with pytest.raises(BuildError, match=r"failed: hopeless"):
        project(repo, offline, "make_env.sh")
    repo.write("make_env.sh", "exit 0\n")
    with pytest.raises(BuildError, match="made no environment"):
        project(repo, offline, "make_env.sh")


def test_nothing_to_build_from_is_said(repo: GitRepo, offline: dict[str, str]) -> None:
    with pytest.raises(UserError, match="there is nothing to build an environment from"):
        project(repo, offline)


def test_conda_packages_are_built_from_an_explicit_list(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "_platform", lambda: "linux-64")
    tool = tmp_path / "bin" / "micromamba"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\nmkdir -p "$4/bin" "$4/conda-meta"\ncp "$6" "$4/explicit"\n')
    tool.chmod(0o755)
    channel = "https://conda.example.org/c"
    good = {"zlib": f"{channel}/linux-64/zlib-1.3-h0_0.conda#aa", "tz": f"{channel}/noarch/tz-1-0.conda#bb"}
    environ = {"PATH": f"{tool.parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    built = build(repo, tomli_w.dumps({"conda": good}).encode(), environ)
    assert (Path(built.prefix) / "explicit").read_text() == f"@EXPLICIT\n{good['tz']}\n{good['zlib']}\n"
    assert built.variables({})["CONDA_PREFIX"] == built.prefix
    bad = {
        "mac": f"{channel}/osx-arm64/mac-1-0.conda#cc", "own": "own-1-0.conda",
        "paid": "https://conda.example.org/t/***/c/linux-64/paid-1-0.conda#dd",
    }  # fmt: skip
    with pytest.raises(UnavailableError) as raised:
        build(repo, tomli_w.dumps({"conda": {**good, **bad}}).encode(), environ)
    assert [str(item) for item in raised.value.missing] == [
        "mac: it is built for osx-arm64, this is linux-64",
        "own: where it came from was not recorded",
        "paid: its channel needs a token, which is not recorded",
    ]
    with pytest.raises(BuildError, match="none is on PATH"):
        build(repo, tomli_w.dumps({"conda": {"zlib": good["zlib"]}}).encode(), {"PATH": "/nowhere"})


def test_every_difference_is_named_and_the_machines_own_are_marked() -> None:
    first = {"python": "3.11.7", "packages": {"a": "1", "b": "2"}, "cpu": "X", "driver": "none", "locks": {"u": "1"}}
    second = {"python": "3.11.7", "packages": {"a": "1.1", "c": "3"}, "cpu": "Y", "driver": "550", "locks": {"u": "2"}}
    assert [(str(d), d.kind, d.hardware) for d in differences(first, second)] == [
        ("a: 1 -> 1.1", "pip", False),
        ("b: 2 -> absent", "pip", False),
        ("c: absent -> 3", "pip", False),
        ("cpu: X -> Y", "system", True),
        ("driver: none -> 550", "gpu", True),
    ]
    assert environments.compare_environments(record({"a": "1"}), record({"a": "1"})) == ()


def start(repo: GitRepo, offline: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return replicate("start", *words, cwd=repo.top, variables=offline)


@pytest.mark.slow
def test_a_run_may_be_prepared_for_and_its_environment_shown_and_made_again(
    repo: GitRepo, wheels: Path, tmp_path: Path
) -> None:
    if not builders.find_uv(os.environ):
        pytest.skip("uv is not installed")
    offline = {
        "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_NO_CONFIG": "1", "UV_OFFLINE": "1",
        "UV_PYTHON_DOWNLOADS": "never", "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
    }  # fmt: skip
    repo.write("requirements.txt", "alpha==1.0\n")
    repo.write("replicate.toml", "[environment]\nprepare = true\n")
    code = "import alpha; print('version:', alpha.version)"
    done = start(repo, offline, "--", "python", "-c", code)
    assert (done.returncode, done.stdout) == (0, "version: 1.0\n")
    assert "building the environment from requirements.txt" in done.stderr
    again = start(repo, offline, "-q", "--", "python", "-c", code)
    assert (again.stdout, again.stderr) == ("version: 1.0\n", "")
    blobs = {repo.git("rev-parse", f"{ref}:.replicate/environment.toml") for ref in runs(repo)}
    assert len(blobs) == 1

    shown = replicate("env", "latest", cwd=repo.top).stdout
    assert "packages\n  alpha  1.0\n" in shown
    assert json.loads(replicate("env", "--format", "json", cwd=repo.top).stdout)["packages"] == {"alpha": "1.0"}
    folder = tmp_path / "made"
    made = replicate("env", "latest", "--create", str(folder), cwd=repo.top, variables=offline)
    assert (made.returncode, made.stdout) == (0, f"{folder}\n"), made.stderr
    assert ask(str(folder / "bin" / "python"), "import alpha; print(alpha.version)") == "1.0"
    refused = replicate("env", "latest", "--create", str(folder), cwd=repo.top, variables=offline)
    assert (refused.returncode, "not empty" in refused.stderr) == (1, True)
    other = {**offline, "GIT_AUTHOR_NAME": "Eve", "GIT_AUTHOR_EMAIL": "eve@example.org"}
    repo.git("config", "user.name", "Eve")
    stranger = replicate("env", "latest", "--create", str(tmp_path / "x"), cwd=repo.top, variables=other)
    assert (stranger.returncode, (tmp_path / "x").exists()) == (1, False)

    repo.write("requirements.txt", "alpha==1.0\ngamma==7\n")
    failed = start(repo, offline, "--", "python", "-c", "print('never')")
    assert (failed.returncode, failed.stdout) == (125, "")
    assert "the whole log: " in failed.stderr
    log = Path(failed.stderr.rpartition("the whole log: ")[2].strip())
    assert "gamma" in log.read_text()
    assert len(runs(repo)) == 2


def runs(repo: GitRepo) -> list[str]:
    return repo.git("for-each-ref", "--format=%(refname)", "refs/experiments").split()


def test_a_folder_to_build_in_must_be_free(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("")
    (tmp_path / "empty").mkdir()
    assert free_folder(str(tmp_path / "new/env")) == str(tmp_path / "new/env")
    assert not (tmp_path / "new/env").exists()
    assert free_folder(str(tmp_path / "empty")) == str(tmp_path / "empty")
    assert (tmp_path / "empty").is_dir()
    for name, message in (("full", "not empty"), ("full/x", "no folder"), ("full/x/y", "cannot be made")):
        with pytest.raises(UserError, match=message):
            free_folder(str(tmp_path / name))
