"""The environment of a command: its interpreter, packages, variables, machine."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli

from git_replicate.capture.environment import capture_environment, packages, python
from git_replicate.core.settings import EnvironmentSettings


def capture(command: list[str], directory: Path, **environ: str) -> dict[str, Any]:
    text, _ = capture_environment(command, str(directory), environ, EnvironmentSettings())
    return dict(tomli.loads(text.decode()))


def executable(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A fake installation of Python 3.9.18 whose executable would fail if it were run."""
    prefix = tmp_path / "base"
    executable(prefix / "bin" / "python3.9", "\x7fELF")
    (prefix / "bin" / "python3").symlink_to("python3.9")
    (prefix / "bin" / "python").symlink_to("python3")
    (prefix / "include" / "python3.9").mkdir(parents=True)
    (prefix / "include" / "python3.9" / "patchlevel.h").write_text('#define PY_VERSION   "3.9.18"\n')
    distribution(prefix / "lib" / "python3.9" / "site-packages", "base_only", "1.0")
    return prefix


def distribution(folder: Path, name: str, version: str, origin: dict[str, Any] | None = None) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    if origin is not None:
        (info / "direct_url.json").write_text(json.dumps(origin))


def venv(folder: Path, base: Path, extra: str = "") -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(base / "bin" / "python3.9")
    (folder / "pyvenv.cfg").write_text(f"home = {base}/bin\nversion = 3.9.18\n{extra}")
    distribution(folder / "lib" / "python3.9" / "site-packages", "Torch_Vision", "2.0+cu124")
    return folder


def test_interpreter_and_packages_come_from_files(tmp_path: Path, base: Path) -> None:
    venv(tmp_path / "v", base)
    found = capture([str(tmp_path / "v" / "bin" / "python"), "x.py"], tmp_path)
    assert (found["python"], found["implementation"]) == ("3.9.18", "cpython")
    assert found["packages"] == {"torch-vision": "2.0+cu124"}


def test_a_venv_may_see_the_packages_below_it(tmp_path: Path, base: Path) -> None:
    venv(tmp_path / "v", base, "include-system-site-packages = true\n")
    found = capture(["v/bin/python", "x.py"], tmp_path)
    assert found["packages"] == {"base-only": "1.0", "torch-vision": "2.0+cu124"}


def test_the_same_environment_elsewhere_is_the_same_text(tmp_path: Path, base: Path) -> None:
    texts = set()
    for place in ("one", "two"):
        venv(tmp_path / place / "v", base)
        texts.add(capture_environment(["v/bin/python", "x"], str(tmp_path / place), {}, EnvironmentSettings())[0])
    assert len(texts) == 1
    assert os.fsencode(tmp_path) not in texts.pop()


def test_the_command_decides_which_python(tmp_path: Path, base: Path) -> None:
    project = tmp_path / "project"
    python_of = venv(project / ".venv", base) / "bin" / "python"
    path = f"{executable(tmp_path / 'bin' / 'uv').parent}:{base / 'bin'}"
    executable(tmp_path / "bin" / "torchrun", f"#!{python_of}\nimport sys\n")
    executable(tmp_path / "bin" / "pytest", f"#!/bin/sh\n'''exec' {python_of} \"$0\" \"$@\"\n' '''\n")
    executable(tmp_path / "bin" / "tool", "#!/usr/bin/env python3\n")
    executable(tmp_path / "bin" / "perl-tool", "#!/usr/bin/perl\n")
    executable(project / "deep" / "train", "#!/usr/bin/env bash\npython train.py\n")
    inner = project / "deep"

    def found(*command: str, **environ: str) -> str:
        return python.find_interpreter(command, str(inner), {"PATH": path, **environ})

    assert found("uv", "run", "x.py") == str(python_of)
    assert found("torchrun", "--nproc", "2", "x.py") == str(python_of)
    assert found("pytest", "tests") == str(python_of)
    assert found("tool") == str(base / "bin" / "python3")
    assert found("nice", "python", "x.py") == str(base / "bin" / "python")
    assert found("uv", "run", "--with", "x", "python", "y.py") == str(python_of)
    assert found("bash", "train.sh") == found("./train") == str(base / "bin" / "python")
    assert found("nice", "uv", "run", "sim") == str(python_of)
    assert found("perl-tool") == found("none") == found() == ""


def test_a_conda_environment_is_found_by_name(tmp_path: Path, base: Path) -> None:
    executable(tmp_path / "conda" / "envs" / "ml" / "bin" / "python")
    environ = {"CONDA_EXE": str(tmp_path / "conda" / "bin" / "conda"), "PATH": ""}
    command = ["conda", "run", "-n", "ml", "python", "x.py"]
    assert python.find_interpreter(command, str(tmp_path), environ) == str(tmp_path / "conda/envs/ml/bin/python")
    (tmp_path / "conda" / "envs" / "ml" / "conda-meta").mkdir()
    (tmp_path / "conda" / "envs" / "ml" / "conda-meta" / "python-3.12.4-h5148396_1.json").touch()
    assert capture(command, tmp_path, **environ)["python"] == "3.12.4"


def test_a_shim_is_resolved_without_running_it(tmp_path: Path) -> None:
    root = tmp_path / "pyenv"
    executable(root / "shims" / "python", "#!/bin/sh\nexit 1\n")
    for version in ("3.9.1", "3.12.1"):
        executable(root / "versions" / version / "bin" / "python")
    (root / "version").write_text("3.9.1\n")
    environ = {"PATH": str(root / "shims")}
    project = tmp_path / "project"
    project.mkdir()
    assert python.which("python", str(project), environ) == str(root / "versions/3.9.1/bin/python")
    (project / ".python-version").write_text("none-such\n3.12.1\n")
    assert python.which("python", str(project), environ) == str(root / "versions/3.12.1/bin/python")
    environ["PYENV_VERSION"] = "3.9.1"
    assert python.which("python", str(project), environ) == str(root / "versions/3.9.1/bin/python")


