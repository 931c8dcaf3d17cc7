"""`client.explain`: what the cache would do with a call, without doing it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from pydantic import BaseModel, create_model

from instructor import AutoCache, DiskCache, Explanation, from_provider
from instructor.cache import CassetteCache
from worlds import Shelf, World, both


class User(BaseModel):
    name: str
    age: int


WIDER: type[BaseModel] = create_model("User", name=(str, ...), age=(float, ...))


def say(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


ANNA, ANNIE = say("Anna is 25."), say("Anna is 26.")


class Client:
    """A client of either kind, whose calls are awaited."""

    def __init__(self, cache: Any, asynchronous: bool, **keywords: Any) -> None:
        self.client: Any = from_provider("offline/demo", cache=cache, async_client=asynchronous, **keywords)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def run(*arguments: Any, **keywords: Any) -> Any:
            result = method(*arguments, **keywords)
            return asyncio.run(result) if asyncio.iscoroutine(result) else result

        return run


@both
def test_a_hit_is_described(asynchronous: bool, tmp_path: Path) -> None:
    client = Client([AutoCache(), DiskCache(tmp_path)], asynchronous)
    client.create(User, ANNA, cache_ttl=60, cache_tags=["doc:1"])
    found = client.explain(User, ANNA)
    assert (found.hit, found.verdict, found.tier, found.tags) == (True, "hit", "AutoCache", ("doc:1",))
    assert (found.reason, found.stale, found.answered_by, found.store) == (None, False, "demo", "AutoCache+DiskCache")
    assert 0 <= found.age < 60 - found.expires_in + 1
    later = Client([AutoCache(), DiskCache(tmp_path)], asynchronous).explain(User, ANNA)
    assert (later.hit, later.tier, later.key) == (True, "DiskCache", found.key)


@both
@pytest.mark.parametrize(
    ("model", "messages", "keywords", "difference"),
    [
        (User, ANNIE, {}, "messages[0].content, character 9: stored 'Anna is 25.', asked 'Anna is 26.'"),
        (User, ANNA, {"temperature": 0.5}, "temperature: stored nothing, asked 0.5"),
        (WIDER, ANNA, {}, "schema.properties.age.type, character 0: stored 'integer', asked 'number'"),
        (User, ANNA, {"cache_namespace": "b"}, 'cache_namespace: stored nothing, asked "b"'),
        (WIDER, ANNIE, {}, "None"),
    ],
)
def test_a_miss_shows_both_values_where_they_differ_first(
    model: Any, messages: Any, keywords: dict[str, Any], difference: str, asynchronous: bool
) -> None:
    client = Client(AutoCache(), asynchronous)
    client.create(User, say("Someone else entirely, who is 40 years old."))
    client.create(User, ANNA)
    client.create(User, say("And somebody else again, who is 50."))
    found = client.explain(model, messages, **keywords)
    assert (found.hit, str(found.difference)) == (False, difference)


def test_nothing_is_sent_stored_counted_or_copied(tmp_path: Path) -> None:
    world, disk = World([AutoCache(), DiskCache(tmp_path)]), DiskCache(tmp_path)
    events: list[Any] = []
    for name in ("cache:hit", "cache:miss", "cache:write", "cache:bypass", "completion:kwargs"):
        world.client.on(name, events.append)
    world.client.explain(User, ANNA)
    from_provider("offline/demo", cache=disk).create(User, ANNA)
    world.client.explain(User, ANNA)
    world.client.explain(User, ANNA, samples=3)
    stats = world.client.cache_stats()
    assert (world.asked, events, stats.hits, stats.misses, stats.writes) == (0, [], 0, 0, 0)
    assert world.client.cache.tiers[0].size()[0] == 0
    assert world.client.cache.tiers[0].stats().misses == 0


def test_a_call_without_a_key_names_the_value() -> None:
    found = from_provider("offline/demo", cache=AutoCache()).explain(User, ANNA, extra_body={"x": object()})
    assert (found.verdict, found.key, found.hit) == ("not cached", None, False)
    assert "arguments.extra_body.x" in str(found.uncacheable)
    assert from_provider("offline/demo").explain(User, ANNA).uncacheable == "the call has no cache"


@pytest.mark.parametrize(("mode", "reason"), [("refresh", "not_looked_up"), ("replay", "cold"), ("use", "cold")])
def test_the_mode_of_the_call_counts(mode: Any, reason: str) -> None:
    assert from_provider("offline/demo", cache=Shelf()).explain(User, ANNA, cache_mode=mode).reason == reason


def test_an_answer_that_may_not_be_served_is_a_miss_that_says_why() -> None:
    shelf = Shelf()
    client = from_provider("offline/demo", cache=shelf)
    client.create(User, ANNA, cache_ttl=60)
    assert client.explain(User, ANNA, max_age=0).reason == "expired"
    assert client.explain(User, ANNA, max_age=0, stale_while_revalidate=60).stale
    (key,) = shelf.data
    shelf.data[key] += "x"
    assert client.explain(User, ANNA).reason == "corrupt"
    shelf.is_down = True
    assert client.explain(User, ANNA).reason == "unavailable"


def test_no_secret_is_quoted() -> None:
    client = from_provider("offline/demo", cache=AutoCache())
    client.create(User, say("sk-proj-abcdefghijklmnop1234 is Anna's."))
    found = client.explain(User, say("sk-proj-qrstuvwxyz1234567890 is Anne's."))
    assert found.difference is not None
    assert "sk-proj" not in str(found)
    assert found.difference.asked.endswith("Anne's.\"")


def test_nothing_else_is_shown_of_another_namespace() -> None:
    client = from_provider("offline/demo", cache=AutoCache())
    client.create(User, ANNA, user="anna@example.com", cache_namespace="a")
    found = client.explain(User, ANNA, user="ben@example.com", cache_namespace="b")
    assert str(found.difference) == "cache_namespace, character 0: stored 'a', asked 'b'"


def test_a_cassette_names_the_line_and_what_to_do(tmp_path: Path) -> None:
    client = from_provider("offline/demo", cache=CassetteCache(tmp_path / "c.jsonl"))
    client.create(User, ANNA)
    found = client.explain(User, ANNIE)
    assert (found.reason, found.nearest) == ("prompt_changed", f"line 1 of {tmp_path / 'c.jsonl'}")
    assert "character 9" in str(found.difference)
    assert "--llm-record=new" in found.advice


def test_it_is_shown_as_lines_and_as_a_table() -> None:
    client = from_provider("offline/demo", cache=AutoCache())
    client.create(User, say("<b>Anna is 25.</b>"))
    found = client.explain(User, say("<i>Anna is 25.</i>"))
    assert str(found).splitlines()[0] == "miss: User from offline/demo"
    assert "  reason: prompt_changed (the same call is stored with other messages)" in str(found).splitlines()
    assert "&lt;b&gt;Anna" in found._repr_html_()
    with pytest.raises(AttributeError):
        found.hit = True  # type: ignore[misc] # that it is frozen is the test
    assert isinstance(found, Explanation)


def test_a_difference_is_shown_once(tmp_path: Path) -> None:
    """It is the detail of the miss, too, where what was asked is kept."""
    client = from_provider("offline/demo", cache=DiskCache(tmp_path), explain_misses=True)
    client.create(User, ANNA)
    found = client.explain(User, ANNIE)
    assert found.detail == str(found.difference)
    assert str(found).count("character 9") == 1


def test_a_long_text_is_not_compared_by_its_hash() -> None:
    client, long = from_provider("offline/demo", cache=AutoCache()), "x" * 300_000
    for _ in range(2):
        client.create(str, say(f"{long}1"))
    found = client.explain(str, say(f"{long}2"))
    assert (found.reason, found.difference) == ("prompt_changed", None)


def test_it_takes_no_turn_among_samples() -> None:
    client = from_provider("offline/demo", cache=AutoCache())
    keys = {client.explain(User, ANNA, samples=3).key for _ in range(2)}
    assert keys == {client.create_with_reply(User, ANNA, samples=3).key}


@pytest.mark.parametrize(("of_client", "of_call"), [({"samples": 2}, {}), ({}, {"samples": 2})], ids=["client", "call"])
def test_it_is_about_the_sample_whose_turn_is_next(of_client: dict[str, Any], of_call: dict[str, Any]) -> None:
    client = from_provider("offline/demo", cache=AutoCache(), **of_client)
    hits: list[bool] = []
    for _ in range(3):
        explanation = client.explain(User, ANNA, **of_call)
        reply = client.create_with_reply(User, ANNA, **of_call)
        assert (explanation.hit, explanation.key) == (reply.cached, reply.key)
        hits.append(reply.cached)
    assert hits == [False, False, True]


def test_the_sample_is_looked_up_in_an_asynchronous_program_too() -> None:
    async def explain_twice() -> list[bool]:
        client = from_provider("offline/demo", cache=AutoCache(), samples=2, async_client=True)
        await client.create(User, ANNA)
        return [(await client.explain(User, ANNA)).hit for _ in range(2)]

    assert asyncio.run(explain_twice()) == [False, False]


def test_a_store_that_fails_is_not_reported(tmp_path: Path) -> None:
    disk, events = DiskCache(tmp_path), list[Any]()
    client = from_provider("offline/demo", cache=[AutoCache(), disk])
    client.on("cache:error", events.append)
    client.create(User, ANNA, cache_tags=["a"])
    with mock.patch.object(DiskCache, "generations", side_effect=OSError("lost")):
        assert client.explain(User, ANNA).reason == "unavailable"
    assert events == []
