"""The shapes of the tokens of known services: what is certain enough to be masked wherever it stands.

Each is a prefix that its service documents, and a length; a token without a prefix of its own (32 hex digits) is no
different from a hash, and is found only by the name beside it. No rule set of others is used: they look for anything
random, which hashes, UUIDs and weights are, and take longer to import than a run takes to start.
"""

from __future__ import annotations

from typing import Final

SHAPES: Final[tuple[tuple[str, bytes, tuple[bytes, ...]], ...]] = (
    # kind, expression, literal text of which at least one is in every match
    ("private key", rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----", (b"PRIVATE KEY",)),
    ("AWS access key", rb"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])", (b"AKIA", b"ASIA", b"ABIA", b"ACCA")),
    ("GitHub token", rb"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,})",
     (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_")),
    ("GitLab token", rb"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[\w-]{20,}", (
         b"glpat-", b"gldt-", b"glrt-", b"glcbt-", b"glptt-", b"glft-", b"glimt-", b"glagent-", b"gloas-", b"glsoat-",
     )),
    ("Slack token", rb"(?:xox[abeoprs]-[0-9A-Za-z-]{10,}|xapp-\d-[0-9A-Za-z-]{10,})", (b"xox", b"xapp-")),
    ("Slack webhook", rb"https://hooks\.slack\.com/(?:services|workflows)/[\w/+-]{20,}", (b"hooks.slack.com",)),
    ("Hugging Face token", rb"(?:hf|api_org)_[A-Za-z0-9]{30,}", (b"hf_", b"api_org_")),
    ("Anthropic key", rb"sk-ant-[\w-]{20,}", (b"sk-ant-",)),
    ("OpenAI key", rb"sk-(?:proj|svcacct|admin|None)-[\w-]{20,}", (b"sk-",)),
    ("OpenAI key", rb"sk-(?=[A-Za-z0-9]*\d)(?=[A-Za-z0-9]*[A-Z])[A-Za-z0-9]{32,}(?![\w-])", (b"sk-",)),
    ("Google key", rb"(?:AIza[\w-]{35}(?![\w-])|GOCSPX-[\w-]{20,}|ya29\.[\w-]{20,})", (b"AIza", b"GOCSPX-", b"ya29.")),
    ("Stripe key", rb"(?:[sr]k_(?:live|test)_|whsec_)[A-Za-z0-9]{16,}", (b"k_live_", b"k_test_", b"whsec_")),
    ("npm token", rb"npm_[A-Za-z0-9]{36}(?!\w)", (b"npm_",)),
    ("PyPI token", rb"pypi-[\w-]{50,}", (b"pypi-",)),
    ("JSON web token", rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}", (b"eyJ",)),
    ("Databricks token", rb"dapi[0-9a-f]{32}(?![0-9A-Za-z])", (b"dapi",)),
    ("DigitalOcean token", rb"do[oprt]_v1_[0-9a-f]{64}", (b"_v1_",)),
    ("Weights & Biases key", rb"wandb_v\d_[\w]{40,}", (b"wandb_v",)),
    ("SendGrid key", rb"SG\.[\w-]{16,}\.[\w-]{32,}", (b"SG.",)),
    ("OpenRouter key", rb"sk-or-v1-[0-9a-f]{64}", (b"sk-or-",)),
    ("Replicate token", rb"r8_[A-Za-z0-9]{37}(?!\w)", (b"r8_",)),
    ("Groq key", rb"gsk_[A-Za-z0-9]{48,}", (b"gsk_",)),
    ("Perplexity key", rb"pplx-[A-Za-z0-9]{40,}", (b"pplx-",)),
    ("xAI key", rb"xai-[A-Za-z0-9]{70,}", (b"xai-",)),
    ("NVIDIA key", rb"nvapi-[\w-]{60,}", (b"nvapi-",)),
    ("Fireworks key", rb"fw_(?=[A-Za-z0-9]*\d)(?=[a-z0-9]*[A-Z])[A-Za-z0-9]{22,24}(?!\w)", (b"fw_",)),
    ("Tavily key", rb"tvly-[A-Za-z0-9-]{30,}", (b"tvly-",)),
    ("Pinecone key", rb"pcsk_[A-Za-z0-9_]{50,}", (b"pcsk_",)),
    ("LangSmith key", rb"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}", (b"lsv2_",)),
    ("Modal token", rb"a[ks]-(?=[A-Za-z0-9]*\d)(?=[a-z0-9]*[A-Z])[A-Za-z0-9]{22}(?![\w-])", (b"ak-", b"as-")),
    ("Linear key", rb"lin_(?:api|oauth)_[A-Za-z0-9]{40,}", (b"lin_",)),
    ("Notion token", rb"(?:ntn_[A-Za-z0-9]{46}|secret_(?=[A-Za-z]*\d)[A-Za-z0-9]{43})(?!\w)", (b"ntn_", b"secret_")),
    ("Vault token", rb"hv[sbr]\.[\w-]{24,}", (b"hvs.", b"hvb.", b"hvr.")),
    ("Telegram token", rb"\d{8,10}:AA[\w-]{32,33}(?![\w-])", (b":AA",)),
    ("Twilio key", rb"SK[0-9a-f]{32}(?!\w)", (b"SK",)),
    ("Mailchimp key", rb"[0-9a-f]{32}-us\d{1,2}(?!\w)", (b"-us",)),
    ("Shopify token", rb"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}", (b"shpat_", b"shpca_", b"shppa_", b"shpss_")),
    ("Square token", rb"sq0(?:atp|csp|idp)-[\w-]{22,}", (b"sq0",)),
    ("Dropbox token", rb"sl\.[\w-]{100,}", (b"sl.",)),
    ("New Relic key", rb"NRAK-[A-Z0-9]{27}", (b"NRAK-",)),
    ("Grafana token", rb"(?:glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|glc_[A-Za-z0-9+/]{32,})", (b"glsa_", b"glc_")),
    ("Pulumi token", rb"pul-[0-9a-f]{40}", (b"pul-",)),
    ("Doppler token", rb"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{40,}", (b"dp.",)),
    ("PlanetScale token", rb"pscale_(?:tkn|pw|oauth)_[\w.-]{32,}", (b"pscale_",)),
    ("Airtable token", rb"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", (b"pat",)),
    ("Atlassian token", rb"AT(?:ATT|BB|CTT)[\w=.-]{28,}", (b"ATATT", b"ATBB", b"ATCTT")),
    ("Docker token", rb"dckr_(?:pat|oat)_[\w-]{24,}", (b"dckr_",)),
    ("age key", rb"AGE-SECRET-KEY-1[A-Z0-9]{58}", (b"AGE-SECRET",)),
    ("Supabase key", rb"sb(?:p_[0-9a-f]{40}|_secret_[\w-]{20,})", (b"sbp_", b"sb_secret")),
    ("Sentry token", rb"(?:sntrys_eyJ[\w+/=-]{40,}|sntryu_[0-9a-f]{64})", (b"sntry",)),
    ("Figma token", rb"figd_[\w-]{38,}", (b"figd_",)),
    ("RubyGems key", rb"rubygems_[0-9a-f]{48}", (b"rubygems_",)),
    ("Buildkite token", rb"bkua_[0-9a-f]{40}", (b"bkua_",)),
    ("Fly.io token", rb"(?:fo1_[\w-]{43}|fm[12][ar]?_[A-Za-z0-9+/=,_-]{80,})", (b"fo1_", b"fm1", b"fm2")),
    ("Heroku key", rb"HRKU-[\w-]{36,}", (b"HRKU-",)),
    ("Postman key", rb"PMAK-[0-9a-f]{24}-[0-9a-f]{34}", (b"PMAK-",)),
)  # fmt: skip
