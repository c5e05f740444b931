"""Submitting where a stand-in takes the jobs: what is handed over, what is said, and what is left when it fails."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
import tomli

from tests.support import GitRepo, replicate

TAKES = "#!/bin/sh\necho 'Welcome to the cluster'\necho 17\n"


def programs(folder: Path, **scripts: str) -> dict[str, str]:
    """Variables under which these programs, and nothing of a real scheduler, are found."""
    folder.mkdir(exist_ok=True)
    missing = "#!/bin/sh\nexit 1\n"
    for name, text in {"sbatch": TAKES, "squeue": missing, "scontrol": missing, **scripts}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def queue(repo: GitRepo) -> list[Path]:
    folder = repo.top / ".git" / "replicate" / "queue"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_no_scheduler_here_is_said_before_anything_is_recorded(repo: GitRepo, tmp_path: Path) -> None:
    git = subprocess.run(["which", "git"], capture_output=True, text=True).stdout.strip()
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "git").symlink_to(git)
    done = replicate("start", "--submit", "--", "./train.py", cwd=repo.top, variables={"PATH": str(bare)})
    assert done.returncode == 125
    assert done.stderr.splitlines() == [
        "git replicate: there is no scheduler here (looked for sbatch)",
        "hint: to run it here and now, leave out --submit",
    ]
    assert repo.git("for-each-ref", "refs/experiments") == ""


def test_a_scheduler_that_says_more_than_the_number_is_understood(repo: GitRepo, tmp_path: Path) -> None:
    done = replicate("start", "--submit", "--", "sh", "-c", "true", cwd=repo.top, variables=programs(tmp_path / "bin"))
    assert (done.returncode, done.stderr) == (0, "queued as slurm job 17\n")
    record = tomli.loads(repo.git("show", f"refs/experiments/{done.stdout.strip()}:.replicate/run.toml"))
    assert (record["status"], record["scheduler"]) == ("queued", {"job": "17"})


def test_secrets_are_in_the_ticket_alone_and_nobody_else_may_read_it(repo: GitRepo, tmp_path: Path) -> None:
    words = ["--", "sh", "-c", "true", "--api-key", "sk-abcdefghijklmnop0123"]
    done = replicate("start", "--submit", *words, cwd=repo.top, variables=programs(tmp_path / "bin"))
    assert "sk-abcdef" not in repo.git("show", f"refs/experiments/{done.stdout.strip()}:.replicate/run.toml")
    (ticket,) = queue(repo)
    assert stat.S_IMODE(ticket.stat().st_mode) == 0o700
    assert "sk-abcdef" in (ticket / "tasks.jsonl").read_text()
    assert "sk-abcdef" not in (ticket / "job.sh").read_text()


def test_what_is_wrong_with_a_command_is_said_now_unless_its_setup_may_bring_it(repo: GitRepo, tmp_path: Path) -> None:
    variables = programs(tmp_path / "bin")
    done = replicate("start", "--submit", "--", "nosuch", cwd=repo.top, variables=variables)
    assert (done.returncode, queue(repo)) == (127, [])
    repo.write("replicate.toml", '[submit]\nsetup = ["module load nosuch"]\noptions = ["-p gpu"]\ntop = "/elsewhere"\n')
    done = replicate("start", "--submit", "--", "nosuch", cwd=repo.top, variables=variables)
    assert done.returncode == 0, done.stderr
    lines = (queue(repo)[0] / "job.sh").read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    assert lines[4:8] == [
        "#SBATCH -p gpu", "# written by git replicate", "module load nosuch", "cd -- /elsewhere || exit 125",
    ]  # fmt: skip
    assert lines[8].endswith(f' start --queued "{done.stdout.strip()}"')


@pytest.mark.parametrize("option", ["--array=1-3", "-a1-3", "--arr 0-9"])
def test_an_array_is_not_one_run(repo: GitRepo, tmp_path: Path, option: str) -> None:
    words = ["--submit-option", option] if not option.startswith("-") else [f"--submit-option={option}"]
    done = replicate("start", "--submit", *words, "--", "sh", cwd=repo.top, variables=programs(tmp_path / "bin"))
    assert (done.returncode, queue(repo)) == (125, [])
    assert done.stderr.startswith(f"git replicate: '{option}' asks for many jobs of one run\n")


def test_a_scheduler_that_refuses_is_quoted_and_leaves_nothing(repo: GitRepo, tmp_path: Path) -> None:
    refuses = "#!/bin/sh\necho 'sbatch: error: You are out of credits' >&2\necho 'sbatch: error: ask Ada' >&2\nexit 1\n"
    variables = programs(tmp_path / "bin", sbatch=refuses)
    done = replicate("start", "--submit", "--", "sh", "-c", "true", cwd=repo.top, variables=variables)
    assert done.returncode == 125
    assert done.stderr.startswith(
        "git replicate: sbatch did not take the job: sbatch: error: You are out of credits; sbatch: error: ask Ada\n"
    )
    assert (repo.git("for-each-ref", "refs/experiments"), queue(repo)) == ("", [])


def test_a_job_that_began_at_once_is_not_queued_again(repo: GitRepo, tmp_path: Path) -> None:
    """Its record is written before sbatch has answered."""
    begins = '#!/bin/sh\nfor script; do :; done\nSLURM_JOB_ID=17 bash "$script" >&2 || exit 1\necho 17\n'
    variables = programs(tmp_path / "bin", sbatch=begins)
    done = replicate("start", "--submit", "--", "sh", "-c", "echo accuracy: 0.5", cwd=repo.top, variables=variables)
    assert done.returncode == 0, done.stderr
    record = tomli.loads(repo.git("show", f"refs/experiments/{done.stdout.strip()}:.replicate/run.toml"))
    assert (record["status"], record["metrics"]) == ("finished", {"accuracy": 0.5})


def test_a_run_begins_once(repo: GitRepo, tmp_path: Path) -> None:
    variables = programs(tmp_path / "bin")
    words = ["-q", "--", "sh", "-c", 'echo "$@" $0; exit 3', "a b", "c"]
    name = replicate("start", "--submit", *words, cwd=repo.top, variables=variables).stdout.strip()
    first = replicate("start", "--queued", name, cwd=repo.top)
    assert (first.returncode, first.stdout) == (3, "c a b\n")
    again = replicate("start", "--queued", name.rpartition("/")[2], cwd=repo.top)
    assert again.returncode == 125
    assert again.stderr.startswith(f"git replicate: run {name} has ended already (failed): nothing is run\n")
    other = replicate("start", "--queued", "20200101-000000-00000000", cwd=repo.top)
    assert (other.returncode, other.stderr.splitlines()[0]) == (
        125, "git replicate: no run 20200101-000000-00000000 is queued here",
    )  # fmt: skip


def test_changed_data_are_said_and_recorded(repo: GitRepo, tmp_path: Path) -> None:
    repo.write(".gitignore", "data.txt\n")
    repo.write("data.txt", "old\n")
    repo.write("train.py", "print(open('data.txt').read())\n")
    words = ["--data", "data.txt", "--", "python3", "train.py"]
    name = replicate("start", "--submit", *words, cwd=repo.top, variables=programs(tmp_path / "bin")).stdout.strip()
    queued = repo.git("show", f"refs/experiments/{name}:.replicate/data.toml")
    repo.write("data.txt", "new\n")
    done = replicate("start", "--queued", name, cwd=repo.top)
    assert "the data are not as they were when the run was queued" in done.stderr
    assert done.stdout.strip() == "new"
    assert repo.git("show", f"refs/experiments/{name}:.replicate/data.toml") != queued


READS = "import sys\nfor path in ('data/x', sys.argv[1]):\n    print('size:', len(open(path).read()))\n"


def test_what_earlier_runs_read_undeclared_is_said_and_linked_into_the_checkout_of_a_job(
    repo: GitRepo, tmp_path: Path
) -> None:
    repo.write(".gitignore", "data\n")
    repo.write("data/x", "1234")
    repo.write("train.py", READS)
    outside = tmp_path / "outside"
    outside.write_text("12")
    command = ("--", "python3", "train.py", str(outside))
    assert replicate("start", *command, cwd=repo.top).returncode == 0
    variables = programs(tmp_path / "bin")
    done = replicate("start", "--submit", *command, cwd=repo.top, variables=variables)
    assert done.stderr.splitlines()[:2] == [
        "earlier runs read data/x, which nobody declared: linked into the job's checkout, as it is by then "
        "(to have it recorded now: --data data/x)",
        f"earlier runs read {outside}, outside of the repository: the job needs it there as well",
    ]
    job = replicate("start", "--queued", done.stdout.strip(), cwd=repo.top)
    assert (job.returncode, job.stdout) == (0, "size: 4\nsize: 2\n")
    swept = replicate("sweep", "--submit", "-p", "n=1,2", *command, "{n}", cwd=repo.top, variables=variables)
    assert swept.stderr.startswith("earlier runs read data/x, which nobody declared")


def test_what_a_job_did_not_find_in_its_checkout_is_named(repo: GitRepo, tmp_path: Path) -> None:
    repo.write(".gitignore", "data\n")
    repo.write("data/x", "1234")
    repo.write("train.py", READS)
    words = ["--", "python3", "train.py", "train.py"]
    name = replicate("start", "--submit", *words, cwd=repo.top, variables=programs(tmp_path / "bin")).stdout.strip()
    job = replicate("start", "--queued", name, cwd=repo.top)
    assert job.returncode == 1
    assert "data is not in the snapshot, so not in the checkout; for runs that read it: replicate.toml" in job.stderr


def test_options_that_make_no_sense_are_refused(repo: GitRepo) -> None:
    for words in (["--submit", "--open"], ["--submit-option=-p", "--", "sh"], ["--queued", "x", "--", "sh"]):
        done = replicate("start", *words, cwd=repo.top)
        assert (done.returncode, done.stdout) == (125, ""), words


def test_status_tells_programs_what_they_need(repo: GitRepo, tmp_path: Path) -> None:
    variables = programs(tmp_path / "bin")
    name = replicate("start", "--submit", "--", "sh", "-c", "true", cwd=repo.top, variables=variables).stdout.strip()
    (facts,) = json.loads(replicate("status", "--format", "json", cwd=repo.top, variables=variables).stdout)
    assert (facts["run"], facts["state"], facts["scheduler"], facts["job"]) == (name, "queued", "slurm", "17")
    assert Path(facts["script"]).read_text().startswith("#!/bin/bash\n")


COUNTS = """#!/bin/sh
for word; do :; done
grep -o 'array=.*' "$word" >> "$(dirname "$0")/arrays"
count=$(wc -l < "$(dirname "$0")/arrays")
test $count -gt $TAKES && { echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1; }
echo $((100 + count))
"""
LIMITS = "#!/bin/sh\necho 'ClusterName = here'\necho 'MaxArraySize = 2'\n"


@pytest.mark.parametrize("takes", [3, 1])
def test_a_sweep_too_large_for_one_array_is_several(repo: GitRepo, tmp_path: Path, takes: int) -> None:
    variables = {**programs(tmp_path / "bin", sbatch=COUNTS, scontrol=LIMITS), "TAKES": str(takes)}
    words = ["sweep", "--submit", "-j", "2", "-p", "x=1..5", "--", "sh", "-c", "echo $0", "{x}"]
    done = replicate(*words, cwd=repo.top, variables=variables)
    queued = repo.git("for-each-ref", "refs/experiments").splitlines()
    arrays = (tmp_path / "bin" / "arrays").read_text().split()
    if takes == 3:
        assert done.returncode == 0, done.stderr
        assert done.stderr == f"sweep {done.stdout.strip()}: 5 runs queued as jobs 101, 102, 103\n"
        assert (arrays, len(queued)) == (["array=0-1%2", "array=0-1%2", "array=0-0%2"], 5)
    else:
        assert done.returncode == 1
        assert "QOSMaxSubmitJobPerUserLimit (jobs 101 with the first 2 runs are queued)" in done.stderr
        assert (len(queued), len(queue(repo))) == (2, 1)


@pytest.mark.parametrize(
    "words",
    [
        ["--submit", "--engine", "slurm"], ["--submit", "--stop-after", "3"], ["--submit", "--gpus", "0"],
        ["--submit-option=-p"], ["--engine", "dask://127.0.0.1:1", "--gpus", "0"],
        ["--submit", "--search", "tpe", "--trials", "3", "--metric", "y"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_needs_somebody_who_watches_is_not_submitted(repo: GitRepo, tmp_path: Path, words: list[str]) -> None:
    more = ["-p", "x=1..5", "--", "sh", "-c", "echo $0", "{x}"]
    done = replicate("sweep", *words, *more, cwd=repo.top, variables=programs(tmp_path / "bin"))
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert repo.git("for-each-ref", "refs/experiments") == ""
