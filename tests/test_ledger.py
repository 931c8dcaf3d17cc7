"""The ledger: what was spent and what was saved, in this process and in the store."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import genai_prices.data
import openai
import pytest

from instructor import AsyncInstructor, AutoCache, DiskCache, Instructor, Mode, RedisCache, Retries, instructor_cache
from instructor.cache import BaseCache, books, redis_client, sqlite_group, sqlite_transaction
from instructor.cache import handle as handle_module
from instructor.cache.books import OTHERS, Amounts, Books, Line, read_line
from instructor.cache.entry import Origin
from instructor.cache.handle import handle_of
from instructor.cache.hits import MOST_NOTED
from instructor.cache.ledger import Ledger
from instructor.cache.redis_steps import name_ledger, name_posted
from instructor.cache.tiered import TieredCache
from instructor.exceptions import ArgumentError, InstructorRetryException
from instructor.prices import TIERS, find_rates, price_of
from instructor.testing import ScriptedAdapter, ScriptedReply
from instructor.usage import Usage
from instructor.wires.openai_chat import OPENAI_CHAT
from interrupts import interrupt_everywhere
from servers import Valkey
from worlds import MESSAGES, Shelf, User, both

LUNA = {"input": 1e-7, "output": 5e-7, "cached": 1e-8, "written": 1.25e-7}
"""The prices of gpt-6-luna up to 272,000 tokens, in dollars a token."""
USAGE = Usage(1000, 100)
PRICE = 1000 * LUNA["input"] + 100 * LUNA["output"]


def answer(content: Any = None, usage: Usage = USAGE) -> ScriptedReply:
    return ScriptedReply({"name": "Ann"} if content is None else content, usage=usage)


def make(replies: list[Any], cache: Any = None, *, asynchronous: bool = False, **keywords: Any) -> Any:
    """A client of OpenAI's cheapest model, which answers as scripted."""
    kind: Any = AsyncInstructor if asynchronous else Instructor
    adapter = ScriptedAdapter(replies, asynchronous=asynchronous, provider="openai")
    keywords = {"model": "gpt-6-luna", **keywords}
    return kind(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, cache=cache, **keywords)


def ask(client: Any, text: str = "hello", **keywords: Any) -> Any:
    made = client.create(User, [{"role": "user", "content": text}], **keywords)
    return asyncio.run(made) if asyncio.iscoroutine(made) else made


@both
def test_a_hit_saves_what_its_request_cost(asynchronous: bool) -> None:
    cache = AutoCache()
    client = make([answer()], cache, asynchronous=asynchronous)
    for _ in range(4):
        ask(client)
    for ledger in (client.ledger(), cache.ledger()):
        assert (ledger.spent.count, ledger.spent.tokens, ledger.saved.count, ledger.saved.tokens) == (1, 1100, 3, 3300)
        assert ledger.spent.usd == pytest.approx(PRICE)
        assert ledger.saved.usd == pytest.approx(3 * PRICE)
        assert ledger.saved.seconds == pytest.approx(3 * ledger.spent.seconds, abs=1e-5)
        assert ledger.lost.count == 0


def test_a_call_without_a_cache_is_spent_too() -> None:
    client = make([answer()])
    ask(client)
    assert client.ledger().spent.usd == pytest.approx(PRICE)


@both
def test_what_a_retry_throws_away_is_lost(asynchronous: bool) -> None:
    cut = openai.APIConnectionError(request=Any)  # type: ignore[arg-type] # whatever it is, it says nothing of costs
    client = make([answer({}), cut, answer()], AutoCache(), asynchronous=asynchronous)
    ask(client, max_retries=Retries(answers=3, requests=3, wait=0))
    ledger = client.ledger()
    assert (ledger.spent.count, ledger.lost.count, ledger.lost.tokens) == (3, 2, 1100)
    assert ledger.spent.usd == pytest.approx(2 * PRICE)
    assert ledger.lost.usd == pytest.approx(PRICE)
    assert ledger.lost.unpriced == 0


