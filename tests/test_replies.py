"""An answer says where it came from."""

from __future__ import annotations

import asyncio
import pickle
import threading
from typing import Any

import pytest

from instructor import AutoCache, Reply
from instructor.cache.entry import Entry, Origin
from instructor.engine.call import Live
from instructor.engine.freshness import Verdict
from instructor.engine.reply import make_reply
from instructor.engine.tier_lookup import Served, Source
from instructor.exceptions import ConfigurationError
from instructor.messages import Part
from instructor.usage import Usage
from steps import KEY, make_call
from worlds import MESSAGES, Shelf, User, World, both


def ask(world: World, **keywords: Any) -> Reply[User]:
    made = world.client.create_with_reply(User, MESSAGES, **keywords)
    reply: Reply[User] = asyncio.run(made) if asyncio.iscoroutine(made) else made
    return reply


@both
def test_a_reply_says_which_tier_had_the_answer_and_how_old_it_is(
    asynchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, shelf = AutoCache(), Shelf()
    world = World([memory, shelf], asynchronous)
    events: list[Any] = []
    world.client.on("cache:write", events.append)
    live = ask(world)
    memory.clear()
    replies = [live, ask(world), ask(world)]
    assert [(one.cached, one.shared, one.stale, one.tier) for one in replies] == [
        (False, False, False, None),
        (True, False, False, "Shelf"),
        (True, False, False, "AutoCache"),
    ]
    assert {one.key for one in replies} == {events[0].key}
    assert {(one.value.name, one.provider, one.model, one.attempts) for one in replies} == {
        ("answer 1", "scripted", "m", 1)
    }
    assert len({one.usage for one in replies}) == len({one.seconds for one in replies}) == 1
    assert live.age is None
    assert all(one.age is not None and 0 <= one.age < 60 for one in replies[1:])
    assert len({one.completion.model_dump_json() for one in replies}) == 1
    assert replies[1].completion is replies[1].completion
    assert replies[1].completion is not replies[2].completion


@both
def test_a_reply_without_a_cache_has_no_key(asynchronous: bool) -> None:
    reply = ask(World(None, asynchronous))
    assert (reply.cached, reply.key, reply.tier, reply.age) == (False, None, None, None)
    assert reply.completion.choices


@both
def test_a_stale_answer_is_marked_in_replies_and_streams(asynchronous: bool) -> None:
    shelf = Shelf()
    World(shelf, cache_ttl=60).ask()

    def reply() -> Any:
        raise OSError("no route")

    world = World(shelf, asynchronous, max_age=0, stale_if_error=60)
    world.reply = reply
    stale = ask(world)
    assert (stale.cached, stale.stale, stale.tier, stale.value.name) == (True, True, "Shelf", "answer 1")
    assert "stale=True" in repr(stale)
    stream = world.client.create_partial(User, MESSAGES)
    asyncio.run(_exhaust(stream)) if asynchronous else list(stream)
    assert (stream.is_cached, stream.is_stale) == (True, True)


async def _exhaust(stream: Any) -> None:
    async for _ in stream:
        pass


def test_a_shared_answer_is_cached_and_no_tiers() -> None:
    world = World(Shelf())
    replies: list[Reply[User]] = []
    waiter = threading.Thread(target=lambda: replies.append(ask(world)))

    def reply() -> dict[str, str]:
        waiter.start()
        while not any(flight._waiters for flight in world.client._path.flights._flights.values()):
            pass
        return {"name": "Ann"}

    world.reply = reply
    live = ask(world)
    waiter.join(10)
    (shared,) = replies
    assert (shared.cached, shared.shared, shared.tier, shared.age) == (True, True, None, None)
    assert (shared.usage, shared.completion) == (live.usage, live.completion)


def test_a_stored_answer_that_a_leader_has_shared_shows_what_it_took() -> None:
    """The leader has asked nothing itself, so what is known stands in the entry."""
    entry = Entry(KEY, (Part("", "{}"),), b"", Origin("scripted", "m", "m-2026"), 900.0, None, 2.0, Usage(3, 4), 5)
    served = Served(1, entry, Verdict.FALLBACK, source=Source.SHARED, live=Live(1, entry.parts))
    reply = make_reply(make_call(), served)
    assert (reply.usage, reply.seconds, reply.attempts, reply.stale) == (Usage(3, 4), 2.0, 5, True)
    assert (reply.model, reply.answered_by) == ("m", "m-2026"), "the completion's own word"
    live = make_reply(make_call(), Served(1, None, source=Source.LIVE, live=Live(1, answered_by="m-2027")))
    assert live.answered_by == "m-2027"
    assert make_reply(make_call(), Served(1, None, source=Source.LIVE, live=Live(1))).answered_by == "m"


def test_a_reply_is_shown_without_loading_anything_and_leaves_the_process() -> None:
    world = World(AutoCache())
    ask(world)
    reply = ask(world)
    assert repr(reply).startswith(
        "Reply(value=User(name='answer 1'), model='scripted/m', cached=True, tier='AutoCache', age="
    )
    shown = reply._repr_html_()
    assert "<th>tier</th><td>AutoCache</td>" in shown
    assert "completion" not in vars(reply)
    copied = pickle.loads(pickle.dumps(reply))
    assert (copied, copied.completion) == (reply, reply.completion)


def test_markup_in_an_answer_is_shown_as_text() -> None:
    world = World(None)
    world.reply = lambda: {"name": "<script>"}
    assert "<script>" not in ask(world)._repr_html_()


@both
def test_a_reply_is_of_a_whole_answer(asynchronous: bool) -> None:
    with pytest.raises(ConfigurationError, match=r"create_with_reply\(\) wait for the whole answer"):
        ask(World(None, asynchronous), stream=True)
