"""Params as argparse parsed them, and what becomes of guesses, files and requests then."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from git_replicate.capture.params import capture_params
from git_replicate.capture.parsed_params import read_parsed, with_parsed
from git_replicate.capture.probe_report import read_report
from git_replicate.core.errors import UserError
from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.record import Record, Status
from git_replicate.execution.replication.changing import set_params
from tests.probe.running import Observed, observe, probed

PARSER = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--amp", action="store_true")
"""


def parsed(seen: Observed) -> tuple[dict[str, Any], list[str]]:
    assert (seen.errors, seen.notes("failure")) == ("", [])
    found = read_parsed(seen.report)
    return found.values, sorted(found.given)


def test_defaults_are_params_and_what_was_given_is_told_from_them(tmp_path: Path) -> None:
    code = PARSER + "print(parser.parse_args())"
    seen = observe(tmp_path, code, "--lr", "0.1", "--amp")
    assert seen.output == "Namespace(lr=0.1, batch_size=32, amp=True)\n"
    assert parsed(seen) == ({"lr": 0.1, "batch_size": 32, "amp": True}, ["amp", "lr"])


def test_subparsers_positionals_known_args_and_functions(tmp_path: Path) -> None:
    code = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--verbose", action="count", default=0)
commands = parser.add_subparsers(dest="command")
train = commands.add_parser("train")
train.add_argument("model", nargs="?", default="resnet")
train.add_argument("--model.depth", type=int, default=18)
train.set_defaults(func=lambda: None)
args, rest = parser.parse_known_args()
more = argparse.ArgumentParser()
more.add_argument("--extra", type=int)
more.parse_args(rest)
"""
    values, given = parsed(
        observe(tmp_path, code, "--verbose", "--verbose", "train", "--model.depth", "50", "--extra=3")
    )
    assert values == {"verbose": 2, "command": "train", "model.depth": 50, "model": "resnet", "extra": 3}
    assert given == ["command", "extra", "model.depth", "verbose"]


def test_values_of_every_type_are_kept_without_addresses(tmp_path: Path) -> None:
    code = """
import argparse, dataclasses, datetime, enum, pathlib, sys
class Color(enum.Enum):
    RED = 1
class Kind(str, enum.Enum):
    FAST = "fast"
@dataclasses.dataclass
class Optim:
    lr: float = 0.5
    betas: tuple = (0.9, 0.999)