def test_an_interpreter_that_no_file_tells_of_is_asked_once(tmp_path: Path) -> None:
    fake = tmp_path / "opt" / "bin" / "python3"
    script = f"#!/bin/sh\necho asked >> {tmp_path}/asked\nprintf '3.7.3\\npypy\\n/p\\n/b\\n'\n"
    real = executable(tmp_path / "real", script)
    fake.parent.mkdir(parents=True)
    fake.symlink_to(real)
    environ = {"HOME": str(tmp_path / "home"), "PATH": os.defpath}
    found = python._ask(str(fake), str(tmp_path), environ, str(real))
    assert found is not None and (found.version, found.implementation, found.prefix) == ("3.7.3", "pypy", "/p")
    environ["XDG_CACHE_HOME"] = environ["HOME"]
    for _ in range(2):
        assert python._ask(str(fake), str(tmp_path), environ, str(real)) == found
    assert (tmp_path / "asked").read_text() == "asked\nasked\n"
    os.utime(real, (1, 1))
    python._ask(str(fake), str(tmp_path), environ, str(real))
    assert (tmp_path / "asked").read_text() == "asked\n" * 3


def test_an_interpreter_that_cannot_be_run_is_a_doubt_and_no_error(tmp_path: Path) -> None:
    broken = executable(tmp_path / "bin" / "python", "#!/bin/sh\nexit 3\n")
    text, doubts = capture_environment([str(broken)], str(tmp_path), {"HOME": str(tmp_path)}, EnvironmentSettings())
    assert doubts == (f"the environment of {str(broken)!r} could not be read: {broken} could not be run",)
    assert b"machine" in text


def test_an_environment_that_its_manager_keeps_elsewhere_is_a_doubt(tmp_path: Path) -> None:
    _, doubts = capture_environment(["poetry", "run", "x"], str(tmp_path), {}, EnvironmentSettings())
    assert doubts == ("the environment that 'poetry' runs in was not found",)


def test_our_own_interpreter_is_described_as_it_is(tmp_path: Path) -> None:
    found = capture([sys.executable, "x.py"], tmp_path, HOME=str(tmp_path))
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "pytest" in found["packages"]


def test_where_packages_come_from_without_paths_and_passwords(tmp_path: Path) -> None:
    distribution(tmp_path, "mine", "0.1", {"url": "file:///home/ada/mine", "dir_info": {"editable": True}})
    distribution(tmp_path, "local", "0.1", {"url": "file:///home/ada/local", "dir_info": {}})
    distribution(
        tmp_path, "vcs", "1.0",
        {"url": "https://user:secret12@example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
    )  # fmt: skip
    distribution(tmp_path, "wheel", "1", {"url": "https://e.org/w.whl", "archive_info": {"hashes": {"sha256": "ff"}}})
    distribution(tmp_path, "broken", "1")
    (tmp_path / "broken-1.dist-info" / "direct_url.json").write_text("{")
    (tmp_path / "old.egg-link").touch()
    (tmp_path / "Legacy_Pkg-1.2-py3.9.egg-info").touch()
    (tmp_path / "nover.egg-info").mkdir()
    (tmp_path / "nover.egg-info" / "PKG-INFO").write_text("Name: nover\nVersion: 7\n")
    versions, origins = packages.capture([str(tmp_path), str(tmp_path / "none")])
    assert versions == {
        "broken": "1", "legacy-pkg": "1.2", "local": "0.1", "mine": "0.1", "nover": "7", "old": "", "vcs": "1.0",
        "wheel": "1",
    }  # fmt: skip
    assert origins == {
        "broken": {"unreadable": True}, "local": {"local": True}, "mine": {"local": True, "editable": True},
        "old": {"editable": True},
        "vcs": {"url": "https://***@example.org/x.git", "commit": "abc"},
        "wheel": {"url": "https://e.org/w.whl", "hash": "sha256:ff"},
    }  # fmt: skip


def test_of_a_package_found_twice_the_first_counts(tmp_path: Path) -> None:
    distribution(tmp_path / "a", "x", "1")
    distribution(tmp_path / "b", "x", "2", {"url": "https://e.org/x"})
    assert packages.capture([str(tmp_path / "a"), str(tmp_path / "b")]) == ({"x": "1"}, {})


def test_a_program_of_another_language_has_a_name_and_a_hash(tmp_path: Path) -> None:
    for place in ("one", "two"):
        executable(tmp_path / place / "sim", "binary")
    one, two = (capture(["./sim"], tmp_path / place) for place in ("one", "two"))
    assert one == two
    assert one["program"]["name"] == "sim"
    assert one["program"]["hash"].startswith("blake3:")


def test_only_listed_variables_are_recorded_and_secrets_are_not(tmp_path: Path) -> None:
    environ = {
        "OMP_NUM_THREADS": "4", "OTHER": "x", "MY_PATH": "/home/ada/lib:/home/adam", "MY_TOKEN": "abc",
        "API_KEY": "k", "HOME": "/home/ada", "ODD": "caf\udce9",
    }  # fmt: skip
    settings = EnvironmentSettings(variables=("MY_PATH", "API_KEY", "ODD", "UNSET"))
    text, _ = capture_environment(["none"], str(tmp_path), environ, settings)
    assert tomli.loads(text.decode())["variables"] == {
        "API_KEY": "***", "MY_PATH": "~/lib:/home/adam", "ODD": '"caf\\351"', "OMP_NUM_THREADS": "4",
    }  # fmt: skip
