"""Keywords of a request as an error may show them: without API keys, tokens and other credentials."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from typing import cast
from urllib.parse import unquote_plus

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


_SHORTEST = 8
"""A shorter text isn't taken for a credential, because it may stand anywhere by chance."""


def mask_error(error: Exception, known: Iterable[str] = ()) -> None:
    """Replace, in the texts of an error, the credentials of the request that it is about: some servers echo them.

    An SDK's error has its request. `known` are those of the client, for an error that has none, such as one about an
    answer of status 200. The error stays the same object, because users catch and read the SDK's own.
    """
    long_enough = {value for value in (*known, *_find_sent(error)) if len(value) >= _SHORTEST}
    secrets = sorted(long_enough, key=len, reverse=True)
    if not secrets:
        return
    error.args = tuple(_replace(value, secrets) for value in error.args)
    for name, value in list(vars(error).items()):
        masked = _replace(value, secrets)
        if masked != value:
            setattr(error, name, masked)


def _find_sent(error: Exception) -> list[str]:
    """Return the credentials in the headers and the URL that were sent."""
    request: object = None
    with contextlib.suppress(RuntimeError):  # by httpx, for an error or a response that has no request
        response: object = getattr(error, "response", None)
        # aiohttp, which google-genai uses where it is installed, has another name for it.
        places = ((error, "request"), (response, "request"), (response, "request_info"), (error, "request_info"))
        request = next((found for place, name in places if (found := getattr(place, name, None)) is not None), None)
    headers: object = getattr(request, "headers", None)
    sent: Mapping[str, str] = cast("Mapping[str, str]", headers) if isinstance(headers, Mapping) else {}
    values = [value.removeprefix("Bearer ") for name, value in sent.items() if _SECRET_HEADER.search(name)]
    return values + _find_in_url(str(getattr(request, "url", "")))


def _find_in_url(url: str) -> list[str]:
    """Return the values of a URL's query, as they stand there and decoded. A gateway may take a key under any name."""
    members = (member.partition("=") for member in url.partition("?")[2].partition("#")[0].split("&"))
    values = [value for name, _, value in members if name.lower() not in _HARMLESS]
    return [*values, *map(unquote_plus, values)]


_SECRET_HEADER = re.compile(r"key|auth|token|secret|cookie", re.IGNORECASE)


def _replace(value: object, secrets: list[str]) -> object:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if type(value) is dict:
        return {name: _replace(member, secrets) for name, member in cast("dict[object, object]", value).items()}
    if type(value) is list:
        return [_replace(member, secrets) for member in cast("list[object]", value)]
    return value