def test_a_call_that_fails_has_lost_all_of_it() -> None:
    cache = AutoCache()
    client = make([answer({}), answer({})], cache)
    with pytest.raises(InstructorRetryException):
        ask(client, max_retries=1)
    assert cache.ledger().lost == cache.ledger().spent
    assert cache.ledger().lost.usd == pytest.approx(2 * PRICE)


async def test_what_is_cancelled_counts_as_a_failed_request() -> None:
    begun = asyncio.Event()

    async def never(_: object) -> None:
        begun.set()
        await asyncio.sleep(1000)

    client = make([never], asynchronous=True)
    task = asyncio.create_task(client.create(User, MESSAGES))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (client.ledger().lost.count, client.ledger().lost.usd) == (1, 0.0)


@both
def test_a_stream_is_entered_as_a_plain_call_is(asynchronous: bool) -> None:
    client = make([answer()], AutoCache(), asynchronous=asynchronous)

    async def collect() -> list[Any]:
        return [user async for user in client.create_partial(User, MESSAGES)]

    for _ in range(2):
        assert (asyncio.run(collect()) if asynchronous else list(client.create_partial(User, MESSAGES)))[
            -1
        ].name == "Ann"
    ledger = client.ledger()
    assert (ledger.spent.count, ledger.spent.tokens, ledger.saved.count) == (1, 1100, 1)


async def test_a_shared_request_saves_its_tokens_and_no_time() -> None:
    client = make([answer()], AutoCache(), asynchronous=True)
    await asyncio.gather(*(client.create(User, MESSAGES) for _ in range(3)))
    saved = client.ledger().saved
    assert (saved.count, saved.tokens, saved.seconds) == (2, 2200, 0.0)


def test_the_prompt_cache_of_the_provider_is_accounted_apart() -> None:
    client = make([answer(usage=Usage(1000, 0, 600, 0, 300))])
    ask(client)
    ledger = client.ledger()
    assert ledger.prompt_cache_saved.usd == pytest.approx(600 * (LUNA["input"] - LUNA["cached"]))
    assert ledger.prompt_cache_paid.usd == pytest.approx(300 * (LUNA["written"] - LUNA["input"]))
    assert (ledger.prompt_cache_saved.tokens, ledger.prompt_cache_paid.tokens) == (600, 300)
    spent = 100 * LUNA["input"] + 600 * LUNA["cached"] + 300 * LUNA["written"]
    assert ledger.spent.usd == pytest.approx(spent)


def test_all_that_a_batch_costs_and_saves_has_its_price() -> None:
    def ledger_of(kind: books.Kind) -> Ledger:
        usage = Usage(1000, 100, 600, 0, 300)
        line = books.line_of(kind, Origin("openai", "gpt-6-luna"), (), usage)
        return Ledger({line: books.amounts_of(usage, 1.0)})

    for live, batched in (("kept", "batched"), ("lost", "lost in batch")):
        plain, half = ledger_of(live), ledger_of(batched)
        for name in ("spent", "lost", "prompt_cache_saved", "prompt_cache_paid"):
            assert getattr(half, name).usd == pytest.approx(getattr(plain, name).usd / 2)
        assert half.spent.usd


@pytest.mark.parametrize(("model", "usage"), [("a-model-of-ours", USAGE), ("gpt-6-luna", Usage())])
def test_an_unknown_price_is_none_and_counted_apart(model: str, usage: Usage) -> None:
    client = make([answer(usage=usage), answer()], model=model)
    ask(client)
    assert (client.ledger().spent.usd, client.ledger().spent.unpriced) == (None, 1)
    ask(client, "known", model="gpt-6-luna")
    assert (client.ledger().spent.usd, client.ledger().spent.unpriced) == (pytest.approx(PRICE), 1)


