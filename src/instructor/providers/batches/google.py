"""Gemini's batch API, with the requests and the results inline."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from instructor.exceptions import ConfigurationError
from instructor.providers.batches.steps import Out, Steps
from instructor.providers.batches.vendor import (
    CANCELLED,
    Intent,
    Progress,
    Vendor,
    failed,
    found,
    upload_nothing,
)

if TYPE_CHECKING:
    from instructor.messages import Request
    from instructor.providers.adapter import Adapter

_ENDED = {
    *("JOB_STATE_SUCCEEDED", "JOB_STATE_PARTIALLY_SUCCEEDED", "JOB_STATE_FAILED"),
    *("JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"),
}
_WRONG = {3, 5, 7, 9, 11, 12, 16, *range(400, 429)}
"""Codes, of gRPC or of HTTP, that say that the request itself is wrong."""
_KEY = "key"
_OF_LIVE_REQUESTS = {"timeout", "retry_options"}
"""Options of HTTP that say nothing of the answer."""


def write(key: str, operation: str, request: Request) -> tuple[dict[str, Any], int, Mapping[str, str]]:
    """Write a request of the batch."""
    del operation
    _check_sdk()
    config: Mapping[str, Any] = request.get("config") or {}
    lost = sorted({*(config.get("http_options") or ())} - _OF_LIVE_REQUESTS)
    if lost:
        raise ConfigurationError(f"A row of Google's batches has no http_options[{lost[0]!r}]. Ask with create().")
    _check_config(config)
    row = {**request, "metadata": {_KEY: key}}
    return row, len(orjson.dumps(row, default=_measure)), {}


def _check_config(config: Mapping[str, Any]) -> None:
    """Refuse what the SDK would refuse only when the batch is submitted, and by names of its own."""
    from google.genai import types

    try:
        types.GenerateContentConfig.model_validate(config)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise ConfigurationError(
            f"The SDK for google does not take {name}= in a request: {first['msg']}. Correct it, or leave it out."
        ) from None


@cache
def _check_sdk() -> None:
    """Refuse an SDK that doesn't say whose an answer is: it would be paid for and lost."""
    from google.genai import types

    if "metadata" not in types.InlinedResponse.model_fields:
        raise ConfigurationError(
            "This version of google-genai doesn't say to which row of a batch an answer belongs. Install google-genai "
            "1.66 or later."
        )


def create(adapter: Adapter, intent: Intent, lines: list[Any]) -> Steps[str]:
    """Submit it under our name. The SDK must not send this twice."""
    request = {"model": intent.model, "src": lines, "config": {"display_name": intent.id}}
    batch = yield partial(adapter.send_once, "batches.create", request, None)
    return str(batch.name)


def listing(adapter: Adapter) -> Steps[None]:
    """Show the batches."""
    pager = yield partial(adapter.send, "batches.list", {"config": {"page_size": 100}})
    while True:
        for batch in pager.page:
            yield Out(batch)
        try:
            yield pager.next_page
        except IndexError:  # the SDK's way to say that this was the last page
            return


def name(batch: Any) -> str:
    """What Google calls a batch."""
    return str(batch.name)


def resembles(batch: Any, intent: Intent) -> bool:
    """Whether a batch has our name of it."""
    return bool(batch.display_name == intent.id)


def poll(adapter: Adapter, intent: Intent) -> Steps[Progress]:
    """Ask for its state. A batch that succeeded may consist of rows that failed."""
    batch = yield partial(adapter.send, "batches.get", {"name": intent.vendor_id})
    state = getattr(batch.state, "name", str(batch.state))
    rows = _rows(batch)
    done = sum(row.response is not None for row in rows)
    errors = {
        "JOB_STATE_FAILED": getattr(batch.error, "message", None) or "it failed",
        "JOB_STATE_CANCELLED": CANCELLED,
    }
    return Progress(state in _ENDED, done, len(rows) - done, errors.get(state, ""))


def results(adapter: Adapter, intent: Intent) -> Steps[None]:
    """Read the rows, which name their keys."""
    batch = yield partial(adapter.send, "batches.get", {"name": intent.vendor_id})
    for row in _rows(batch):
        metadata: dict[str, str] = row.metadata or {}
        key = metadata.get(_KEY, "")
        if row.response is not None:
            yield found(key, row.response)
            continue
        code = getattr(row.error, "code", None)
        yield failed(
            key, getattr(row.error, "message", None) or "It has no answer.", str(code), again=code not in _WRONG
        )


def cancel(adapter: Adapter, intent: Intent) -> Steps[None]:
    """Ask Google to stop; what is answered by then can be read, and is paid for."""
    yield partial(adapter.send, "batches.cancel", {"name": intent.vendor_id})


def _rows(batch: Any) -> list[Any]:
    return getattr(batch.dest, "inlined_responses", None) or []


def _measure(value: object) -> str:
    return b64encode(value).decode() if isinstance(value, bytes) else str(value)


VENDOR = Vendor(
    operations=frozenset({"models.generate_content"}),
    most_rows=50_000,
    most_bytes=20_000_000,
    source="https://ai.google.dev/gemini-api/docs/batch-api (20 MB inline; rows are not limited there), 2026-11",
    write=write,
    upload=upload_nothing,
    create=create,
    listing=listing,
    newest_first=False,
    name=name,
    resembles=resembles,
    keeps_names=True,
    poll=poll,
    results=results,
    cancel=cancel,
)
