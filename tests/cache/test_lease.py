"""Leases: kept alive by one thread, given back by whoever loses them, and waited for no longer than they last."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from cache.stores import Clock, broken
from instructor.cache import AutoCache, DiskCache, RedisCache, TieredCache, sqlite_leases
from instructor.cache import lease as lease_room
from instructor.cache.flight import Flight, Flights, Lease, _led
from instructor.cache.handle import handle_of
from instructor.cache.lease import Ending, HeldLease, LeaseKeeper, Taken
from instructor.cache.redis_steps import name_lease
from instructor.exceptions import ArgumentError, CacheError
from servers import Cluster, Valkey
from worlds import MESSAGES, User, World, both

KEY = "a" * 64


@pytest.fixture(autouse=True)
def outermost() -> None:
    """No test counts as nested in the flights that another one has left."""
    _led.set(())


class Table:
    """The leases of a store, in a dict."""

    seconds = 30.0
    pauses = (0.001, 0.001)

    def __init__(self) -> None:
        self.holders: dict[str, str] = {}
        self.renewed: list[Mapping[str, str]] = []
        self.released: list[tuple[str, Ending]] = []
        self.ending: Ending | None = None
        self.is_down = False

    def take(self, key: str, token: str) -> Taken:
        return Taken(self.holders.setdefault(key, token))

    def publish(self, key: str, text: str, ttl: int | None, token: str) -> bool:
        raise NotImplementedError

    def renew(self, tokens: Mapping[str, str]) -> None:
        self.renewed.append(tokens)

    def release(self, key: str, token: str, ending: Ending) -> None:
        self.released.append((token, ending))

    def look(self, waited: Sequence[tuple[str, str]]) -> list[Ending | None]:
        if self.is_down:
            raise CacheError("down")
        return [self.ending] * len(waited)

    def listen(self, nudge: Callable[[], None]) -> None:
        """Nobody tells."""


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def keeper(table: Table) -> LeaseKeeper:
    return LeaseKeeper(table)


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread: the test does its work."""
    monkeypatch.setattr(LeaseKeeper, "_ensure_thread", lambda _: None)


def lead() -> Flight[Any]:
    claimed = Flights[Any]().claim(KEY)
    assert isinstance(claimed, Lease)
    claimed.end()
    return claimed.flight


def hold(keeper: LeaseKeeper, flight: Flight[Any] | None = None) -> HeldLease:
    token = keeper.new_token()
    leased = keeper.note(KEY, token, flight or lead(), Taken(token))
    assert leased is not None
    assert leased.held is not None
    return leased.held


@pytest.mark.usefixtures("by_hand")
def test_a_lease_is_renewed_before_it_runs_out(keeper: LeaseKeeper, table: Table) -> None:
    held = hold(keeper)
    keeper.work()
    assert table.renewed == [], "it has just begun"
    held.renewed -= table.seconds / 3
    keeper.work()
    keeper.work()
    assert table.renewed == [{KEY: held.token}]
    keeper.forget(held)
    held.renewed -= table.seconds / 3
    keeper.work()
    assert len(table.renewed) == 1, "it ended with its answer"


@pytest.mark.usefixtures("by_hand")
def test_who_waits_does_not_keep_the_thread_from_renewing_leases_in_time(keeper: LeaseKeeper, table: Table) -> None:
    table.pauses = (0.001, 2 * table.seconds)  # such as that of a server which tells when a short lease has ended
    keeper._add_waiter(KEY, "other")
    for _ in range(50):
        keeper.work()
    assert keeper._pause <= table.seconds / 3


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize("handed_over", [False, True])
def test_a_lease_without_an_answer_is_given_back_once_by_the_thread(
    keeper: LeaseKeeper, table: Table, handed_over: bool
) -> None:
    held = hold(keeper)
    held.end(handed_over=handed_over)
    assert table.released == [], "whoever ends it doesn't wait for the store"
    held.end(handed_over=True)
    keeper.work()
    assert table.released == [(held.token, Ending.FREE if handed_over else Ending.ENDED)]


@pytest.mark.usefixtures("by_hand")
def test_a_leader_that_cannot_go_on_loses_its_lease(keeper: LeaseKeeper, table: Table) -> None:
    async def lead_here() -> Flight[Any]:
        return lead()

    gone, resting = asyncio.run(lead_here()), lead()
    hold(keeper, gone)
    hold(keeper, resting)
    resting.rest()
    assert resting._resting_since is not None
    resting._resting_since -= 2
    keeper.work()
    keeper.work()
    assert [ending for _, ending in table.released] == [Ending.FREE, Ending.ENDED]


