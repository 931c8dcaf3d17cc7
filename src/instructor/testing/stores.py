"""What every store must do, as tests for pytest: for our stores, and for yours."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import cast

from instructor.cache.entry import Entry, Origin, Tagged, decode_entry, encode_entry, pack_completion
from instructor.cache.handle import handle_of
from instructor.cache.lease import Ending, LeasingStore, Taken
from instructor.cache.recent import RecallingStore
from instructor.cache.store import Ability, BaseCache, Text, deleting, listing
from instructor.exceptions import ConfigurationError
from instructor.messages import Part
from instructor.usage import Usage

KEY = "3f" * 32

_MANY_THREADS, _MANY_TASKS = 120, 400
"""More than the connections and threads that a store, or a library below it, has by default."""

_MOST_BATCHES = 100
"""More than a listing of a few entries has."""


class StoreContract:
    """The tests that every store has to pass, plain or asynchronous.

    Use it in the tests of a store that you wrote: subclass it, under a name that begins with ``Test``, and override
    `make`.

    Example:
        >>> class TestDictCache(StoreContract):
        ...     def make(self):
        ...         return DictCache()
    """

    def make(self) -> BaseCache:
        """Return a new, empty store."""
        raise NotImplementedError("Override make() to return a new, empty store.")

    def advance(self, store: BaseCache, seconds: float) -> bool:  # noqa: ARG002 - for those who override it
        """Let time pass for `store`, by moving its clock or its deadlines.

        Returns False if that isn't possible, as here; the tests of expiry are skipped then.
        """
        return False

    def test_returns_the_text_that_was_stored(self) -> None:
        """Whatever the text: quotes, several lines, any script, or a megabyte."""
        handle = handle_of(self.make())
        for text in (
            '{"name": "Jason"}',
            "two\nlines\r\n",
            "Zoë 東京 🎉 \u2028",
            "a\0b\\u0000%s{}'\"",
            "x" * (1 << 20),
        ):
            handle.write(KEY, text, None)
            assert _as_text(handle.read(KEY)) == text

    def test_returns_a_whole_entry(self) -> None:
        """An entry that is read back is equal to the one that was stored."""
        handle = handle_of(self.make())
        entry = Entry(
            KEY,
            (Part("User", '{"a": 1}'),),
            pack_completion('{"id": "é"}'),
            Origin("openai", "gpt", "gpt-2", "tenant", "User"),
            1.5,
            9.25,
            0.5,
            Usage(3, 2, 1, 0),
            2,
        )
        handle.write(KEY, encode_entry(entry), None)
        found = handle.read(KEY)
        assert decode_entry(_as_text(found) or "", KEY) == entry

    def test_returns_none_for_an_unknown_key(self) -> None:
        """A miss is None, and no error."""
        assert handle_of(self.make()).read(KEY) is None

    def test_replaces_what_is_stored_again(self) -> None:
        """The last text under a key is the one that is found."""
        handle = handle_of(self.make())
        handle.write(KEY, "first", None)
        handle.write(KEY, "second", None)
        assert _as_text(handle.read(KEY)) == "second"

    def test_keeps_keys_apart(self) -> None:
        """Keys that differ in anything, if only in case or at the end, are different keys."""
        handle = handle_of(self.make())
        keys = ["a", "A", "ab", "a:b", "a*", "a b", "a/b", "é", KEY, f"tenant:{KEY}", "k" * 300, "k" * 301]
        for number, key in enumerate(keys):
            handle.write(key, f"text {number}", None)
        assert [_as_text(handle.read(key)) for key in keys] == [f"text {number}" for number in range(len(keys))]

    def test_forgets_an_entry_when_its_ttl_is_over(self) -> None:
        """Not before, and never if it has none."""
        store = self.make()
        if not store.honours_ttl:
            _skip("the store says that it ignores ttl")
        handle = handle_of(store)
        handle.write("short", "text", 10)
        handle.write("long", "text", 1000)
        handle.write("for ever", "text", None)
        handle.write("renewed", "text", 10)
        handle.write("renewed", "text", None)
        self._advance_or_skip(store, 5)
        assert all(handle.read(key) for key in ("short", "long", "for ever", "renewed"))
        self._advance_or_skip(store, 6)
        assert handle.read("short") is None
        assert all(handle.read(key) for key in ("long", "for ever", "renewed"))

    def test_serves_many_threads_at_once(self) -> None:
        """However many there are: they wait for each other, nothing fails, and nothing is lost or mixed up."""
        handle = handle_of(self.make())

        def use(number: int) -> bool:
            key, text = f"{KEY}{number % 20}", f"text {number % 20}" * 50
            return handle.write(key, text, None) and _as_text(handle.read(key)) == text

        with ThreadPoolExecutor(_MANY_THREADS) as threads:
            assert all(threads.map(use, range(2 * _MANY_THREADS)))
        assert handle.stats().errors == 0

    def test_serves_many_tasks_at_once(self) -> None:
        """As for threads; and a thread finds what a task has stored."""
        handle = handle_of(self.make())

        async def use(number: int) -> bool:
            key, text = f"{KEY}{number}", f"text {number}" * 50
            return await handle.write_async(key, text, None) and _as_text(await handle.read_async(key)) == text

        async def use_all() -> list[bool]:
            assert await handle.read_async("unknown") is None
            return await asyncio.gather(*(use(number) for number in range(_MANY_TASKS)))

        assert all(asyncio.run(use_all()))
        assert _as_text(handle.read(f"{KEY}7")) == "text 7" * 50
        assert handle.stats().errors == 0

    def test_does_what_its_abilities_say(self) -> None:
        """Memory of this process returns the very entry that it keeps; a store that counts counts what is stored."""
        store = self.make()
        handle = handle_of(store)
        entry = Entry(KEY, (Part("User", '{"a": 1}'),), pack_completion('{"id": "é"}'), Origin("openai", "gpt"), 1.5)
        if handle.local is None:
            handle.write(KEY, encode_entry(entry), None)
        else:
            handle.local.keep(entry)
            assert handle.local.find(KEY) is entry
            assert handle.local.find("unknown") is None
        assert _as_text(handle.read(KEY)) == encode_entry(entry)
        stats = handle.stats()
        if "sized" in store.abilities:
            assert stats.entries == 1
            assert stats.bytes

    def test_lists_its_entries(self) -> None:
        """Each with its size and where it comes from; also one that describes itself at length, and what is no entry."""
        store = self.make()
        self._need(store, "listing")
        handle, entries = handle_of(store), [_make_entry(key) for key in ("one", "two")]
        entries.append(replace(_make_entry("long"), steps="7," * 2000))
        for entry in entries:
            handle.write(entry.key, encode_entry(entry), None)
        handle.write("a text", "no entry", None)
        listed = {each.key: each for batch in listing(store).list_entries() for each in batch}
        assert set(listed) == {"one", "two", "long", "a text"}
        assert all(each.size > 0 for each in listed.values())
        for entry in entries:
            assert listed[entry.key].origin == entry.origin
            assert listed[entry.key].tagged == entry.tagged
            assert listed[entry.key].usage == entry.usage
        for number, batch in enumerate(listing(store).list_entries()):
            assert number < _MOST_BATCHES, "what is written meanwhile must not make a listing endless"
            for each in batch:
                handle.write(each.key, "written meanwhile", None)

    def test_removes_what_it_is_asked_to(self) -> None:
        """And counts it."""
        store = self.make()
        self._need(store, "deleting")
        handle = handle_of(store)
        for number in range(6):
            handle.write(f"key {number}", f"text {number}", None)
        assert store.delete("key 0")
        assert not store.delete("key 0")
        assert deleting(store).delete_many(["key 1", "key 2", "unknown"]) == 2  # noqa: PLR2004
        assert [_as_text(handle.read(f"key {number}")) for number in (0, 2, 3)] == [None, None, "text 3"]
        assert store.clear() == 3  # noqa: PLR2004
        assert handle.read("key 3") is None
        assert store.clear() == 0

    def test_numbers_the_invalidations_of_tags(self) -> None:
        """An answer is stale once one of its tags has a higher number than it was asked under, and only then."""
        store = self.make()
        self._need(store, "tagging")
        handle = handle_of(store)
        before = handle.generations(()).latest
        tagged = _make_entry("one", Tagged(("a", "b"), before))
        handle.write("one", encode_entry(tagged), None)
        assert store.invalidate(tag="c") == 0
        assert handle.generations(("a", "b")).cover(before)
        assert store.invalidate(tag="b") == 1
        assert not handle.generations(("a", "b")).cover(before)
        assert handle.generations(("a",)).cover(before)
        assert handle.generations(("a", "b")).cover(handle.generations(()).latest)
        assert not handle.generations(("a",)).cover(before - 1), "as after another beginning"
        assert store.invalidate(tag="b") == 0, "there is no answer since"

    def test_leases_a_call_to_one_process_at_a_time(self) -> None:
        """Until that one has stored its answer, or gives up; then it says so to who waits."""
        store = self.make()
        self._need(store, "leasing")
        table, handle = cast("LeasingStore", store).leases, handle_of(store)
        assert table.take(KEY, "one") == Taken("one", found=False)
        assert table.take(KEY, "two") == Taken("one")
        assert table.take("another key", "three") == Taken("three")
        assert table.look([(KEY, "one"), ("another key", "three")]) == [None, None]
        assert table.publish(KEY, "text of one", None, "one")
        assert _as_text(handle.read(KEY)) == "text of one"
        assert table.look([(KEY, "one"), ("another key", "three")]) == [Ending.ENDED, None]
        assert table.take(KEY, "two") == Taken("two", found=True)
        table.release(KEY, "two", Ending.ENDED)
        table.release("another key", "three", Ending.FREE)
        assert table.look([(KEY, "two"), ("another key", "three")]) == [Ending.ENDED, Ending.FREE]

    def test_refuses_what_comes_after_another_process_has_asked(self) -> None:
        """From an owner that lost its lease; but it is welcome as long as nobody else has asked."""
        store = self.make()
        self._need(store, "leasing")
        table, handle = cast("LeasingStore", store).leases, handle_of(store)
        for key in ("asking", "answered", "alone"):
            table.take(key, "late")
            table.release(key, "late", Ending.FREE)  # as if its time were over
        table.take("asking", "heir")
        table.take("answered", "heir")
        assert table.look([("asking", "late")]) == [Ending.FREE]
        assert table.publish("answered", "text", None, "heir")
        table.renew({"asking": "late"})
        table.release("asking", "late", Ending.ENDED)
        assert [table.publish(key, "late", None, "late") for key in ("asking", "answered", "alone")] == [
            False,
            False,
            True,
        ]
        assert table.take("asking", "third") == Taken("heir")
        assert [_as_text(handle.read(key)) for key in ("asking", "answered", "alone")] == [None, "text", "late"]

    def test_recalls_nothing_that_has_changed(self) -> None:
        """It may know less than it has read, but what it recalls is what it holds."""
        store = self.make()
        self._need(store, "recalling")
        handle, recalling = handle_of(store), cast("RecallingStore", store)

        def recall() -> str | None:
            found = recalling.recall(KEY, may_wait=True)
            return None if found is None else _as_text(found.text)

        for text in ("first", "second"):
            handle.write(KEY, text, None)
            for _ in range(3):
                assert recall() in (None, text)
                assert _as_text(handle.read(KEY)) == text
        store.delete(KEY)
        assert recall() is None

    def test_says_what_it_cannot_do(self) -> None:
        """A store without an ability refuses what needs it, with what to do."""
        store = self.make()
        if "deleting" not in store.abilities:
            with _expect(ConfigurationError):
                store.delete(KEY)
        if not {"listing", "deleting"} <= store.abilities:
            with _expect(ConfigurationError):
                store.invalidate(model="gpt")
        if "tagging" not in store.abilities:
            with _expect(ConfigurationError):
                store.invalidate(tag="a")

    def test_never_fails_in_all_this(self) -> None:
        """A store that raises or hangs is left alone after the first time; a healthy one never is."""
        handle = handle_of(self.make())
        handle.write(KEY, "text", None)
        handle.read(KEY)
        assert not handle.paused()
        assert handle.stats().errors == 0

    def _need(self, store: BaseCache, ability: Ability) -> None:
        if ability not in store.abilities:
            _skip(f"the store doesn't declare {ability!r}")

    def _advance_or_skip(self, store: BaseCache, seconds: float) -> None:
        if not self.advance(store, seconds):
            _skip("time cannot be moved for this store; override advance()")


def _make_entry(key: str, tagged: Tagged | None = None) -> Entry:
    origin = Origin("openai", "gpt", "gpt-2", "tenant", "User")
    return Entry(key, (Part("User", '{"a": "é"}'),), pack_completion("{}"), origin, 1.5, usage=Usage(3), tagged=tagged)


def _expect(error: type[Exception]) -> AbstractContextManager[object]:
    import pytest

    return pytest.raises(error)


def _skip(reason: str) -> None:
    import pytest

    pytest.skip(reason)


def _as_text(found: Text | None) -> str | None:
    return found if found is None or isinstance(found, str) else bytes(found).decode()