def test_what_is_written_for_an_hour_has_a_price_of_its_own(tmp_path: Path) -> None:
    """As the price list counts it: twice the plain price, where five minutes cost a quarter more."""
    usage = Usage(1000, 10, 0, 0, 600, 400)
    expected = float(price_of("anthropic", "claude-sonnet-4-5", usage) or 0)
    assert expected == pytest.approx(400 * 3e-6 + 200 * 3.75e-6 + 400 * 6e-6 + 10 * 15e-6)
    rates = find_rates("anthropic", "claude-sonnet-4-5")
    assert rates is not None
    assert rates.price(usage) == pytest.approx(expected)
    with DiskCache(tmp_path / "cache") as cache:
        noted = handle_of(cache).books
        origin = Origin("anthropic", "claude-sonnet-4-5")
        noted.note("kept", origin, (), usage, 1.0)
        ledger = cache.ledger()
        assert (ledger.spent.usd, ledger.spent.count, ledger.spent.tokens) == (pytest.approx(expected), 1, 1010)
        assert ledger.prompt_cache_paid.usd == pytest.approx(200 * 0.75e-6 + 400 * 3e-6)
        assert ledger.prompt_cache_paid.tokens == 600


def test_the_prompt_cache_in_a_batch_is_at_the_price_of_the_batch() -> None:
    noted = Books()
    for kind in ("kept", "batched"):
        noted.note(kind, Origin("openai", "gpt-6-luna"), (), Usage(1000, 0, 400, 0, 300), 0.0)
    both_rows = Ledger(noted.lines())
    assert both_rows.prompt_cache_saved.usd == pytest.approx(1.5 * 400 * (LUNA["input"] - LUNA["cached"]))
    assert both_rows.prompt_cache_paid.usd == pytest.approx(1.5 * 300 * (LUNA["written"] - LUNA["input"]))


def test_a_ledger_is_taken_apart_by_its_headings() -> None:
    cache = AutoCache()
    one, other = make([answer(), answer()], cache), make([answer()], cache, model="gpt-6-sol", cache_namespace="b")
    ask(one, cache_tags=["x", "y"])
    ask(one, cache_tags=["x", "y"])
    ask(one, "second", cache_tags=lambda user: [user.name])
    ask(other)
    ledger = cache.ledger()
    assert {name: part.spent.count for name, part in ledger.by("model").items()} == {
        "openai/gpt-6-luna": 2,
        "openai/gpt-6-sol": 1,
    }
    assert {name: (part.spent.count, part.saved.count) for name, part in ledger.by("tag").items()} == {
        "Ann": (1, 0),
        "x": (1, 1),
        "y": (1, 1),
    }
    assert {name: part.spent.count for name, part in ledger.by("namespace").items()} == {"": 2, "b": 1}
    assert list(ledger.by("response_model")) == ["User"]
    with pytest.raises(ArgumentError, match="'response_model'"):
        ledger.by("colour")  # type: ignore[arg-type]


def test_a_day_begins_at_midnight_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    client = make([answer(), answer()])
    monkeypatch.setattr(books.time, "time", lambda: 1_790_899_199.0)
    ask(client)
    monkeypatch.setattr(books.time, "time", lambda: 1_790_899_200.0)
    ask(client, "tomorrow")
    assert {day: part.spent.count for day, part in client.ledger().by("day").items()} == {
        "2026-10-01": 1,
        "2026-10-02": 1,
    }


def test_a_ledger_is_readable() -> None:
    client = make([answer()], AutoCache())
    ask(client)
    ledger = client.ledger()
    assert "spent:              $0.0001, 1x, 1,100 tokens" in repr(ledger)
    assert "<th>openai/gpt-6-luna</th><td>spent $0.0001" in ledger._repr_html_()
    assert str(make([], model="m").ledger().saved) == "$0, 0 tokens, 0.0 s"


def test_a_function_saves_time(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)

    @instructor_cache(cache=cache)
    def double(x: int) -> int:
        return 2 * x

    assert [double(2), double(2)] == [4, 4]
    ledger = cache.ledger()
    assert (ledger.spent.count, ledger.saved.count, ledger.saved.usd, ledger.saved.unpriced) == (1, 1, 0.0, 0)


# The store.


