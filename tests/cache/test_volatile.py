"""Prompts that are new with each call because of a date, an id or the like: which are found, and what is said of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from instructor import AutoCache, from_provider
from instructor.cache.volatile import MOST_EXAMINED, VolatileSpans
from worlds import both


def say(text: str) -> list[Any]:
    return [{"role": "system", "content": "Extract."}, {"role": "user", "content": text}]


def examine(make: Callable[[int], str], calls: int, spans: VolatileSpans | None = None) -> list[tuple[int, str]]:
    """After which call what was found."""
    spans = spans or VolatileSpans()
    found = [(number, spans.examine(1, say(make(number)))) for number in range(1, calls + 1)]
    return [(number, str(span)) for number, some in found for span in some]


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda n: f"Call {n:08}-1111-2222-3333-444444444444.", "'00000003...' in messages[1].content"),
        (lambda n: f"It is 2026-11-{n:02}.", "'2026-11-03' in messages[1].content"),
        (lambda n: f"Größe \U0001f600 \ud800: it is 2026-11-{n:02}.", "'2026-11-03' in messages[1].content"),
        (lambda n: f"It is {n}/11/2026.", "'3/11/2026' in messages[1].content"),
        (lambda n: f"It is November {n}, 2026.", "'November 3, 2026' in messages[1].content"),
        (lambda n: f"It is {n} Nov 2026.", "'3 Nov 2026' in messages[1].content"),
        (lambda n: f"It is 2026-11-21T10:00:{n:02}.5+01:00.", "'2026-11-21T10:00:03.5+01:00'"),
        (lambda n: f"It is 10:{n:02} PM.", "'10:03 PM'"),
        (lambda n: f"It is {1763760000 + n * n}.", "'1763760009'"),
        (lambda n: f"Use {n:#x}0000000.", "'0x30000000'"),
        (lambda n: f"Use <app.Thing object at {n:#x}0000000>.", "'<app.Thing object at 0x30000000>'"),
        (lambda n: f"Request {n:032x}.", "'00000000...'"),
        (lambda n: f"Read /tmp/tmp{'_abcdefg'[n]}/in.txt.", "'/tmp/tmpc/in.txt.'"),
        (lambda n: f"Read C:\\temp\\{'_abcdefg'[n]}.txt.", "'\\\\temp\\\\c.txt.'"),
    ],
)
def test_a_span_that_changes_with_each_of_three_calls_is_found(make: Callable[[int], str], shown: str) -> None:
    found = examine(make, 3)
    assert [number for number, _ in found] == [3]
    assert found[0][1].startswith(shown)


def test_a_counter_is_found_after_eight_calls_and_any_other_number_never() -> None:
    assert examine(lambda n: f"Call {n}: Anna is 25.", 8) == [(8, "'8' in messages[1].content")]
    assert examine(lambda n: f"Anna is {n * n}.", 20) == []
    assert examine(lambda n: f"Anna is {n % 5}.", 20) == [], "the next number is lower once in a while"


@pytest.mark.parametrize(
    "make",
    [
        lambda n: f"Anna likes {'abcdefghij'[n % 10]}.",
        lambda n: "It is 2026-11-21.",
        lambda n: f"On 2026-11-{n:02} somebody {'abcdefghij'[n % 10]} came.",
        lambda n: f"On 2026-11-{n:02}, {n * n} people came.",
    ],
    ids=["words", "same", "date and words", "date and number"],
)
def test_a_prompt_that_differs_in_more_is_a_question_of_its_own(make: Callable[[int], str]) -> None:
    assert examine(make, 9) == []


def test_a_prompt_that_looks_like_a_form_is_none() -> None:
    texts = ["It is \0.", "It is 2026-11-21.", "It is 10:00.", "It is 5."]
    assert examine(lambda n: texts[n % 4], 12) == []


def test_calls_with_other_settings_are_not_compared() -> None:
    spans = VolatileSpans()
    assert [spans.examine(number, say(f"It is 2026-11-{number:02}.")) for number in range(1, 9)] == [[]] * 8


def test_each_kind_that_changes_is_found_wherever_it_stands() -> None:
    spans, found = VolatileSpans(), list[Any]()
    for number in range(1, 4):
        parts = [{"type": "text", "text": f"It is 2026-11-{number:02}."}, {"type": "text", "text": f"At 10:0{number}."}]
        found = spans.examine(1, [{"role": "user", "content": parts}])
    assert {span.field for span in found} == {"messages[0].content[0].text", "messages[0].content[1].text"}


def test_it_costs_nothing_after_a_while_or_for_a_long_prompt() -> None:
    spans = VolatileSpans()
    assert examine(lambda n: f"It is 2026-11-{n:02}. {'x' * 10_000}", 5, spans) == []
    assert spans._forms == {}
    examine(lambda n: f"Anna likes {n:b}.".translate({48: "o", 49: "i"}), MOST_EXAMINED, spans)
    assert examine(lambda n: f"It is 2026-11-{n:02}.", 5, spans) == []
    assert len(spans._forms) < MOST_EXAMINED


@both
def test_a_client_warns_once_for_each_kind_and_says_what_to_do(asynchronous: bool, caplog: Any) -> None:
    client: Any = from_provider("offline/demo", cache=AutoCache(), async_client=asynchronous)

    def ask(text: str, **keywords: Any) -> None:
        result = client.create(int, say(text), **keywords)
        if asynchronous:
            asyncio.run(result)

    for number in range(1, 6):
        ask(f"Anna is 25. It is 2026-11-{number:02}.")
        ask(f"Anna is 25. Read /home/anna/tmp{'abcdefg'[number]}/x.")
    for number in range(1, 6):
        ask(f"Ben is 30. It is 2026-11-{number:02}.")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith(
        "Calls for int from offline/demo miss the cache though they differ in nothing but a date"
    )
    assert "'2026-11-03' in messages[1].content. Take it out of the prompt" in lines[0]
    assert "anna/" not in lines[1]


def test_an_explanation_a_hit_and_a_call_that_looks_nothing_up_are_not_looked_at(caplog: Any) -> None:
    client = from_provider("offline/demo", cache=AutoCache())
    for number in range(1, 6):
        messages = say(f"It is 2026-11-{number:02}.")
        client.explain(int, messages)
        client.create(int, messages, cache_mode="refresh")
        client.create(int, messages)
    assert caplog.records == []
