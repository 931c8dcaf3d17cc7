"""Traces, metrics and logs: one record for each request, and another kind for what the cache answered."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import prometheus_client
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.trace import StatusCode

import instructor
from instructor import AsyncInstructor, AutoCache, Instructor, Mode
from instructor.exceptions import InstructorRetryException
from instructor.hooks import RequestEvent
from instructor.observe import names
from instructor.testing import ScriptedAdapter, ScriptedReply
from instructor.usage import Usage
from instructor.wires.openai_chat import OPENAI_CHAT
from worlds import MESSAGES, User, both

GOOD = ScriptedReply({"name": "Ann"}, usage=Usage(1000, 100, 600, 0, 300))
BAD = ScriptedReply({}, usage=Usage(10, 1))


def make(*replies: Any, asynchronous: bool = False) -> Any:
    kind: Any = AsyncInstructor if asynchronous else Instructor
    adapter = ScriptedAdapter(replies, asynchronous=asynchronous, provider="xai")
    return kind(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=AutoCache())


def ask(client: Any, **keywords: Any) -> Any:
    made = client.create(User, MESSAGES, **keywords)
    return asyncio.run(made) if asyncio.iscoroutine(made) else made


class Telemetry:
    """The real SDK of OpenTelemetry, in memory."""

    def __init__(self, client: Any) -> None:
        self._spans, self._metrics = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._metrics])
        self.end = instructor.observe.opentelemetry(client, tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def spans(self) -> list[Any]:
        return list(self._spans.get_finished_spans())

    def sums(self, name: str) -> dict[tuple[Any, ...], float]:
        """The sums of a metric by token type and cache event."""
        data = self._metrics.get_metrics_data()
        found: dict[tuple[Any, ...], float] = {}
        for resource in data.resource_metrics if data else ():
            for metric in resource.scope_metrics[0].metrics:
                for point in metric.data.data_points if metric.name == name else ():
                    kinds = tuple(
                        point.attributes[key]
                        for key in (names.TOKEN_TYPE, names.CACHE_EVENT)
                        if key in point.attributes
                    )
                    found[kinds] = found.get(kinds, 0) + (point.sum if hasattr(point, "sum") else point.value)
        return found


@both
def test_a_request_is_a_span_of_the_conventions_and_a_hit_is_one_of_ours(asynchronous: bool) -> None:
    client = make(GOOD, asynchronous=asynchronous)
    telemetry = Telemetry(client)
    with telemetry.tracers.get_tracer("test").start_as_current_span("outer") as outer:
        for _ in range(3):
            ask(client, temperature=0.5)
    request, *hits, _ = telemetry.spans
    assert request.name == "chat m"
    attributes = dict(request.attributes)
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "x_ai",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m",
        "gen_ai.request.stream": False,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.output.type": "json",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 600,
        "gen_ai.usage.cache_creation.input_tokens": 300,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "instructor.attempt": 1,
        "instructor.response_model": "User",
    }
    assert request.parent.span_id == outer.get_span_context().span_id
    assert outer.start_time <= request.start_time <= request.end_time
    assert [(span.name, span.attributes["instructor.cache.event"]) for span in hits] == [
        ("instructor.cache", "hit")
    ] * 2
    assert not [name for span in hits for name in span.attributes if name.startswith("gen_ai.usage")]
    assert telemetry.sums("gen_ai.client.token.usage") == {("input",): 1000, ("output",): 100}
    assert telemetry.sums("instructor.cache.events") == {("hit",): 2, ("miss",): 1, ("write",): 1}
    assert telemetry.sums("instructor.cache.saved.tokens") == {("hit",): 2200}
    telemetry.end()
    ask(client, temperature=0.5)
    assert len(telemetry.spans) == 4


def test_each_attempt_is_a_span_with_its_own_tokens_and_its_error() -> None:
    client = make(BAD, GOOD, RuntimeError("cut"))
    telemetry = Telemetry(client)
    ask(client)
    with pytest.raises(InstructorRetryException):
        ask(client, cache=None)
    seen = [
        (span.attributes.get("gen_ai.usage.input_tokens"), span.attributes.get("error.type"), span.status.status_code)
        for span in telemetry.spans
    ]
    assert seen == [
        (10, "pydantic_core._pydantic_core.ValidationError", StatusCode.ERROR),
        (1000, None, StatusCode.UNSET),
        (None, "RuntimeError", StatusCode.ERROR),
    ]
    assert telemetry.sums("gen_ai.client.token.usage") == {("input",): 1010, ("output",): 101}


@both
def test_a_stream_is_one_span_with_its_tokens(asynchronous: bool) -> None:
    client = make(GOOD, asynchronous=asynchronous)
    telemetry = Telemetry(client)

    async def collect() -> list[Any]:
        return [user async for user in client.create_partial(User, MESSAGES)]

    for _ in range(2):
        assert asyncio.run(collect()) if asynchronous else list(client.create_partial(User, MESSAGES))
    assert [span.name for span in telemetry.spans] == ["chat m", "instructor.cache"]
    assert telemetry.spans[0].attributes["gen_ai.request.stream"] is True
    assert telemetry.spans[0].attributes["gen_ai.usage.input_tokens"] == 1000


@pytest.mark.parametrize(
    ("setting", "captured"), [(None, False), ("false", False), ("true", True), ("SPAN_ONLY", True)]
)
def test_prompts_and_answers_are_captured_only_where_the_variable_says_so(
    setting: str | None, captured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(names.CAPTURE, raising=False)
    if setting is not None:
        monkeypatch.setenv(names.CAPTURE, setting)
    client = make(GOOD)
    telemetry = Telemetry(client)
    ask(client)
    (span,) = telemetry.spans
    text = json.dumps(dict(span.attributes))
    assert ("hello" in text, "Ann" in text) == (captured, captured)
    if captured:
        (message,) = json.loads(span.attributes["gen_ai.input.messages"])
        assert message == {"role": "user", "parts": [{"type": "text", "content": "hello"}]}


def test_the_names_are_those_of_the_installed_conventions() -> None:
    known = {
        value
        for module in (gen_ai_attributes, gen_ai_metrics)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    ours = {value for value in vars(names).values() if isinstance(value, str) and value.startswith("gen_ai.")}
    assert ours | {*names.USAGE, *names.SETTINGS} <= known


@both
def test_prometheus_counts_requests_apart_from_what_the_cache_answered(asynchronous: bool) -> None:
    registry = prometheus_client.CollectorRegistry()
    client = make(BAD, GOOD, asynchronous=asynchronous)
    instructor.observe.prometheus(client, registry=registry)
    other = make(GOOD)
    instructor.observe.prometheus(other, registry=registry)
    for _ in range(3):
        ask(client)
    ask(other)
    labels = {"provider": "xai", "model": "m", "response_model": "User"}

    def read(name: str, **more: str) -> Any:
        return registry.get_sample_value(name, {**labels, **more})

    assert read("instructor_request_seconds_count", outcome="ok") == 2
    assert read("instructor_request_seconds_count", outcome="invalid") == 1
    assert read("instructor_tokens_total", type="input") == 2010
    assert read("instructor_cache_events_total", event="hit", store="AutoCache") == 2
    # A hit saves the tokens of all attempts that its answer took.
    assert read("instructor_cache_saved_tokens_total") == 2 * 1111


def test_logs_have_figures_and_no_texts(caplog: pytest.LogCaptureFixture) -> None:
    client = make(BAD, GOOD)
    end = instructor.observe.logs(client)
    with caplog.at_level(logging.INFO, "instructor.calls"):
        ask(client)
        ask(client)
    records = [record for record in caplog.records if record.name == "instructor.calls"]
    assert [(record.event, record.levelname) for record in records] == [
        ("cache:miss", "INFO"),
        ("completion:request", "WARNING"),
        ("completion:request", "INFO"),
        ("cache:write", "INFO"),
        ("cache:hit", "INFO"),
    ]
    assert (records[2].tokens, records[2].model, records[2].attempt, records[4].tokens_saved) == (1100, "m", 2, 1111)
    assert "hello" not in str([vars(record) for record in records])
    end()
    ask(client)
    assert len([record for record in caplog.records if record.name == "instructor.calls"]) == 5


def test_nobody_pays_for_an_event_without_a_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instructor.engine.spending.RequestEvent", None)
    assert ask(make(GOOD)).name == "Ann"


def test_the_debug_log_shows_no_text_of_a_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "instructor"):
        ask(make(GOOD))
    assert "completion:request: attempt 1 of xai/m, 1100 tokens" in caplog.text
    assert "Ann" not in caplog.text


async def test_an_async_handler_of_a_request_is_awaited() -> None:
    seen: list[RequestEvent] = []

    async def note(event: RequestEvent) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    client = make(GOOD, asynchronous=True)
    client.on("completion:request", note)
    await client.create(User, MESSAGES)
    assert [(event.answer, event.attempt, event.error) for event in seen] == [('{"name":"Ann"}', 1, None)]