@both
def test_a_store_keeps_the_ledger_of_all_its_clients(asynchronous: bool, tmp_path: Path) -> None:
    for text in ("one", "two"):
        client = make([answer()], DiskCache(tmp_path), asynchronous=asynchronous)
        for _ in range(3):
            ask(client, text)
        client.cache.ledger()
    ledger = DiskCache(tmp_path).ledger()
    assert (ledger.spent.count, ledger.saved.count, ledger.saved.tokens) == (2, 4, 4400)


def test_what_was_spent_is_in_the_store_as_soon_as_the_answer_is(tmp_path: Path) -> None:
    ask(make([answer({}), answer()], DiskCache(tmp_path)), max_retries=1)
    assert (DiskCache(tmp_path).ledger().spent.count, DiskCache(tmp_path).ledger().lost.count) == (2, 1)


@both
def test_redis_keeps_the_ledger(asynchronous: bool, valkey: Valkey) -> None:
    def store() -> RedisCache:
        return RedisCache(port=valkey.port)

    with store() as cache, store() as other:
        client = make([answer()], cache, asynchronous=asynchronous)
        for _ in range(3):
            ask(client)
        if asynchronous:
            assert asyncio.run(cache.ledger_async()).saved.count == 2
        assert cache.ledger().saved.count == 2
        assert (other.ledger().spent.count, other.ledger().saved.tokens) == (1, 2200)
        assert cache.clear() == 1
        assert other.ledger().spent.count == 1
        assert other.stats().errors == 0


def test_of_several_stores_the_last_keeps_the_ledger(tmp_path: Path) -> None:
    memory = AutoCache()
    cache = TieredCache(memory, DiskCache(tmp_path))
    client = make([answer()], cache)
    for _ in range(3):
        ask(client)
    assert (cache.ledger().spent.count, cache.ledger().saved.count) == (1, 2)
    assert DiskCache(tmp_path).ledger().saved.count == 2
    assert memory.ledger().lines == {}


def test_many_hits_are_posted_without_being_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instructor.daemon.start_daemon", lambda operation: operation())
    client = make([answer()], DiskCache(tmp_path))
    for _ in range(1 + MOST_NOTED):
        ask(client)
    assert DiskCache(tmp_path).ledger().saved.count == MOST_NOTED


@both
def test_an_answer_and_what_it_cost_are_stored_in_one_step(asynchronous: bool, tmp_path: Path) -> None:
    """Of a process that is killed, either both are in the file or neither is."""
    cache = DiskCache(tmp_path)
    seen: list[tuple[int, int]] = []

    def change_and_look(*operation: Any) -> Any:
        changed = change(*operation)
        with DiskCache(tmp_path) as other:
            seen.append((len(other), other.ledger().spent.count))
        return changed

    change, cache._change = cache._change, change_and_look  # type: ignore[method-assign]
    ask(make([answer()], cache, asynchronous=asynchronous))
    assert seen == [(1, 1)]


def test_what_an_answer_cost_is_entered_though_the_store_has_no_room_for_it(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, size_limit=1 << 18)
    ask(make([answer({"name": "x" * 100_000})], cache))
    assert (len(cache), DiskCache(tmp_path).ledger().spent.count) == (0, 1)


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "COMMIT"])
def test_what_an_answer_cost_is_entered_once_though_its_caller_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    cache = DiskCache(tmp_path)
    client = make([answer()], cache)
    interrupted: list[str] = []

    def execute(connection: sqlite3.Connection, sql: str, *arguments: Any) -> sqlite3.Cursor:
        cursor = sqlite3.Connection.execute(connection, sql, *arguments)
        if sql == statement and not interrupted:
            interrupted.append(sql)
            raise KeyboardInterrupt
        return cursor

    len(cache)
    monkeypatch.setattr(sqlite_transaction.RawConnection, "execute", execute)
    with pytest.raises(KeyboardInterrupt):
        ask(client)
    assert (len(cache), cache.ledger().spent.count) == (statement == "COMMIT", 1)


