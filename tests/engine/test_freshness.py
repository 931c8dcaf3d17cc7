"""How old an answer may be: the verdict by itself, stepped in a flow, and through clients."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from instructor.cache import AutoCache, instructor_cache
from instructor.cache.entry import Entry, Origin, decode_entry, encode_entry, pack_completion
from instructor.cache.flight import Landed
from instructor.cache.refreshes import MOST, PAUSE, Refreshes
from instructor.cache_modes import MODES
from instructor.engine.background import Background
from instructor.engine.call import Live
from instructor.engine.drive import drive
from instructor.engine.effects import Claim, Emit, Read, Send, Spawn, Wait, Write
from instructor.engine.freshness import Freshness, Verdict, weigh
from instructor.engine.lookup import Answer
from instructor.engine.question import answer
from instructor.exceptions import (
    ArgumentError,
    CacheMiss,
    ConfigurationError,
    IncompleteOutputException,
    InstructorRetryException,
    RefusalError,
)
from instructor.messages import Part
from steps import KEY, HandHandle, Steps, completion, every_hook, lease, make_call, make_path, offered
from worlds import MESSAGES, Shelf, User, World, age, both

ENTRY = Entry(KEY, (Part("", '{"name": "old"}'),), pack_completion("{}"), Origin("scripted", "m"), 900.0, 990.0, 2.0)
"""At 1000, the time of all flows here, it is stale for 10 seconds."""

FRESH, EARLY, STALE, FALLBACK, EXPIRED = Verdict


@pytest.mark.parametrize(
    ("freshness", "now", "verdict"),
    [
        (Freshness(), 989.9, FRESH),
        (Freshness(), 990.0, EXPIRED),
        (Freshness(max_age=50.0), 949.9, FRESH),
        (Freshness(max_age=50.0), 950.0, EXPIRED),
        (Freshness(max_age=500.0), 990.0, EXPIRED),
        (Freshness(max_age=0.0), 900.0, EXPIRED),
        (Freshness(None, 10.0), 999.9, STALE),
        (Freshness(None, 10.0), 1000.0, EXPIRED),
        (Freshness(50.0, 10.0), 955.0, STALE),
        (Freshness(None, 0.0, 10.0), 999.9, FALLBACK),
        (Freshness(None, 5.0, 10.0), 994.9, STALE),
        (Freshness(None, 5.0, 10.0), 995.0, FALLBACK),
        (Freshness(None, 5.0, 10.0), 1000.0, EXPIRED),
    ],
    ids=str,
)
def test_the_verdict(freshness: Freshness, now: float, verdict: Verdict) -> None:
    assert weigh(ENTRY, now, freshness) is verdict


def test_an_entry_without_a_ttl_is_fresh_for_ever_unless_the_reader_says_otherwise() -> None:
    entry = replace(ENTRY, expires=None)
    assert weigh(entry, 1e12, Freshness(None, 10.0, 10.0, 9.0)) is FRESH
    assert weigh(entry, 951.0, Freshness(50.0, 10.0)) is STALE


def test_an_answer_is_refreshed_the_earlier_the_longer_it_took() -> None:
    """-seconds * eagerness * log(chance) against what is left: with e**-2 as chance, an answer of 2 s counts 4 s early."""
    chance = 0.1353352832366127
    eager = Freshness(refresh_early=1.0)
    assert weigh(ENTRY, 985.9, eager, lambda: chance) is FRESH
    assert weigh(ENTRY, 986.1, eager, lambda: chance) is EARLY
    assert weigh(ENTRY, 980.0, Freshness(refresh_early=3.0), lambda: chance) is EARLY
    assert weigh(ENTRY, 989.9, eager, lambda: 1.0) is FRESH
    assert weigh(replace(ENTRY, seconds=0.0), 989.9, eager, lambda: chance) is FRESH


SECONDS = st.integers(0, 1600).map(lambda eighths: eighths / 8)
"""Such numbers are added without a rounding."""


@settings(max_examples=200)
@given(
    ttl=st.none() | SECONDS,
    age=SECONDS,
    later=SECONDS,
    freshness=st.builds(Freshness, st.none() | SECONDS, SECONDS, SECONDS, st.sampled_from([0.0, 1.0])),
    chance=st.floats(0.001, 1),
)
def test_what_holds_for_any_verdict(ttl: Any, age: float, later: float, freshness: Freshness, chance: float) -> None:
    entry = replace(ENTRY, expires=None if ttl is None else 900.0 + ttl)
    order = list(Verdict)

    def at(moment: float, policy: Freshness = freshness) -> Verdict:
        return weigh(entry, 900.0 + moment, policy, lambda: chance)

    assert order.index(at(age)) <= order.index(at(age + later)), "an answer grows no younger"
    bare = at(age, Freshness(freshness.max_age))
    assert bare in (FRESH, EXPIRED)
    assert (bare is FRESH) == (at(age) in (FRESH, EARLY)), "no grace makes an answer fresh"
    longer = freshness._replace(stale_if_error=freshness.stale_if_error + later)
    assert order.index(at(age, longer)) <= order.index(at(age)), "a longer grace serves no less"
    kept = entry.expires is None or age < ttl + freshness.grace
    assert kept or at(age) is EXPIRED, "the store need not keep it for longer than its ttl and the grace"


def step(freshness: Freshness, **changes: Any) -> tuple[Any, Steps]:
    """The flow of a call with a policy, before its first effect."""
    call = make_call(hooks=changes.pop("hooks", None) or make_call().hooks, **changes)
    call = call._replace(policy=call.policy._replace(freshness=freshness), background=Background())
    return call, Steps(answer(call))


def test_a_stale_answer_is_served_at_once_and_replaced_in_the_background() -> None:
    call, steps = step(Freshness(None, 60.0))
    spawn = steps.give(encode_entry(ENTRY))
    assert isinstance(spawn, Spawn)
    assert steps.give() is None
    assert steps.value.name == "old"
    again = Steps(spawn.flow)
    held = lease()
    assert isinstance(again.effect, Claim), "a single tier was just read"
    assert isinstance(again.give(held), Send)
    write = again.give(completion({"name": "new"}))
    assert isinstance(write, Write)
    assert decode_entry(write.text, KEY).answer == '{"name":"new"}'
    assert offered(held).live.value.name == "new", "who misses meanwhile gets it too"
    assert again.give(True) is None
    assert call.stats.stats().misses == 0


def test_a_second_stale_hit_starts_nothing_until_the_first_refresh_is_over() -> None:
    call, steps = step(Freshness(None, 60.0))
    spawn = steps.give(encode_entry(ENTRY))
    assert isinstance(spawn, Spawn)
    for _ in range(3):
        other = Steps(answer(call))
        assert other.give(encode_entry(ENTRY)) is None
        assert other.value.name == "old"
    spawn.done(True)
    assert isinstance(Steps(answer(call)).give(encode_entry(ENTRY)), Spawn)


def test_a_refresh_looks_in_the_later_tiers_first() -> None:
    call, steps = two_tiers(Freshness(None, 60.0))
    spawn = steps.effect
    assert isinstance(spawn, Spawn)
    again = Steps(spawn.flow)
    assert isinstance(again.effect, Read)
    fresh = replace(ENTRY, created=999.0, expires=1010.0)
    assert again.give(encode_entry(fresh)) is None, "another process has replaced it: nothing is asked"
    memory: Any = call.path.tiers[0].handle.store
    assert memory.find(KEY) == fresh


@pytest.mark.parametrize("found", [None, ENTRY, replace(ENTRY, expires=2000.0)], ids=["nothing", "stale", "the same"])
def test_a_refresh_asks_if_the_later_tiers_have_nothing_newer(found: Any) -> None:
    _, steps = two_tiers(Freshness(None, 60.0))
    assert isinstance(steps.effect, Spawn)
    again = Steps(steps.effect.flow)
    assert isinstance(again.give(found and encode_entry(found)), Claim)


def two_tiers(freshness: Freshness) -> tuple[Any, Steps]:
    from instructor.cache.handle import handle_of
    from instructor.cache.hits import HitLog
    from instructor.engine.path import CachePath, LocalTier

    memory = AutoCache()
    memory.keep(ENTRY)
    below = make_path(HandHandle())
    handle: Any = handle_of(memory)
    path = CachePath((LocalTier(handle, memory, HitLog()), *below.tiers), below.flights, below.handle)
    return step(freshness, path=path)


def test_an_early_refresh_serves_what_is_fresh_and_is_no_stale_hit() -> None:
    call = make_call(hooks=every_hook())
    policy = call.policy._replace(freshness=Freshness(refresh_early=1.0), draw=lambda: 1e-9)
    steps = Steps(answer(call._replace(policy=policy, background=Background())))
    hit = steps.give(encode_entry(replace(ENTRY, expires=1030.0)))
    assert isinstance(hit, Emit)
    assert hit.arguments[0].stale is False
    assert isinstance(steps.give(), Spawn)


@pytest.mark.parametrize("mode", ["read_only", "replay"])
def test_nothing_is_refreshed_in_a_mode_that_may_not(mode: str) -> None:
    call = make_call()
    policy = call.policy._replace(freshness=Freshness(None, 60.0), mode=MODES[mode])
    steps = Steps(answer(call._replace(policy=policy, background=Background())))
    assert steps.give(encode_entry(ENTRY)) is None
    assert steps.value.name == "old"


FAILED = InstructorRetryException("the provider is down")


@pytest.mark.parametrize("error", [FAILED, IncompleteOutputException()], ids=lambda error: type(error).__name__)
def test_a_stale_answer_is_served_if_the_provider_fails(error: Exception) -> None:
    call, steps = step(Freshness(None, 0.0, 60.0), hooks=every_hook())
    held = lease()
    assert isinstance(steps.give(encode_entry(ENTRY)), Claim)
    steps.give(held)
    events = fail_to_ask(steps, error)
    assert steps.value.name == "old"
    assert [(event.name.value, event.stale, event.tier) for event in events] == [("cache:hit", True, "DeafCache")]
    assert type(error).__name__ in events[0].reason
    shared = offered(held)
    assert (shared.error, shared.is_live, shared.entry) == (error, False, ENTRY)
    assert call.stats.stats().hits == 1


def fail_to_ask(steps: Steps, error: Exception) -> list[Any]:
    """Let the request fail; return the cache's events after that."""
    while not isinstance(steps.effect, Send):
        steps.give()
    events = []
    steps.fail(error)
    while steps.effect is not None:
        assert isinstance(steps.effect, Emit), steps.effect
        if steps.effect.name.value.startswith("cache:"):
            events.append(steps.effect.arguments[0])
        steps.give()
    return events


