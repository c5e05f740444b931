"""Hermetic fixtures: no test sees the developer's home, git configuration, clock zone or identity."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import forked, frameworks
from tests.support import GitRepo

_KEPT_VARIABLES = (
    "PATH",
    "LANG",
    "VIRTUAL_ENV",
    "TMPDIR",
    "COVERAGE_PROCESS_START",
    "OPENBLAS_CORETYPE",
    "GIT_REPLICATE_TEST_PROCESSES",
)


@pytest.fixture(scope="session", autouse=True)
def _no_real_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Replace the whole environment before anything asks for a home or a configuration."""
    home = tmp_path_factory.mktemp("home")
    saved = dict(os.environ)
    kept = {name: saved[name] for name in _KEPT_VARIABLES if name in saved}
    xdist = {name: value for name, value in saved.items() if name.startswith("PYTEST")}
    os.environ.clear()
    os.environ.update(kept, **xdist)
    os.environ.update(
        HOME=str(home),
        PYTHONDONTWRITEBYTECODE="1",  # a file rewritten within a second, of the same size, is the same to Python
        XDG_CONFIG_HOME=str(home / "config"),
        XDG_STATE_HOME=str(home / "state"),
        XDG_CACHE_HOME=str(home / "cache"),
        GIT_CONFIG_NOSYSTEM="1",
        GIT_CONFIG_SYSTEM=os.devnull,
        GIT_CONFIG_GLOBAL=str(home / "gitconfig"),
        GIT_AUTHOR_DATE="2024-01-02T03:04:05Z",
        GIT_COMMITTER_DATE="2024-01-02T03:04:05Z",
        TZ="UTC",
        LC_ALL="C.UTF-8",
        PYTHONHASHSEED="0",
        TMPDIR=str(home / "tmp"),
    )
    (home / "tmp").mkdir()
    (home / "empty").mkdir()
    tempfile.tempdir = None  # what tests leave behind, reports of bugs included, goes with the home
    (home / "gitconfig").write_text(
        "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"
        f"\ttemplateDir = {home / 'empty'}\n"  # a dozen example hooks fewer to copy for each repository
        '[protocol "file"]\n\tallow = always\n'
    )
    forked.prepare()
    yield home
    os.environ.clear()
    os.environ.update(saved)
    tempfile.tempdir = None
    assert [path.read_text() for path in (home / "tmp").glob("git-replicate-*.txt")] == []


@pytest.fixture(autouse=True)
def _environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test may set variables and change directory; the next one does not see it."""
    saved = dict(os.environ)
    monkeypatch.chdir(os.environ["HOME"])
    yield
    os.environ.clear()
    os.environ.update(saved)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, _no_real_home: Path) -> Path:
    """A repository with one commit, made once and copied."""
    top = tmp_path_factory.mktemp("template") / "repo"
    subprocess.run(["git", "init", "-q", str(top)], check=True)
    (top / "train.py").write_text("print('accuracy: 0.9')\n")
    (top / "README").write_text("read me\n")
    (top / ".gitignore").write_text("*.log\n")
    subprocess.run(["git", "-C", str(top), "add", "-A"], check=True)
    # Newer gits maintain a repository behind the back of `commit`, while it would be copied.
    subprocess.run(["git", "-C", str(top), "-c", "maintenance.auto=false", "commit", "-q", "-m", "first"], check=True)
    return top


@pytest.fixture
def repo(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitRepo:
    """A fresh copy of the template repository; the test stands in it."""
    top = tmp_path / "repo"
    shutil.copytree(template, top, symlinks=True)
    monkeypatch.chdir(top)
    return GitRepo(top)


@pytest.fixture
def framework_python(request: pytest.FixtureRequest) -> str:
    """The interpreter that has the modules named in `@pytest.mark.frameworks("torch", "numpy")`."""
    marker = request.node.get_closest_marker("frameworks")
    assert marker is not None, "mark the test with the modules that it needs: @pytest.mark.frameworks('torch')"
    missing = frameworks.missing_modules(marker.args)
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (make test-frameworks)")
    return frameworks.INTERPRETER


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Of `make chaos`: what each storm did, and what was found after it."""
    if not os.environ.get("GIT_REPLICATE_CHAOS"):
        return
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    terminalreporter.section(f"storms of seed {os.environ['GIT_REPLICATE_CHAOS']}")
    for report in sorted(reports, key=lambda report: str(report.nodeid)):
        said = dict(report.user_properties).get("storm", report.nodeid.partition("::")[2])
        terminalreporter.line(f"{report.outcome:<7} {report.duration:5.0f} s  {said}")
