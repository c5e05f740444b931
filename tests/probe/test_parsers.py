"""Params as other parsers than argparse have them; each needs its library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from git_replicate.capture.parsed_params import read_parsed
from tests.frameworks import INTERPRETER
from tests.probe.running import Observed, observe


@pytest.fixture(autouse=True)
def _library_is_there(framework_python: str) -> None:
    """Skips a test whose library is not installed."""


def run(folder: Path, code: str, *arguments: str) -> Observed:
    seen = observe(folder, code, *arguments, python=INTERPRETER)
    assert (seen.code, seen.notes("failure")) == (0, []), seen.errors
    return seen


def parsed(folder: Path, code: str, *arguments: str) -> tuple[str, dict[str, Any], list[str]]:
    found = read_parsed(run(folder, code, *arguments).report)
    return found.parser, found.values, sorted(found.given)


@pytest.mark.frameworks("click")
def test_click_has_the_params_of_the_command_and_its_group(tmp_path: Path) -> None:
    code = """
import click
@click.group()
@click.option("--verbose/--quiet", default=False)
def main(verbose): pass
@main.command()
@click.option("--lr", type=float, default=0.1)
@click.argument("data", type=click.Path())
@click.option("--steps", type=int, default=10, envvar="STEPS")
def train(lr, data, steps): print(lr, data, steps)
main()
"""
    found = parsed(tmp_path, code, "train", "--lr", "0.5", "x.csv")
    assert found == ("click", {"verbose": False, "lr": 0.5, "data": "x.csv", "steps": 10}, ["data", "lr"])


@pytest.mark.frameworks("typer")
def test_typer(tmp_path: Path) -> None:
    code = """
import typer
def main(data: str, lr: float = 0.1, epochs: int = 3, amp: bool = False): pass
typer.run(main)
"""
    found = parsed(tmp_path, code, "x", "--lr", "0.5", "--amp")
    assert found == ("click", {"data": "x", "lr": 0.5, "epochs": 3, "amp": True}, ["amp", "data", "lr"])


@pytest.mark.frameworks("absl")
def test_absl_has_the_programs_flags_without_those_of_absl_itself(tmp_path: Path) -> None:
    code = """
from absl import app, flags
FLAGS = flags.FLAGS
flags.DEFINE_float("lr", 0.1, "rate")
flags.DEFINE_list("layers", ["1", "2"], "sizes")
flags.DEFINE_string("name", None, "name")
app.run(lambda argv: None)
"""
    found = parsed(tmp_path, code, "--lr=0.5")
    assert found == ("absl", {"lr": 0.5, "layers": ["1", "2"], "name": None}, ["lr"])


HYDRA = """
import hydra
from omegaconf import DictConfig
@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    print("lr", cfg.optim.lr)
main()
"""


def hydra_config(folder: Path, text: str = "optim:\n  lr: 0.1\n  decay: ${optim.lr}\nmodel: cnn\nseed: null\n") -> None:
    (folder / "conf").mkdir()
    (folder / "conf" / "config.yaml").write_text(text)


@pytest.mark.frameworks("hydra")
def test_hydra_has_the_composed_configuration_without_its_own(tmp_path: Path) -> None:
    hydra_config(tmp_path)
    found = parsed(tmp_path, HYDRA, "optim.lr=0.5", "+new=1")
    values = {"optim.lr": 0.5, "optim.decay": 0.5, "model": "cnn", "seed": None, "new": 1}
    assert found == ("hydra", values, ["new", "optim.lr"])


@pytest.mark.frameworks("hydra")
def test_several_jobs_of_one_hydra_process_are_lists_of_what_differs(tmp_path: Path) -> None:
    hydra_config(tmp_path)
    parser, values, _ = parsed(tmp_path, HYDRA, "--multirun", "optim.lr=0.5,0.25")
    assert (parser, values["optim.lr"], values["model"]) == ("hydra", [0.5, 0.25], "cnn")


@pytest.mark.frameworks("hydra")
def test_a_resolver_of_the_programs_own_is_not_asked_once_more(tmp_path: Path) -> None:
    hydra_config(tmp_path, "optim:\n  lr: ${draw:1}\n")
    code = """
from omegaconf import OmegaConf
calls = []
def draw(x):
    calls.append(x)
    return len(calls)
