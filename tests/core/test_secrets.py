"""What is taken for a secret, and above all what is not."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_replicate.core.secrets import find_secret, is_secret_name, looks_secret_name, mask_command, mask_text

# Put together here, so that no scanner takes this file for a leak.
SECRETS = {
    "AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "GitHub token": "ghp_" + "a1B2" * 9,
    "GitLab token": "glpat-" + "x1Y2z3" * 4,
    "Slack token": "xoxb-" + "1234567890-abcdef",
    "Hugging Face token": "hf_" + "AbCd" * 9,
    "Anthropic key": "sk-ant-" + "api03-" + "aB3" * 10,
    "OpenAI key": "sk-proj-" + "aB3" * 12,
    "Google key": "AIza" + "Sy" + "a" * 33,
    "Stripe key": "sk_live_" + "a1" * 12,
    "npm token": "npm_" + "a1B2" * 9,
    "PyPI token": "pypi-" + "AgEIcHlwaS5vcmc" + "x" * 40,
    "JSON web token": "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiIxMjM0" + "." + "c2lnbmF0dXJl",
    "private key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
}


@pytest.mark.parametrize(("kind", "secret"), SECRETS.items())
def test_tokens_are_known_by_their_shape(kind: str, secret: str) -> None:
    assert find_secret(f"x = '{secret}'\n".encode()) == kind


@pytest.mark.parametrize("secret", [text for kind, text in SECRETS.items() if kind != "private key"])
def test_tokens_are_masked_in_logs_and_commands(secret: str) -> None:
    assert mask_text(f"got {secret} today\n") == "got *** today\n"
    assert mask_command(["train", "--name", secret]) == ("train", "--name", "***")


def test_a_private_key_is_masked_to_its_end() -> None:
    begin, end = "-----BEGIN RSA " + "PRIVATE KEY-----", "-----END RSA " + "PRIVATE KEY-----"
    assert mask_text(f"a\n{begin}\nMIIE\nabc\n{end}\nb\n") == f"a\n{begin} ***\nb\n"


HARMLESS = [
    "lr=0.001 wd=1e-4 epoch 3: loss: 0.123",
    hashlib.sha256(b"x").hexdigest(),
    "123e4567-e89b-12d3-a456-426614174000",
    "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 20).decode(),
    "pad_token: <pad> eos_token=</s> max_tokens=4096 num_tokens: 100",
    "token: hello (id 17)",
    "key: value, monkey=5, keyboard=us, primary_key=id",
    "task-a1Ba1Ba1Ba1Ba1Ba1Ba1Ba1Ba1Ba1Ba1B sk-learn risk-adjusted-return-of-portfolio",
    "https://example.org:8080/a@b see user@host:path",
    "secretary: bob; passing=3; passed: 12",
    "Basic training starts, bearer of news",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_training_prints_is_left_alone(text: str) -> None:
    assert mask_text(text) == text
    assert find_secret(text.encode()) is None


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("password: hunter2", "password: ***"),
        ("api_key='abcdef12'", "api_key='***'"),
        ('{"client_secret": "abc"}', '{"client_secret": "***"}'),
        ("WANDB_API_KEY=0123456789", "WANDB_API_KEY=0123456789"),
        ("WANDB_API_KEY=0123456789abcdef", "WANDB_API_KEY=***"),
        ("+ run --token abc123def456ghi --lr 1", "+ run --token *** --lr 1"),
        ("psql postgres://me:pw@db/x", "psql postgres://me:***@db/x"),
        ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer ***"),
    ],
)
def test_values_beside_a_secrets_name_are_masked(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    ("command", "masked"),
    [
        (["a", "--token", "abc", "--lr", "0.1"], ("a", "--token", "***", "--lr", "0.1")),
        (["a", "--api-key=abc"], ("a", "--api-key=***")),
        (["a", "-p", "db.password=12"], ("a", "-p", "db.password=***")),
        (["env", "HF_TOKEN=hf", "a"], ("env", "HF_TOKEN=***", "a")),
        (["a", "--password", "-x"], ("a", "--password", "***")),
        (["a", "--secret", "--lr", "1"], ("a", "--secret", "--lr", "1")),
        (["a", "--hf-token", "true", "--max-tokens", "5", "--pad-token=x"], None),
        (["a", "--token", "100", "--use-auth-token", "--key", "k", "--sort-key=n"], None),
        (["curl", "https://u:pw@host/x"], ("curl", "https://u:***@host/x")),
    ],
)
def test_commands(command: list[str], masked: tuple[str, ...] | None) -> None:
    assert mask_command(command) == (masked or tuple(command))


@given(st.lists(st.text(max_size=30), max_size=8))
def test_masking_keeps_the_number_of_words_and_is_stable(words: list[str]) -> None:
    masked = mask_command(words)
    assert len(masked) == len(words)
    assert mask_command(masked) == masked


@given(st.binary(max_size=300))
def test_any_bytes_can_be_masked(data: bytes) -> None:
    assert isinstance(mask_text(data), bytes)


@pytest.mark.parametrize(
    "path", [".env", "a/.env.local", "key.pem", "id_rsa", ".netrc", "conf/secrets.toml", "credentials.json",
             ".aws/credentials", "home/.ssh/config", "client_secret_1.json", "prod.env"],
)  # fmt: skip
def test_secret_names(path: str) -> None:
    assert looks_secret_name(path.encode())


@pytest.mark.parametrize(
    "path", [".env.example", "secrets.py", "credentials.py", "id_rsa.pub", "tokenizer.json", "special_tokens.json",
             "env.py", "keys.py", "environment.yml", "tokens.npy", "secret_santa.ipynb"],
)  # fmt: skip
def test_names_of_code_and_models_are_not_secret(path: str) -> None:
    assert not looks_secret_name(path.encode())


def test_names_of_params() -> None:
    assert [name for name in ("lr", "api_key", "db.password", "pad_token", "HF_TOKEN", "token", "max_tokens", "key")
            if is_secret_name(name)] == ["api_key", "db.password", "HF_TOKEN", "token"]  # fmt: skip
