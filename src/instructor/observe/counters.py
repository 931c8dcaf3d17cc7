"""Counters for Prometheus."""

from __future__ import annotations

import weakref
from typing import Any

from prometheus_client import REGISTRY, Counter, Histogram

from instructor.describing import name_model
from instructor.hooks import CacheEvent, RequestEvent
from instructor.locks import make_lock
from instructor.observe.names import DURATION_BOUNDS

_LABELS = ("provider", "model", "response_model")


class Metrics:
    """The counters in one registry, for any number of clients."""

    def __init__(self, registry: Any) -> None:
        self._seconds = Histogram(
            "instructor_request_seconds",
            "Requests to providers, by how long they took.",
            (*_LABELS, "outcome"),
            buckets=DURATION_BOUNDS,
            registry=registry,
        )
        self._tokens = Counter("instructor_tokens", "Tokens of requests.", (*_LABELS, "type"), registry=registry)
        self._events = Counter(
            "instructor_cache_events", "What happened between calls and their cache.", (*_LABELS, "event", "store"),
            registry=registry,
        )  # fmt: skip
        self._saved = Counter(
            "instructor_cache_saved_tokens", "Tokens that the cache saved.", _LABELS, registry=registry
        )
        self._time = Counter("instructor_cache_saved_seconds", "Time that the cache saved.", _LABELS, registry=registry)

    def note_request(self, event: RequestEvent) -> None:
        """Count a request."""
        labels = (event.provider, event.model, name_model(event.response_model))
        outcome = "ok" if event.error is None else "failed" if event.usage is None else "invalid"
        self._seconds.labels(*labels, outcome).observe(event.seconds)
        if event.usage is not None:
            self._tokens.labels(*labels, "input").inc(event.usage.input_tokens)
            self._tokens.labels(*labels, "output").inc(event.usage.output_tokens)

    def note_cache(self, event: CacheEvent) -> None:
        """Count an event of the cache."""
        labels = (event.provider, event.model, name_model(event.response_model))
        self._events.labels(*labels, event.name.value.partition(":")[2], event.store).inc()
        if event.tokens_saved or event.seconds_saved:
            self._saved.labels(*labels).inc(event.tokens_saved)
            self._time.labels(*labels).inc(event.seconds_saved)


_lock = make_lock()
_known: weakref.WeakKeyDictionary[Any, Metrics] = weakref.WeakKeyDictionary()


def metrics_of(registry: Any) -> Metrics:
    """The counters of a registry, which takes each name once."""
    registry = REGISTRY if registry is None else registry
    with _lock:
        if registry not in _known:
            _known[registry] = Metrics(registry)
        return _known[registry]
