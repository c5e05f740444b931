"""Whole runs under the probe, as a user sees them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from tests.probe.test_files import old
from tests.probe.test_params import PARSER
from tests.support import GitRepo, replicate


def last(repo: GitRepo) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(replicate("show", "latest", "--format", "json", cwd=repo.top).stdout)
    return found


def test_params_are_what_the_program_parsed_and_requests_that_missed_are_said(repo: GitRepo) -> None:
    repo.write("train.py", PARSER + "parser.parse_args()\nprint('loss: 1')\n")
    words = ("start", "-p", "lr=0.5", "--", sys.executable, "train.py", "--batch", "64")
    done = replicate(*words, cwd=repo.top)
    assert done.returncode == 0
    assert "-p lr=0.5 has no effect: the program parsed lr = 0.1" in done.stderr
    record = last(repo)
    assert record["params"] == {"lr": 0.1, "batch_size": 64, "amp": False}
    assert record["params_given"] == ["batch_size"]
    assert record["params_source"] == {"amp": "parsed", "batch_size": "parsed", "lr": "parsed"}
    assert record["params_unused"] == {"lr": 0.5}


def test_without_the_probe_params_are_guesses(repo: GitRepo) -> None:
    repo.write("train.py", PARSER + "parser.parse_args()\n")
    words = ("start", "--no-probe", "--", sys.executable, "train.py", "--batch", "64")
    assert replicate(*words, cwd=repo.top).returncode == 0
    assert last(repo)["params"] == {"batch": 64}
    assert last(repo)["params_source"] == {"batch": "command"}


def test_code_and_data_that_nobody_declared_are_in_the_record(repo: GitRepo, tmp_path: Path) -> None:
    repo.write(".gitignore", "*.csv\n")
    old(repo.top / "data.csv", "1,2\n")
    outside = old(tmp_path / "elsewhere" / "labels.txt", "a\n")
    repo.write("config.txt", "c\n")
    repo.write("pkg/__init__.py", "")
    repo.write("unused.py", "")
    repo.write(
        "train.py",
        f"import pkg\nopen('data.csv').read(); open('config.txt').read(); open({str(outside)!r}).read()\n"
        "open('out.csv', 'w').write('x'); open('out.csv').read()\nprint('loss: 1')\n",
    )
    done = replicate("start", "--", sys.executable, "train.py", cwd=repo.top)
    assert done.returncode == 0
    record = last(repo)
    assert record["code"]["executed"] == ["pkg/__init__.py", "train.py"]
    assert record["code"]["read"] == ["config.txt"]
    data = record["data"]
    assert set(data) == {"data.csv", str(outside)}
    assert data["data.csv"] == {"hash": "blake3:" + blake3(b"1,2\n").hexdigest(), "bytes": 4, "undeclared": True}
    assert "mixed" not in record["code"]
    again = replicate("rerun", "latest", cwd=repo.top)
    assert (again.returncode, again.stdout[-10:]) == (0, "identical\n"), again.stderr
    assert last(repo)["data"] == data
    assert last(repo)["code"]["read"] == ["config.txt"]


@pytest.mark.slow
def test_a_folder_of_which_much_was_read_stands_for_its_tracked_files(repo: GitRepo) -> None:
    for number in range(1_002):
        repo.write(f"images/{number % 2}/{number}.txt", "i\n")
    repo.write("labels.txt", "l\n")
    repo.write("unread.txt", "u\n")
    repo.write(
        "train.py",
        "import glob\n[open(name).read() for name in glob.glob('images/*/*')]\nopen('labels.txt').read()\n",
    )
    repo.commit()
    for folder in ("images/0", "images/1", "."):
        for path in (repo.top / folder).glob("*.txt"):
            old(path, path.read_text())
    assert replicate("start", "--", sys.executable, "train.py", cwd=repo.top).returncode == 0
    record = last(repo)
    assert record["code"]["read"] == ["images", "labels.txt"]
    assert "data" not in record


def test_code_loaded_after_it_was_changed_makes_a_run_mixed(repo: GitRepo) -> None:
    repo.write("late.py", "x = 1\n")
    repo.write("touched.py", "x = 1\n")
    repo.write(
        "train.py",
        "open('late.py', 'a').write('y = 2\\n'); open('touched.py', 'a').close()\nimport os; os.utime('touched.py')\n"
        "import late, touched\nopen('train.py', 'a').write('# after it was loaded\\n')\n",
    )
    done = replicate("start", "--", sys.executable, "train.py", cwd=repo.top)
    assert "so the run mixes two versions of the code: late.py" in done.stderr
    record = last(repo)
    assert record["code"]["mixed"] is True
    assert record["code"]["changed_during_run"] == ["late.py", "train.py"]
    assert "mixed" in replicate("log", cwd=repo.top).stdout


def test_imported_code_from_elsewhere_is_kept_and_native_readers_are_named(repo: GitRepo, tmp_path: Path) -> None:
    elsewhere = tmp_path / "lib" / "helper.py"
    elsewhere.parent.mkdir()
    old(elsewhere, "value = 1\n")
    old(tmp_path / "lib" / "h5py.py", "")
    repo.write("train.py", f"import sys; sys.path.append({str(elsewhere.parent)!r}); import helper, h5py\n")
    assert replicate("start", "--", sys.executable, "train.py", cwd=repo.top).returncode == 0
    ref = repo.git("for-each-ref", "--format=%(refname)", "refs/experiments")
    assert repo.git("show", f"{ref}:.replicate/extern/lib/helper.py") == "value = 1"
    record = last(repo)
    assert record["inputs_complete"] is False
    assert record["runtime"]["unseen_readers"] == ["h5py"]
    assert record["runtime"]["imported"] == ["h5py", "helper"]


@pytest.mark.slow
def test_a_python_that_stays_away_from_the_probe_is_said(repo: GitRepo) -> None:
    done = replicate("start", "--", sys.executable, "-I", "train.py", cwd=repo.top)
    assert done.returncode == 0
    assert last(repo)["missing"] == [
        "no probe in the command's Python (started with -I, -E or -S, or older than 3.8): params are guesses"
    ]
    replicate("start", "--", "sh", "-c", f"{sys.executable} train.py", cwd=repo.top)
    assert last(repo)["runtime"]["unseen_readers"] == ["program sh"]
    replicate("start", "--no-probe", "--", sys.executable, "-I", "train.py", cwd=repo.top)
    assert "missing" not in last(repo)


def test_what_was_seen_before_a_kill_is_recorded(repo: GitRepo) -> None:
    repo.write("train.py", PARSER + "parser.parse_args()\nimport os; os.kill(os.getpid(), 9)\n")
    done = replicate("start", "--", sys.executable, "train.py", "--lr", "0.5", cwd=repo.top)
    assert done.returncode == 137
    record = last(repo)
    assert (record["params"]["lr"], record["code"]["executed"]) == (0.5, ["train.py"])


def test_how_to_read_metrics_that_were_only_printed_is_said_until_there_are_some(repo: GitRepo) -> None:
    repo.write("train.py", "print('| epoch 1 | loss  6.90 | ppl 996.67 |')\n")
    done = replicate("start", "--", sys.executable, "train.py", cwd=repo.top)
    hint = r"""no metrics are recorded; to read "loss  6.90" from the output: replicate.toml, [results] patterns = """
    listed = r"['\|\s*loss\s+(?P<loss>[-+.\deE]+)', '\|\s*ppl\s+(?P<ppl>[-+.\deE]+)']"
    assert hint + listed in done.stderr
    assert "no metrics" not in replicate("start", "-q", "--", sys.executable, "train.py", cwd=repo.top).stderr
    repo.write("replicate.toml", f"[results]\npatterns = {listed}\n")
    done = replicate("start", "--", sys.executable, "train.py", cwd=repo.top)
    assert "no metrics" not in done.stderr
    assert last(repo)["metrics"] == {"loss": 6.9, "ppl": 996.67}
