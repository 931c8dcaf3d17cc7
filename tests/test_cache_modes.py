"""How a call uses its cache: the table of modes, who decides, samples and salt."""

from __future__ import annotations

import asyncio
import gc
import inspect
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, get_args

import pytest

import instructor
from instructor import AutoCache, DiskCache, from_provider, instructor_cache
from instructor.cache.entry import Entry, Origin, pack_completion
from instructor.cache.flight import Landed
from instructor.cache_modes import MODES, VARIABLE, ModeName, active
from instructor.engine.call import Live
from instructor.engine.effects import Claim, Wait
from instructor.engine.lookup import Answer
from instructor.engine.question import answer
from instructor.exceptions import ArgumentError, CacheMiss, ConfigurationError
from instructor.messages import Part
from steps import KEY, Steps, lease, make_call
from worlds import MESSAGES, Shelf, User, World, both


def test_the_table_has_every_mode() -> None:
    assert set(MODES) == set(get_args(ModeName))


def test_the_page_and_the_docstring_show_the_table() -> None:
    rows = [[mode.name, *("yes" if does else "no" for does in mode[1:])] for mode in MODES.values()]
    docstring = inspect.getdoc(instructor.cache_mode) or ""
    assert [
        line.replace('"', "").replace("`", "").split() for line in docstring.splitlines() if "``    " in line
    ] == rows
    page = (Path(__file__).parents[1] / "docs" / "caching.md").read_text(encoding="utf-8")
    section = page.partition("## Modes")[2].partition("\n## ")[0]
    shown = [line.split(" | ") for line in section.splitlines() if line.startswith('| `"')]
    order = [mode.strip('| `"') for mode, *_ in shown]
    assert order == list(MODES)
    # The page asks in another order than the docstring: looks, stores, sends, joins; some cells say more.
    assert [[cell.strip(" |").partition(",")[0] for cell in cells] for _, *cells in shown] == [row[1:] for row in rows]


@both
@pytest.mark.parametrize("mode", MODES.values(), ids=lambda mode: mode.name)
def test_a_mode_does_what_the_table_says(mode: Any, asynchronous: bool) -> None:
    """Looks, stores and sends: of a call whose answer is stored, and of one whose answer isn't."""
    memory, shelf = AutoCache(), Shelf()
    World([memory, shelf]).ask()
    memory.clear()
    before = dict(shelf.data)
    world = World([memory, shelf], asynchronous)
    world.adapter.requests.clear()
    if mode.looks or mode.sends:
        world.ask(cache_mode=mode.name)
    assert world.asked == (not mode.looks)
    assert len(memory) == mode.stores
    assert (shelf.data == before) == (mode.looks or not mode.stores)

    empty = Shelf()
    world = World(empty, asynchronous)
    if mode.sends:
        world.ask(cache_mode=mode.name)
    else:
        with pytest.raises(CacheMiss):
            world.ask(cache_mode=mode.name)
    assert (world.asked, len(empty.data)) == (mode.sends, mode.stores)


@pytest.mark.parametrize("mode", MODES.values(), ids=lambda mode: mode.name)
def test_a_mode_joins_what_is_under_way_as_the_table_says(mode: Any) -> None:
    """A call in each mode, while an identical one is being answered."""
    world = World(Shelf())
    joined: list[str] = []

    def ask() -> None:
        try:
            joined.append(world.ask(cache_mode=mode.name))
        except CacheMiss:
            joined.append("miss")

    other = threading.Thread(target=ask)

    def reply() -> dict[str, str]:
        if threading.current_thread() is threading.main_thread():
            other.start()
            if not mode.joins:
                other.join(10)
        return {"name": threading.current_thread().name}

    world.reply = reply
    world.ask()
    other.join(10)
    expected = threading.main_thread().name if mode.joins else other.name if mode.sends else "miss"
    assert joined == [expected]


def test_a_refresh_isnt_satisfied_with_what_another_call_found_in_the_store() -> None:
    parts = (Part("", '{"name": "Ann"}'),)
    entry = Entry(KEY, parts, pack_completion("{}"), Origin("scripted", "m"), 900.0)
    call = make_call()
    for is_live, after in ((True, type(None)), (False, Claim)):
        refresh = call._replace(policy=call.policy._replace(mode=MODES["refresh"]))
        steps = Steps(answer(refresh))
        assert isinstance(steps.effect, Claim), "it doesn't look"
        assert isinstance(steps.give(lease().flight), Wait)
        landed = Landed(Answer(Live(None, parts), entry, is_kept=True, is_live=is_live))
        assert type(steps.give(landed)) is after


def test_a_waiter_stores_what_a_leader_that_only_reads_does_not() -> None:
    shelf = Shelf()
    world = World(shelf)
    waiter = threading.Thread(target=world.ask)

    def reply() -> dict[str, str]:
        waiter.start()
        while not any(flight._waiters for flight in world.client._path.flights._flights.values()):
            pass
        return {"name": "Ann"}

    world.reply = reply
    world.ask(cache_mode="read_only")
    waiter.join(10)
    assert (world.asked, len(shelf.data)) == (1, 1)


