"""Some hundred token shapes are masked; numbers, hashes, identifiers and images are not; no text takes long."""

from __future__ import annotations

import base64
import hashlib
import random
import string
import subprocess
import sys
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.core.secrets import find_secret, mask_command, mask_text

LETTERS = string.ascii_letters + string.digits
HEX = string.digits + "abcdef"
UPPER = string.ascii_uppercase + string.digits

# Put together here from a prefix in two parts and random letters, so that no scanner takes this file for a leak:
# (the halves of the prefix, what follows: length and alphabet, or fixed text)
SHAPES: dict[str, tuple[tuple[str, str], tuple[tuple[int, str] | str, ...]]] = {
    "aws": (("AK", "IA"), ((16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),)),
    "aws-session": (("AS", "IA"), ((16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),)),
    "github": (("gh", "p_"), ((36, LETTERS),)),
    "github-app": (("gh", "s_"), ((36, LETTERS),)),
    "github-fine": (("github", "_pat_"), ((22, LETTERS), "_", (59, LETTERS))),
    "gitlab": (("gl", "pat-"), ((20, LETTERS),)),
    "slack": (("xo", "xb-"), ((12, string.digits), "-", (24, LETTERS))),
    "huggingface": (("h", "f_"), ((34, string.ascii_letters),)),
    "anthropic": (("sk-", "ant-"), ("api03-", (93, LETTERS))),
    "openai": (("sk-", "proj-"), ((48, LETTERS),)),
    "openrouter": (("sk-", "or-v1-"), ((64, HEX),)),
    "google": (("AI", "za"), ((35, LETTERS),)),
    "google-oauth": (("GOC", "SPX-"), ((28, LETTERS),)),
    "stripe": (("sk", "_live_"), ((24, LETTERS),)),
    "npm": (("np", "m_"), ((36, LETTERS),)),
    "pypi": (("py", "pi-"), ("AgEIcHlwaS5vcmc", (70, LETTERS))),
    "jwt": (("ey", "J"), ((30, LETTERS), ".eyJ", (40, LETTERS), ".", (43, LETTERS))),
    "databricks": (("da", "pi"), ((32, HEX),)),
    "digitalocean": (("do", "p_v1_"), ((64, HEX),)),
    "sendgrid": (("S", "G."), ((22, LETTERS), ".", (43, LETTERS))),
    "replicate": (("r", "8_"), ((37, LETTERS),)),
    "groq": (("gs", "k_"), ((52, LETTERS),)),
    "perplexity": (("pp", "lx-"), ((48, LETTERS),)),
    "xai": (("xa", "i-"), ((80, LETTERS),)),
    "nvidia": (("nv", "api-"), ((64, LETTERS),)),
    "fireworks": (("f", "w_"), ("aA1", (21, LETTERS))),
    "tavily": (("tv", "ly-"), ((32, LETTERS),)),
    "pinecone": (("pc", "sk_"), ((60, LETTERS),)),
    "langsmith": (("lsv", "2_pt_"), ((32, HEX), "_", (10, HEX))),
    "modal": (("a", "k-"), ("aA1", (19, LETTERS))),
    "linear": (("lin", "_api_"), ((40, LETTERS),)),
    "notion": (("nt", "n_"), ((46, LETTERS),)),
    "vault": (("hv", "s."), ((95, LETTERS),)),
    "telegram": (("12345", "67890"), (":AA", (33, LETTERS))),
    "twilio": (("S", "K"), ((32, HEX),)),
    "mailchimp": (("a", "b"), ((30, HEX), "-us12")),
    "shopify": (("shp", "at_"), ((32, HEX),)),
    "square": (("sq0", "atp-"), ((22, LETTERS),)),
    "dropbox": (("s", "l."), ((130, LETTERS),)),
    "newrelic": (("NR", "AK-"), ((27, UPPER),)),
    "grafana": (("gl", "sa_"), ((32, LETTERS), "_", (8, HEX))),
    "pulumi": (("pu", "l-"), ((40, HEX),)),
    "doppler": (("dp", ".pt."), ((43, LETTERS),)),
    "planetscale": (("ps", "cale_tkn_"), ((43, LETTERS),)),
    "airtable": (("pa", "t"), ((14, LETTERS), ".", (64, HEX))),
    "atlassian": (("AT", "ATT3"), ((180, LETTERS),)),
    "docker": (("dckr", "_pat_"), ((27, LETTERS),)),
    "age": (("AGE-", "SECRET-KEY-1"), ((58, UPPER),)),
    "supabase": (("sb", "p_"), ((40, HEX),)),
    "sentry": (("snt", "rys_eyJ"), ((120, LETTERS),)),
    "figma": (("fi", "gd_"), ((40, LETTERS),)),
    "rubygems": (("ruby", "gems_"), ((48, HEX),)),
    "buildkite": (("bk", "ua_"), ((40, HEX),)),
    "fly": (("fo", "1_"), ((43, LETTERS),)),
    "heroku": (("HR", "KU-"), ("AA", (58, LETTERS))),
    "postman": (("PM", "AK-"), ((24, HEX), "-", (34, HEX))),
    "wandb": (("wandb", "_v1_"), ((80, LETTERS),)),
}  # fmt: skip
EACH = 6