OmegaConf.register_new_resolver("draw", draw)
"""
    seen = run(tmp_path, code + HYDRA)
    assert seen.output == "lr 1\n"
    assert read_parsed(seen.report).values == {"optim.lr": "${draw:1}"}


@pytest.mark.frameworks("omegaconf")
def test_omegaconf_from_the_command_line(tmp_path: Path) -> None:
    code = "from omegaconf import OmegaConf\nprint(OmegaConf.from_cli())"
    found = parsed(tmp_path, code, "optim.lr=0.5", "name=x")
    assert found == ("omegaconf", {"optim.lr": 0.5, "name": "x"}, ["name", "optim.lr"])


@pytest.mark.frameworks("jsonargparse")
def test_jsonargparse(tmp_path: Path) -> None:
    code = """
from jsonargparse import ArgumentParser
parser = ArgumentParser()
parser.add_argument("--config", action="config")
parser.add_argument("--optim.lr", type=float, default=0.1)
parser.add_argument("--optim.steps", type=int, default=3)
parser.add_argument("--name", type=str, default=None)
parser.parse_args()
"""
    (tmp_path / "c.yaml").write_text("optim:\n  steps: 9\n")
    parser, values, given = parsed(tmp_path, code, "--config", "c.yaml", "--optim.lr", "0.5")
    assert (parser, values["optim.lr"], values["optim.steps"], values["name"]) == ("jsonargparse", 0.5, 9, None)
    assert "optim.lr" in given


DATACLASS = """
import dataclasses
@dataclasses.dataclass
class Options:
    lr: float = 0.1
    steps: int = 3
"""


@pytest.mark.frameworks("simple_parsing")
def test_simple_parsing(tmp_path: Path) -> None:
    code = DATACLASS + "import simple_parsing; print(simple_parsing.parse(Options))"
    parser, values, given = parsed(tmp_path, code, "--lr", "0.5")
    found = {name.rpartition(".")[2]: value for name, value in values.items()}
    assert (parser, found["lr"], found["steps"]) == ("argparse", 0.5, 3)
    assert [name.rpartition(".")[2] for name in given] == ["lr"]


@pytest.mark.frameworks("tyro")
def test_tyro(tmp_path: Path) -> None:
    code = DATACLASS + "import tyro; print(tyro.cli(Options))"
    assert parsed(tmp_path, code, "--lr", "0.5") == ("tyro", {"lr": 0.5, "steps": 3}, ["lr"])


@pytest.mark.frameworks("tyro")
def test_tyro_calls_a_function(tmp_path: Path) -> None:
    code = DATACLASS + "import tyro\ndef main(options: Options, depth: int = 2): print(depth)\ntyro.cli(main)"
    found = parsed(tmp_path, code, "--options.lr", "0.5")
    assert found == ("tyro", {"options.lr": 0.5, "options.steps": 3, "depth": 2}, ["options.lr"])


@pytest.mark.frameworks("docopt")
def test_docopt_has_defaults_arguments_and_commands(tmp_path: Path) -> None:
    code = '''"""Usage:
  main.py train [--lr=<x>] [--batch-size=<n>] [--amp] [<data>]
  main.py test <file>...

Options:
  --lr=<x>          Rate [default: 0.1].
  --batch-size=<n>  Samples [default: 32].
"""
from docopt import docopt
docopt(__doc__)
'''
    parser, values, given = parsed(tmp_path, code, "train", "--lr=0.5", "x.csv")
    assert (parser, given) == ("docopt", ["data", "lr", "train"])
    assert {name: values[name] for name in ("lr", "batch_size", "amp", "data", "train", "test")} == {
        "lr": 0.5, "batch_size": 32, "amp": False, "data": "x.csv", "train": True, "test": False,
    }  # fmt: skip


@pytest.mark.frameworks("fire")
def test_fire(tmp_path: Path) -> None:
    code = "import fire\ndef main(data, lr=0.1, steps=3, **rest): pass\nfire.Fire(main)"
    found = parsed(tmp_path, code, "x", "--lr", "0.5", "--more=1")
    assert found == ("fire", {"data": "x", "lr": 0.5, "steps": 3, "more": 1}, ["data", "lr", "more"])


@pytest.mark.frameworks("transformers")
def test_arguments_of_transformers_from_words_and_from_a_file(tmp_path: Path) -> None:
    code = DATACLASS + "from transformers import HfArgumentParser\nimport sys\nparser = HfArgumentParser(Options)\n"
    words = code + "parser.parse_args_into_dataclasses()"
    assert parsed(tmp_path, words, "--lr", "0.5") == ("argparse", {"lr": 0.5, "steps": 3}, ["lr"])
    (tmp_path / "args.json").write_text('{"steps": 9}')
    for file in (tmp_path / "notes").iterdir():
        file.unlink()
    found = parsed(tmp_path, code + "parser.parse_json_file('args.json')")
    assert found == ("transformers", {"lr": 0.1, "steps": 9}, ["steps"])