@pytest.mark.parametrize(
    ("freshness", "error"),
    [
        (Freshness(None, 0.0, 5.0), FAILED),
        (Freshness(), FAILED),
        (Freshness(None, 0.0, 60.0), RefusalError("no")),
        (Freshness(None, 0.0, 60.0), ConfigurationError("no key")),
    ],
    ids=["too old", "not wanted", "refusal", "wrong setting"],
)
def test_other_failures_are_raised(freshness: Freshness, error: Exception) -> None:
    _, steps = step(freshness)
    steps.give(encode_entry(ENTRY))
    steps.give(lease())
    with pytest.raises(type(error)):
        fail_to_ask(steps, error)


def test_a_replay_serves_what_may_stand_in_for_a_failure() -> None:
    call = make_call()
    for freshness, serves in ((Freshness(None, 0.0, 60.0), True), (Freshness(), False)):
        policy = call.policy._replace(freshness=freshness, mode=MODES["replay"])
        steps = Steps(answer(call._replace(policy=policy)))
        if serves:
            assert steps.give(encode_entry(ENTRY)) is None
            assert steps.value.name == "old"
        else:
            with pytest.raises(CacheMiss, match="expired"):
                steps.give(encode_entry(ENTRY))


@pytest.mark.parametrize(
    ("freshness", "source", "outcome"),
    [
        (Freshness(None, 0.0, 60.0), "source", "served"),
        (Freshness(), "source", "raised"),
        (Freshness(), "other", "asks alone"),
    ],
    ids=["wants it", "does not", "shares no errors"],
)
def test_a_waiter_is_served_a_leaders_stale_answer_only_if_it_wants_one(
    freshness: Freshness, source: str, outcome: str
) -> None:
    call = make_call(hooks=every_hook())
    steps = Steps(answer(call._replace(policy=call.policy._replace(freshness=freshness, source=source))))
    assert isinstance(steps.give(None), Claim)
    assert isinstance(steps.give(lease().flight), Wait)
    landed = Landed(Answer(Live(None, ENTRY.parts), ENTRY, is_kept=True, is_live=False, error=FAILED), None, "source")
    if outcome == "raised":
        with pytest.raises(InstructorRetryException, match="down"):
            steps.give(landed)
        return
    steps.give(landed)
    if outcome == "asks alone":
        assert isinstance(steps.effect, Claim)
        return
    assert isinstance(steps.effect, Emit)
    assert (steps.effect.name.value, steps.effect.arguments[0].stale) == ("cache:coalesced", True)


