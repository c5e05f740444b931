"""Which names and which text look like secrets, and text with them masked.

Pure: no file is opened here. Two degrees of certainty. A *shape* (a private key block, a token with the prefix of a
known service) is certain enough to leave a file out. A *name* (`--password X`, `api_key=…`, credentials in an
address) only masks the value beside it. Names that machine learning uses for other things (`pad_token`, `max_tokens`,
`--token 100`) are let through, as are numbers, hashes, UUIDs and base64 images.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, overload

from git_replicate.core.patterns import lazy
from git_replicate.core.secret_shapes import SHAPES

MASK: Final = "***"
"""What is written instead of a secret."""

_START = rb"(?:(?<![A-Za-z0-9_\-+/=])|(?<=[A-Za-z_]=))"
_COMPILED = [(kind, lazy(_START + b"(?:" + shape + b")"), hints) for kind, shape, hints in SHAPES]
_KEY_BLOCK = lazy(rb"-----BEGIN ((?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)

# An access key of AWS is 40 characters with no shape of its own; its name beside it makes it one.
_AWS_SECRET = lazy(rb"(?i)(aws_?secret_?access_?key[\"']?\s*[=:]\s*[\"']?)([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])")

_ALWAYS = (
    "(?:pass(?:word|wd|phrase)|(?<![a-z])pwd|api[_-]?key|(?<![a-z])secret(?:[_-]?access)?(?:[_-]?key)?"
    "|(?:private|access|account|signing|encryption)[_-]?key|client[_-]?secret)"
)
_TOKENS = (
    "(?:(?:auth|access|api|refresh|bearer|security|personal|private|secret|bot|deploy|hub|hf|hugging_?face|git_?hub"
    "|git_?lab|gh|slack|wandb|neptune|comet|clearml|mlflow|kaggle|pypi|npm|aws|azure|gcp|vault|discord|telegram|slack_?bot|replicate|notion|linear|modal|databricks|snyk|sentry|cloudflare"
    "|heroku|dropbox|circleci|codecov|sonar|jira|digitalocean)[_-]?token)"
)
_SECRET_NAME = lazy(rf"(?:(?:.*[_-])?(?:{_ALWAYS}|{_TOKENS})|token)", re.IGNORECASE)
_HARMLESS = lazy(r"|true|false|yes|no|on|off|none|null|auto|\*+|<[^>]*>|\[[^\]]*\]?", re.IGNORECASE)
_NUMBER = lazy(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)

_ADDRESS = lazy(rb"([A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@'\"]{0,200}):([^\s/@'\"]{1,400})@")
_BEARER = lazy(rb"(?i)\b((?:bearer|basic)[ \t]+)([A-Za-z0-9._~+/=-]{16,})")
_ASSIGNED = lazy(
    (
        rf"(?i)((?:{_ALWAYS}|{_TOKENS}|(?<![a-z_-])token|(?<![\w-])--?token)[\"']?[ \t]*[=:][ \t]*[\"']?)"
        r"([^\s\"',;&]+)"
    ).encode()
)
_OPTION = lazy(
    rf"(?i)((?<!\S)--?(?:[a-z0-9]*[_.-])*(?:{_ALWAYS}|{_TOKENS}|token)[ \t]+[\"']?)([^\s\"'-][^\s\"']*)".encode()
)
_HINTS = tuple(
    # Each begins with fixed text and is tried on lower-cased text: twenty times faster than the expressions above.
    lazy(word + rb"[\"']?[ \t]{0,8}[=:]")
    for word in (b"password", b"passwd", b"passphrase", b"pwd", b"secret", b"key", b"token")
) + tuple(
    lazy(hint)
    for hint in (
        rb"://[^\s/@]{1,600}@",
        rb"bearer[ \t]",
        rb"basic[ \t]",
        rb"--?(?:[a-z][\w.-]{0,80})?(?:pass|pwd|key|secret|token)",  # unbounded, it would be quadratic
    )
)
_BEFORE, _AFTER = 300, 4000  # bytes around a hint that the slower expressions look at

_OPTION_WORD = lazy(r"--?([A-Za-z][\w.-]*)")
_ASSIGNMENT_WORD = lazy(r"(\+{0,2}-{0,2}[A-Za-z][\w./-]*)=(.*)", re.DOTALL)

_SECRET_FILES: Final = lazy(
    r"""
    \.env(?!\.(?:example|sample|template|dist|defaults?)$)(?:\..+)? | .+\.env | \.envrc
    | .+\.(?:pem|key|p12|pfx|p8|jks|keystore|kdbx|ppk|ovpn|tfvars)
    | id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)? | (?:.+_)?(?:rsa|dsa|ecdsa|ed25519)
    | [._]netrc | \.pypirc | \.npmrc | \.git-credentials | \.htpasswd | \.pgpass | \.my\.cnf | \.boto | \.s3cfg
    | \.dockercfg | \.vault-token | kubeconfig | kaggle\.json
    | (?:.*[._-])?credentials?(?:\.(?:json|toml|ya?ml|ini|cfg|csv|txt|db|xml|properties))?
    | (?:.*[._-])?secrets?\.(?:json|toml|ya?ml|ini|cfg|txt|properties|enc)
    | client_secrets?.*\.json | (?:.*[._-])?service[_-]?account.*\.json
    | (?:.*[._-])?api[_-]?keys?\.(?:txt|json) | (?:(?:auth|access|api|hf|github|bearer)[._-])?token(?:\.txt)?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SECRET_PATHS: Final = lazy(r"(?:.*/)?(?:\.aws/(?:credentials|config)|\.docker/config\.json|\.kube/config|\.ssh/.+)")