def wait(keeper: LeaseKeeper, seconds: float | None, asynchronous: bool) -> Ending | None:
    async def wait_here() -> Ending | None:
        return await keeper.wait_async(KEY, "other", seconds)

    return asyncio.run(wait_here()) if asynchronous else keeper.wait(KEY, "other", seconds)


@both
@pytest.mark.parametrize("ending", Ending)
def test_a_waiter_learns_how_a_lease_ended(
    keeper: LeaseKeeper, table: Table, ending: Ending, asynchronous: bool
) -> None:
    table.ending = ending
    assert wait(keeper, None, asynchronous) is ending
    assert keeper._waiters == []


@both
def test_a_wait_is_no_longer_than_the_waiter_allows(keeper: LeaseKeeper, asynchronous: bool) -> None:
    assert wait(keeper, 0.0, asynchronous) is None


@both
def test_a_store_that_fails_keeps_nobody_waiting(keeper: LeaseKeeper, table: Table, asynchronous: bool) -> None:
    table.is_down = True
    assert wait(keeper, None, asynchronous) is Ending.ENDED


@pytest.mark.usefixtures("by_hand")
@both
def test_a_thread_that_is_stuck_in_the_store_keeps_nobody_waiting(
    keeper: LeaseKeeper, table: Table, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    monkeypatch.setattr(lease_room, "_CHECK", 0.001)
    table.seconds = 0.0
    assert wait(keeper, None, asynchronous) is None


async def test_a_synchronous_call_does_not_wait_in_the_loop_that_the_other_may_need(keeper: LeaseKeeper) -> None:
    assert keeper.wait(KEY, "other", None) is None


async def test_a_cancelled_waiter_disturbs_nobody(keeper: LeaseKeeper, table: Table) -> None:
    waiting = [asyncio.create_task(keeper.wait_async(KEY, "other", None)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    table.ending = Ending.ENDED
    assert await waiting[1] is Ending.ENDED
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


def test_the_thread_ends_when_there_was_no_lease_for_a_while(
    keeper: LeaseKeeper, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_room, "_IDLE", -1.0)
    table.ending = Ending.ENDED
    assert keeper.wait(KEY, "other", None) is Ending.ENDED
    thread = keeper._thread
    if thread is not None:
        thread.join(10)
    assert keeper._thread is None
    assert keeper.wait(KEY, "other", None) is Ending.ENDED, "and begins again"


@pytest.mark.usefixtures("by_hand")
def test_what_is_under_way_when_the_program_ends_is_handed_over(keeper: LeaseKeeper, table: Table) -> None:
    held = hold(keeper)
    keeper.close()
    assert table.released == [(held.token, Ending.FREE)]


def test_a_lease_whose_time_is_over_goes_to_who_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leases = DiskCache(tmp_path, lease=3).leases
    now = time.monotonic()
    monkeypatch.setattr(sqlite_leases.time, "monotonic", lambda: now)
    leases.take(KEY, "killed")
    assert leases.take(KEY, "heir") == Taken("killed")
    now += 2.9
    assert leases.look([(KEY, "killed")]) == [None]
    now += 0.2
    assert leases.look([(KEY, "killed")]) == [Ending.FREE]
    assert leases.take(KEY, "heir") == Taken("heir")
    assert leases.look([(KEY, "killed")]) == [Ending.FREE], "the next to ask waits for the heir"
    assert leases.publish(KEY, "text", None, "heir")
    assert leases.look([(KEY, "killed"), (KEY, "heir")]) == [Ending.ENDED] * 2


def test_leases_left_over_from_before_a_reboot_hold_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leases, now = DiskCache(tmp_path).leases, 1_000_000.0
    monkeypatch.setattr(sqlite_leases.time, "monotonic", lambda: now)
    leases.take(KEY, "before")
    now = 5.0  # the clock begins anew
    assert leases.look([(KEY, "before")]) == [Ending.FREE]
    assert leases.take(KEY, "after") == Taken("after")
    leases.take("forgotten", "one")
    now += 1000
    leases.renew({KEY: "after"})
    assert leases.look([("forgotten", "one")]) == [Ending.ENDED], "its row is gone"


def test_a_lease_in_redis_runs_out_by_the_servers_clock(valkey: Valkey) -> None:
    with RedisCache(port=valkey.port, lease=60) as cache:
        leases = cache.leases
        leases.take(KEY, "killed")
        name = "instructor:{instructor:" + KEY + "}"
        assert 0 < int(valkey.command("PTTL", name)[1:]) <= 60_000
        valkey.command("PEXPIRE", name, "25000")
        leases.renew({KEY: "killed"})
        assert int(valkey.command("PTTL", name)[1:]) > 25_000
        valkey.command("DEL", name)
        assert leases.look([(KEY, "killed")]) == [Ending.FREE]
        assert leases.take(KEY, "heir") == Taken("heir")
        assert leases.look([(KEY, "killed")]) == [Ending.FREE], "the next to ask waits for the heir"
        assert cache.clear() == 0, "a lease isn't an entry"
        assert [*cache.list_entries()] in ([], [[]])
        assert leases.take(KEY, "other") == Taken("heir"), "and isn't removed with them"


def test_a_redis_server_pushes_the_end_of_a_lease(valkey: Valkey) -> None:
    with RedisCache(port=valkey.port, lease=60) as cache, RedisCache(port=valkey.port, lease=60) as other:
        keeper, leases, ended = handle_of(cache).leases, other.leases, []
        leases.take(KEY, "other")
        waiting = threading.Thread(target=lambda: ended.append(keeper.wait(KEY, "other", None)))
        waiting.start()
        assert keeper.table._is_listening.wait(10)  # type: ignore[attr-defined]
        keeper._pause = keeper.table.pauses[1]
        leases.publish(KEY, "text", None, "other")
        waiting.join(10)
        assert ended == [Ending.ENDED]
        keeper._listen(wanted=False)


@both
def test_a_lease_costs_a_miss_one_command(valkey: Valkey, asynchronous: bool) -> None:
    def count_commands(lease: float | None) -> int:
        with RedisCache(port=valkey.port, lease=lease, prefix=f"{lease}:") as cache:
            world = World(cache, asynchronous)
            world.ask(cache_salt="to connect")
            valkey.command("CONFIG", "RESETSTAT")
            world.ask()
            stats = valkey.command("INFO", "commandstats").decode()
        sent = re.findall(r"cmdstat_(get|set|eval):calls=(\d+)", stats)
        inside = {"get": 2, "set": 3} if lease else {}  # what the two scripts do
        return sum(int(calls) - inside.get(name, 0) for name, calls in sent)

    assert count_commands(5.0) == count_commands(None) + 1


def test_leases_of_a_cluster_stand_beside_their_entries(cluster: Cluster) -> None:
    with redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port) as client:
        cache = RedisCache(client=client)
        leases, keys = cache.leases, [f"{number:064x}" for number in range(6)]  # on all nodes
        assert [leases.take(key, "one") for key in keys] == [Taken("one")] * 6
        leases.renew(dict.fromkeys(keys, "one"))
        assert leases.look([(key, "one") for key in keys]) == [None] * 6
        assert all(leases.publish(key, "text", None, "one") for key in keys)
        assert leases.look([(key, "one") for key in keys]) == [Ending.ENDED] * 6
        assert [leases.take(key, "two") for key in keys] == [Taken("two", found=True)] * 6
        assert cache.clear() == 6


class Refusing:
    """A client of a user who may read and write, and no more."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.evaluated = 0

    def get(self, name: str) -> Any:
        return self.data.get(name)

    def set(self, name: str, text: Any, ex: int | None = None) -> None:
        self.data[name] = text

    def eval(self, *_: object) -> None:
        self.evaluated += 1
        raise PermissionError("this user has no permissions to run the 'eval' command")


def test_a_server_that_runs_no_scripts_is_asked_once_and_caches_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    client = Refusing()
    world = World(RedisCache(client=client))
    assert [world.client.create(User, MESSAGES, cache_salt=str(number)).name for number in (1, 2, 1)] == [
        "answer 1",
        "answer 2",
        "answer 1",
    ]
    assert (client.evaluated, world.client.cache_stats().errors) == (2, 0), "for a lease, and for the ledger"
    assert ["lease=None" in message for message in caplog.messages if "add_amounts" not in message] == [True]


def test_something_else_in_the_place_of_a_lease_keeps_no_answer_from_being_stored(valkey: Valkey) -> None:
    with RedisCache(port=valkey.port) as cache:
        world = World(cache)
        valkey.command("RPUSH", name_lease(cache.prefix, world.client.explain(User, MESSAGES).key or ""), "x")
        assert [world.ask(), world.ask()] == ["answer 1", "answer 1"]
        assert world.client.cache_stats().errors == 0


@pytest.mark.parametrize("seconds", [0, -1, 61, "5", True])
def test_a_lease_lasts_a_minute_at_most(tmp_path: Path, seconds: Any) -> None:
    with pytest.raises(ArgumentError, match="lease"):
        DiskCache(tmp_path, lease=seconds)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DiskCache]:
    with DiskCache(tmp_path, lease=60) as cache:
        yield cache


def key_of(world: World, cache: DiskCache, texts: list[str] | None = None) -> str:
    """The key of the one call, whose answer is then forgotten; it goes to `texts`."""
    events: list[Any] = []
    world.client.on("cache:write", events.append)
    world.ask()
    world.client.hooks.clear("cache:write")
    key = str(events[0].key)
    if texts is not None:
        texts.append((cache.get(key) or b"").decode())
    cache.clear()
    return key


@both
def test_a_call_waits_for_the_answer_of_another_process(
    disk: DiskCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    world = World(TieredCache(AutoCache(), disk), asynchronous)
    key = key_of(world, disk, texts := [])
    world.client.cache.tiers[0].clear()
    other, hits, table = DiskCache(tmp_path).leases, [], handle_of(disk).leases.table
    other.take(key, "other")
    world.client.on("cache:hit", hits.append)
    look, looked = table.look, []

    def look_and_answer(waited: Sequence[tuple[str, str]]) -> list[Ending | None]:
        endings = look(waited)
        looked.extend(endings)
        if len(looked) == 1:
            other.publish(key, texts[0], None, "other")
        return endings

    monkeypatch.setattr(table, "look", look_and_answer)
    assert world.ask() == "answer 1"
    # The thread that looks may look once more before the waiter has woken.
    assert looked[0] is None
    assert set(looked[1:]) == {Ending.ENDED}
    assert world.asked == 1
    assert [hit.tier for hit in hits] == ["DiskCache"]
    assert world.client.cache.tiers[0].get(key) is not None, "it was copied upward"


@both
def test_a_call_whose_patience_ends_asks_alone(disk: DiskCache, tmp_path: Path, asynchronous: bool) -> None:
    world = World(disk, asynchronous)
    key = key_of(world, disk)
    DiskCache(tmp_path).leases.take(key, "other")
    assert world.ask(timeout=0.01) == "answer 2"
    assert disk.get(key) is not None, "and what it got is stored"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for another process."""

    def wait(*_: object) -> None:
        raise AssertionError("it waits")

    monkeypatch.setattr(LeaseKeeper, "wait", wait)
    monkeypatch.setattr(LeaseKeeper, "wait_async", wait)


@both
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "keywords", [{"cache_ttl": 0}, *({"cache_mode": mode} for mode in ("refresh", "read_only", "write_only", "bypass"))]
)
def test_a_call_that_would_not_share_does_not_wait(
    disk: DiskCache, tmp_path: Path, keywords: Any, asynchronous: bool
) -> None:
    world = World(disk, asynchronous)
    DiskCache(tmp_path).leases.take(key_of(world, disk), "other")
    assert world.ask(**keywords) == "answer 2"


@both
def test_a_call_that_stores_nothing_keeps_nobody_waiting(disk: DiskCache, tmp_path: Path, asynchronous: bool) -> None:
    world = World(disk, asynchronous)
    key, taken = key_of(world, disk), []

    def reply() -> Any:
        taken.append(DiskCache(tmp_path).leases.take(key, "other"))
        return {"name": "not kept"}

    world.reply = reply
    assert world.ask(cache_ttl=0) == "not kept"
    assert taken == [Taken("other")]


@both
def test_a_store_that_could_not_be_read_is_used_again_by_calls_that_read_nothing(
    disk: DiskCache, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    handle, clock = handle_of(disk), Clock()
    monkeypatch.setattr(handle, "_clock", clock)
    with monkeypatch.context() as patch, pytest.raises(CacheError):
        patch.setattr(disk, "get", lambda key: broken())
        handle.read(KEY)
    world = World(disk, asynchronous)
    clock.now += disk.pause
    world.ask(cache_mode="refresh")
    assert not handle.is_down
    assert disk.size()[0] == 1


@both
def test_a_late_answer_is_refused_reported_and_returned(disk: DiskCache, tmp_path: Path, asynchronous: bool) -> None:
    memory = AutoCache()
    world = World([memory, disk], asynchronous)
    key = key_of(world, disk)
    memory.clear()
    other, errors = DiskCache(tmp_path).leases, []
    world.client.on("cache:error", errors.append)

    def reply() -> Any:  # while this process is frozen, another one takes over and answers
        (row,) = disk._run(lambda connection: connection.execute("SELECT token FROM lease").fetchall())
        other.release(key, row[0].decode(), Ending.FREE)
        other.take(key, "other")
        assert other.publish(key, "the other's", None, "other")
        return {"name": "late"}

    world.reply = reply
    assert world.ask() == "late"
    assert disk.get(key) == b"the other's"
    assert memory.get(key) is None, "all processes serve the same"
    (error,) = errors
    assert "refused" in error.reason
    assert world.client.cache_stats().errors == disk.stats().errors == 1


@both
@pytest.mark.parametrize("lease", [5.0, None])
def test_an_answer_for_which_there_is_no_room_is_reported_and_no_outage(
    tmp_path: Path, asynchronous: bool, lease: float | None
) -> None:
    with DiskCache(tmp_path, size_limit=1 << 18, lease=lease) as disk:
        world = World(disk, asynchronous)
        key, stored = key_of(world, disk), disk.stats().writes
        errors: list[Any] = []
        writes: list[Any] = []
        world.client.on("cache:error", errors.append)
        world.client.on("cache:write", writes.append)
        world.reply = lambda: {"name": "x" * 100_000}
        assert len(world.ask()) == 100_000
        assert ["too large" in error.reason for error in errors] == [True] * len(errors) != []
        assert disk.stats().errors == len(errors)
        assert (writes, disk.stats().writes, disk.get(key)) == ([], stored, None)
        assert lease is None or DiskCache(tmp_path).leases.take(key, "next") == Taken("next"), "nobody waits for it"
        world.reply = lambda: {"name": "small"}
        assert (world.ask(cache_mode="refresh"), len(writes)) == ("small", 1), "the store goes on"


@both
def test_a_failed_call_frees_those_who_wait_in_other_processes(
    disk: DiskCache, tmp_path: Path, asynchronous: bool
) -> None:
    world = World(disk, asynchronous, max_retries=0)
    key = key_of(world, disk)

    def fail() -> Any:
        raise ConnectionError("down")

    world.reply = fail
    with pytest.raises(Exception, match="down"):
        world.ask()
    other, patience = DiskCache(tmp_path).leases, time.monotonic() + 50  # less than the lease lasts
    while other.take(key, "next") != Taken("next"):  # the keeper's thread gives it back
        assert time.monotonic() < patience
        time.sleep(0.001)


@pytest.mark.usefixtures("impatient")
def test_a_nested_call_does_not_wait_while_others_wait_for_it(disk: DiskCache, tmp_path: Path) -> None:
    world, inner = World(disk), World(disk)
    key = key_of(inner, disk)
    DiskCache(tmp_path).leases.take(key, "other")
    world.reply = lambda: {"name": inner.ask()}
    assert world.ask(cache_salt="outer") == "answer 2"


def test_whoever_leads_does_not_wait_for_one_that_waits_for_another_process() -> None:
    """That process may wait for what is led here."""
    flights = Flights[Any]()
    joined = flights.claim("joined")
    assert isinstance(joined, Lease)
    found = []

    def lead_and_wait() -> None:
        own = flights.claim("own")
        found.append(joined.flight.wait())
        assert isinstance(own, Lease)
        own.end()

    joined.flight.waits_abroad = True
    leading = threading.Thread(target=lead_and_wait)
    leading.start()
    leading.join(10)
    assert found == [None]
    joined.end()


def test_a_directory_that_cannot_be_written_costs_one_warning(
    disk: DiskCache, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.set("key", "text")
    disk.close()
    monkeypatch.setattr("instructor.cache.sqlite_file._may_write", lambda _: False)
    disk.pause = 1000.0
    world, errors = World(disk), []
    world.client.on("cache:error", errors.append)
    assert [world.ask(), world.ask()] == ["answer 1", "answer 2"]
    assert len(errors) == 1
    assert [message for message in caplog.messages if "read-only" in message] == caplog.messages
    assert len(caplog.messages) == 1