class Inline(Background):
    """Runs what it is to run at once, so that a test need not wait."""

    def start(self, flow: Any, sender: Any, done: Any) -> None:
        try:
            drive(flow, sender)
        except Exception:  # noqa: BLE001 - as in a thread
            done(False)
        else:
            done(True)


def test_the_store_keeps_an_answer_for_its_ttl_and_the_grace() -> None:
    shelf, behind = Shelf(), Shelf()
    World(shelf, cache_ttl=60, stale_while_revalidate=timedelta(seconds=10), stale_if_error=100).ask()
    assert shelf.ttls == [160]
    behind.data = dict(shelf.data)
    before = Shelf()
    World([before, behind]).ask(stale_if_error=30)
    assert before.ttls == [90]


def test_a_thousand_stale_hits_make_one_refresh() -> None:
    shelf = Shelf()
    world = World([AutoCache(), shelf], cache_ttl=60, stale_while_revalidate=1000)
    world.ask()
    age_memory(world, 100)
    age(shelf, 100)
    started, go_on = threading.Event(), threading.Event()

    def reply() -> dict[str, str]:
        started.set()
        go_on.wait(10)
        return {"name": "new"}

    world.reply = reply
    assert {world.ask() for _ in range(1000)} == {"answer 1"}
    assert started.wait(10)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "instructor-refresh"]
    go_on.set()
    thread.join(10)
    assert (world.ask(), world.asked) == ("new", 2)
    assert world.client.cache_stats().misses == 1
    age_memory(world, 100)
    age(shelf, 100)
    world.ask()
    for thread in [thread for thread in threading.enumerate() if thread.name == "instructor-refresh"]:
        thread.join(10)
    assert world.asked == 3, "the next one may begin"


