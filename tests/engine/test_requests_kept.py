"""`explain_misses=True`: what was asked is kept beside its answer, so that a miss in any process shows where it differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from canaries import CANARIES
from instructor import AutoCache, DiskCache, Instructor, from_provider
from instructor.cache import SealedCache
from instructor.cache.rows import compare_requests, read_request
from instructor.exceptions import CacheMiss
from worlds import Shelf


class User(BaseModel):
    name: str
    age: int


WIDER: type[BaseModel] = create_model("User", name=(str, ...), age=(float, ...))


def say(text: str, system: str = "Extract.") -> list[Any]:
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


ANNA = say("Anna is 25.")


def start(path: Path, **keywords: Any) -> tuple[Instructor, list[Any]]:
    """A client as in a new process: it shares nothing but the directory."""
    client = from_provider("offline/demo", cache=DiskCache(path), **{"explain_misses": True, **keywords})
    events: list[Any] = []
    client.on("cache:miss", events.append)
    return client, events


@pytest.mark.parametrize(
    ("model", "messages", "keywords", "reason", "detail"),
    [
        (User, say("Anna is 26."), {}, "prompt_changed", "messages[1].content, character 9: stored 'Anna is 25.', asked 'Anna is 26.'"),
        (User, ANNA, {"temperature": 0.5}, "params_changed", "arguments.temperature: stored nothing, asked 0.5"),
        (User, ANNA, {"model": "m"}, "params_changed", "model, character 0: stored 'demo', asked 'm'"),
        (WIDER, ANNA, {}, "schema_changed", "schema.properties.age.type, character 0: stored 'integer', asked 'number'"),
        (User, ANNA, {"cache_namespace": "b"}, "namespace", 'namespace: stored nothing, asked "b"'),
        (WIDER, say("Ben"), {}, "cold", None),
    ],
)  # fmt: skip
def test_a_miss_in_another_process_names_the_place(
    model: Any, messages: Any, keywords: Any, reason: str, detail: str | None, tmp_path: Path
) -> None:
    start(tmp_path)[0].create(User, ANNA)
    client, events = start(tmp_path)
    assert client.explain(model, messages, **keywords).reason == reason
    client.create(model, messages, **keywords)
    assert [(event.reason, event.detail) for event in events] == [(reason, detail)]


def test_the_nearest_is_the_one_that_differs_in_no_more_than_a_date(tmp_path: Path) -> None:
    first, _ = start(tmp_path)
    for text in ("Anna is 25.", "Ben is 30.", "Zoe is 41."):
        first.create(User, say(f"{text} It is 2026-11-20."))
    client, events = start(tmp_path)
    client.create(User, say("Anna is 25. It is 2026-11-21."))
    assert events[0].detail.startswith("messages[1].content, character 27: stored '...")


def test_nothing_else_is_shown_of_another_namespace(tmp_path: Path) -> None:
    start(tmp_path, cache_namespace="a")[0].create(User, ANNA, model="annas-own")
    found = start(tmp_path, cache_namespace="b")[0].explain(User, ANNA)
    assert found.reason == "namespace"
    assert str(found.difference) == "namespace, character 0: stored 'a', asked 'b'"
    assert "annas-own" not in str(found)


def test_a_replay_and_an_explanation_show_it_though_their_client_keeps_nothing(tmp_path: Path) -> None:
    start(tmp_path)[0].create(User, ANNA)
    reader, _ = start(tmp_path, explain_misses=False)
    assert "character 9" in str(reader.explain(User, say("Anna is 26.")).difference)
    replaying, _ = start(tmp_path, cache_mode="replay")
    with pytest.raises(CacheMiss, match=r"character 9: stored 'Anna is 25\.', asked"):
        replaying.create(User, say("Anna is 26."))


def test_by_default_nothing_of_a_prompt_is_stored(tmp_path: Path) -> None:
    client, _ = start(tmp_path, explain_misses=False)
    client.create(User, say("Anna is 25. Whisper.", "Murmur."))
    assert client.cache is not None
    assert client.cache.stats().entries == 1
    client.cache.compact()
    assert b"Murmur" not in b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())


def test_no_secret_is_kept_or_shown() -> None:
    shelf = Shelf()
    client = from_provider("offline/demo", cache=shelf, explain_misses=True)
    events: list[Any] = []
    client.on("cache:miss", events.append)
    for number, (_, text) in enumerate(CANARIES.values()):
        client.create(int, say(f"{number} {text}", text))
    kept = "".join(text for text in shelf.data.values() if "was asked" in text)
    shown = str([event.detail for event in events]) + str(client.explain(int, say("0", "other")))
    assert kept.count("was asked") == len(CANARIES)
    assert "REDACTED" in kept
    assert "asked" in shown
    for secret, _ in CANARIES.values():
        assert secret not in kept + shown


def test_what_is_kept_is_sealed_bounded_and_erased_with_its_answer(tmp_path: Path) -> None:
    inner = Shelf()
    sealed = from_provider("offline/demo", cache=SealedCache(inner, [b"k" * 32]), explain_misses=True)
    sealed.create(User, say("Whisper 25."))
    assert len(inner.data) == 5
    assert not any("Whisper" in text for text in inner.data.values())
    assert "character" in str(sealed.explain(User, say("Whisper 26.")).difference)

    shelf = Shelf()
    from_provider("offline/demo", cache=shelf, explain_misses=True).create(int, say("1 " + "x" * 100_000))
    assert len(shelf.data) == 1

    client, _ = start(tmp_path)
    client.create(User, say("Whisper 25.", "Murmur."), cache_tags=["a"])
    assert client.cache is not None
    client.cache.invalidate(tag="a", erase=True)
    assert b"Murmur" not in b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())


def test_memory_of_this_process_keeps_no_rows() -> None:
    client = from_provider("offline/demo", cache=AutoCache(), explain_misses=True)
    client.create(User, ANNA)
    assert client.cache is not None
    assert client.cache.stats().entries == 1


def test_what_was_asked_for_two_keys_can_be_compared_by_hand(tmp_path: Path) -> None:
    client, _ = start(tmp_path)
    keys = [str(client.create_with_reply(User, say(text)).key) for text in ("Anna is 25.", "Anna is 26.")]
    store = DiskCache(tmp_path)
    one, other = (read_request(store, key) for key in keys)
    assert one is not None
    assert other is not None
    assert one["messages"] == say("Anna is 25.")
    found = compare_requests(one, other, keys[0])
    assert (found.cause.reason, found.nearest) == ("prompt_changed", keys[0])
    assert str(found.difference).startswith("messages[1].content, character 9")
    assert read_request(store, "a" * 64) is None