namespace = argparse.Namespace(
    color=Color.RED, kind=Kind.FAST, path=pathlib.Path("data"), none=None, big=2**70, many=[1, 2], nan=float("nan"),
    optim=Optim(), both={"b", "a"}, raw=b"x", made=object(), act=print, day=datetime.date(2024, 1, 2), out=sys.stdin,
)
argparse.ArgumentParser().parse_args([], namespace)
"""
    values, _ = parsed(observe(tmp_path, code))
    assert values.pop("nan") != values.get("nan")
    assert values == {
        "color": "RED", "kind": "fast", "path": "data", "none": None, "big": 2**70, "many": [1, 2], "optim.lr": 0.5,
        "optim.betas": [0.9, 0.999], "both": ["a", "b"], "raw": "x", "made": "builtins.object", "act": "builtins.print",
        "day": "2024-01-02", "out": "<stdin>",
    }  # fmt: skip


@pytest.mark.parametrize(
    "code",
    [
        "import torchlike.torch_main",
        "import subprocess, sys; subprocess.run([sys.executable, 'inner.py', '--lr', '3'])",
        "import os, runpy\nif os.fork() == 0: runpy.run_path('inner.py')\nelse: os.wait()",
    ],
    ids=["a library's own words", "a child", "a fork"],
)
def test_other_parses_than_the_programs_own_are_none_of_its_params(tmp_path: Path, code: str) -> None:
    library = tmp_path / "lib" / "site-packages" / "torchlike"
    library.mkdir(parents=True)
    (library / "__init__.py").touch()
    (library / "torch_main.py").write_text(PARSER + "parser.parse_args(['--lr', '9'])\n")
    (tmp_path / "inner.py").write_text(PARSER + "parser.parse_args()\n")
    code = f"import sys; sys.path.append({str(library.parent)!r})\n{code}"
    assert parsed(observe(tmp_path, code)) == ({}, [])


def test_test_runners_and_ranks_above_the_first_have_no_params(tmp_path: Path) -> None:
    code = PARSER + "parser.parse_args([])"
    assert parsed(observe(tmp_path, code, variables={"WORLD_SIZE": "2", "RANK": "1"})) == ({}, [])
    assert parsed(observe(tmp_path, code, variables={"WORLD_SIZE": "2", "RANK": "0"}))[0]["lr"] == 0.1


def test_a_refused_command_line_is_refused_as_ever(tmp_path: Path) -> None:
    seen = observe(tmp_path, PARSER + "parser.parse_args()", "--lr", "much")
    assert seen.code == 2
    assert "argument --lr: invalid float value: 'much'" in seen.errors
    assert read_parsed(seen.report).parser == ""


def record_of(*command: str, requested: dict[str, Any] | None = None, template: tuple[str, ...] = ()) -> Record:
    found = capture_params(command, requested=requested or {}, template=template)
    record = Record(
        RunId("20240102-030405-00000000"), ExperimentName("e"), Status.RUNNING, command=command,
        started=datetime(2024, 1, 2, tzinfo=UTC),
    )  # fmt: skip
    return replace(
        record, params=found.values, params_given=found.given, params_null=found.null, params_unused=found.unused,
        params_source=found.source,
    )  # fmt: skip


def seen_by(tmp_path: Path, *arguments: str) -> Any:
    return read_parsed(observe(tmp_path, PARSER + "parser.parse_args()", *arguments).report)


def test_guesses_go_where_a_parser_was_seen(tmp_path: Path) -> None:
    guessed = record_of("python", "main.py", "--batch", "64", "--amp")
    assert guessed.params == {"batch": 64, "amp": True}
    record, warnings = with_parsed(guessed, seen_by(tmp_path, "--batch", "64", "--amp"))
    assert record.params == {"lr": 0.1, "batch_size": 64, "amp": True}
    assert record.params_given == ("amp", "batch_size")
    assert set(record.params_source.values()) == {"parsed"}
    assert (record.runtime["parser"], warnings) == ("argparse", [])


def of_a_script(folder: Path, script: str, *arguments: str) -> tuple[Record, list[str]]:
    """The record of `./w.sh`, which starts Python programs `a.py` and `b.py` that parse alike."""
    for name in ("a.py", "b.py"):
        (folder / name).write_text(PARSER + "parser.parse_args()\n")
    (folder / "w.sh").write_text(script.replace("python", sys.executable))
    done = subprocess.run(["sh", "w.sh", *arguments], cwd=folder, env=probed(folder), capture_output=True, check=True)
    assert done.stderr == b""
    record = record_of("./w.sh", *arguments)
    return with_parsed(record, read_parsed(read_report(str(folder / "notes")), record.command))


def test_what_a_script_was_given_stays_beside_what_its_program_parsed(tmp_path: Path) -> None:
    record, warnings = of_a_script(tmp_path, 'echo "$2" | python a.py --lr 0.5', "--noise", "0.3")
    assert record.params == {"noise": 0.3, "lr": 0.5, "batch_size": 32, "amp": False}
    assert (record.params_source["noise"], record.params_source["lr"]) == ("command", "parsed")
    assert record.params_given == ("lr", "noise")
    assert (record.runtime["parsers"], warnings) == ({"a": "argparse"}, [])
    assert not {"parser", "options", "flags"} & {*record.runtime}
    assert set_params(record, {"noise": 0.5})[0] == ("./w.sh", "--noise", "0.5")
    with pytest.raises(UserError, match="--set lr: a takes it"):
        set_params(record, {"lr": 1})


def test_a_script_and_its_program_may_have_a_param_of_the_same_name(tmp_path: Path) -> None:
    record, _ = of_a_script(tmp_path, "python a.py --lr 0.5", "--lr", "0.3", "--amp")
    assert record.params == {"lr": 0.3, "a": {"lr": 0.5, "amp": False}, "amp": True, "batch_size": 32}


def test_a_script_that_hands_all_on_leaves_no_guesses(tmp_path: Path) -> None:
    record, _ = of_a_script(tmp_path, 'python a.py "$@"', "--batch", "64", "--amp")
    assert record.params == {"lr": 0.1, "batch_size": 64, "amp": True}
    assert record.runtime["parser"] == "argparse"
    assert set_params(record, {"lr": 1})[0] == ("./w.sh", "--batch", "64", "--amp", "--lr=1")


def test_several_programs_of_a_run_have_a_table_each(tmp_path: Path) -> None:
    record, _ = of_a_script(tmp_path, "python a.py --lr 0.2 --batch 8; python b.py --lr 0.5")
    assert record.params == {
        "a": {"lr": 0.2, "batch_size": 8, "amp": False}, "b": {"lr": 0.5, "batch_size": 32, "amp": False}
    }  # fmt: skip
    assert record.params_given == ("a.batch_size", "a.lr", "b.lr")
    with pytest.raises(UserError, match=r"--set b\.lr: b takes it"):
        set_params(record, {"b.lr": 1})


def test_the_commands_own_program_has_plain_names_beside_the_tables_of_others(tmp_path: Path) -> None:
    record, _ = of_a_script(tmp_path, 'python b.py --lr 0.5; python a.py "$@"', "--lr", "0.2")
    assert record.params == {
        "lr": 0.2, "batch_size": 32, "amp": False, "b": {"lr": 0.5, "batch_size": 32, "amp": False}
    }  # fmt: skip
    assert (record.runtime["parser"], record.runtime["parsers"]) == ("argparse", {"b": "argparse"})
    assert set_params(record, {"lr": 1})[0] == ("./w.sh", "--lr", "1")


def test_a_tool_of_python_beside_a_program_has_no_params(tmp_path: Path) -> None:
    record, _ = of_a_script(tmp_path, "echo 1 | python -m json.tool --compact >out; python a.py --lr 0.5")
    assert record.params == {"lr": 0.5, "batch_size": 32, "amp": False}


def test_one_program_several_times_has_lists_of_what_differs(tmp_path: Path) -> None:
    record, warnings = of_a_script(tmp_path, "for lr in 0.2 0.5; do python a.py --lr $lr; done")
    assert (record.params, warnings) == ({"lr": [0.2, 0.5], "batch_size": 32, "amp": False}, [])


def test_options_of_several_values_are_set_as_words(tmp_path: Path) -> None:
    code = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("files", nargs="*")
parser.add_argument("--dims", type=int, nargs=2, default=(1, 2))
parser.add_argument("--tags", nargs="+")
parser.add_argument("--tag", action="append")
parser.add_argument("-v", "--verbose", action="count", default=0)
parser.add_argument("--json")
parser.add_argument("--amp", action="store_true")
parser.parse_args()
"""
    words = ("python", "main.py", "x", "y", "--tags", "a", "b", "--tag", "p", "--tag=q", "-vv", "--json", "[1]")
    report = observe(tmp_path, code, *words[2:]).report
    record, _ = with_parsed(record_of(*words), read_parsed(report, words))

    def changed(**changes: Any) -> str:
        return shlex.join(set_params(record, changes)[0][2:])

    assert changed(dims=[5, 6]) == "x y --tags a b --tag p --tag=q -vv --json '[1]' --dims 5 6"
    assert changed(tags=["c", "d e", 3]) == "x y --tags c 'd e' 3 --tag p --tag=q -vv --json '[1]'"
    assert changed(tag=["r"], verbose=1) == "x y --tags a b --tag r --json '[1]' --verbose"
    assert changed(files=["z"], verbose=0) == "z --tags a b --tag p --tag=q --json '[1]'"
    assert changed(json=["a", 1]).endswith("""-vv --json '["a", 1]'""")
    with pytest.raises(UserError, match="--set verbose: --verbose is counted"):
        changed(verbose="much")
    with pytest.raises(UserError, match="--set amp: --amp takes no value"):
        changed(amp=1)