def test_what_an_answer_cost_is_entered_once_though_the_store_failed_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DiskCache(tmp_path)
    cache.pause = 0.0
    client = make([answer(), answer()], cache)

    with monkeypatch.context() as patch:  # the last statement of the transaction fails
        patch.setattr(sqlite_group, "_DELETE_EXPIRED", "DELETE FROM nothing WHERE ? = ?")
        ask(client)
    assert len(cache) == 0
    ask(client, "another question")
    assert DiskCache(tmp_path).ledger().spent.count == 2


def test_a_name_that_no_store_can_write_costs_no_answer(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    names = ("tenant \ud800", "tenant \udfff")
    clients = [make([answer()], cache, cache_namespace=name) for name in names]
    assert [ask(client) for client in clients] == [User(name="Ann")] * 2
    assert list(DiskCache(tmp_path).ledger().by("namespace")) == ["tenant \\ud800", "tenant \\udfff"]


def test_a_store_that_is_down_costs_no_line(tmp_path: Path) -> None:
    class Down(Shelf):
        abilities = frozenset({"ledger"})

        def __init__(self) -> None:
            super().__init__()
            self.amounts: dict[str, list[int]] = {}

        def add_amounts(self, amounts: Any) -> int:
            if self.is_down:
                raise OSError("down")
            for name, numbers in amounts.items():
                known = self.amounts.setdefault(name, [0] * 6)
                self.amounts[name] = [one + more for one, more in zip(known, numbers, strict=True)]
            return len(self.amounts)

        def read_amounts(self) -> Any:
            return self.amounts

    cache = Down()
    cache.pause = 0.0
    client = make([answer(), answer()], cache)
    ask(client)
    cache.is_down = True
    ask(client, "while it is down")
    assert [
        Ledger({line: Amounts(*numbers)}).spent.count
        for name, numbers in cache.amounts.items()
        if (line := read_line(name))
    ] == [1]
    cache.is_down = False
    assert cache.ledger().spent.count == 2


def test_a_fork_leaves_what_is_noted_to_its_parent() -> None:
    cache = AutoCache()
    client = make([answer()], cache)
    ask(client)
    ask(client)
    made = handle_of(cache).books
    log = client._path.tiers[0].hits
    made.reset()
    log.reset()
    assert cache.ledger().lines == {}
    ask(client)
    assert cache.ledger().saved.count == 1


def draw_tokens(count: int = 3) -> list[str]:
    return [books.Posting({}).token for _ in range(count)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_each_posting_of_each_process_has_a_name_of_its_own() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, " ".join(draw_tokens()).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    of_child = os.read(reading, 1000).decode().split()
    os.close(reading)
    assert len({*draw_tokens(), *of_child}) == 6


# The lines.


def line(number: int, tags: tuple[str, ...] = ("t",)) -> Line:
    return Line("2026-11-21", "hit", Origin("p", "m", "a", f"n{number}", "r"), tags)


def test_a_line_is_read_as_it_was_written() -> None:
    written = Line("2026-11-21", "kept", Origin("p", "m", 'a"', "n\u2028", "list[User]"), ("x", "y"), 3)
    assert read_line(written.write()) == written
    assert read_line("[1]") is read_line("of a later version") is None


@pytest.mark.parametrize(
    "name", ["5", '[["day"],"hit","p","m","a","n","r",0]', '["day","hit","p","m","a","n","r","x"]']
)
def test_what_is_no_line_is_left_out(name: str) -> None:
    assert read_line(name) is None


def test_what_others_have_put_into_the_hash_does_not_hide_the_ledger(valkey: Valkey) -> None:
    with RedisCache(port=valkey.port) as cache:
        ask(make([answer()], cache))
        for field, value in (("0x", "text"), ("9x", "1"), ("", "1"), ("x", "1")):
            valkey.command("HSET", name_ledger(cache.prefix), field, value)
        assert cache.ledger().spent.count == 1


@both
def test_a_store_that_is_closed_has_written_down_what_hits_saved(
    asynchronous: bool, tmp_path: Path, valkey: Valkey
) -> None:
    async def hit_and_close() -> None:
        async with RedisCache(port=valkey.port) as cache:
            client = make([answer()], cache, asynchronous=True)
            await client.create(User, MESSAGES)
            await client.create(User, MESSAGES)

    if asynchronous:
        asyncio.run(hit_and_close())
        store: BaseCache = RedisCache(port=valkey.port)
    else:
        with DiskCache(tmp_path) as cache:
            client = make([answer()], cache)
            ask(client)
            ask(client)
        store = DiskCache(tmp_path)
    assert store.ledger().saved.count == 1


def test_more_lines_than_are_told_apart_lose_details_and_no_amounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "MOST_LINES", 3)
    kept = Books()
    for number in range(10):
        kept.add([(line(number), Amounts(1, 10))])
    lines = kept.lines()
    assert len(lines) == 4
    assert sum(amounts.number for amounts in lines.values()) == 10
    merged = next(one for one in lines if OTHERS in one.tags)
    assert lines[merged] == Amounts(7, 70)


def test_a_store_with_many_lines_is_seen_by_those_who_post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "MOST_STORED", 3)
    cache = DiskCache(tmp_path)
    handle = handle_of(cache)
    for number in range(70):
        handle.books.add([(line(number), Amounts(1))])
        handle.post()
    handle.books.add([(line(70), Amounts(1))])
    lines = handle.read_books()
    assert (len(lines) < 70, sum(amounts.number for amounts in lines.values())) == (True, 71)
    assert any(OTHERS in one.tags for one in lines)


