"""The handle: a store that fails, hangs or lies costs little, and a healthy one is never in the way."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cache.stores import (
    Bounded,
    Clock,
    Coroutine,
    Handing,
    Native,
    Plain,
    Unlimited,
    broken,
    in_both_worlds,
    read,
    write,
)
from instructor.cache import AutoCache, BaseCache
from instructor.cache.handle import StoreHandle, handle_of
from instructor.exceptions import CacheEntryError, CacheError, CacheNotTriedError, ConfigurationError

CHILDREN = Path(__file__).parent / "children"


@in_both_worlds
@pytest.mark.parametrize("kind", [Plain, Coroutine, Handing, Native, Bounded, Unlimited])
def test_every_kind_of_store_serves_threads_and_tasks(kind: type[Plain], in_task: bool) -> None:
    store = kind()
    handle = StoreHandle(store)
    for _ in range(3):
        assert read(handle, in_task=in_task) == "text"
        assert write(handle, in_task=in_task) is True
    assert handle.stats().errors == 0


@in_both_worlds
def test_a_store_may_hand_on_a_coroutine_for_some_answers_and_have_others_at_hand(in_task: bool) -> None:
    class Caching(Handing):
        def get(self, key: str) -> Any:
            fetched = super().get(key)
            if len(self.calls) == 1:
                return fetched
            fetched.close()
            return "text"

    handle = StoreHandle(Caching())
    assert [read(handle, in_task=in_task) for _ in range(2)] == ["text", "text"]
    assert handle.stats().errors == 0


def test_a_store_that_may_hang_is_kept_off_the_callers_thread() -> None:
    here = threading.current_thread().name
    ran_in = {}
    for kind in (Plain, Bounded, Unlimited, Coroutine):
        store = kind()
        StoreHandle(store).read("key")
        ran_in[kind] = store.threads == [here]
    assert ran_in == {Plain: False, Bounded: True, Unlimited: True, Coroutine: False}


def test_no_plain_store_runs_in_the_event_loops_thread_but_coroutines_do() -> None:
    here = threading.current_thread().name
    ran_in = {}
    for kind in (Plain, Bounded, Unlimited, Coroutine):
        store = kind()
        asyncio.run(StoreHandle(store).read_async("key"))
        ran_in[kind] = store.threads == [here]
    assert ran_in == {Plain: False, Bounded: False, Unlimited: False, Coroutine: True}


def test_coroutines_of_threads_all_run_in_one_loop() -> None:
    loops = set()
    store = Coroutine()
    store.act = lambda: loops.add(asyncio.get_running_loop())
    handle = StoreHandle(store)
    threads = [threading.Thread(target=handle.read, args=("key",)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loops) == 1


@in_both_worlds
@pytest.mark.parametrize(("given", "told"), [(None, None), (60, 60), (0.2, 1), (59.01, 60), (1e300, 315_360_000)])
def test_a_store_gets_whole_seconds_rounded_up_and_ten_years_at_most(
    in_task: bool, given: float | None, told: int | None
) -> None:
    store = Plain()
    write(StoreHandle(store), given, in_task=in_task)
    assert store.calls == [("key", "text", told)]
    assert type(store.calls[0][2]) is type(told)


@in_both_worlds
@pytest.mark.parametrize("kind", [Plain, Coroutine, Bounded])
def test_a_failing_store_raises_one_kind_of_error_that_says_what_to_do(kind: type[Plain], in_task: bool) -> None:
    handle = StoreHandle(kind(broken))
    with pytest.raises(CacheError, match=rf"^{kind.__name__}\.get failed with OSError: no route to host\. Check") as e:
        read(handle, in_task=in_task)
    assert isinstance(e.value.__cause__, OSError)
    assert handle.stats().errors == 1


@in_both_worlds
@pytest.mark.parametrize("kind", [Plain, Coroutine])
def test_a_store_that_hangs_is_abandoned_after_its_timeout(kind: type[Plain], in_task: bool) -> None:
    release = threading.Event()
    store = kind(release.wait if kind is Plain else lambda: asyncio.sleep(1000))
    store.timeout = 0.02
    handle = StoreHandle(store)
    try:
        with pytest.raises(CacheError, match=rf"{kind.__name__}\.get failed: it took longer than 0\.02 s"):
            read(handle, in_task=in_task)
        assert handle.paused()
    finally:
        release.set()


def test_threads_that_hang_are_replaced() -> None:
    release = threading.Event()
    store = Plain(release.wait)
    store.timeout, store.pause = 0.01, 0
    handle = StoreHandle(store)
    try:
        for _ in range(20):  # more than there are worker threads
            with pytest.raises(CacheError):
                handle.read("key")
        store.act = lambda: "text"
        store.timeout = 5.0
        assert handle.read("key") == "text"
    finally:
        release.set()


def test_trials_of_a_store_that_hangs_for_good_become_rarer() -> None:
    release, clock = threading.Event(), Clock()
    store = Plain(release.wait)
    store.timeout = 0.01
    handle = StoreHandle(store, clock)
    try:
        for _ in range(12):
            with pytest.raises(CacheError):
                handle.read("key")
        clock.now += 3 * store.pause
        assert handle.paused()
    finally:
        release.set()


def test_many_tasks_wait_for_few_threads() -> None:
    together, most, lock = 0, 0, threading.Lock()

    def act() -> str:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        threading.Event().wait(0.001)
        with lock:
            together -= 1
        return "text"

    async def read_all(handle: StoreHandle) -> list[Any]:
        return await asyncio.gather(*(handle.read_async(str(number)) for number in range(200)))

    assert asyncio.run(read_all(StoreHandle(Plain(act)))) == ["text"] * 200
    assert 1 < most <= 16


def test_a_store_that_fails_is_left_alone_then_tried_once_then_used_again() -> None:
    clock = Clock()
    store = Plain(broken)
    handle = StoreHandle(store, clock)
    assert not handle.paused()
    with pytest.raises(CacheError):
        handle.read("key")
    assert handle.paused()
    clock.now += store.pause / 100
    assert [handle.paused(), handle.paused()] == [False, True], "one makes the trial, the others wait for it"
    with pytest.raises(CacheError):
        handle.read("key")
    clock.now += store.pause / 50 - 0.1
    assert handle.paused()
    clock.now += 0.1
    assert not handle.paused()
    store.act = lambda: "text"
    assert handle.read("key") == "text"
    assert not handle.paused()


def test_a_store_may_be_left_alone_for_ever() -> None:
    store = Plain(broken)
    store.pause = float("inf")
    handle = StoreHandle(store, lambda: 1e9)
    with pytest.raises(CacheError):
        handle.read("key")
    assert handle.paused()


def test_a_trial_that_is_never_made_costs_the_time_that_it_might_take() -> None:
    clock = Clock()
    store = Plain(broken)
    store.timeout = 60.0
    handle = StoreHandle(store, clock)
    with pytest.raises(CacheError):
        handle.read("key")
    clock.now += 10
    assert not handle.paused()
    clock.now += 59
    assert handle.paused()
    clock.now += 1
    assert not handle.paused()


@in_both_worlds
def test_failed_writes_pause_writes_only(in_task: bool) -> None:
    clock = Clock()
    store = Plain(broken)
    handle = StoreHandle(store, clock)
    with pytest.raises(CacheError, match=r"Plain\.set failed"):
        write(handle, in_task=in_task)
    assert not handle.paused()
    assert write(handle, in_task=in_task) is False
    assert len(store.calls) == 1
    store.act = lambda: "text"
    assert read(handle, in_task=in_task) == "text"
    assert write(handle, in_task=in_task) is False
    clock.now += 10
    assert write(handle, in_task=in_task) is True
    assert write(handle, in_task=in_task) is True


def test_failed_reads_pause_writes_too() -> None:
    store = Plain(broken)
    handle = StoreHandle(store)
    with pytest.raises(CacheError):
        handle.read("key")
    assert handle.write("key", "text", None) is False
    assert store.calls == ["key"]


def test_a_write_may_be_the_trial_of_a_store_that_could_not_be_read(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    store = Plain(broken)
    handle = StoreHandle(store, clock)
    with pytest.raises(CacheError):
        handle.read("key")
    clock.now += 10
    with pytest.raises(CacheError):
        handle.write("key", "text", None)
    assert [record.levelname for record in caplog.records] == ["WARNING"], "it is the same outage"
    store.act = lambda: "text"
    clock.now += 20
    assert handle.write("key", "text", None)
    assert not handle.paused()


def fail_twice(clock: Clock) -> tuple[Plain, StoreHandle]:
    """Make a store that failed to write, then 5 s later to read: each has a pause of its own, of 10 s."""
    store = Plain(broken)
    store.timeout = 60.0
    handle = StoreHandle(store, clock)
    with pytest.raises(CacheError):
        handle.write("key", "text", None)
    clock.now += 5
    with pytest.raises(CacheError):
        handle.read("key")
    store.act = lambda: "text"
    return store, handle


def test_a_write_that_waits_for_reads_to_work_is_no_trial_of_writes() -> None:
    clock = Clock()
    _, handle = fail_twice(clock)
    clock.now += 7
    assert handle.write("key", "text", None) is False, "reads have their pause yet"
    clock.now += 7
    assert not handle.paused()
    assert handle.read("key") == "text"
    assert handle.write("key", "text", None) is True


def test_a_write_that_fails_as_the_trial_of_reads_too_is_followed_by_a_short_pause_of_both() -> None:
    clock = Clock()
    store, handle = fail_twice(clock)
    store.act = broken
    clock.now += 15
    with pytest.raises(CacheError):
        handle.write("key", "text", None)
    clock.now += 25
    assert not handle.paused()


def test_an_outage_is_logged_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "instructor.cache")
    store = Plain(broken)
    handle = StoreHandle(store)
    for _ in range(3):
        with pytest.raises(CacheError):
            handle.read("key")
    store.act = lambda: "text"
    handle.read("key")
    handle.read("key")
    assert [(record.levelname, record.name) for record in caplog.records] == [
        ("WARNING", "instructor.cache"),
        ("INFO", "instructor.cache"),
    ]


def test_a_password_in_an_error_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError("cannot reach redis://user:secret@host:6379/0")

    with pytest.raises(CacheError, match=r"redis://\*\*\*@host") as error:
        StoreHandle(Plain(fail)).read("key")
    assert "secret" not in str(error.value) + caplog.text


@in_both_worlds
@pytest.mark.parametrize("garbage", [5, {"a": 1}, ["x"], object(), True])
def test_what_is_neither_text_nor_none_is_a_bad_entry_and_no_outage(garbage: Any, in_task: bool) -> None:
    handle = StoreHandle(Plain(lambda: garbage))
    with pytest.raises(CacheEntryError, match=rf"Plain\.get returned a {type(garbage).__name__}"):
        read(handle, in_task=in_task)
    assert not handle.paused()


@in_both_worlds
def test_a_bad_entry_ends_an_outage_because_the_store_is_up(in_task: bool) -> None:
    def complain() -> None:
        raise CacheEntryError("a list")

    store = Plain(broken)
    handle = StoreHandle(store)
    with pytest.raises(CacheError):
        handle.read("key")
    store.act = complain
    with pytest.raises(CacheEntryError):
        read(handle, in_task=in_task)
    assert not handle.paused()
    assert handle.stats().errors == 1


@pytest.mark.parametrize("kind", [Plain, Bounded])
def test_keyboard_interrupt_passes_through(kind: type[Plain]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    handle = StoreHandle(kind(interrupt))
    with pytest.raises(KeyboardInterrupt):
        handle.read("key")
    assert not handle.paused()
    assert handle.stats().errors == 0


@in_both_worlds
def test_a_stores_own_stop_iteration_is_a_failure_like_any_other(in_task: bool) -> None:
    handle = StoreHandle(Plain(lambda: next(iter(()))))
    with pytest.raises(CacheError):
        read(handle, in_task=in_task)


def test_counters_add_up_over_threads() -> None:
    handle = handle_of(AutoCache())
    threads = [
        threading.Thread(target=lambda: [handle.count(misses=1, writes=2) for _ in range(500)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (handle.stats().misses, handle.stats().writes) == (4000, 8000)


def test_counters_are_known_though_the_size_is_not() -> None:
    class Sized(Plain):
        abilities = frozenset({"sized"})

        def size(self) -> tuple[int, int]:
            raise OSError("down")

    handle = StoreHandle(Sized())
    handle.count(misses=1)
    assert (handle.stats().misses, handle.stats().entries) == (1, None)


class Unhashable(Plain):
    __hash__ = None  # type: ignore[assignment] - what is tested

    def __eq__(self, other: object) -> bool:
        return True


class Slotted(BaseCache):
    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.data.get(key)

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        self.data[key] = value


class Frozen(Plain):
    def __init__(self) -> None:
        pass

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("frozen")


@pytest.mark.parametrize("kind", [Plain, Unhashable, Slotted, Frozen, AutoCache])
@pytest.mark.usefixtures("clean_heap")
def test_a_store_has_one_guard_of_its_own_and_takes_it_along(kind: type[BaseCache]) -> None:
    store, other = kind(), kind()
    handle = handle_of(store)
    assert handle_of(store) is handle
    assert handle_of(other) is not handle
    assert handle.store is store
    reference = weakref.ref(handle)
    del store, handle
    gc.collect()
    assert reference() is None


@pytest.mark.usefixtures("clean_heap")
def test_a_store_that_was_used_is_still_let_go() -> None:
    store = Plain()
    handle_of(store).read("key")
    store.act = broken
    with pytest.raises(CacheError):
        asyncio.run(handle_of(store).read_async("key"))
    reference = weakref.ref(store)
    del store
    for _ in range(1000):  # the worker lets go of the error, and so of the store, after it has handed it out
        gc.collect()
        if reference() is None:
            break
        time.sleep(0.001)
    assert reference() is None


def test_a_copy_of_a_store_has_a_guard_of_its_own() -> None:
    store = Slotted()
    handle = handle_of(store)
    for other in (copy.copy(store), copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        assert handle_of(other) is not handle
        assert handle_of(other).store is other
    assert handle_of(store) is handle


def test_all_threads_get_the_same_guard() -> None:
    for _ in range(20):
        store, barrier, found = Plain(), threading.Barrier(4), []

        def find(store: Plain = store, barrier: threading.Barrier = barrier, found: list[StoreHandle] = found) -> None:
            barrier.wait()
            found.append(handle_of(store))

        threads = [threading.Thread(target=find) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(map(id, found))) == 1


@pytest.mark.parametrize("store", [None, {}, AutoCache, "redis://localhost"])
def test_what_is_no_store_is_refused(store: Any) -> None:
    with pytest.raises(ConfigurationError, match="AutoCache\\(\\)"):
        handle_of(store)


def test_neither_a_hanging_store_nor_a_loop_keeps_the_interpreter_from_exiting() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", CHILDREN / "hang.py"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("kind", [Plain, Coroutine, Bounded])
async def test_a_queue_before_a_store_that_fails_is_gone_at_once(kind: type[Plain]) -> None:
    """What waits for its turn while the store fails is not tried: nobody pays for the queue before it."""

    def fail() -> None:
        while len(store.calls) > 1 and not handle.paused():  # the first failure must be known before the others fail
            time.sleep(0.001)
        broken()

    async def fail_later() -> None:
        await asyncio.sleep(0)
        broken()

    store = kind(fail_later if kind is Coroutine else fail)
    store.concurrency = 1
    handle = StoreHandle(store)
    reads = await asyncio.gather(*(handle.read_async("key") for _ in range(50)), return_exceptions=True)
    assert all(isinstance(error, CacheError) for error in reads)
    assert len(store.calls) < 50
    assert sum(isinstance(error, CacheNotTriedError) for error in reads) == 50 - handle.stats().errors > 0


@in_both_worlds
async def test_an_outage_is_warned_of_once_whatever_succeeds_in_between(
    caplog: pytest.LogCaptureFixture, in_task: bool
) -> None:
    lock, turn = threading.Lock(), [0]

    def fail_every_other() -> str:
        with lock:
            turn[0] += 1
            failing = turn[0] % 2 == 1
        barrier.wait()  # all are on their way before the first fails
        return broken() if failing else "text"

    barrier = threading.Barrier(10)
    store = Plain(fail_every_other)
    handle = StoreHandle(store)
    if in_task:
        calls = [handle.write_async(str(number), "text", None) for number in range(10)]
    else:
        calls = [asyncio.to_thread(handle.write, str(number), "text", None) for number in range(10)]
    with ThreadPoolExecutor(10) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(map(str, map(type, results))) == sorted([str(CacheError)] * 5 + [str(bool)] * 5)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert not await handle.write_async("key", "text", None), "it goes on until a trial succeeds"


@in_both_worlds
def test_what_the_process_lacks_is_no_failure_of_the_store(in_task: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    handle = StoreHandle(Plain())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(CacheNotTriedError):
            read(handle, in_task=in_task)
    assert not handle.paused()
    assert handle.stats().errors == 1


@in_both_worlds
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_text_comes_back_in_any_type_that_drivers_use(kind: Any, in_task: bool) -> None:
    text = kind(b"text")
    assert read(StoreHandle(Plain(lambda: text)), in_task=in_task) is text


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class NumericError(Exception):
    def __str__(self) -> Any:
        return 5  # noqa: PLE0307 - the mistake that is meant


@in_both_worlds
@pytest.mark.parametrize("kind", [UnspeakableError, NumericError])
def test_an_error_that_cannot_say_what_it_is_is_a_failure_like_any_other(kind: type[Exception], in_task: bool) -> None:
    def act() -> None:
        raise kind

    handle = StoreHandle(Plain(act))
    with pytest.raises(CacheError, match=rf"^Plain\.set failed with {kind.__name__}\. Check"):
        write(handle, in_task=in_task)
    assert handle.stats().errors == 1


@in_both_worlds
@pytest.mark.parametrize("lead", ["cannot store ", "x" * 190], ids=["begun early", "begun where it is cut"])
def test_an_error_that_quotes_the_answer_is_named_only(
    lead: str, in_task: bool, caplog: pytest.LogCaptureFixture
) -> None:
    entry = '{"name": "Jason", "diagnosis": "a secret between him and his doctor"}'

    class Quoting(Plain):
        def set(self, key: str, value: Any, ttl: int | None = None) -> None:
            raise ValueError(f"{lead}{value!r}")

    handle = StoreHandle(Quoting())
    with pytest.raises(CacheError, match=r"^Quoting\.set failed with ValueError\. Check"):
        asyncio.run(handle.write_async("key", entry, None)) if in_task else handle.write("key", entry, None)
    assert "Jason" not in caplog.text


def test_a_long_reason_is_cut() -> None:
    def act() -> None:
        raise OSError("no route to host, " * 100)

    with pytest.raises(CacheError, match=r"no route to host.*\.\.\. Check") as caught:
        StoreHandle(Plain(act)).read("key")
    assert len(str(caught.value)) < 300
