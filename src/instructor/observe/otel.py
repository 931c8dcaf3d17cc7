"""Spans and metrics for OpenTelemetry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from instructor.describing import name_model
from instructor.hooks import CacheEvent, HookName, RequestEvent
from instructor.observe import names

_SCOPE = "instructor"
_SERVED = (HookName.CACHE_HIT, HookName.CACHE_COALESCED)


class Telemetry:
    """Makes spans and metrics of events."""

    def __init__(self, tracer_provider: Any, meter_provider: Any) -> None:
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_SCOPE, meter_provider=meter_provider)
        bounds: dict[str, Any] = {"explicit_bucket_boundaries_advisory": names.DURATION_BOUNDS}
        self._duration = meter.create_histogram(names.DURATION, "s", "GenAI operation duration.", **bounds)
        bounds = {"explicit_bucket_boundaries_advisory": names.TOKEN_BOUNDS}
        self._tokens = meter.create_histogram(
            names.TOKENS, "{token}", "Number of input and output tokens used.", **bounds
        )
        self._events = meter.create_counter(
            names.CACHE_EVENTS, "{event}", "What happened between calls and their cache."
        )
        self._saved = meter.create_counter(names.CACHE_TOKENS, "{token}", "Tokens that the cache saved.")
        self._seconds = meter.create_counter(names.CACHE_SECONDS, "s", "Time that the cache saved.")

    def note_request(self, event: RequestEvent) -> None:
        """Make the span of a request, which has just ended, and count it."""
        common = {
            names.OPERATION: names.CHAT,
            names.PROVIDER: names.name_provider(event.provider),
            names.REQUEST_MODEL: event.model,
        }
        if event.answered_by:
            common[names.RESPONSE_MODEL] = event.answered_by
        failure = {names.ERROR_TYPE: _name_error(event.error)} if event.error is not None else {}
        span = self._tracer.start_span(
            f"{names.CHAT} {event.model}",
            kind=SpanKind.CLIENT,
            start_time=event.began,
            attributes={**common, **failure, **_describe(event)},
        )
        if event.error is not None:
            span.set_status(Status(StatusCode.ERROR, _name_error(event.error)))
        span.end(event.began + round(event.seconds * 1e9))
        self._duration.record(event.seconds, {**common, **failure})
        if event.usage is not None:
            self._tokens.record(event.usage.input_tokens, {**common, names.TOKEN_TYPE: "input"})
            self._tokens.record(event.usage.output_tokens, {**common, names.TOKEN_TYPE: "output"})

    def note_cache(self, event: CacheEvent) -> None:
        """Count an event of the cache; make a span of one that answered a call."""
        common = {
            names.CACHE_EVENT: event.name.value.partition(":")[2],
            names.CACHE_STORE: event.store,
            names.PROVIDER: names.name_provider(event.provider),
            names.REQUEST_MODEL: event.model,
        }
        self._events.add(1, common)
        if event.name not in _SERVED:
            return
        self._saved.add(event.tokens_saved, common)
        self._seconds.add(event.seconds_saved, common)
        more = {
            names.ANSWER_MODEL: name_model(event.response_model),
            names.CACHE_TIER: event.tier,
            names.CACHE_KEY: event.key,
            names.CACHE_AGE: event.age,
            names.CACHE_STALE: event.stale,
            names.CACHE_REASON: event.reason,
        }
        attributes = {name: value for name, value in more.items() if value is not None}
        self._tracer.start_span(names.CACHE_SPAN, attributes={**common, **attributes}).end()


def _describe(event: RequestEvent) -> dict[str, Any]:
    """The attributes of a request's span beside those that metrics have too."""
    attributes: dict[str, Any] = {
        names.ATTEMPT: event.attempt,
        names.ANSWER_MODEL: name_model(event.response_model),
        names.STREAM: event.streamed,
        names.OUTPUT_TYPE: "json" if event.response_model is not None else "text",
    }
    if event.usage is not None:
        attributes |= {name: getattr(event.usage, member) for name, member in names.USAGE.items()}
    for name, arguments in names.SETTINGS.items():
        value = next((event.request[one] for one in arguments if one in event.request), None)
        if isinstance(value, (int, float)):
            attributes[name] = value
    if names.captures_content():
        attributes[names.INPUT_MESSAGES] = _write_messages(event.request)
        attributes[names.OUTPUT_MESSAGES] = _write([_message("assistant", event.answer)])
    return attributes


def _write_messages(request: Mapping[str, Any]) -> str:
    found = next((request[name] for name in ("messages", "input", "contents") if name in request), ())
    turns: list[Any] = [found] if isinstance(found, (str, Mapping)) else list(found)
    members: list[Any] = [turn if isinstance(turn, Mapping) else {"role": "user", "content": turn} for turn in turns]
    return _write([_message(str(turn.get("role", "user")), turn.get("content", turn.get("parts"))) for turn in members])


def _message(role: str, content: Any) -> dict[str, Any]:
    text = content if isinstance(content, str) else _write(content)
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _write(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _name_error(error: Exception | None) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
