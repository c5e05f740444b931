"""Secrets that are known by their value: found wherever they stand, and ordinary words left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from git_replicate.core.known_secrets import KnownSecrets, hidden_variables, hidden_words, known_secrets
from tests.store.making import running


@pytest.mark.parametrize(
    ("command", "values"),
    [
        (("python", "t.py", "--api-key", "Xq83hzLmPw0rTtY"), ["Xq83hzLmPw0rTtY"]),
        (("python", "t.py", "--api-key=Xq83hzLmPw0rTtY", "db.password=two words"), ["Xq83hzLmPw0rTtY", "two words"]),
        (("curl", "https://ada:s3cr3tpw@host/x", "ghp_" + "a1B2" * 9), ["s3cr3tpw", "ghp_" + "a1B2" * 9]),
        (("sh", "-c", "train --token abcdef123456 --lr 1; DB_PASSWORD=hunter22 x"), ["abcdef123456", "hunter22"]),
        (("python", "t.py", "--lr", "0.1", "--max-tokens", "100", "a***b"), []),
    ],
)
def test_what_is_masked_on_a_command_line_is_known_by_its_value(command: tuple[str, ...], values: list[str]) -> None:
    assert hidden_words(command) == values


def test_short_values_numbers_switches_and_variables_are_not_looked_for() -> None:
    assert known_secrets(["abc", "12345678", "0.00001", "none", "$API_KEY_VALUE", "{api_key}", "  "]) == KnownSecrets()


def test_a_value_is_masked_as_it_is_and_as_json_and_addresses_spell_it() -> None:
    known = known_secrets(['p"a/s\\s w0rd', "abcdefgh12345", "abcdefgh"])
    assert known.mask('a p"a/s\\s w0rd, "p\\"a/s\\\\s w0rd", p%22a%2Fs%5Cs%20w0rd.') == 'a ***, "***", ***.'
    assert known.mask(b"xabcdefgh12345x abcdefghi abcdefgh\xff") == b"x***x abcdefghi ***\xff"


def test_a_password_that_is_a_word_does_not_take_other_words_apart() -> None:
    assert (
        known_secrets(["training"]).mask("training: training_loss=1 training_step")
        == "***: training_loss=1 training_step"
    )


def test_the_lines_of_a_long_secret_are_known_too() -> None:
    key = "-----BEGIN X-----\nMIIEpAIBAAKCAQEA7b\nshort\n-----END X-----"
    assert known_secrets([key]).mask("line MIIEpAIBAAKCAQEA7b short") == "line *** short"


def test_what_a_cut_leaves_of_a_value_goes() -> None:
    known = known_secrets(["Xq83hzLmPw0rTtY"])
    assert known.cut(b"key Xq83hz", b"0rTtY and on") == (b"key ", b" and on")
    assert known.cut(b"key Xq", b"tY on") == (b"key Xq", b"tY on")


def test_a_record_is_masked_in_all_that_was_said_and_in_no_name_of_git() -> None:
    record = replace(
        running(1), message="with Xq83hzLmPw0rTtY", params={"a": {"b": ["Xq83hzLmPw0rTtY", 1]}},
        missing=("no Xq83hzLmPw0rTtY",), metrics={"Xq83hzLmPw0rTtY_loss": 1.5},
    )  # fmt: skip
    masked = known_secrets(["Xq83hzLmPw0rTtY"]).mask_record(record)
    assert (masked.message, masked.params, masked.missing) == ("with ***", {"a": {"b": ["***", 1]}}, ("no ***",))
    assert masked.metrics == {"***_loss": 1.5}
    assert (masked.id, masked.experiment, masked.code) == (record.id, record.experiment, record.code)
    assert known_secrets(["nothing of it"]).mask_record(record) is record


def test_variables_with_a_secrets_name_and_a_made_up_value_are_known() -> None:
    environ = {
        "DB_PASSWORD": "hunter2hunter2", "HF_TOKEN": "abcd1234efgh", "API_KEY": "changeme",
        "SECRET_KEY": "/run/k3y12345", "HOME": "/home/ada1234", "PASSWORD": "a1",
    }  # fmt: skip
    assert hidden_variables(environ) == ["hunter2hunter2", "abcd1234efgh"]