def age_memory(world: World, seconds: float) -> None:
    memory: Any = world.client._path.tiers[0].handle.store
    for entry in [memory.find(key) for key in list(memory._held)]:
        memory.keep(replace(entry, created=entry.created - seconds, expires=entry.expires and entry.expires - seconds))


def test_a_task_refreshes_and_is_ended_when_the_client_is_closed() -> None:
    shelf = Shelf()
    world = World([AutoCache(), shelf], asynchronous=True, cache_ttl=60, stale_while_revalidate=1000)
    world.ask()
    age_memory(world, 100)
    age(shelf, 100)
    hang: list[asyncio.Event] = []

    async def main() -> None:
        hang.append(asyncio.Event())

        async def reply() -> dict[str, str]:
            await hang[0].wait()
            return {"name": "new"}

        world.reply = reply
        answers = [await world.client.create(User, MESSAGES) for _ in range(10)]
        assert {user.name for user in answers} == {"answer 1"}
        while world.asked < 2:
            await asyncio.sleep(0)
        (task,) = world.client._background._tasks
        await world.client.close()
        assert task.cancelled()
        assert not world.client._background._tasks

        world.client._path.flights.refreshes.reset()
        hang[0].set()
        await world.client.create(User, MESSAGES)
        await asyncio.gather(*world.client._background._tasks)
        assert (await world.client.create(User, MESSAGES)).name == "new"

    asyncio.run(main())
    assert world.asked == 3


