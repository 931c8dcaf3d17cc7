"""The functions that have a client's calls observed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from instructor.exceptions import ConfigurationError
from instructor.hooks import HookName

if TYPE_CHECKING:
    from instructor.hooks import Hooks

Detach = Callable[[], None]

_CACHE_EVENTS = tuple(name for name in HookName if name.value.startswith("cache:"))


class Observed(Protocol):
    """A client of either kind."""

    @property
    def hooks(self) -> Hooks:
        """Its handlers."""
        ...


def opentelemetry(client: Observed, *, tracer_provider: Any = None, meter_provider: Any = None) -> Detach:
    """Make spans and metrics of a client's calls, by OpenTelemetry's conventions for generative AI.

    Each request is a span ``chat MODEL`` with its tokens, and so is each attempt. It ends with the request, and its
    parent is the span around the call. An answer from the cache is a span ``instructor.cache`` without tokens, and isn't
    counted in ``gen_ai.client.token.usage``, so that costs aren't counted twice; what it saved is in metrics of ours. Prompts and
    answers are left out unless the variable ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` is ``true`` or
    ``span_only``. It needs ``pip install "instructor[otel]"``, and an SDK that your program has set up.

    Args:
        client: The client.
        tracer_provider: Makes the spans; default: the global one.
        meter_provider: Makes the metrics; default: the global one.

    Returns:
        A function that ends it.

    Raises:
        ConfigurationError: ``opentelemetry`` isn't installed.
    """
    try:
        from instructor.observe.otel import Telemetry
    except ImportError as error:
        raise _missing("opentelemetry", "otel") from error
    telemetry = Telemetry(tracer_provider, meter_provider)
    return attach(client, telemetry.note_request, telemetry.note_cache)


def prometheus(client: Observed, *, registry: Any = None) -> Detach:
    """Count a client's requests, tokens, seconds and cache events for Prometheus.

    Several clients may share a registry. It needs ``pip install "instructor[prometheus]"``.

    Args:
        client: The client.
        registry: A ``prometheus_client.CollectorRegistry``; default: the global one.

    Returns:
        A function that ends it.

    Raises:
        ConfigurationError: ``prometheus_client`` isn't installed.
    """
    try:
        from instructor.observe.counters import metrics_of
    except ImportError as error:
        raise _missing("prometheus_client", "prometheus") from error
    metrics = metrics_of(registry)
    return attach(client, metrics.note_request, metrics.note_cache)


def logs(client: Observed, logger: logging.Logger | None = None, level: int = logging.INFO) -> Detach:
    """Log each request and each event of the cache, with the figures as ``extra``, for handlers that write JSON.

    A record's message is for people; its attributes ``event``, ``provider``, ``model``, ``response_model``, ``seconds``,
    ``tokens`` and others are for programs. Neither holds a prompt, an answer, or the text of an error.

    Args:
        client: The client.
        logger: Default: that named ``instructor.calls``.
        level: The level of the records; a failed request is a warning at least.

    Returns:
        A function that ends it.

    Example:
        >>> client = instructor.from_provider("offline/demo", cache=instructor.AutoCache())
        >>> end = instructor.observe.logs(client)
        >>> client.create(int, messages=[{"role": "user", "content": "Anna is 25."}])
        25
        >>> end()
    """
    from instructor.observe import structured

    logger = logging.getLogger("instructor.calls") if logger is None else logger
    note_request = partial(structured.note_request, logger, level)
    return attach(client, note_request, partial(structured.note_cache, logger, level))


def attach(client: Observed, note_request: Callable[[Any], None], note_cache: Callable[[Any], None]) -> Detach:
    """Register handlers of requests and of all events of the cache; return what removes them."""
    handlers: Mapping[HookName, Callable[[Any], None]] = {
        HookName.COMPLETION_REQUEST: note_request,
        **dict.fromkeys(_CACHE_EVENTS, note_cache),
    }
    for name, handler in handlers.items():
        client.hooks.on(name, handler)

    def detach() -> None:
        for name, handler in handlers.items():
            client.hooks.off(name, handler)

    return detach


def _missing(package: str, extra: str) -> ConfigurationError:
    return ConfigurationError(f'{package} is not installed. Run: pip install "instructor[{extra}]"')
