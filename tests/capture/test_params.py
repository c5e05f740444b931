"""Hyperparameters from requests, the command line and files."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from git_replicate.capture.arguments import guess_params
from git_replicate.capture.params import capture_params, fill_placeholders, parse_assignment, placeholders
from git_replicate.core.errors import UsageError, UserError
from git_replicate.core.settings import NamedData


@pytest.mark.parametrize(
    ("arguments", "params"),
    [
        ("--lr 0.1 --batch-size=32", {"lr": 0.1, "batch_size": 32}),
        (
            "lr=1e-3 model.depth=3 +x=1 ++y=2 db/engine=sql",
            {"lr": 0.001, "model.depth": 3, "x": 1, "y": 2, "db/engine": "sql"},
        ),
        ("-x 3 -n4 -o=2 -lr 0.5", {"x": 3, "n": 4, "o": 2, "lr": 0.5}),
        ("--verbose --no-cuda", {"verbose": True, "no_cuda": True}),
        ("--verbose data.csv --lr 1", {"verbose": True, "lr": 1}),
        ("--verbose 2", {"verbose": 2}),
        ("-vvv -v", {"v": [3, True]}),
        ("--shift -1 --low -1e-3 --bound -inf", {"shift": -1, "low": -0.001, "bound": float("-inf")}),
        ("--layers 64 64 -32 --class cat dog", {"layers": [64, 64, -32], "class": "cat"}),
        ("--tags a b --in-files x.csv y.csv", {"tags": ["a", "b"], "in_files": ["x.csv", "y.csv"]}),
        ("--epochs 5 train --loss mse out.txt --s a b", {"epochs": 5, "loss": "mse", "s": "a"}),
        ("-la -rf x -xzf -amps", {"rf": "x", "amps": True}),
        ("--tag a --tag b --flag --flag", {"tag": ["a", "b"], "flag": 2}),
        ("lr=1 lr=2", {"lr": 2}),
        ("--set lr=0.1 --multirun a=1", {"lr": 0.1, "multirun": True, "a": 1}),
        ("--lr 1 -- --no 3 x=1", {"lr": 1}),
        ("data/raw out.txt 3 -5 -", {}),
        ("--input - --path ./a=b", {"input": "-", "path": "./a=b"}),
        (
            "--url http://host/?a=b --empty= --eq a==b",
            {"url": "http://host/?a=b", "empty": "", "eq": "=b" and True, "a": "=b"},
        ),
        ("""--opt '{"a": 1}' --list '[1, 2]'""", {"opt": {"a": 1}, "list": [1, 2]}),
        ("--seed 3", {"seed": 3}),
        ("--größe 3", {"größe": 3}),
        ("--- --=3 -= =3", {}),
    ],
)
def test_guesses_from_a_programs_arguments(arguments: str, params: dict[str, Any]) -> None:
    assert guess_params(shlex.split(arguments)) == params


@pytest.mark.parametrize("text", ["lr", "=3", "a..b=1", "1x=2", "a b=1", ".a=1", ""])
def test_an_assignment_that_is_none_says_how_one_looks(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_assignment(text)
    assert caught.value.hint.startswith("try: -p ")


def test_an_assignment_is_a_dotted_name_and_a_typed_value() -> None:
    assert parse_assignment("model.hidden-size=3") == ("model.hidden_size", 3)
    assert parse_assignment("name=a=b") == ("name", "a=b")
    assert parse_assignment("empty=") == ("empty", "")


def test_only_known_placeholders_are_filled() -> None:
    command = ("x", "--lr={lr}", "{{lr}}", "${lr}", "{other}", "{seed}", "{data.images}", "{}", "{'a': 1}", "{a:b}")
    filled = fill_placeholders(command, {"lr": 0.1}, None, {"images": NamedData(path="/big/images")})
    assert filled == (
        "x", "--lr=0.1", "{{lr}}", "${lr}", "{other}", "{seed}", "/big/images", "{}", "{'a': 1}", "{a:b}",
    )  # fmt: skip
    assert fill_placeholders(("{seed}{lr}",), {"lr": "{seed}"}, 7) == ("7{seed}",)
    assert fill_placeholders(("{params_file}",), {}, params_file="/p.json") == ("/p.json",)
    assert placeholders(command) == {"lr", "other", "seed", "data.images"}


def test_a_word_may_stand_for_the_items_of_a_list() -> None:
    command = ("x", "--dims", "{dims...}", "{my-tags...}", "--all={dims...}", "{none...}", "{lr...}")
    filled = fill_placeholders(command, {"dims": [5, 6], "my_tags": ["a", "b c"], "lr": 0.1})
    assert filled == ("x", "--dims", "5", "6", "a", "b c", "--all={dims...}", "{none...}", "0.1")
    assert placeholders(command) == {"dims", "my-tags", "dims...", "none", "lr"}
    params = capture_params(filled, requested={"dims": [5, 6]}, template=command)
    assert (params.values["dims"], params.source["dims"], params.unused) == ([5, 6], "requested", {})


def test_a_request_that_fills_a_placeholder_is_a_param() -> None:
    params = capture_params(
        ["./sim", "0.1", "r50"], requested=[("lr", 0.1), ("model.name", "r50")],
        template=["./sim", "{lr}", "{model.name}"],
    )  # fmt: skip
    assert params.values == {"lr": 0.1, "model": {"name": "r50"}}
    assert params.given == ("lr", "model.name")
    assert params.source == {"lr": "requested", "model.name": "requested"}
    assert params.unused == {} and params.warnings == ()


def test_a_request_that_reaches_nothing_is_unused_and_said() -> None:
    params = capture_params(["python", "x.py", "--lr", "0.2"], requested=[("depth", 3), ("lr", 0.1)])
    assert params.values == {"lr": 0.2}
    assert params.unused == {"depth": 3, "lr": 0.1}
    assert params.warnings == (
        "-p depth=3 reaches nothing: write {depth} where the command takes it",
        "-p lr=0.1 has no effect: the run has lr = 0.2",
    )


def test_a_request_that_agrees_with_the_command_is_fine() -> None:
    params = capture_params(["python", "x.py", "--lr", "0.1"], requested={"lr": 0.1})
    assert params.values == {"lr": 0.1}
    assert params.unused == {} and params.warnings == ()


def test_requests_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be a value and a table"):
        capture_params(["x"], requested=[("model", "a"), ("model.depth", 3)])


def test_files_are_read_and_the_command_line_wins(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("lr = 0.5\n[model]\ndepth = 2\nwhen = 2024-01-02\n")
    (tmp_path / "b.json").write_text('{"model": {"depth": 4}, "none": null, "model.width": 8}')
    params = capture_params(["x", "--lr", "0.1"], files=["a.toml", "b.json"], top=str(tmp_path))
    assert params.values == {"lr": 0.1, "model": {"depth": 4, "when": "2024-01-02", "width": 8}}
    assert params.null == ("none",)
    assert params.given == ("lr",)
    assert params.source == {
        "lr": "command", "model.depth": "file", "model.when": "file", "model.width": "file", "none": "file",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"), [("p.toml", "lr = "), ("p.json", "{"), ("p.json", "[1]"), ("p.toml", "\xff")]
)
def test_a_params_file_that_cannot_be_read_stops_the_run(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        capture_params(["x"], files=[name], top=str(tmp_path))


def test_a_missing_params_file_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"p\.toml: No such file"):
        capture_params(["x"], files=["p.toml"], top=str(tmp_path))


def test_yaml_without_a_reader_is_left_out_and_its_hash_tells_runs_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/p.yaml").write_text("lr: 0.1\n")
    monkeypatch.setitem(sys.modules, "yaml", None)
    params = capture_params(["x"], files=["conf/p.yaml"], top=str(tmp_path), scene=(["x"], str(tmp_path), {}))
    assert params.values == {"conf_p_yaml": "blake3:e66d2c15e5ab"}
    assert (params.given, params.source) == ((), {"conf_p_yaml": "file"})
    assert params.missing == ("params: conf/p.yaml was not read: reading YAML takes PyYAML beside git replicate",)
    assert params.warnings == (
        "conf/p.yaml was not read: reading YAML takes PyYAML beside git replicate: "
        f"{shlex.quote(sys.executable)} -m pip install pyyaml",
    )


def test_yaml_is_read_by_the_commands_own_python_where_that_has_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "lib" / "yaml"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text(
        "import json\nclass YAMLError(Exception): pass\nclass SafeLoader: pass\n"
        "def load(data, Loader):\n"
        "    try:\n        return {**json.loads(data), 3: {'none': None}}\n"
        "    except ValueError as error:\n        raise YAMLError(error)\n"
    )
    (tmp_path / "p.yaml").write_text('{"lr": 0.1, "model": {"depth": 3}}')
    (tmp_path / "wrong.yaml").write_text("{")
    monkeypatch.setitem(sys.modules, "yaml", None)
    command = [sys.executable, "train.py"]
    scene = (command, str(tmp_path), {"PYTHONPATH": str(library.parent)})
    params = capture_params(command, files=["p.yaml"], top=str(tmp_path), scene=scene)
    assert params.values == {"lr": 0.1, "model": {"depth": 3}}
    assert (params.null, params.missing, params.warnings) == (("3.none",), (), ())
    with pytest.raises(UserError, match=r"wrong\.yaml: not YAML: Expecting property name"):
        capture_params(command, files=["wrong.yaml"], top=str(tmp_path), scene=scene)


def test_secrets_are_masked_wherever_they_come_from(tmp_path: Path) -> None:
    token = "ghp_" + "a1B2" * 9
    (tmp_path / "p.json").write_text(json.dumps({"db": {"password": "hunter22"}, "note": token}))
    params = capture_params(
        ["python", "x.py", "--api-key", "verysecret1", "tokens=5", token], requested=[("wandb_token", "abcdefgh1")],
        files=["p.json"], top=str(tmp_path),
    )  # fmt: skip
    text = repr(params)
    assert "hunter22" not in text and "verysecret1" not in text and token not in text and "abcdefgh1" not in text
    assert params.values["tokens"] == 5


def test_an_argument_that_is_not_utf8_is_quoted() -> None:
    params = capture_params(["x", "--file", "caf\udce9", "--\udce9=1"])
    assert params.values["file"] == '"caf\\351"'


def test_a_params_file_delivers_everything_and_is_no_param_itself() -> None:
    params = capture_params(
        ["./sim", "--config", "{params_file}", "--n", "2"], requested=[("lr", 0.1), ("model.depth", 3)],
        template=["./sim", "--config", "{params_file}", "--n", "2"],
    )  # fmt: skip
    assert params.values == {"lr": 0.1, "model": {"depth": 3}, "n": 2}
    assert params.unused == {}
    assert params.source == {"lr": "requested", "model.depth": "requested", "n": "command"}


def test_without_placeholders_nothing_is_delivered_by_one() -> None:
    params = capture_params(["./sim", "{lr}"], requested=[("lr", 0.1)], template=())
    assert (params.values, params.unused) == ({}, {"lr": 0.1})
