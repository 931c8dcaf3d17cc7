"""Canary secrets of every kind that is redacted, put together at run time so that no scanner takes them for real ones."""

from __future__ import annotations

import random
import string

_draw = random.Random(7)  # the same ones in each run


def _letters(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "7" + "".join(_draw.choices(alphabet, k=count - 1))


_HEX = "0123456789abcdef"
_KEY_BODY = "\n".join(_letters(64) for _ in range(3))

# What must not be found, and the text in which it stands.
CANARIES: dict[str, tuple[str, str]] = {
    kind: (secret, template.replace("@", secret, 1))
    for kind, secret, template in (
        ("private key", _KEY_BODY, "-----BEGIN RSA PRIVATE" + " KEY-----\n@\n-----END RSA PRIVATE" + " KEY-----"),
        ("password in a URL", "hunter" + _letters(8), "postgres://ann:@" + "@db.example.com/users"),
        ("JWT", "eyJ" + _letters(20) + ".eyJ" + _letters(40) + "." + _letters(30), "a @ b"),
        ("Anthropic key", "sk-ant-api03-" + _letters(40), "key @."),
        ("OpenRouter key", "sk-or-v1-" + _letters(40), "(@)"),
        ("OpenAI key", "sk-proj-" + _letters(40), "use @, please"),
        ("Google key", "AIza" + _letters(35), "@"),
        ("Google token", "ya29." + _letters(40), "@"),
        ("AWS key", "AKIA" + _letters(16, string.ascii_uppercase + string.digits), "@"),
        ("GitHub token", "ghp_" + _letters(36), "@"),
        ("GitLab token", "glpat-" + _letters(20), "@"),
        ("Slack token", "xoxb-" + _letters(24), "@"),
        (
            "Slack webhook",
            "T0" + _letters(8) + "/B0" + _letters(8) + "/" + _letters(24),
            "https://hooks.slack.com/services/@",
        ),
        ("Stripe key", "sk_live_" + _letters(24), "@"),
        ("Twilio key", "SK" + _letters(32, _HEX), "@"),
        ("SendGrid key", "SG." + _letters(22) + "." + _letters(43), "@"),
        ("Hugging Face token", "hf_" + _letters(34), "@"),
        ("Groq key", "gsk_" + _letters(50), "@"),
        ("xAI key", "xai-" + _letters(60), "@"),
        ("Perplexity key", "pplx-" + _letters(40), "@"),
        ("Replicate token", "r8_" + _letters(37), "@"),
        ("npm token", "npm_" + _letters(36), "@"),
        ("PyPI token", "pypi-" + _letters(60), "@"),
        ("Databricks token", "dapi" + _letters(32, _HEX), "@"),
        ("DigitalOcean token", "dop_v1_" + _letters(64, _HEX), "@"),
        ("Shopify token", "shpat_" + _letters(32, _HEX), "@"),
        ("Telegram token", "7123456789:AA" + _letters(33), "@"),
        ("token", _letters(40), "Authorization: Bearer @"),
        ("secret", _letters(40), "aws_secret_access_key = '@'"),
        ("home", "annabelle" + _letters(4), "in /Users/@/notes.txt"),
    )
}
