"""Keywords of a request as an error may show them: without API keys, tokens and other credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

MASK = "***"

_HARMLESS = frozenset({"accept", "anthropic-beta", "anthropic-version", "api-version", "content-type", "openai-beta"})
"""Headers and query parameters whose values stay readable. A gateway may take its token under any other name."""

_HOLDERS = frozenset({"default_headers", "default_query", "extra_headers", "extra_query", "headers"})
_CONTENT = frozenset({"contents", "input", "messages", "response_format", "tools"})
"""The prompt and the schema: the caller's own words, which stay as they are."""

_SECRET = re.compile(
    r"(api|access|secret|auth)[-_]?key|authorization|password|secret|credentials?|(.*[-_])?token", re.IGNORECASE
)


def mask_credentials(kwargs: Mapping[str, object]) -> dict[str, object]:
    """Copy the keywords of a request, with ``"***"`` in place of what may be a credential.

    The prompt is returned as it is, not copied.

    Example:
        >>> mask_credentials({"model": "m", "extra_headers": {"Authorization": "Bearer x", "OpenAI-Beta": "b"}})
        {'model': 'm', 'extra_headers': {'Authorization': '***', 'OpenAI-Beta': 'b'}}
    """
    return {name: value if name in _CONTENT else _mask(str(name), value) for name, value in kwargs.items()}


def _mask(name: str, value: object) -> object:
    if name in _HOLDERS and isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        return {key: member if str(key).lower() in _HARMLESS else MASK for key, member in members.items()}
    if _SECRET.fullmatch(name):
        return MASK
    if isinstance(value, Mapping):
        return mask_credentials(cast("Mapping[str, object]", value))
    return value
