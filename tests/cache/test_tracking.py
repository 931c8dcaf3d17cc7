"""What a tracker lets into memory, and what it takes out of it, whatever the server does and when."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from instructor.cache import AutoCache, MemoryCache
from instructor.cache.entry import Entry, make_origin
from instructor.cache.tracking import MOST_CHANGES, LinkLostError, Session, Tracker, TrackingRefusedError, Watch
from worlds import until


class Server:
    """A server that the test plays. It can be linked while `is_up`."""

    def __init__(self) -> None:
        self.is_up = threading.Event()
        self.is_up.set()
        self.session: Session | None = None
        self.links = 0
        self._lost = threading.Event()
        self.tracker = Tracker(self.listen, "Server")

    def listen(self, session: Session) -> None:
        if not self.is_up.is_set():
            raise LinkLostError
        self._lost.clear()
        self.session = session
        self.links += 1
        session.begin([self])
        self._lost.wait(30.0)

    def lose_link(self) -> None:
        links = self.links
        self._lost.set()
        until(lambda: self.links > links and self.tracker.is_on)

    def shut(self) -> None:
        self._lost.set()

    def leave(self) -> None:
        self._lost.set()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.tracker.note()
    until(lambda: server.tracker.is_on)
    yield server
    server.tracker.close()


def make_entry(key: str) -> Entry:
    return Entry(key, (), b"x", make_origin("p", "m"), 1.0)


def hear_many(server: Server) -> None:
    server.tracker.hear([str(number) for number in range(MOST_CHANGES + 1)])


MEANWHILE: dict[str, Callable[[Server], object]] = {
    "the entry was changed": lambda server: server.tracker.hear(["key"]),
    "all was removed": lambda server: server.tracker.hear(None),
    "the link was lost": Server.lose_link,
    "so much was changed that it isn't known": hear_many,
}


@pytest.mark.parametrize("meanwhile", MEANWHILE.values(), ids=MEANWHILE)
def test_what_was_read_before_a_change_is_not_kept_after_it(
    server: Server, meanwhile: Callable[[Server], object]
) -> None:
    memory = AutoCache()
    watch = server.tracker.watch(memory, None)
    since = watch.note()
    meanwhile(server)
    assert not watch.fill(make_entry("key"), since)
    assert "key" not in memory
    assert watch.fill(make_entry("key"), watch.note())
    assert "key" in memory


def test_what_is_changed_after_it_was_kept_goes_and_nothing_else_does(server: Server) -> None:
    memory = MemoryCache()
    watch = server.tracker.watch(memory, None)
    since = watch.note()
    server.tracker.hear(["third"])
    assert watch.fill(make_entry("key"), since)
    assert watch.fill(make_entry("other"), since)
    server.tracker.hear(["key", "unknown"])
    assert ("key" in memory, "other" in memory) == (False, True)


def test_memory_is_emptied_with_the_link_and_takes_in_nothing_until_there_is_one_again(server: Server) -> None:
    memory = AutoCache()
    watch = server.tracker.watch(memory, None)
    assert watch.fill(make_entry("key"), watch.note())
    server.is_up.clear()
    server.shut()
    until(lambda: not server.tracker.is_on)
    assert len(memory) == 0
    since = watch.note()
    assert not watch.fill(make_entry("key"), since)
    memory.keep(make_entry("kept meanwhile"))
    server.is_up.set()
    until(lambda: server.tracker.is_on)
    assert len(memory) == 0
    assert not watch.fill(make_entry("key"), since)


def test_memory_is_emptied_when_it_is_watched_and_not_again_by_the_next_client(server: Server) -> None:
    memory = AutoCache()
    memory.keep(make_entry("nobody knows how old"))
    watch = server.tracker.watch(memory, None)
    assert len(memory) == 0
    assert watch.fill(make_entry("key"), watch.note())
    assert server.tracker.watch(memory, None) is watch
    assert len(memory) == 1


def test_an_entry_that_the_server_has_under_other_names_goes_with_any_of_them(server: Server) -> None:
    memory = AutoCache()
    watch = server.tracker.watch(memory, lambda key: [f"old {key}", f"new {key}"])
    for name in ("old key", "new key"):
        since = watch.note()
        assert watch.fill(make_entry("key"), since)
        server.tracker.hear([name])
        assert len(memory) == 0
        assert not watch.fill(make_entry("key"), since)


@pytest.mark.parametrize(
    "lose", [Watch.forget, lambda watch, key: watch.lose([f"name of {key}"])], ids=["own", "other"]
)
def test_a_new_answer_that_the_server_has_under_another_name_goes_too(
    server: Server, lose: Callable[[Watch, str], None]
) -> None:
    memory = AutoCache()
    watch = server.tracker.watch(memory, lambda key: [f"name of {key}"])
    watch.keep(make_entry("key"))
    assert len(memory) == 1
    lose(watch, "key")
    assert len(memory) == 0


def test_names_are_remembered_of_what_memory_holds_alone(server: Server) -> None:
    memory = AutoCache(maxsize=10)
    watch = server.tracker.watch(memory, lambda key: [f"name of {key}"])
    for number in range(1000):
        watch.keep(make_entry(str(number)))
    assert len(watch._keys) < 500
    server.tracker.hear([f"name of {number}" for number in range(1000)])
    assert len(memory) == 0


@pytest.mark.parametrize(
    ("error", "words"),
    [(TrackingRefusedError("too old"), "before Server: too old"), (TypeError("oh"), "before Server: TypeError: oh")],
    ids=["refused", "unexpected"],
)
def test_a_server_that_refuses_costs_one_warning_and_nothing_is_kept(
    error: Exception, words: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instructor.cache.tracking.REFUSED_PAUSE", 0.0)
    tries: list[Any] = []

    def listen(session: Session) -> None:
        tries.append(session)
        raise error

    tracker = Tracker(listen, "Server")
    memory = AutoCache()
    watch = tracker.watch(memory, None)
    since = watch.note()
    until(lambda: len(tries) > 2)
    assert not watch.fill(make_entry("key"), since)
    tracker.close()
    assert [record.getMessage().endswith(words) for record in caplog.records] == [True]


def test_a_tracker_that_was_closed_empties_memory_and_begins_again_with_the_next_read(server: Server) -> None:
    memory = AutoCache()
    watch = server.tracker.watch(memory, None)
    assert watch.fill(make_entry("key"), watch.note())
    before = set(threading.enumerate())
    server.tracker.close()
    ended = [thread.name for thread in before - set(threading.enumerate())]  # one of another test may have ended, too
    assert (len(memory), ended.count("instructor-tracking")) == (0, 1)
    watch.note()
    until(lambda: server.tracker.is_on)


def test_a_forked_child_begins_with_nothing_and_with_a_link_of_its_own(server: Server) -> None:
    """`os.fork` runs this in the child; tests of the Redis store fork indeed."""
    memory = AutoCache()
    watch = server.tracker.watch(memory, None)
    assert watch.fill(make_entry("key"), watch.note())
    assert server.session is not None
    server.session.closed.set()  # for its thread to end: a child doesn't have it
    server.tracker.reset()
    assert (len(memory), server.tracker.is_on) == (0, False)
    watch.note()
    until(lambda: server.tracker.is_on)
    assert server.links == 2


def test_a_memory_that_is_gone_is_forgotten(server: Server) -> None:
    memory = AutoCache()
    watch: Watch = server.tracker.watch(memory, None)
    del memory
    gc.collect()
    assert not watch.fill(make_entry("key"), watch.note())
    server.tracker.hear(["key"])
    server.tracker.watch(AutoCache(), None)
    assert len(server.tracker._watches) == 1