def looks_secret_name(path: bytes) -> bool:
    """Whether a file is named as secrets are: `.env`, `id_rsa`, `credentials.json`; code is not (`secrets.py`)."""
    text = path.decode("utf-8", "replace")
    name = text.rpartition("/")[2]
    if name.endswith((".pub", ".py", ".example")):
        return False
    return _SECRET_FILES.fullmatch(name) is not None or _SECRET_PATHS.fullmatch(text) is not None


def find_secret(data: bytes) -> str | None:
    """The kind of the first secret whose shape alone is certain ("GitHub token"), or None."""
    for kind, expression, hints in _COMPILED:
        if any(hint in data for hint in hints) and expression.search(data):
            return kind
    if b"secret" in data.lower() and _AWS_SECRET.search(data):
        return "AWS secret key"
    return None


@overload
def mask_text(text: bytes) -> bytes: ...
@overload
def mask_text(text: str) -> str: ...
def mask_text(text: bytes | str) -> bytes | str:
    """The text with every secret in it replaced by `***`; names beside values, and everything else, stay."""
    if isinstance(text, str):
        return mask_text(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
    if b"PRIVATE KEY" in text:
        text = _KEY_BLOCK.sub(rb"-----BEGIN \1----- " + MASK.encode(), text)
    for kind, expression, hints in _COMPILED:
        if kind != "private key" and any(hint in text for hint in hints):
            text = expression.sub(MASK.encode(), text)
    parts, position = [], 0
    for start, end in _suspicious(text):
        parts += [text[position:start], _mask_named(text[start:end])]
        position = end
    return b"".join([*parts, text[position:]])


def _suspicious(text: bytes) -> list[tuple[int, int]]:
    """The stretches of text in which a secret's name may stand, in order and apart: whole lines, unless very long."""
    lower = text.lower()
    spans: list[tuple[int, int]] = []
    for hit in sorted(match.start() for hint in _HINTS for match in hint.finditer(lower)):
        start = max(0, hit - _BEFORE, text.rfind(b"\n", max(0, hit - _BEFORE), hit) + 1)
        line_end = text.find(b"\n", hit, hit + _AFTER)
        end = min(len(text), hit + _AFTER) if line_end < 0 else line_end
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _mask_named(text: bytes) -> bytes:
    text = _AWS_SECRET.sub(_keep_name, text)
    text = _ADDRESS.sub(rb"\1:" + MASK.encode() + b"@", text)
    text = _BEARER.sub(_keep_name, text)
    text = _ASSIGNED.sub(_mask_value, text)
    return _OPTION.sub(_mask_value, text)


def _keep_name(match: re.Match[bytes]) -> bytes:
    return match[1] + MASK.encode()


def _mask_value(match: re.Match[bytes]) -> bytes:
    value = match[2].decode("utf-8", "replace")
    name = re.sub(r"[\"'=:\s]+$", "", match[1].decode("utf-8", "replace")).lstrip("-")
    # A bare `token: word` in a log is a word of a vocabulary far more often than a credential.
    if name.lower().rpartition(".")[2] == "token" and not _looks_random(value):
        return match[0]
    return match[0] if _harmless(name, value) else _keep_name(match)


def _looks_random(value: str) -> bool:
    return len(value) >= 12 and any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _harmless(name: str, value: str) -> bool:
    """Whether a value beside a secret's name is none: a switch, a special token, or (not for passwords) a number."""
    if _HARMLESS.fullmatch(value):
        return True
    return not re.search("pass|pwd|secret", name, re.IGNORECASE) and _NUMBER.fullmatch(value) is not None


def is_ordinary(value: str) -> bool:
    """Whether a value is a switch, a placeholder or a number, which stand in many a text that holds no secret."""
    return _HARMLESS.fullmatch(value) is not None or _NUMBER.fullmatch(value) is not None


def is_secret_name(name: str) -> bool:
    """Whether a param, option or variable of this name holds a secret: `api_key`, `db.password`, `--hf-token`."""
    last = re.split(r"[./]", name.lstrip("+-"))[-1]
    return _SECRET_NAME.fullmatch(last) is not None


def mask_command(args: Sequence[str]) -> tuple[str, ...]:
    """A command with its secrets replaced by `***`: option values, assignments, addresses, tokens by shape."""
    masked: list[str] = []
    expecting = ""
    for word in args:
        if expecting and not (word.startswith("--") and _OPTION_WORD.fullmatch(word)):
            masked.append(word if _harmless(expecting, word) else MASK)
            expecting = ""
            continue
        expecting = ""
        option = _OPTION_WORD.fullmatch(word)
        assignment = _ASSIGNMENT_WORD.fullmatch(word)
        if option and is_secret_name(option[1]):
            expecting = option[1]
            masked.append(word)
        elif assignment and is_secret_name(assignment[1]):
            value = assignment[2]
            masked.append(word if _harmless(assignment[1], value) else f"{assignment[1]}={MASK}")
        else:
            masked.append(mask_text(word))
    return tuple(masked)