def test_guessed_lists_are_set_as_they_were_given() -> None:
    words = ("./sim", "--layers", "64", "64", "--tag", "a", "--tag", "b", "--opt", "[1, 2]")
    record = record_of(*words)
    assert record.params == {"layers": [64, 64], "tag": ["a", "b"], "opt": [1, 2]}
    changed, _ = set_params(record, {"layers": [1, 2, 3], "tag": ["c"], "opt": [3]})
    assert changed == ("./sim", "--layers", "1", "2", "3", "--tag", "c", "--opt", "[3]")


def test_a_request_that_the_program_parsed_otherwise_is_unused(tmp_path: Path) -> None:
    asked = record_of("python", "main.py", requested={"lr": 0.5, "batch_size": 32})
    assert asked.params_unused == {"lr": 0.5, "batch_size": 32}
    record, warnings = with_parsed(asked, seen_by(tmp_path))
    assert record.params == {"lr": 0.1, "batch_size": 32, "amp": False}
    assert record.params_unused == {"lr": 0.5}
    assert warnings == ["-p lr=0.5 has no effect: the program parsed lr = 0.1"]


def test_a_request_that_reached_the_program_through_a_placeholder_is_what_was_parsed(tmp_path: Path) -> None:
    words = ("python", "main.py", "--lr", "1e-3", "--tag", "x")
    asked = record_of(*words, requested={"lr": 1e-3, "mine": 2}, template=("python", "--lr", "{lr}", "{mine}"))
    record, warnings = with_parsed(asked, seen_by(tmp_path, "--lr", "1e-3"))
    assert (record.params["lr"], record.params_source["lr"]) == (0.001, "parsed")
    assert (record.params["mine"], record.params_source["mine"]) == (2, "requested")
    assert (record.params_unused, warnings) == ({}, [])


