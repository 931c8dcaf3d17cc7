"""Secrets in texts that are written down for others to read: keys, tokens, passwords, and whose home folder it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

from instructor.describing import refuse
from instructor.exceptions import ArgumentError

_NAME = (
    r"(?:password|passwd|passphrase|pwd|secret|credential|(?:api|access|account|auth|private|secret|subscription)[_-]?key"
    r"|(?:access|auth|api|bearer|client|id|private|refresh|session)[_-]?token|client[_-]?secret)"
)

KINDS: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "private key",
        "private key",
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|\Z)",
    ),
    ("password in a URL", "://", r"(?P<before>://[^\s/:@\"']*:)(?!\[REDACTED)[^\s/@\"']+(?=@)"),
    ("JWT", "eyj", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"),
    ("Anthropic key", "sk-ant-", r"\bsk-ant-[\w-]{16,}"),
    ("OpenRouter key", "sk-or-", r"\bsk-or-[\w-]{16,}"),
    ("OpenAI key", "sk-", r"\bsk-[\w-]{16,}"),
    ("Google key", "aiza", r"\bAIza[\w-]{30,}"),
    ("Google token", "ya29.", r"\bya29\.[\w-]{16,}"),
    ("AWS key", "akia asia abia acca", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    ("GitHub token", "gh", r"\b(?:gh[pousr]_|github_pat_)\w{20,}"),
    ("GitLab token", "glpat-", r"\bglpat-[\w-]{16,}"),
    ("Slack token", "xox xapp-", r"\b(?:xox[a-z]|xapp)-[\w-]{10,}"),
    ("Slack webhook", "hooks.slack.com", r"(?P<before>hooks\.slack\.com/(?:services|workflows|triggers)/)[\w/]+"),
    ("Stripe key", "_live_ _test_ whsec_", r"\b(?:[srp]k_(?:live|test)|whsec)_\w{10,}"),
    ("Twilio key", "sk ac", r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    ("SendGrid key", "sg.", r"\bSG\.[\w-]{16,}\.[\w-]{16,}"),
    ("Hugging Face token", "hf_", r"\bhf_[A-Za-z0-9]{20,}"),
    ("Groq key", "gsk_", r"\bgsk_\w{20,}"),
    ("xAI key", "xai-", r"\bxai-[\w-]{20,}"),
    ("Perplexity key", "pplx-", r"\bpplx-\w{20,}"),
    ("Replicate token", "r8_", r"\br8_\w{20,}"),
    ("npm token", "npm_", r"\bnpm_[A-Za-z0-9]{30,}"),
    ("PyPI token", "pypi-", r"\bpypi-[\w-]{30,}"),
    ("Databricks token", "dapi", r"\bdapi[0-9a-f]{32}"),
    ("DigitalOcean token", "_v1_", r"\bdo[oprt]_v1_[0-9a-f]{40,}"),
    ("Shopify token", "shp", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("Telegram token", ":aa", r"\b\d{8,10}:AA[\w-]{33}\b"),
    ("token", "bearer basic", r"(?i:(?P<before>\b(?:bearer|basic)\s+))(?=[A-Za-z._~+/-]*\d)[A-Za-z0-9._~+/=-]{12,}"),
    (
        "secret",
        "pass pwd secret credential key token",
        rf"(?i:(?P<before>{_NAME}[\"']?\s*[=:]\s*[\"']?))(?!\[REDACTED)[^\s\"',;&]{{4,}}",
    ),
    (
        "home",
        "home users",
        r"(?:(?<![\w.~/-])|(?<=file://))(?:/(?:home|Users)/|[A-Za-z]:[\\/]+Users[\\/]+)[^\s/\\\"'<>|:*?\[\]]+",
    ),
)
"""What is looked for: what it is called in its place; words of which one is in each text that has it, in small letters;
and its pattern. What ``before`` matches stays."""

_MARK = "[REDACTED {}]"
_SECRET_NAME = re.compile(rf"(?i:(?:.*[_-])?{_NAME}s?)")
_SHORT = 512

Rule = tuple[tuple[str, ...], re.Pattern[str], Callable[[re.Match[str]], str]]


class Redactor:
    """Puts the kind of a secret in its place: in texts, in data, and in JSON inside of texts, however deep.

    What was redacted stays the same when it is redacted again.

    Example:
        >>> Redactor()({"content": "Use sk-proj-abcdefghijklmnop1234 in /home/ann/x", "password": "tiger"})
        {'content': 'Use [REDACTED OpenAI key] in [REDACTED home]/x', 'password': '[REDACTED secret]'}
    """

    __slots__ = ("_rules", "_short")

    def __init__(self, more: Iterable[str | re.Pattern[str]] = ()) -> None:
        own = [(f"own {number}", "", pattern) for number, pattern in enumerate(_check_patterns(more), 1)]
        self._rules = [_make_rule(*row) for row in (*own, *KINDS)]
        self._short = lru_cache(4096)(self._redact_text)  # names and the words of schemas, which come again and again

    def __call__(self, value: Any) -> Any:
        """Return data without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            members = cast("Mapping[str, Any]", value)
            return {self.text(name): self._member(name, member) for name, member in members.items()}
        if isinstance(value, list | tuple):
            return [self(item) for item in cast("list[Any]", value)]
        return value

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        return self._short(text) if len(text) <= _SHORT else self._redact_text(text)

    def _member(self, name: str, value: Any) -> Any:
        if isinstance(value, str) and value and _SECRET_NAME.fullmatch(name) and not value.startswith("[REDACTED"):
            return _MARK.format("secret")
        return self(value)

    def _redact_text(self, text: str) -> str:
        if text[:1] in ("{", "["):
            text = self._redact_json(text)
        small = text.lower()  # most texts have none of the words, which are found faster than a pattern fails
        for words, pattern, replace in self._rules:
            if any(word in small for word in words):
                text = pattern.sub(replace, text)
        return text

    def _redact_json(self, text: str) -> str:
        try:
            value = json.loads(text)
            redacted = self(value)
            return text if redacted == value else write_compact(redacted)
        except (ValueError, RecursionError):
            return text


def write_compact(value: Any) -> str:
    """Write data as JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _make_rule(kind: str, words: str, pattern: str | re.Pattern[str]) -> Rule:
    compiled = re.compile(pattern, re.DOTALL) if isinstance(pattern, str) else pattern
    mark, keeps = _MARK.format(kind), "before" in compiled.groupindex
    return (
        tuple(words.split()) or ("",),
        compiled,
        (lambda match: match["before"] + mark) if keeps else (lambda _: mark),
    )


def _check_patterns(patterns: Any) -> list[str | re.Pattern[str]]:
    advice = "a list of regular expressions, such as [r'ACME-\\d+']"
    if isinstance(patterns, str):
        raise refuse("redact", patterns, advice)
    checked = cast("list[str | re.Pattern[str]]", list(patterns))
    for pattern in checked:
        if not isinstance(pattern, str | re.Pattern):
            raise refuse("redact", pattern, advice)
        try:
            re.compile(pattern)
        except re.error as error:
            raise ArgumentError(f"redact has an invalid regular expression: {error}. Pass {advice}.") from error
    return checked