@both
def test_a_clients_own_freshness_holds_in_the_fast_path_too(asynchronous: bool) -> None:
    for store in (AutoCache(), Shelf()):
        world = World(store, asynchronous, max_age=60)
        events: list[Any] = []
        world.client.on("cache:miss", events.append)
        assert [world.ask() for _ in range(2)] == ["answer 1"] * 2
        age(store, 100) if isinstance(store, Shelf) else age_memory(world, 100)
        assert [world.ask() for _ in range(2)] == ["answer 2"] * 2
        assert [event.reason for event in events] == ["cold", "expired"]
        assert world.ask(max_age=0) == "answer 3"


@both
def test_a_failing_provider_is_stood_in_for_through_the_client(asynchronous: bool) -> None:
    shelf = Shelf()
    world = World([AutoCache(), shelf], asynchronous, cache_ttl=60, stale_if_error=1000)
    events: list[Any] = []
    for name in ("cache:hit", "cache:miss"):
        world.client.on(name, events.append)
    live = world.stream()
    world.ask()
    age_memory(world, 100)
    age(shelf, 100)

    def reply() -> Any:
        raise OSError("no route")

    world.reply = reply
    assert world.ask() == live[-1]
    assert world.stream() == live
    assert [(event.name.value, event.stale) for event in events[1:]] == [
        ("cache:hit", False),
        ("cache:miss", False),
        ("cache:hit", True),
        ("cache:miss", False),
        ("cache:hit", True),
    ]
    with pytest.raises(InstructorRetryException):
        world.ask(stale_if_error=0)


def test_a_refresh_that_fails_is_told_and_is_not_tried_again_at_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Shelf(), cache_ttl=60, stale_while_revalidate=1000)
    world.ask()
    age(world.client.cache, 100)

    def reply() -> Any:
        raise OSError("no route")

    world.reply = reply
    background = Background()
    started: list[Any] = []
    background.start = lambda *details: started.append(details)  # type: ignore[method-assign]
    world.client._background = background
    world.ask()
    ((flow, sender, done),) = started
    thread = threading.Thread(target=Background().start, args=(flow, sender, done))
    thread.start()
    thread.join(10)
    for refresh in [one for one in threading.enumerate() if one.name == "instructor-refresh"]:
        refresh.join(10)
    assert "could not be replaced in the background: InstructorRetryException" in caplog.text
    world.ask()
    assert len(started) == 1


def test_refreshes_are_bounded_and_pause_after_a_failure() -> None:
    refreshes = Refreshes()
    assert [refreshes.begin(str(number), 0.0) for number in range(MOST + 1)] == [True] * MOST + [False]
    refreshes.end("0", 0.0, well=False)
    assert not refreshes.begin("0", PAUSE - 1)
    assert refreshes.begin("other", 1.0)
    refreshes.end("1", 1.0, well=True)
    assert refreshes.begin("0", PAUSE)
    refreshes.reset()
    assert refreshes.begin("2", 0.0)


class Timed(BaseModel):
    __cache_ttl__: ClassVar[Any] = 30
    name: str


class ByValue(BaseModel):
    __cache_ttl__: ClassVar[Any] = staticmethod(lambda value: 0 if value.name == "answer 1" else timedelta(minutes=1))
    name: str