def test_a_param_of_a_run_is_set_as_its_parser_takes_it(tmp_path: Path) -> None:
    code = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--batch_size", type=int, default=32)
parser.add_argument("--weight-decay", type=float, default=0.0)
parser.add_argument("-k", type=int, default=1)
parser.add_argument("--amp", action="store_true")
parser.add_argument("--no-shuffle", dest="shuffle", action="store_false")
parser.add_argument("--lr", type=float)
parser.parse_args()
"""
    words = ("python", "main.py", "x.csv", "--amp", "--lr", "1")
    record, _ = with_parsed(record_of(*words), read_parsed(observe(tmp_path, code, *words[2:]).report))
    assert record.runtime["options"] == {"batch_size": "--batch_size", "data": "", "k": "-k"}
    assert record.runtime["flags"] == {"amp": ["--amp", ""], "shuffle": ["", "--no-shuffle"]}
    record = replace(record, command=words)

    def changed(**changes: Any) -> str:
        return " ".join(set_params(record, changes)[0][2:])

    assert changed(batch_size=8, weight_decay=0.5, k=3) == "x.csv --amp --lr 1 --batch_size=8 --weight-decay=0.5 -k3"
    assert changed(amp=False, shuffle=False, lr=2) == "x.csv --lr 2 --no-shuffle"
    assert changed(amp=True, shuffle=True, data="y.csv") == "y.csv --lr 1 --amp"


def test_a_request_in_a_params_file_counts_more_than_a_default_that_was_parsed(tmp_path: Path) -> None:
    words = ("python", "main.py", "--config", "{params_file}", "--batch", "8")
    asked = record_of(*words, requested={"lr": 0.5, "batch_size": 4}, template=words)
    record, warnings = with_parsed(replace(asked, command=words), seen_by(tmp_path, "--batch", "8"))
    assert (record.params["lr"], record.params_source["lr"]) == (0.5, "requested")
    assert (record.params["batch_size"], record.params_unused) == (8, {"batch_size": 4})
    assert warnings == ["-p batch_size=4 has no effect: the program parsed batch_size = 8"]


def test_an_option_left_out_leaves_the_value_that_a_file_or_a_call_gave(tmp_path: Path) -> None:
    code = PARSER + "parser.add_argument('--wd', type=float)\nparser.add_argument('--opt')\n"
    code += "parser.add_argument('--name')\nparser.parse_args()"
    (tmp_path / "params.toml").write_text("wd = 0.5\nlr = 0.3\n[opt]\nbeta = 0.9\n")
    found = capture_params(("python", "main.py"), files=["params.toml"], top=str(tmp_path))
    before = replace(record_of(), params=found.values, params_source={**found.source, "opt.beta": "api"})
    record, warnings = with_parsed(before, read_parsed(observe(tmp_path, code).report))
    assert (record.params["wd"], record.params_source["wd"]) == (0.5, "file")
    assert (record.params["opt"], record.params_source["opt.beta"]) == ({"beta": 0.9}, "api")
    assert (record.params["lr"], record.params_source["lr"]) == (0.1, "parsed")
    assert (record.params_null, warnings) == (("name",), [])
    again = tmp_path / "again"
    again.mkdir()
    given, _ = with_parsed(before, read_parsed(observe(again, code, "--wd", "0.2").report))
    assert (given.params["wd"], given.params_source["wd"]) == (0.2, "parsed")


def test_secrets_and_nothing_are_recorded_as_such(tmp_path: Path) -> None:
    code = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--api-key')\np.add_argument('--seed')\n"
    seen = read_parsed(observe(tmp_path, code + "p.parse_args()", "--api-key", "hunter2hunter2").report)
    record, _ = with_parsed(record_of("python", "main.py"), seen)
    assert record.params == {"api_key": "***"}
    assert record.params_null == ("seed",)
