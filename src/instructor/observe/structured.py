"""Structured log records of a client's calls."""

from __future__ import annotations

import logging

from instructor.describing import name_model
from instructor.hooks import CacheEvent, RequestEvent


def note_request(logger: logging.Logger, level: int, event: RequestEvent) -> None:
    """Log a request."""
    failure = None if event.error is None else type(event.error).__name__
    level = level if failure is None else max(level, logging.WARNING)
    tokens = 0 if event.usage is None else event.usage.total_tokens
    extra = {
        "event": "completion:request",
        "provider": event.provider,
        "model": event.model,
        "answered_by": event.answered_by,
        "response_model": name_model(event.response_model),
        "attempt": event.attempt,
        "seconds": event.seconds,
        "tokens": tokens,
        "error_type": failure,
    }
    text = "%s/%s answered attempt %d in %.3f s with %d tokens"
    if failure is not None:
        text = "%s/%s gave no valid answer in attempt %d, in %.3f s with %d tokens"
    logger.log(level, text, event.provider, event.model, event.attempt, event.seconds, tokens, extra=extra)


def note_cache(logger: logging.Logger, level: int, event: CacheEvent) -> None:
    """Log an event of the cache."""
    extra = {
        "event": event.name.value,
        "provider": event.provider,
        "model": event.model,
        "response_model": name_model(event.response_model),
        "store": event.store,
        "tier": event.tier,
        "key": event.key,
        "age": event.age,
        "stale": event.stale,
        "tokens_saved": event.tokens_saved,
        "seconds_saved": event.seconds_saved,
    }
    logger.log(level, "%s for %s/%s in %s", event.name.value, event.provider, event.model, event.store, extra=extra)