def test_the_call_decides_before_the_block_and_the_block_before_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "replay")
    by_environment = World(Shelf())
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(CacheMiss):
        by_environment.ask()  # it was read when the client was made
    client = World(Shelf(), cache_mode="refresh")
    assert [client.ask() for _ in range(2)] == ["answer 1", "answer 2"]
    with instructor.cache_mode("use"):
        assert client.ask() == "answer 2"
        with instructor.cache_mode("replay"):
            assert client.ask() == "answer 2"
            assert client.ask(cache_mode="refresh") == "answer 3"
            assert client.ask(cache_mode="use") == "answer 3"
        assert client.ask() == "answer 3"
    assert client.ask() == "answer 4"


def test_the_clients_word_counts_before_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, " REPLAY ")
    assert World(Shelf(), cache_mode="use").ask() == "answer 1"
    assert from_provider("offline/demo", cache=AutoCache(), cache_mode="bypass")._use.mode.name == "bypass"


@both
def test_a_block_holds_for_the_fast_path_too(asynchronous: bool) -> None:
    world = World(AutoCache(), asynchronous)
    assert [world.ask() for _ in range(2)] == ["answer 1"] * 2
    with instructor.cache_mode("refresh"):
        assert world.ask() == "answer 2"
        assert world.ask(cache_mode="use") == "answer 2"
        assert world.ask(cache=world.client.cache) == "answer 3"
    assert world.ask() == "answer 3"
    assert world.ask(cache_mode="refresh") == "answer 4"


def test_a_client_that_never_looks_does_not_look_into_a_calls_own_store_either() -> None:
    memory = AutoCache()
    world = World(None, cache_mode="refresh")
    assert [world.ask(cache=memory) for _ in range(2)] == ["answer 1", "answer 2"]


def test_a_task_sees_the_block_in_which_it_was_started_for_as_long_as_it_runs() -> None:
    world = World(AutoCache(), asynchronous=True)
    seen: list[str] = []

    async def later(name: str, start: asyncio.Event) -> None:
        await start.wait()
        seen.append(f"{name}: {(await world.client.create(User, MESSAGES)).name}")

    async def main() -> None:
        await world.client.create(User, MESSAGES)
        start = asyncio.Event()
        outside = asyncio.create_task(later("outside", start))
        with instructor.cache_mode("refresh"):
            inside = asyncio.create_task(later("inside", start))
        assert (await world.client.create(User, MESSAGES)).name == "answer 1"
        start.set()
        await asyncio.gather(outside, inside)

    asyncio.run(main())
    assert sorted(seen) == ["inside: answer 2", "outside: answer 1"]


def test_a_hit_pays_nothing_once_no_code_sees_a_block() -> None:
    with instructor.cache_mode("use"), instructor.cache_mode("refresh"):
        assert len(active) == 2
    gc.collect()
    assert not active
    with pytest.raises(ZeroDivisionError), instructor.cache_mode("refresh"):
        1 / 0  # noqa: B018 - the error is the test
    gc.collect()
    assert not active


@pytest.mark.parametrize("mistake", ["reply", "", None, 1, []], ids=repr)
def test_a_mode_that_does_not_exist_is_answered_with_those_that_do(mistake: Any) -> None:
    if mistake is not None:
        for refuse in (lambda: World(Shelf()).ask(cache_mode=mistake), lambda: World(Shelf(), cache_mode=mistake)):
            with pytest.raises(ArgumentError, match=r"cache_mode is .* Pass one of 'use', 'refresh'"):
                refuse()
    with pytest.raises(ArgumentError, match="Pass one of 'use', 'refresh'"), instructor.cache_mode(mistake):
        pass


def test_a_wrong_mode_in_the_environment_is_an_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "offline")
    with pytest.raises(ConfigurationError, match=r"INSTRUCTOR_CACHE_MODE is 'offline'.*use, refresh"):
        World(Shelf())


@both
def test_a_replay_that_finds_nothing_says_what_was_looked_for(asynchronous: bool) -> None:
    world = World([AutoCache(), Shelf()], asynchronous)
    events: list[Any] = []
    world.client.on("cache:miss", events.append)
    with pytest.raises(
        CacheMiss, match=r"stored in AutoCache\+Shelf for User from scripted/m .*cold.*replay"
    ) as caught:
        world.ask(cache_mode="replay")
    (event,) = events
    error = caught.value
    assert (error.key, error.reason, error.store) == (event.key, "cold", "AutoCache+Shelf")
    assert world.client.cache_stats().misses == 1
    with pytest.raises(CacheMiss, match=r"the call has no cache.* Only a call that is cached can be replayed"):
        world.ask(cache_mode="replay", cache=None)
    error.explanation = "messages[0].content differs at character 3"
    assert str(error).endswith("at character 3")


