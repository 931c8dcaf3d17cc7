"""Keywords of a request as an error may show them: without keys, tokens and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

MASK = "***"

_HARMLESS = frozenset({"accept", "anthropic-beta", "anthropic-version", "api-version", "content-type", "openai-beta"})
"""Headers and query parameters whose values stay readable. A gateway may take its token under any other name."""

_HOLDERS = frozenset({"default_headers", "default_query", "extra_headers", "extra_query", "headers"})
_CONTENT = frozenset({"contents", "input", "messages", "response_format", "tools"})
"""The prompt and the schema: the caller's own words, which stay as they are."""

_SECRET = re.compile(
    r"(api|access|secret|auth)[-_]?key|authorization|password|secret|credentials?|(.*[-_])?token", re.IGNORECASE
)


def mask_credentials(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the keywords of a request, with ``"***"`` in place of what may be a credential.

    Use it before a request is put where others may read it, such as an exception that a queue carries on.

    Args:
        kwargs: The keywords; they are not changed. The prompt is handed over, not copied.

    Example:
        >>> mask_credentials({"model": "m", "extra_headers": {"Authorization": "Bearer x", "OpenAI-Beta": "b"}})
        {'model': 'm', 'extra_headers': {'Authorization': '***', 'OpenAI-Beta': 'b'}}
    """
    return {name: value if name in _CONTENT else _mask(str(name), value) for name, value in kwargs.items()}


def _mask(name: str, value: Any) -> Any:
    if name in _HOLDERS and isinstance(value, Mapping):
        members = cast("Mapping[Any, Any]", value)
        return {key: member if str(key).lower() in _HARMLESS else MASK for key, member in members.items()}
    if _SECRET.fullmatch(name):
        return MASK
    if isinstance(value, Mapping):
        return mask_credentials(cast("Mapping[str, Any]", value))
    return value
