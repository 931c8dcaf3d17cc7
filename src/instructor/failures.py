"""What a failed request says: whether it may succeed later, when, and what the caller can do about it.

The SDKs' errors are distinguished by what they carry, so that no SDK is imported: openai and anthropic have a
``status_code``, google-genai a ``code``, and errors of the connection have one of a few base classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from instructor.exceptions import (
    AsyncValidationError,
    ConfigurationError,
    InstructorError,
    ModeError,
    ResponseParsingError,
)

_NOT_REACHED = {"APIConnectionError", "TransportError", "ConnectionError", "TimeoutError", "ClientConnectionError"}
"""Base classes of the errors of openai, anthropic, httpx, aiohttp and Python for a request that got no answer."""
_NO_CONNECTION = {
    "ConnectError",
    "ConnectionRefusedError",
    "gaierror",
    "ClientConnectorError",
    "EndpointConnectionError",
}
"""Those of httpx, Python, aiohttp and botocore for a connection that wasn't made: refused, to a name that nobody has, ..."""
_PASSING = {408, 409, 429}
"""Statuses below 500 that another request may not meet; the SDKs go by the same list."""
_LEAST_FAULT = 400
_SERVER_ERROR = 500
_STATUSES = {
    "throttlingexception": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "internalserverexception": 500,
    "modelstreamerrorexception": 500,
    "server_error": 500,
    "ended_early": 502,
    "serviceunavailableexception": 503,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What the providers call a failure that they report within a stream, which began with a status of success, and the
status that they answer with before one; `ended_early` is our own word."""
_NO_API = "not_an_api"
"""Our own word for a page in place of an answer, which no waiting mends."""
_SPENT = "insufficient_quota"
"""The code of a 429 that no waiting mends."""
_TOO_LARGE = "request too large"
"""How OpenAI begins the message of a 429 for a request of more tokens than are allowed in a minute. It has no code of its own."""
_REFUSED = 429
_UNKNOWN_KEY = {401, 403}
_NOT_FOUND = 404
_NO_SUCH_MODEL = ("model", "deployment", "invalid url")
"""What the words of a 404 are about that every request would meet, unlike one for a file that a row names."""
_DAY = 86_400
_SHOWN = 60
"""Letters of a page that an error shows."""
_TIMES_OUT = ("Timeout", "timed out")
_MISTAKES = (ConfigurationError, ModeError)
"""What no model can mend, whatever it answers. Some of them are ValueErrors, as callers expect of a wrong argument."""


def is_invalid_answer(error: Exception) -> bool:
    """Whether the model can mend the error when it is shown it, unlike an error of the network or a refusal."""
    from pydantic import ValidationError

    return isinstance(error, (ValidationError, ResponseParsingError, AsyncValidationError))


def find_mistake(error: Exception) -> Exception | None:
    """The program's own mistake that a validator met, such as a wrong argument of the call that it makes.

    Where it is a ValueError, pydantic takes it for an invalid answer, and the model would be asked again and again.
    """
    from pydantic import ValidationError

    found = error.errors if isinstance(error, AsyncValidationError) else [error]
    problems = (problem for part in found if isinstance(part, ValidationError) for problem in part.errors())
    causes = (problem.get("ctx", {}).get("error") for problem in problems)
    return next((cause for cause in causes if isinstance(cause, _MISTAKES)), None)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that a provider answered with; None for another error."""
    members = (getattr(error, name, None) for name in ("status_code", "code"))
    status = next((value for value in members if type(value) is int), None)
    if status is not None and status >= _LEAST_FAULT:
        return status
    return next(filter(None, map(_read_word, _words_of(error))), status)


def _words_of(error: BaseException) -> Iterator[object]:
    """What a failure within a stream is called: by the SDK's error, or by what the provider sent."""
    yield getattr(error, "code", None)
    yield getattr(error, "type", None)
    body: object = getattr(error, "body", None)
    response: object = getattr(error, "response", None)  # botocore's is a dict
    for holder in (body, _get(body, "error")):
        yield from (_get(holder, name) for name in ("code", "type"))
    yield _get(_get(response, "Error"), "Code")


def _get(holder: object, name: str) -> object:
    return cast("Mapping[str, object]", holder).get(name) if isinstance(holder, Mapping) else None


def _read_word(word: object) -> int | None:
    """The status that a provider's word stands for, or that it is, as it is of gateways."""
    text = str(word).lower() if isinstance(word, (str, int)) else ""
    if text.isdecimal() and len(text) == len("500"):
        return int(text)
    return _STATUSES.get(text)


def is_unreached(error: BaseException) -> bool:
    """Whether no answer came: the connection was refused, broke, or took too long."""
    return not {kind.__name__ for kind in type(error).__mro__}.isdisjoint(_NOT_REACHED)


def is_nowhere(error: BaseException) -> bool:
    """Whether a request, or a call, failed because there is nothing to ask: no server at the URL, no such model or path.

    A connection that broke or took too long doesn't show that.
    """
    ended = (isinstance(error, InstructorError) and error.__cause__) or error
    if getattr(ended, "code", None) == _NO_API:
        return True
    if status_of(ended) == _NOT_FOUND:
        is_plain = not isinstance(getattr(ended, "body", {}), Mapping)  # a page in place of the API's own answer
        return is_plain or any(word in str(ended).lower() for word in _NO_SUCH_MODEL)
    names = {kind.__name__ for found in _causes(ended) for kind in type(found).__mro__}
    return is_unreached(ended) and not names.isdisjoint(_NO_CONNECTION)


def may_recover(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    status = status_of(error)
    if status is None:
        return is_unreached(error)
    wanted = headers_of(error).get("x-should-retry")
    if wanted in ("true", "false"):
        return wanted == "true"
    return (status in _PASSING or status >= _SERVER_ERROR) and not is_hopeless(error)


def is_hopeless(error: BaseException) -> bool:
    """Whether a refusal isn't about the limits of the moment, so that no waiting mends it."""
    is_too_large = status_of(error) == _REFUSED and _TOO_LARGE in str(error).lower()
    return is_too_large or getattr(error, "code", None) == _SPENT


def is_about_the_account(error: BaseException) -> bool:
    """Whether every other request would fail likewise: the key isn't known, or what was paid for it is used up."""
    found = error.__cause__ or error  # what ended a call is the cause of the error that says so
    return status_of(found) == 401 or getattr(found, "code", None) == _SPENT  # noqa: PLR2004 - HTTP


def seconds_asked(error: BaseException, now: float) -> float | None:
    """Read how long a provider wants the next request to wait: ``Retry-After`` in seconds, or a date.

    A date is compared with that of the response, and with `now`, in Unix time, only where it has none.
    """
    headers = headers_of(error)
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        with suppress(ValueError):
            seconds = float(headers.get(name, "")) / unit
            return seconds if 0 <= seconds < float("inf") else None
    then, sent = _read_date(headers.get("retry-after", "")), _read_date(headers.get("date", ""))
    return None if then is None else max(0.0, then - (now if sent is None else sent))


def _read_date(text: str) -> float | None:
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    with suppress(ValueError, OverflowError):
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def advise(
    error: BaseException, key_variables: Sequence[str], base_url: str = "", *, was_sent_again: bool = False
) -> str:
    """Say what to do about a failed request, for the end of a message; empty where nothing is known.

    `base_url` is named where the error doesn't say which URL was asked, as aiohttp's don't. To wait is no advice for a
    request that `was_sent_again`, because that waits.
    """
    advice = _advise(error, key_variables, base_url, was_sent_again=was_sent_again)
    return f".{advice}" if advice and str(error).rstrip()[-1:] not in ".!?" else advice


def _advise(error: BaseException, key_variables: Sequence[str], base_url: str, *, was_sent_again: bool) -> str:
    status = status_of(error)
    if status in _UNKNOWN_KEY or (status == 400 and "API key" in str(error)):  # noqa: PLR2004 - Google's status for it
        names = " or ".join(key_variables)
        return f" Check the key: api_key=, or the environment variable {names}." if names else " Check the key."
    if status == _NOT_FOUND:
        return f" Check the model, and base_url=: the request went to {_url_of(error) or base_url or 'the provider'}."
    if status is not None or not is_unreached(error):
        is_advised = may_recover(error) and not was_sent_again
        return _advise_wait(seconds_asked(error, time.time()) if is_advised else None)
    cause = list(_causes(error))[-1]
    url = _url_of(error) or base_url
    if any(sign in type(found).__name__ or sign in str(found) for found in _causes(error) for sign in _TIMES_OUT):
        return f" {url or 'The provider'} did not answer in time. Pass a longer timeout=, or try again later."
    is_refused = any(isinstance(found, ConnectionRefusedError) for found in _causes(error))
    why = "the connection was refused" if is_refused else str(cause).rstrip(".") or type(cause).__name__
    if not is_nowhere(error):
        return f" The connection to {url or 'the provider'} broke: {why}. Check the network."
    return f" Nothing answers at {url or 'the provider'}: {why}. Check base_url= and the network."


def _advise_wait(asked: float | None) -> str:
    """Say how to obey a ``Retry-After``: a wait that is longer than what the caller allows ends the call."""
    if not asked or asked > _DAY:
        return ""
    seconds = math.ceil(asked)
    return (
        f" The provider asks to wait {seconds} s. Pass max_retries=Retries(requests=2, longest_wait={seconds}) to wait."
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the root last."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _url_of(error: BaseException) -> str:
    """The URL that was asked, without its query and without a password, which may both hold a key."""
    for found in _causes(error):
        from urllib.parse import urlsplit

        with suppress(RuntimeError, AttributeError, ValueError):  # httpx raises for an error without a request
            request: Any = getattr(found, "request")  # noqa: B009 - an attribute of the SDKs' errors
            parts = urlsplit(str(request.url))
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return ""


def describe_body(body: str | None, kind: str, url: str, error: Exception | None) -> tuple[str, str]:
    """Say what came with a status of success and isn't an answer, by a code and in words.

    A server that has too much to do may send nothing, or only the beginning of its JSON: that may succeed later. A page
    says that something else listens at the URL. `kind` is its content type.
    """
    if body is None:
        return "", f"Its SDK cannot read the answer: {error}"
    beginning = " ".join(body[:_SHOWN].split())
    if not beginning or beginning[0] in "{[":
        return "ended_early", f"The answer is {'cut off, or not JSON' if beginning else 'empty'}. Ask again."
    what = f"({kind}) " if kind else ""
    return _NO_API, (
        f"What came {what}isn't the answer of an API. It begins with {beginning!r}. Check base_url=: {url or 'the URL'} "
        "may lack a part such as /v1 or have it twice, or a proxy or a sign-in page stands before it."
    )


def headers_of(error: BaseException) -> Mapping[str, str]:
    """The headers of the response that an error is about, their names in lower case; empty where there is none.

    Google has no header for how long to wait, and says it in the body: that stands here as ``retry-after``.
    """
    headers: object = getattr(getattr(error, "response", None), "headers", None)
    pairs = cast("Mapping[object, object]", headers).items() if isinstance(headers, Mapping) else ()
    found = {str(name).lower(): str(value) for name, value in pairs}
    bodies = (getattr(error, name, None) for name in ("details", "body"))  # Google's own SDK, and openai's
    delay = next(filter(None, map(_find_delay, bodies)), None)
    return {"retry-after": delay, **found} if delay else found


def _find_delay(body: object, depth: int = 4) -> str | None:
    """Find the seconds of a ``google.rpc.RetryInfo``, which is one of the details of an error."""
    if isinstance(body, Mapping):
        members = cast("Mapping[object, object]", body)
        delay = members.get("retryDelay")
        if isinstance(delay, str):
            return delay.removesuffix("s")
        inner: Iterable[object] = members.values()
    elif isinstance(body, list):
        inner = cast("list[object]", body)
    else:
        return None
    return next(filter(None, (_find_delay(one, depth - 1) for one in inner)), None) if depth else None
