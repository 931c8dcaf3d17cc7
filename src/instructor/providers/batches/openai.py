"""OpenAI's batch API: a file of requests, and two files of results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import orjson

from instructor.exceptions import ConfigurationError
from instructor.providers.batches.steps import Steps
from instructor.providers.batches.vendor import (
    CANCELLED,
    Intent,
    Progress,
    Vendor,
    describe_error,
    failed,
    found,
    list_pages,
    write_body,
)
from instructor.providers.completions import write_json

if TYPE_CHECKING:
    from instructor.messages import Request
    from instructor.providers.adapter import Adapter

_ENDPOINTS = {"chat.completions.create": "/v1/chat/completions", "responses.create": "/v1/responses"}
_KINDS = {"chat.completions.create": "ChatCompletion", "responses.create": "Response"}
_ENDED = {"completed", "failed", "expired", "cancelled"}
_NO_RETRY = range(400, 429)
"""HTTP states that say that the request itself is wrong."""
_OK = 200
_FULL = "token_limit_exceeded"
"""The code of a batch that failed because the tokens of all batches under way would have been too many."""


def write(key: str, operation: str, request: Request) -> tuple[bytes, int, Mapping[str, str]]:
    """Write a line of the file."""
    body, headers = write_body(request)
    if headers:
        raise ConfigurationError(
            "OpenAI's batches take no headers for a row. Leave out extra_headers, or use create()."
        )
    line = {"custom_id": key, "method": "POST", "url": _ENDPOINTS[operation], "body": body}
    text = write_json(line).encode() + b"\n"
    return text, len(text), {}


def upload(adapter: Adapter, intent: Intent, lines: list[bytes]) -> Steps[str]:
    """Upload the file. One that no batch is made of costs nothing."""
    content = (f"{intent.id}.jsonl", b"".join(lines))
    file = yield partial(adapter.send, "files.create", {"file": content, "purpose": "batch"})
    return str(file.id)


def create(adapter: Adapter, intent: Intent, file: str) -> Steps[str]:
    """Submit it. The SDK must not send this twice: it has no idempotency key."""
    request = {
        "input_file_id": file,
        "endpoint": _ENDPOINTS[intent.operation],
        "completion_window": "24h",
        "metadata": {"instructor": intent.id},
    }
    batch = yield partial(adapter.send_once, "batches.create", request, None)
    return str(batch.id)


def listing(adapter: Adapter) -> Steps[None]:
    """Show the batches."""
    return list_pages(partial(adapter.send, "batches.list", {"limit": 100}))


def name(batch: Any) -> str:
    """What OpenAI calls a batch."""
    return str(batch.id)


def resembles(batch: Any, intent: Intent) -> bool:
    """Whether a batch has our name of it."""
    metadata: dict[str, str] = batch.metadata or {}
    return metadata.get("instructor") == intent.id


def poll(adapter: Adapter, intent: Intent) -> Steps[Progress]:
    """Ask for its state."""
    batch = yield partial(adapter.send, "batches.retrieve", {"batch_id": intent.vendor_id})
    counts = batch.request_counts
    problems: list[Any] = getattr(batch.errors, "data", None) or []
    errors = {
        "failed": "; ".join(str(problem.message) for problem in problems) or "it failed",
        "cancelling": CANCELLED,
        "cancelled": CANCELLED,
    }
    return Progress(
        batch.status in _ENDED,
        getattr(counts, "completed", 0) or 0,
        getattr(counts, "failed", 0) or 0,
        errors.get(batch.status, ""),
        is_refused=batch.status == "failed" and any(problem.code == _FULL for problem in problems),
    )


def results(adapter: Adapter, intent: Intent) -> Steps[None]:
    """Read both files: rows that failed or expired stand in the second."""
    batch = yield partial(adapter.send, "batches.retrieve", {"batch_id": intent.vendor_id})
    for file in filter(None, (batch.output_file_id, batch.error_file_id)):
        content = yield partial(adapter.send, "files.content", {"file_id": file})
        for row in _rows(content.content):
            key = str(row.get("custom_id"))
            answer: dict[str, Any] = row.get("response") or {}
            status = answer.get("status_code")
            if status == _OK:
                yield found(key, adapter.assemble(_KINDS[intent.operation], answer.get("body") or {}))
                continue
            message, code = describe_error(row.get("error") or answer.get("body") or "It has no answer.")
            yield failed(key, message, code, again=status not in _NO_RETRY)


def cancel(adapter: Adapter, intent: Intent) -> Steps[None]:
    """Ask OpenAI to stop; what is answered by then can be read, and is paid for."""
    yield partial(adapter.send, "batches.cancel", {"batch_id": intent.vendor_id})


def _rows(content: bytes) -> Iterator[dict[str, Any]]:
    """The lines of a file; one that was cut off isn't there, so that its row is asked again."""
    for line in BytesIO(content):
        try:
            row = orjson.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


VENDOR = Vendor(
    operations=frozenset(_ENDPOINTS),
    most_rows=50_000,
    most_bytes=200_000_000,
    source="https://developers.openai.com/api/docs/guides/batch and openai 3.52.0, 2026-11",
    write=write,
    upload=upload,
    create=create,
    listing=listing,
    newest_first=True,
    name=name,
    resembles=resembles,
    keeps_names=True,
    poll=poll,
    results=results,
    cancel=cancel,
)
