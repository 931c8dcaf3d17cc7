"""A cached function's conversation with its cache, stepped by hand."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from instructor.cache.entry import encode_entry
from instructor.cache.flight import Landed
from instructor.cache.memory import AutoCache
from instructor.engine.call import Live, Policy
from instructor.engine.effects import Claim, Read, Send, Wait, Write
from instructor.engine.lookup import Answer, value_through_cache
from instructor.exceptions import CacheError
from instructor.function.codec import FunctionCodec
from instructor.function.question import Function, FunctionQuestion
from steps import HandHandle, Steps, lease, make_path, offered

REQUEST = {"args": ("a",), "kwargs": {}}


def extract(text: str) -> list[str]:
    return [text]


CODEC = FunctionCodec(extract, shared=True)
KEY: Any = CODEC.key_of(("a",), {})
ENTRY: Any = CODEC.write(KEY, ["a"], None, 1.0)


def ask(ttl: float | None = None, memory: Any = None, **parts: Any) -> tuple[Steps, HandHandle]:
    handle: Any = HandHandle(**parts)
    path = make_path(handle, memory)
    question = FunctionQuestion(Function(CODEC, path), KEY, REQUEST)
    return Steps(value_through_cache(path, KEY, question, Policy(ttl))), handle


def test_a_hit_asks_for_nothing_but_the_store() -> None:
    steps, handle = ask()
    assert steps.give(encode_entry(ENTRY)) is None
    assert steps.value == ["a"]
    assert handle.counted == {}


def test_a_hit_in_memory_asks_for_nothing_at_all() -> None:
    memory = AutoCache()
    memory.keep(ENTRY)
    with pytest.raises(StopIteration) as stop:
        ask(memory=memory)
    assert stop.value.value == ["a"]


def test_a_miss_reads_claims_runs_and_writes_in_this_order() -> None:
    steps, handle = ask(ttl=60.0)
    held = lease()
    assert isinstance(steps.effect, Read)
    assert isinstance(steps.give(None), Claim)
    assert steps.give(held) == Send("call", REQUEST)
    write = steps.give(["a"])
    assert isinstance(write, Write)
    assert (write.key, write.ttl) == (KEY, 60.0)
    assert write.text == encode_entry(offered(held).entry)
    assert steps.give(True) is None
    assert steps.value == ["a"]
    assert handle.counted == {"misses": 1, "writes": 1}


@pytest.mark.parametrize("entry", [ENTRY, None], ids=["in writing", "as an object"])
def test_a_waiter_gets_a_copy_of_its_own(entry: Any) -> None:
    result = ["a"]
    steps, handle = ask()
    steps.give(None)
    assert isinstance(steps.give(lease().flight), Wait)
    assert steps.give(Landed(Answer(Live(result), entry, is_kept=True))) is None
    assert steps.value == result
    assert steps.value is not result
    assert handle.counted == {}


def test_a_waiter_that_cannot_copy_the_result_runs_the_function() -> None:
    steps, _ = ask()
    landed = Landed(Answer(Live(threading.Lock()), None, is_kept=False))
    steps.give(None)
    steps.give(lease().flight)
    assert isinstance(steps.give(landed), Claim)
    assert isinstance(steps.give(lease()), Send)
    assert isinstance(steps.give(["a"]), Write)
    steps.give(True)
    assert steps.value == ["a"]


def test_every_waiter_gets_an_error_of_its_own_whoever_led() -> None:
    error, caught = LookupError("a"), []
    for _ in range(2):
        steps, _ = ask()
        steps.give(None)
        steps.give(lease().flight)
        with pytest.raises(LookupError) as raised:
            steps.give(Landed(error=error))
        caught.append(raised.value)
    assert len({id(error), *map(id, caught)}) == 3


def test_a_store_that_fails_is_a_miss_that_counts() -> None:
    steps, handle = ask()
    assert isinstance(steps.fail(CacheError("down")), Claim)
    steps.give(lease())
    assert isinstance(steps.give(["a"]), Write)
    assert steps.fail(CacheError("down")) is None
    assert steps.value == ["a"]
    assert handle.counted == {"misses": 1}


def test_a_store_left_alone_is_not_read() -> None:
    steps, _ = ask(is_paused=True)
    assert isinstance(steps.effect, Claim)


def test_an_argument_changed_while_the_store_is_read_is_neither_stored_nor_shared_under_the_old_key() -> None:
    argument = ["a"]
    key: Any = CODEC.key_of((argument,), {})
    path = make_path()
    question = FunctionQuestion(Function(CODEC, path), key, {"args": (argument,), "kwargs": {}})
    steps, held = Steps(value_through_cache(path, key, question, Policy())), lease()
    argument.append("b")
    steps.give(None)
    assert isinstance(steps.give(held), Send)
    assert steps.give([["a", "b"]]) is None, "nothing is written"
    assert steps.value == [["a", "b"]], "the caller gets what its function returned"
    waiter, _ = ask()
    waiter.give(None)
    waiter.give(lease().flight)
    claim = waiter.give(Landed(offered(held)))
    assert isinstance(claim, Claim), "a waiter asks for what it said itself"
    assert isinstance(waiter.give(lease()), Send)


def test_a_result_that_can_neither_be_written_nor_copied_is_not_shared() -> None:
    steps, _ = ask()
    held = lease()
    steps.give(None)
    steps.give(held)
    assert steps.give([threading.Lock()]) is None
    assert len(steps.value) == 1, "the caller gets what its function returned"
    assert offered(held).live.flaw == "the result cannot be copied: TypeError"