async def test_what_a_cancelled_task_was_entering_is_entered_once(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RedisCache(port=valkey.port) as cache:
        handle = handle_of(cache)
        handle.books.add([(line(1), Amounts(1, 2))])
        entered, answered, add = asyncio.Event(), asyncio.Event(), cache.add_amounts_async

        async def answer_late(amounts: Any) -> int:
            count = await add(amounts)
            entered.set()
            await answered.wait()
            return count

        monkeypatch.setattr(cache, "add_amounts_async", answer_late)
        task = asyncio.create_task(handle.post_async())
        await entered.wait()
        task.cancel()
        await asyncio.wait([task])
        answered.set()
        assert task.cancelled()
        assert await handle.read_books_async() == {line(1): Amounts(1, 2)}


def test_what_a_thread_enters_after_its_caller_has_gone_is_entered_once(tmp_path: Path) -> None:
    """A task doesn't wait for longer than the store's timeout, and the thread that writes for it goes on."""
    cache = DiskCache(tmp_path)
    handle = handle_of(cache)
    handle.books.add([(line(1), Amounts(1, 2))])
    posting = handle.books.next_posting()
    assert posting is not None
    for _ in range(2):
        cache.add_amounts(posting)
    assert handle.read_books() == {line(1): Amounts(1, 2)}


@pytest.mark.parametrize("error", [ConnectionError("lost"), TimeoutError("timed out")])
def test_what_a_server_entered_is_entered_once_though_its_reply_was_lost(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with RedisCache(port=valkey.port) as cache:
        cache.pause = 0.0
        handle = handle_of(cache)
        handle.books.add([(line(1), Amounts(1, 2))])
        handle.read_books()
        lose_the_next(monkeypatch, redis_client, "read_replies", error)
        handle.books.add([(line(1), Amounts(1, 2))])
        handle.post()
        handle.books.add([(line(1), Amounts(1, 2)), (line(2), Amounts(4))])
        assert handle.read_books() == {line(1): Amounts(3, 6), line(2): Amounts(4)}


@pytest.mark.parametrize("error", [ConnectionError("lost"), TimeoutError("timed out")])
async def test_so_it_is_where_a_task_enters_it(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with RedisCache(port=valkey.port) as cache:
        cache.pause = 0.0
        handle = handle_of(cache)
        handle.books.add([(line(1), Amounts(1, 2))])
        await handle.read_books_async()
        lose_the_next(monkeypatch, redis_client, "read_replies_async", error)
        handle.books.add([(line(1), Amounts(1, 2))])
        await handle.post_async()
        handle.books.add([(line(1), Amounts(1, 2)), (line(2), Amounts(4))])
        assert await handle.read_books_async() == {line(1): Amounts(3, 6), line(2): Amounts(4)}


def lose_the_next(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: Exception) -> None:
    """Have the next reply read and thrown away."""
    read = getattr(owner, name)

    def lose(*arguments: Any) -> Any:
        monkeypatch.setattr(owner, name, read)
        reply = read(*arguments)
        if not asyncio.iscoroutine(reply):
            raise error

        async def await_and_lose() -> None:
            await reply
            raise error

        return await_and_lose()

    monkeypatch.setattr(owner, name, lose)


@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_an_interrupt_anywhere_in_posting_neither_loses_nor_doubles_an_amount(
    kind: str, tmp_path: Path, valkey: Valkey
) -> None:
    cache = DiskCache(tmp_path) if kind == "disk" else RedisCache(port=valkey.port)
    cache.pause = 0.0
    handle = handle_of(cache)

    def add(number: int) -> None:
        handle.books.add([(line(number), Amounts(1, 2))])

    with cache:
        add(0)
        times = 0
        for times in interrupt_everywhere(handle.post, handle_module, books):
            if times % 2:  # half of the times there is something new when it is posted again
                add(1)
            handle.post()
            add(0)
        found = handle.read_books()
    assert times > 30
    often = times + 1
    assert found == {line(0): Amounts(often, 2 * often), line(1): Amounts(often // 2, often // 2 * 2)}


def test_a_server_remembers_few_tokens(valkey: Valkey) -> None:
    with RedisCache(port=valkey.port) as cache:
        handle = handle_of(cache)
        for number in range(20):
            handle.books.add([(line(number), Amounts(1))])
            handle.post()
        name = name_posted(cache.prefix)
        assert valkey.command("ZCARD", name) == b":1\r\n", "all others were known to be entered"
        assert 0 < int(valkey.command("TTL", name)[1:]) <= 7 * 86_400
        valkey.command("ZADD", name, "1", "old")
        handle.books.add([(line(1), Amounts(1))])
        handle.post()
        assert valkey.command("ZSCORE", name, "old") == b"$-1\r\n"


@pytest.mark.parametrize("refused", ["eval", "zremrangebyrank", "expire"])
def test_a_user_who_may_not_run_the_script_has_a_ledger(valkey: Valkey, refused: str) -> None:
    valkey.command("ACL", "SETUSER", "plain", "reset", "on", "nopass", "~*", "&*", "+@all", f"-{refused}")
    with RedisCache(port=valkey.port, username="plain", password="x", lease=None) as cache:
        handle = handle_of(cache)
        for _ in range(2):
            handle.books.add([(line(1), Amounts(1, 2))])
            handle.post()
        assert handle.read_books() == {line(1): Amounts(2, 4)}


def test_what_a_user_may_not_add_to_the_sums_stays_in_the_books(valkey: Valkey) -> None:
    valkey.command("ACL", "SETUSER", "plain", "reset", "on", "nopass", "~*", "&*", "+@all", "-hincrby")
    with RedisCache(port=valkey.port, username="plain", password="x", lease=None) as cache:
        cache.pause = 0.0
        handle = handle_of(cache)
        handle.books.add([(line(1), Amounts(1, 2))])
        handle.post()
        assert handle.books.lines() == {line(1): Amounts(1, 2)}
        valkey.command("ACL", "SETUSER", "plain", "+hincrby")
        assert handle.read_books() == {line(1): Amounts(1, 2)}
        assert handle.books.is_empty


def test_what_others_have_put_in_the_place_of_a_sum_is_left_out(valkey: Valkey) -> None:
    with RedisCache(port=valkey.port) as cache:
        handle = handle_of(cache)
        valkey.command("HSET", name_ledger(cache.prefix), f"0{line(1).write()}", "a text")
        handle.books.add([(line(1), Amounts(1, 2))])
        handle.post()
        assert handle.read_books() == {line(1): Amounts(0, 2)}


def test_a_task_does_not_wait_for_a_thread_that_posts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread takes a posting just after the task has found that nobody had it."""
    with DiskCache(tmp_path) as cache:
        handle = handle_of(cache)
        handle.books.add([(line(1), Amounts(1, 2))])
        posting = handle.books.next_posting()
        assert posting is not None
        taken = iter([posting])
        monkeypatch.setattr(handle.books, "next_posting", lambda: next(taken, None))
        with ThreadPoolExecutor(1) as threads:
            with posting.lock:
                posted = threads.submit(asyncio.run, handle.post_async())
                assert wait([posted], timeout=10).done
            assert posted.result() is None
        monkeypatch.undo()
        assert handle.read_books() == {line(1): Amounts(1, 2)}


@pytest.mark.parametrize("name", ["ledger", "posted"])
def test_what_others_have_put_in_the_place_of_the_ledger_leaves_all_in_the_books(valkey: Valkey, name: str) -> None:
    with RedisCache(port=valkey.port) as cache:
        cache.pause = 0.0
        taken = {"ledger": name_ledger, "posted": name_posted}[name](cache.prefix)
        valkey.command("SET", taken, "a text")
        handle = handle_of(cache)
        handle.books.add([(line(1), Amounts(1, 2))])
        handle.post()
        assert handle.books.lines() == {line(1): Amounts(1, 2)}
        valkey.command("DEL", taken)
        assert handle.read_books() == {line(1): Amounts(1, 2)}


def test_prices_are_those_of_the_list_on_both_sides_of_each_step() -> None:
    for vendor, model in (("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-6-luna"), ("google", "gemini-2.5-pro")):
        for step in TIERS:
            for read in (step, step + 1):
                usage = Usage(read, 50, 20, 0, 10)
                rates = find_rates(vendor, model, books.line_of("kept", Origin("", ""), (), usage).tier)
                assert rates is not None
                assert rates.price(usage) == pytest.approx(float(price_of(vendor, model, usage) or 0))


@pytest.mark.parametrize(
    ("vendor", "model"),
    [("anthropic_bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"), ("azure_ai", "gpt-4o")],
)
def test_a_vendor_has_the_price_under_its_name_in_the_list(vendor: str, model: str) -> None:
    assert price_of(vendor, model, USAGE)


def test_every_step_of_the_price_list_is_known() -> None:
    starts = {
        tier.start
        for provider in genai_prices.data.providers
        for model in provider.models
        for conditional in (model.prices if isinstance(model.prices, list) else [model.prices])
        for price in vars(getattr(conditional, "prices", conditional)).values()
        for tier in getattr(price, "tiers", ())
    }
    assert starts <= set(TIERS)


def test_a_store_that_is_no_ledger_counts_for_this_process() -> None:
    class Plain(BaseCache):
        def get(self, key: str) -> None:
            """Nothing is kept."""

        def set(self, key: str, value: Any, ttl: int | None = None) -> None:
            """Nothing is kept."""

    cache = Plain()
    ask(make([answer()], cache))
    assert cache.ledger().spent.count == asyncio.run(cache.ledger_async()).spent.count == 1


def test_what_the_garbage_collector_enters_waits_for_no_lock() -> None:
    """It may close a call while this very thread holds the lock."""
    kept = Books()
    with kept._lock:
        for _ in range(1000):
            kept.add([(line(1), Amounts(1, 2))])
    assert kept.lines() == {line(1): Amounts(1000, 2000)}


def test_a_store_that_is_down_when_the_program_ends_is_not_complained_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = RedisCache(port=1)
    handle = handle_of(cache)
    monkeypatch.setattr(handle_module, "_posting", {handle})
    monkeypatch.setattr(handle_module, "_ending", set())
    handle.books.note("hit", Origin("p", "m"), (), USAGE, 1.0)
    handle_module._post_all()
    assert caplog.messages == []
    assert len(handle.books.lines()) == 1
