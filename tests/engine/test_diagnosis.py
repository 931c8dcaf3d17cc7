"""Why a call missed: each reason, what is known beyond it, and what is remembered for that."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import pytest
from pydantic import BaseModel, create_model

import instructor
from instructor import AutoCache, DiskCache, Instructor, from_provider, instructor_cache
from instructor.cache import MemoryCache, call_notes, volatile
from instructor.cache.handle import handle_of
from instructor.cache.misses import MISS_REASONS, MissReason
from instructor.exceptions import CacheMiss
from instructor.hooks import CacheEvent
from worlds import Shelf


class User(BaseModel):
    name: str
    age: int


WIDER: type[BaseModel] = create_model("User", name=(str, ...), age=(float, ...))
OTHER: type[BaseModel] = create_model("Person", name=(str, ...))


def say(text: str, system: str = "Extract.") -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


ANNA = say("Anna is 25.")


def watch(cache: Any = None, **keywords: Any) -> tuple[Instructor, list[CacheEvent]]:
    client = from_provider("offline/demo", cache=AutoCache() if cache is None else cache, **keywords)
    events: list[CacheEvent] = []
    client.on("cache:miss", events.append)
    return client, events


def test_the_table_and_the_page_explain_every_reason() -> None:
    assert set(MISS_REASONS) == set(get_args(MissReason))
    page = (Path(__file__).parents[2] / "docs" / "caching.md").read_text(encoding="utf-8")
    section = page.partition("## Why did it miss?")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \|", section, re.MULTILINE)
    assert {*re.findall(r"[a-z_]+", " ".join(rows))} == {*MISS_REASONS, "reason"}


@pytest.mark.parametrize(
    ("model", "messages", "keywords", "reason", "detail"),
    [
        (OTHER, say("Ben is 30."), {}, "cold", None),
        (WIDER, say("Ben is 30."), {}, "cold", None),
        (User, say("Ben is 30."), {"temperature": 0.5}, "cold", None),
        (User, say("Ben is 30."), {}, "prompt_changed", "messages"),
        (User, say("Anna is 25.", "Extract!"), {}, "prompt_changed", "messages"),
        (WIDER, ANNA, {}, "schema_changed", "schema.properties.age.type"),
        (OTHER, ANNA, {}, "schema_changed", "schema.properties.age.title"),
        (User, ANNA, {"temperature": 0.5}, "params_changed", "arguments.temperature"),
        (User, ANNA, {"model": "other"}, "params_changed", "model"),
        (User, ANNA, {"cache_salt": "v2"}, "params_changed", "salt"),
        (User, ANNA, {"context": {"n": 1}}, "params_changed", "context"),
        (WIDER, ANNA, {"temperature": 0.5}, "schema_changed", "schema.properties.age.type, arguments.temperature"),
        (User, ANNA, {"cache_namespace": "b"}, "namespace", None),
        (User, ANNA, {"cache_mode": "refresh"}, "not_looked_up", "cache_mode is refresh"),
    ],
)
def test_a_miss_names_what_differs_from_the_nearest_stored_call(
    model: Any, messages: Any, keywords: dict[str, Any], reason: str, detail: str | None
) -> None:
    client, events = watch()
    client.create(User, ANNA)
    client.create(model, messages, **keywords)
    assert [(event.reason, event.detail) for event in events] == [("cold", None), (reason, detail)]


def test_of_several_calls_with_the_same_messages_the_most_alike_counts() -> None:
    client, events = watch()
    client.create(User, ANNA, temperature=0.5)
    client.create(User, ANNA, temperature=0.5, model="other")
    client.create(WIDER, ANNA, temperature=0.5)
    assert events[-1].reason == "schema_changed"
    assert events[-1].detail == "schema.properties.age.type"


def test_another_client_of_the_store_is_compared_too() -> None:
    cache = AutoCache()
    watch(cache)[0].create(User, ANNA)
    client, events = watch(cache, cache_namespace="tenant")
    client.create(User, ANNA)
    assert [event.reason for event in events] == ["namespace"]


def test_a_call_that_was_never_answered_is_not_compared_with() -> None:
    client, events = watch()
    client.create(User, ANNA, cache_ttl=0)
    client.create(WIDER, ANNA)
    assert [event.reason for event in events] == ["cold", "cold"]


def test_a_hit_that_an_earlier_process_has_stored_is_compared_with(tmp_path: Path) -> None:
    watch(DiskCache(tmp_path))[0].create(User, ANNA)
    client, events = watch(DiskCache(tmp_path))
    client.create(User, ANNA)
    client.create(WIDER, ANNA)
    assert [event.reason for event in events] == ["schema_changed"]


def test_an_answer_that_is_gone_is_not_a_call_that_was_never_asked() -> None:
    client, events = watch()
    client.create(User, ANNA)
    client.cache.clear()  # type: ignore[union-attr] # it has a store
    client.create(User, ANNA)
    assert events[-1].reason == "cold"
    assert "evicted, deleted or cleared" in str(events[-1].detail)


def test_an_answer_that_its_store_has_dropped_for_its_age_has_expired() -> None:
    shelf = Shelf()
    client, events = watch(shelf)
    client.create(User, ANNA, cache_ttl=10)
    shelf.data.clear()
    with mock.patch("time.time", return_value=1e12):
        client.create(User, ANNA)
    assert events[-1].reason == "expired"


def test_no_detail_quotes_what_was_asked() -> None:
    client, events = watch()
    client.create(User, ANNA, user="anna@example.com")
    client.create(User, say("Secret"), user="anna@example.com")
    client.create(User, ANNA, user="ben@example.com", context={"secret": "Secret"})
    shown = str([(event.reason, event.detail) for event in events])
    assert not any(text in shown for text in ("Anna", "anna", "ben", "Secret", "example"))


def test_a_replay_explains_itself() -> None:
    client, _ = watch()
    client.create(User, ANNA)
    with pytest.raises(
        CacheMiss, match=r"properties\.age\.type, character 0: stored 'integer', asked 'number'"
    ) as caught:
        client.create(WIDER, ANNA, cache_mode="replay")
    assert caught.value.reason == "schema_changed"


def test_a_decorated_function_is_compared_with_nothing() -> None:
    @instructor_cache(cache=AutoCache())
    def double(number: int) -> int:
        return 2 * number

    assert [double(number) for number in (1, 2, 1)] == [2, 4, 2]


def fill(client: Instructor, count: int, make: Callable[[int], dict[str, Any]]) -> None:
    for number in range(count):
        client.create(int, **make(number))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = MemoryCache()
    client, events = watch(cache)
    notes = handle_of(cache).notes
    monkeypatch.setattr(call_notes, "MOST_CALLS", 8)
    fill(client, 20, lambda number: {"messages": say(str(number))})
    assert len(notes._calls) == len(notes._by_prompt) == 8
    assert len(notes._frames) == 1
    monkeypatch.setattr(call_notes, "MOST_BYTES", 4_000)
    fill(client, 20, lambda number: {"messages": say("same"), "cache_salt": str(number)})
    assert 0 < notes._bytes <= 4_000
    assert notes._bytes < 20 * 500, "each call has a frame of its own, which counts"
    assert len(notes._frames) == len(notes._calls)
    assert len(notes._by_settings) == len(notes._calls)
    assert len(events) == 40


def test_what_is_remembered_is_sorted_in_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_notes, "MOST_CALLS", 8)
    monkeypatch.setattr(volatile, "MOST_EXAMINED", 0)
    cache = MemoryCache()
    client = from_provider("offline/demo", cache=cache, explain_misses=True)
    notes = handle_of(cache).notes
    with mock.patch.object(call_notes.CallNotes, "diagnose", autospec=True) as diagnose:
        fill(client, 20, lambda number: {"messages": say(str(number))})
    assert not diagnose.called
    assert (len(notes._calls), len(notes._added)) == (1, 8)
    explanation = client.explain(int, say("19"), temperature=0.5)
    assert (explanation.reason, len(notes._calls), len(notes._added)) == ("params_changed", 8, 0)
    assert client.explain(int, say("2"), temperature=0.5).reason == "cold", "it was forgotten"


def test_calls_with_media_are_compared() -> None:
    client, events = watch()
    image = instructor.Image.from_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 40)
    content: list[Any] = ["What is this?", image]
    messages: Any = [{"role": "user", "content": content}]
    client.create(int, messages)
    client.create(int, messages, temperature=0.5)
    assert [event.reason for event in events] == ["cold", "params_changed"]
