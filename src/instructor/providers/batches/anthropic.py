"""Anthropic's batch API: requests in one body, results as a stream of lines."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from instructor.providers.batches.steps import Steps
from instructor.providers.batches.vendor import (
    CANCELLED,
    Intent,
    Progress,
    Vendor,
    failed,
    found,
    list_pages,
    upload_nothing,
    write_body,
)
from instructor.providers.completions import write_json
from instructor.wires.anthropic import BODY_ONLY

if TYPE_CHECKING:
    from instructor.messages import Request
    from instructor.providers.adapter import Adapter

_SAMPLING = {"anthropic-version": "2023-06-01"}
"""The only version of the API that takes sampling arguments; a version, like a beta, is that of the whole batch."""
_END = object()
_ADVICE = {"errored": "", "expired": "It was not asked within 24 hours.", "canceled": CANCELLED}
_WRONG = {"invalid_request_error", "authentication_error", "permission_error", "not_found_error", "request_too_large"}


def write(key: str, operation: str, request: Request) -> tuple[dict[str, Any], int, Mapping[str, str]]:
    """Write a request of the batch."""
    del operation
    body, headers = write_body(request)
    if not BODY_ONLY.isdisjoint(request.get("extra_body") or {}):
        headers = {**_SAMPLING, **headers}
    row = {"custom_id": key, "params": body}
    return row, len(write_json(row).encode()) + 1, headers


def create(adapter: Adapter, intent: Intent, lines: list[Any]) -> Steps[str]:
    """Submit it. The SDK must not send this twice: it has no idempotency key."""
    request = {"requests": lines, **({"extra_headers": dict(intent.headers)} if intent.headers else {})}
    batch = yield partial(adapter.send_once, "messages.batches.create", request, None)
    return str(batch.id)


def listing(adapter: Adapter) -> Steps[None]:
    """Show the batches."""
    return list_pages(partial(adapter.send, "messages.batches.list", {"limit": 100}))


def name(batch: Any) -> str:
    """What Anthropic calls a batch."""
    return str(batch.id)


def resembles(batch: Any, intent: Intent) -> bool:
    """Whether a batch has as many rows. It can have no name of ours: whether it is ours, its results show."""
    return batch.id not in intent.excluded and sum(_counts(batch).values()) == intent.size


def poll(adapter: Adapter, intent: Intent) -> Steps[Progress]:
    """Ask for its state."""
    batch = yield partial(adapter.send, "messages.batches.retrieve", {"message_batch_id": intent.vendor_id})
    counts = _counts(batch)
    wrong = counts["errored"] + counts["expired"] + counts["canceled"]
    error = CANCELLED if batch.cancel_initiated_at else ""
    return Progress(batch.processing_status == "ended", counts["succeeded"], wrong, error)


def results(adapter: Adapter, intent: Intent) -> Steps[None]:
    """Read the lines one by one."""
    try:
        lines = yield partial(adapter.send, "messages.batches.results", {"message_batch_id": intent.vendor_id})
    except Exception as refusal:
        if "No `results_url`" in str(refusal):  # the SDK's way to say that they are no longer kept
            return
        raise
    following = partial(anext, aiter(lines), _END) if adapter.asynchronous else partial(next, iter(lines), _END)
    while (line := (yield following)) is not _END:
        result = line.result
        if result.type == "succeeded":
            yield found(line.custom_id, result.message)
            continue
        error = getattr(getattr(result, "error", None), "error", None)
        code = getattr(error, "type", "") or result.type
        message = getattr(error, "message", "") or _ADVICE.get(result.type, "")
        yield failed(line.custom_id, message, code, again=code not in _WRONG)


def cancel(adapter: Adapter, intent: Intent) -> Steps[None]:
    """Ask Anthropic to stop; what is answered by then can be read, and is paid for."""
    yield partial(adapter.send, "messages.batches.cancel", {"message_batch_id": intent.vendor_id})


def _counts(batch: Any) -> dict[str, int]:
    names = ("processing", "succeeded", "errored", "canceled", "expired")
    return {name: getattr(batch.request_counts, name, 0) or 0 for name in names}


VENDOR = Vendor(
    operations=frozenset({"messages.create"}),
    most_rows=100_000,
    most_bytes=256_000_000,
    source="https://platform.claude.com/docs/en/build-with-claude/batch-processing, 2026-11",
    write=write,
    upload=upload_nothing,
    create=create,
    listing=listing,
    newest_first=True,
    name=name,
    resembles=resembles,
    keeps_names=False,
    poll=poll,
    results=results,
    cancel=cancel,
)