@both
@pytest.mark.parametrize("how", ["no cache", "no form", "raw stream", "partial", "replayed stream"])
def test_a_replay_sends_nothing_whatever_the_call(how: str, asynchronous: bool) -> None:
    world = World(Shelf(), asynchronous)
    with instructor.cache_mode("replay"):
        asks: dict[str, Any] = {
            "no cache": lambda: world.ask(cache=None),
            "no form": lambda: world.ask(metadata={"x": object()}),
            "raw stream": lambda: _run(world.client.create(None, MESSAGES, stream=True)),
            "partial": world.stream,
            "replayed stream": world.stream,
        }
        if how == "replayed stream":
            with instructor.cache_mode("use"):
                live = world.stream()
            asked = world.asked
            assert (world.stream(), world.asked) == (live, asked)
            return
        with pytest.raises(CacheMiss):
            asks[how]()
    assert world.asked == 0


def _run(answer: Any) -> Any:
    return asyncio.run(answer) if asyncio.iscoroutine(answer) else answer


def test_a_replay_needs_no_key_and_imports_no_sdk(tmp_path: Path) -> None:
    code = f"""
import os, sys
from unittest import mock
import instructor
from instructor import AutoCache, DiskCache, from_provider
for name in list(os.environ):
    if name.endswith("_API_KEY"):
        del os.environ[name]
client = from_provider("openai/gpt-6-luna", cache=[AutoCache(), DiskCache({str(tmp_path)!r})], cache_mode="replay")
try:
    client.create(int, [{{"role": "user", "content": "hello"}}])
except instructor.exceptions.CacheMiss as error:
    print(error.reason, "openai" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "cold False\n"


def test_a_bypassed_call_is_told() -> None:
    world = World(Shelf())
    events: list[Any] = []
    for name in ("cache:bypass", "cache:miss"):
        world.client.on(name, events.append)
    world.ask(cache_mode="bypass")
    world.ask(cache_mode="refresh")
    assert [(event.name.value, event.reason, event.detail) for event in events] == [
        ("cache:bypass", "cache_mode is bypass", None),
        ("cache:miss", "not_looked_up", "cache_mode is refresh"),
    ]


def test_a_block_holds_for_decorated_functions_which_run_in_a_replay() -> None:
    ran: list[int] = []

    @instructor_cache
    def count() -> int:
        ran.append(1)
        return len(ran)

    results = {}
    for mode in MODES:
        with instructor.cache_mode(mode):
            results[mode] = count()
        count()
    assert results == {"use": 1, "refresh": 2, "read_only": 2, "write_only": 3, "bypass": 4, "replay": 3}
    count.cache.clear()  # type: ignore[attr-defined]
    with instructor.cache_mode("replay"):
        assert [count(), count()] == [5, 6], "it runs, and stores nothing"


@both
def test_samples_are_asked_for_one_by_one_and_then_served_in_turn(asynchronous: bool) -> None:
    shelf = Shelf()
    world = World([AutoCache(), shelf], asynchronous)
    assert [world.ask(samples=3) for _ in range(7)] == ["answer 1", "answer 2", "answer 3"] * 2 + ["answer 1"]
    assert world.ask() == "answer 1", "the first sample is the call's own answer"
    assert (world.asked, len(shelf.data)) == (3, 3)
    again = World(Shelf(), asynchronous)
    again.client._path.tiers[0].handle.store.data.update(shelf.data)
    assert [again.ask(samples=2, cache_mode="replay") for _ in range(3)] == ["answer 1", "answer 2", "answer 1"]


def test_samples_of_a_client_and_of_concurrent_clients_take_turns() -> None:
    shelf = Shelf()
    one, other = (World(shelf, samples=2) for _ in range(2))
    assert [one.ask(), other.ask(), one.ask(), other.ask()] == ["answer 1", "answer 1", "answer 1", "answer 1"]
    assert (one.asked, other.asked, len(shelf.data)) == (1, 1, 2)
    assert one.ask(samples=1) == one.ask(samples=1)


def test_a_salt_belongs_to_the_key_and_another_one_to_another() -> None:
    world = World(AutoCache())
    assert [world.ask(cache_salt=salt) for salt in (None, "a", "b", "a")] == [
        f"answer {number}" for number in (1, 2, 3, 2)
    ]
    salted = World(world.client.cache, cache_salt="a")
    assert (salted.ask(), salted.asked) == ("answer 2", 0)
    assert (salted.ask(cache_salt="b"), salted.asked) == ("answer 3", 0)
    assert salted.client.__cache_key__() != world.client.__cache_key__()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"samples": 0}, "samples is 0. Pass a whole number above 0"),
        ({"samples": True}, "samples is True"),
        ({"cache_salt": ""}, "cache_salt is ''. Pass a text"),
        ({"cache_salt": 5}, "cache_salt is 5"),
    ],
)
def test_mistakes_are_answered_with_what_to_write(keywords: Any, message: str) -> None:
    for refuse in (lambda: World(Shelf()).ask(**keywords), lambda: World(Shelf(), **keywords)):
        with pytest.raises(ArgumentError, match=message):
            refuse()


def test_a_replay_from_disk_asks_nothing(tmp_path: Path) -> None:
    with DiskCache(tmp_path) as disk:
        recorded = World(disk).ask()
    with DiskCache(tmp_path) as disk, instructor.cache_mode("replay"):
        world = World([AutoCache(), disk])
        assert [world.ask(), world.ask()] == [recorded] * 2
        assert world.asked == 0
