"""The order of events in a call of a cached function, stepped by hand."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from instructor.cache.entry import encode_entry
from instructor.cache.flight import Landed
from instructor.cache.memory import AutoCache
from instructor.engine.effects import Claim, Lease, Read, Reply, Send, Write
from instructor.exceptions import CacheError
from instructor.function.codec import FunctionCodec
from instructor.function.flow import Function, answer
from steps import KEY, HandHandle, Steps

REQUEST = {"args": ("a",), "kwargs": {}}


def extract(text: str) -> list[str]:
    return [text]


RECIPE = FunctionCodec(extract, shared=True)
ENTRY = RECIPE.write(KEY, ["a"], None, 1.0)


def ask(ttl: float | None = None, **parts: Any) -> tuple[Steps, HandHandle]:
    handle: Any = HandHandle(**parts)
    return Steps(answer(Function(RECIPE, handle, ttl), KEY, REQUEST)), handle


def lead(handle: HandHandle) -> Lease:
    return Lease(handle.flights.claim(KEY)[0])


def test_a_hit_asks_for_nothing_but_the_store() -> None:
    steps, handle = ask()
    assert steps.give(encode_entry(ENTRY)) is None
    assert steps.reply == ["a"]
    assert handle.counted == {"hits": 1}


def test_a_hit_in_memory_asks_for_nothing_at_all() -> None:
    local = AutoCache()
    local.keep(ENTRY)
    with pytest.raises(StopIteration) as stop:
        ask(store=local, local=local)
    assert stop.value.value == ["a"]


def test_a_miss_reads_claims_runs_and_writes_in_this_order() -> None:
    steps, handle = ask(ttl=60.0)
    held = lead(handle)
    assert isinstance(steps.effect, Read)
    assert isinstance(steps.give(None), Claim)
    assert steps.give(held) == Send("call", REQUEST)
    write = steps.give(["a"])
    assert isinstance(write, Write)
    assert (write.key, write.ttl) == (KEY, 60.0)
    assert held.reply is not None, "those who wait get the result even if the leader is cancelled while it writes"
    assert write.text == encode_entry(held.reply.entry)
    assert steps.give(True) is None
    assert steps.reply == ["a"]
    assert handle.counted == {"misses": 1, "writes": 1}


def test_who_was_overtaken_looks_again_and_counts_one_look() -> None:
    steps, handle = ask()
    steps.give(None)
    handle.flights.claim(KEY)[0].land()
    assert isinstance(steps.give(lead(handle)), Read)
    assert steps.give(encode_entry(ENTRY)) is None
    assert steps.reply == ["a"]
    assert handle.counted == {"hits": 1}


@pytest.mark.parametrize("entry", [ENTRY, None], ids=["in writing", "as an object"])
def test_who_waited_gets_a_copy_of_its_own(entry: Any) -> None:
    result = ["a"]
    steps, handle = ask()
    steps.give(None)
    assert steps.give(Landed(Reply(result, entry))) is None
    assert steps.reply == result
    assert steps.reply is not result
    assert handle.counted == {}


def test_who_cannot_copy_the_result_runs_the_function_and_stores_nothing() -> None:
    steps, _ = ask()
    steps.give(None)
    assert isinstance(steps.give(Landed(Reply(threading.Lock(), None))), Send)
    assert steps.give(["a"]) is None
    assert steps.reply == ["a"]


def test_who_waited_gets_the_error_whoever_led() -> None:
    steps, _ = ask()
    steps.give(None)
    error = LookupError("a")
    with pytest.raises(LookupError) as raised:
        steps.give(Landed(error=error, source=object()))
    assert raised.value is error


def test_a_store_that_fails_is_a_miss_that_counts() -> None:
    steps, handle = ask()
    assert isinstance(steps.fail(CacheError("down")), Claim)
    steps.give(lead(handle))
    assert isinstance(steps.give(["a"]), Write)
    assert steps.fail(CacheError("down")) is None
    assert steps.reply == ["a"]
    assert handle.counted == {"misses": 1}


def test_a_store_left_alone_is_not_read() -> None:
    steps, _ = ask(is_paused=True)
    assert isinstance(steps.effect, Claim)