def made(service: str, number: int) -> str:
    draw = random.Random(f"{service} {number}")
    prefix, parts = SHAPES[service]
    return "".join(prefix) + "".join(
        part if isinstance(part, str) else "".join(draw.choice(part[1]) for _ in range(part[0])) for part in parts
    )


@pytest.mark.parametrize("service", SHAPES)
def test_a_token_is_masked_wherever_it_stands(service: str) -> None:
    for number in range(EACH):
        token = made(service, number)
        assert find_secret(f"x = '{token}'".encode()) is not None
        assert mask_text(f"got {token}, then") == "got ***, then"
        assert mask_text(f'{{"value": "{token}"}}\n') == '{"value": "***"}\n'
        assert mask_text(b"\xff\x00 " + token.encode() + b" \xfe") == b"\xff\x00 *** \xfe"
        assert mask_command(["run", "--name", token, f"--x={token}", f"X={token}"]) == (
            "run", "--name", "***", "--x=***", "X=***",
        )  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "DISCORD_TOKEN",
        "CLOUDFLARE_API_TOKEN",
        "AccountKey",
        "NEPTUNE_API_TOKEN",
        "CO_API_KEY",
        "db_password",
        "SIGNING_KEY",
    ],
)
def test_a_token_without_a_shape_is_known_by_its_name(name: str) -> None:
    secret = hashlib.sha256(name.encode()).hexdigest()[:40]
    assert mask_text(f"export {name}={secret}\n") == f"export {name}=***\n"
    assert mask_command([f"{name}={secret}"]) == (f"{name}=***",)


def harmless() -> list[str]:
    """What training prints and is called with, that looks random and is none of anybody's secrets."""
    draw = random.Random(1)
    texts = [
        f"--lr={draw.uniform(0, 1):.{n}e} wd={draw.uniform(0, 1e-3)!r} seed={draw.getrandbits(32)}" for n in range(20)
    ]
    for algorithm in ("md5", "sha1", "sha256", "sha512", "blake2b"):
        digests = [hashlib.new(algorithm, bytes([n])).hexdigest() for n in range(20)]
        texts += [f"{algorithm}:{d}" for d in digests] + [f"checkpoint-{d}.pt" for d in digests]
        texts += [f"commit {d} (HEAD)" for d in digests]
    texts += [str(uuid.UUID(int=draw.getrandbits(128))) for _ in range(50)]
    texts += ["run-" + uuid.UUID(int=draw.getrandbits(128)).hex for _ in range(20)]
    image = base64.b64encode(bytes(draw.getrandbits(8) for _ in range(9_000))).decode()
    texts += [f"data:image/png;base64,{image}", image[:500], base64.b64encode(image[:300].encode()).decode()]
    texts += [
        f"20260102-030405-{draw.getrandbits(32):08x}",
        "1735776000:123456",
        "step 12000: loss 1.234e-05 acc 0.987",
    ]
    texts += [
        "--model meta-llama/Llama-3.1-8B-Instruct --tokenizer gpt2 --max-tokens 4096 --num_key_value_heads 8",
        "pat = re.compile('x'); patience=5 path/to/pattern.txt sl.append(x) dp.pt model.dp.pt",
        "key=value keys: 3, sort_key=name, primary_key=id, foreign_key=3, pub-key-credential",
        "ak-47 as-is fw_hidden_size fw_ntn_layers secret_santa hvs.txt lin_api pul-over SKLEARN SK",
        "arn:aws:s3:::bucket/key tensor([-0.1234, 5.6789]) 0x7f3a2b1c4d5e <object at 0x7f00>",
        "https://example.org/path?lr=0.1&seed=3#frag ssh://git@host/x.git s3://bucket/AKdir/",
        "torch-2.6.0+cu124-cp311-cp311-linux_x86_64.whl#sha256=" + hashlib.sha256(b"w").hexdigest(),
    ]
    return texts


@pytest.mark.parametrize("text", harmless(), ids=lambda text: text[:24])
def test_nothing_else_that_looks_random_is_masked(text: str) -> None:
    assert mask_text(text) == text
    assert find_secret(text.encode()) is None
    assert mask_command(["train", *text.split()]) == ("train", *text.split())


_PIECES = [
    "password", "key=", "token ", "--", "-----BEGIN ", "PRIVATE KEY-----", "eyJ", ".eyJ", "://", "@", ":", "sk-",
    "basic ", "a_", "secret", "=", "\0", " ", "\n", "\t", '"', "AKIA", "A" * 50, "1:AA", "é",
]  # fmt: skip
_MASKS = """
import sys
from git_replicate.core.secrets import find_secret, mask_command, mask_text
pieces = sys.argv[1:]
for text in [piece * (400_000 // len(piece)) for piece in pieces]:
    mask_text(text), find_secret(text.encode()), mask_command([text, "--" + text, text + "=1"])
"""


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(st.lists(st.sampled_from([piece for piece in _PIECES if piece != "\0"]), min_size=1, max_size=5))
def test_no_text_however_long_and_odd_takes_more_than_linear_time(pieces: list[str]) -> None:
    """A quadratic expression would take hours for these; the limit is not a measure of speed."""
    subprocess.run([sys.executable, "-c", _MASKS, "".join(pieces), pieces[0]], check=True, timeout=120)


@given(st.lists(st.sampled_from(_PIECES), max_size=30).map("".join))
def test_what_is_masked_stays_as_it_is(text: str) -> None:
    masked = mask_text(text)
    assert mask_text(masked) == masked
