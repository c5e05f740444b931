"""Settings from git's configuration, replicate.toml and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_replicate.capture.config import load_settings
from git_replicate.core.errors import ConfigError
from git_replicate.core.settings import NamedData, Settings, key_lines, parse_settings
from git_replicate.git.config import replaced
from git_replicate.git.repository import Layout


def load(
    top: Path | None,
    git: dict[str, list[str]] | None = None,
    environ: dict[str, str] | None = None,
) -> Settings:
    layout = Layout(str(top), str(top), str(top) if top else None, "sha1", "files")
    return load_settings(layout, replaced(git or {}), environ or {})


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path) == load(None) == Settings()


def test_the_environment_wins_over_the_file_and_the_file_over_git(tmp_path: Path) -> None:
    (tmp_path / "replicate.toml").write_text('experiment = "file"\n[results]\nmetrics = ["m.json"]\n')
    git = {"replicate.experiment": ["git"], "replicate.random.seed": ["7"], "replicate.results.stdout": ["off"]}
    settings = load(tmp_path, git)
    assert (settings.experiment, settings.random.seed, settings.results.stdout) == ("file", 7, False)
    assert settings.results.metrics == ("m.json",)
    assert load(tmp_path, git, {"GIT_REPLICATE_EXPERIMENT": "shell"}).experiment == "shell"


def test_gits_spelling_of_keys_and_values(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        {
            "replicate.snapshot.largeBytes": ["10m"],
            "replicate.snapshot.exclude": ["a/**", "b"],
            "replicate.command": ["python 'my train.py'"],
            "replicate.outputs.lfs": ["yes"],
            "replicate.onCommit": ["make test"],
            "replicate.somethingElse": ["x"],
        },
    )
    assert settings.snapshot.large_bytes == 10 * 1024 * 1024
    assert settings.snapshot.exclude == ("a/**", "b")
    assert settings.command == ("python", "my train.py")
    assert settings.outputs.lfs is True


def test_each_machine_says_where_named_data_is(tmp_path: Path) -> None:
    (tmp_path / "replicate.toml").write_text('[data.named.imagenet]\npath = "/data"\nhash = "stat"\n')
    settings = load(tmp_path, {"replicate.data.imagenet": ["/scratch/in"], "replicate.data.My_Set.path": ["/my"]})
    assert settings.data.named == {"imagenet": NamedData("/scratch/in", "stat"), "My_Set": NamedData("/my")}


def test_every_mistake_of_every_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "replicate.toml").write_text(
        'experimnt = "x"\nresults = 3\n[random]\nseed = -1\n[outputs]\nkeep = "some"\nlarge_bytes = true\n'
    )
    with pytest.raises(ConfigError) as caught:
        load(
            tmp_path, {"replicate.log.bytes": ["many"], "replicate.experment": ["x"]}, {"GIT_REPLICATE_LOG_BYTES": "?"}
        )
    message = caught.value.message
    for part in (
        "replicate.toml: unknown key experimnt (did you mean experiment?)",
        "replicate.toml: results must be a table, [results]",
        "random.seed: -1 is outside 0 to 4294967295",
        "outputs.keep: 'some'",
        "outputs.large_bytes: True is not a whole number",
        "git config: replicate.log.bytes: 'many' is not a whole number",
        "git config: unknown key replicate.experment (did you mean experiment?)",
        "environment: log.bytes: '?' is not a whole number",
    ):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[metrics]\nfiles = ["a.json"]\n', "unknown key metrics (did you mean results.metrics?)"),
        ('[outputs]\npaths = ["a"]\n', "unknown key outputs.paths (did you mean results.outputs?)"),
        ("seed = 3\n", "unknown key seed (did you mean random.seed?)"),
        ('[data]\nfiles = ["a"]\n', "unknown key data.files"),
    ],
)
def test_a_setting_looked_for_in_another_table_is_told_its_own(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "replicate.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert caught.value.message == f"replicate.toml: {said}"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a = ", "not TOML"),
        ("[results]\npatterns = ['(']", "results.patterns: '('"),
        ("[results]\npatterns = ['x']", "has no named group"),
        ('experiment = "a b"', "not a valid experiment name"),
        ('[data.named.x]\nhash = "md5"', 'is not "content" or "stat"'),
        ("[tolerance.acc]\nrtol = -1.0", "cannot be negative"),
        ("[log]\nbytes = -1", "log.bytes: -1 is negative"),
        ('[[stage]]\nname = "a"\nscript = "s"\n[[stage]]\nname = "a"\nscript = "s"', "given twice"),
        ("[[stage]]\nname = 'a'", "needs a name and a script"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "replicate.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert part in caught.value.message


def test_a_file_that_is_not_text_or_not_readable_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "replicate.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not TOML"):
        load(tmp_path)
    (tmp_path / "replicate.toml").unlink()
    (tmp_path / "replicate.toml").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


def test_the_hint_of_a_mistake_leads_to_every_key() -> None:
    with pytest.raises(ConfigError, match=r"unknown key outputs.larg_bytes \(did you mean large_bytes") as raised:
        parse_settings({"outputs": {"larg_bytes": 1}}, source="replicate.toml")
    assert raised.value.hint == "every key: git replicate init -h"
    lines = key_lines()
    assert lines[:3] == ["experiment, command", "[params] files, ignore", "[data] paths"]
    assert "[outputs] large_bytes, lfs, keep, ignore" in lines
    assert "[[stage]] name, script, inputs, outputs" in lines
    assert "[tolerance.NAME] rtol, atol" in lines
    assert "[data.named.NAME] path, hash" in lines