@both
def test_the_call_decides_about_the_ttl_before_the_model_and_the_model_before_the_client(asynchronous: bool) -> None:
    shelf = Shelf()
    world = World(shelf, asynchronous, cache_ttl=100)

    def ask(model: Any, **keywords: Any) -> None:
        made = world.client.create(model, MESSAGES, **keywords)
        asyncio.run(made) if asynchronous else None

    ask(User)
    ask(Timed)
    ask(Timed, cache_ttl=5, temperature=0)
    assert shelf.ttls == [100, 30, 5]


def test_a_models_ttl_is_looked_up_once_and_not_for_each_call() -> None:
    """Pydantic's own ``__getattr__`` takes longer than a cache hit for an attribute that a model hasn't got."""
    asked: list[str] = []

    class Meta(type(BaseModel)):  # type: ignore[misc]
        def __getattr__(cls, name: str) -> Any:
            asked.append(name)
            return super().__getattr__(name)

    class Watched(BaseModel, metaclass=Meta):
        name: str

    world = World(None)
    for _ in range(3):
        world.client.create(Watched, MESSAGES)
    assert asked.count("__cache_ttl__") == 1


def test_a_function_of_the_value_decides_how_long_it_is_served() -> None:
    shelf = Shelf()
    world = World(shelf)
    assert [world.client.create(ByValue, MESSAGES).name for _ in range(3)] == ["answer 1", "answer 2", "answer 2"]
    assert shelf.ttls == [60]
    values: list[Any] = []
    world.client.create_with_completion(User, MESSAGES, cache_ttl=values.append)
    list(world.client.create_partial(Timed, MESSAGES, cache_ttl=lambda value: values.append(value) or 7))
    assert [type(value) for value in values] == [User, Timed]
    assert shelf.ttls == [60, None, 7]


@pytest.mark.parametrize(
    ("function", "reason"),
    [(lambda value: value.missing, "cache_ttl failed with AttributeError"), (lambda value: -1, "what cache_ttl returned is -1")],
    ids=["raises", "wrong value"],
)  # fmt: skip
def test_a_paid_answer_is_returned_whatever_the_function_does(function: Any, reason: str) -> None:
    shelf = Shelf()
    world = World(shelf)
    events: list[Any] = []
    world.client.on("cache:bypass", events.append)
    assert world.ask(cache_ttl=function) == "answer 1"
    assert not shelf.data
    assert reason in events[0].reason


def test_memory_alone_heeds_what_a_function_says_about_not_storing() -> None:
    world = World(AutoCache())
    assert [world.ask(cache_ttl=lambda _: 0) for _ in range(2)] == ["answer 1", "answer 2"]


def test_a_decorated_functions_ttl_may_depend_on_its_result() -> None:
    shelf = Shelf()

    @instructor_cache(cache=shelf, ttl=lambda result: 10 * result)
    def double(x: int) -> int:
        return 2 * x

    assert [double(3), double(0), double(3)] == [6, 0, 6]
    assert shelf.ttls == [60]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"max_age": -1}, "max_age is -1"),
        ({"stale_while_revalidate": "1h"}, "stale_while_revalidate is a str. Pass seconds"),
        ({"stale_if_error": float("nan")}, "stale_if_error is nan"),
        ({"refresh_early": "yes"}, "refresh_early is a str. Pass True, False, or a number"),
        ({"refresh_early": -1.0}, "refresh_early is -1.0"),
        ({"cache_ttl": "1h"}, "cache_ttl is a str"),
    ],
    ids=str,
)
def test_mistakes_are_answered_with_what_to_write(keywords: Any, message: str) -> None:
    for refuse in (lambda: World(Shelf()).ask(**keywords), lambda: World(Shelf(), **keywords)):
        with pytest.raises(ArgumentError, match=message):
            refuse()


def test_a_wrong_ttl_of_a_model_names_the_model() -> None:
    class Wrong(BaseModel):
        __cache_ttl__: ClassVar[Any] = "1h"
        name: str

    with pytest.raises(ArgumentError, match=r"Wrong.*__cache_ttl__ is a str"):
        World(Shelf()).client.create(Wrong, MESSAGES)
