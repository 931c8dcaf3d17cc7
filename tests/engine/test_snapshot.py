"""What is asked, stored and shared is what the caller said when it made the call, whatever it changes meanwhile."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from instructor import AsyncInstructor, AutoCache, BaseCache, DiskCache, Instructor, Mode, RedisCache
from instructor.engine import drive, key_memo
from instructor.engine.key_memo import shorten
from instructor.hooks import HookName
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT
from servers import Valkey
from steps import User

MOST_EFFECTS = 24
"""More than a call with a listener for every event and one retry has."""


class UsersStore(BaseCache):
    """A user's plain store."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.data.get(key)

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        self.data[key] = value


class UsersAsyncStore(UsersStore):
    """The same with coroutines."""

    async def get(self, key: str) -> Any:
        await asyncio.sleep(0)
        return self.data.get(key)

    async def set(self, key: str, value: Any, ttl: int | None = None) -> Any:
        await asyncio.sleep(0)
        self.data[key] = value


STORES: dict[str, Callable[[Path, int], BaseCache]] = {
    "AutoCache": lambda folder, port: AutoCache(),
    "DiskCache": lambda folder, port: DiskCache(folder / "cache"),
    "RedisCache": lambda folder, port: RedisCache(port=port),
    "UsersStore": lambda folder, port: UsersStore(),
    "UsersAsyncStore": lambda folder, port: UsersAsyncStore(),
}


class Saying:
    """A caller's own objects: messages with nested parts, a template's context, an SDK keyword with data in it."""

    def __init__(self, word: str) -> None:
        self.part = {"type": "text", "text": f"part {word}"}
        self.message = {"role": "user", "content": [self.part]}
        self.template = {"role": "user", "content": "template {{ word }}"}
        self.messages = [self.message, self.template]
        self.context = {"word": word}
        self.body = {"metadata": {"body": word}}

    def keywords(self) -> dict[str, Any]:
        return {"messages": self.messages, "context": self.context, "extra_body": self.body}

    def change(self, word: str) -> None:
        """Use all the objects again for another question."""
        self.part["text"] = f"part {word}"
        self.context["word"] = word
        self.body["metadata"]["body"] = word


def change_all(sayings: list[Saying], word: str) -> None:
    for saying in sayings:
        saying.change(word)


def expected(word: str) -> User:
    return User(name=f"part {word}, template {word}, body {word}")


class Provider:
    """Answers with what it is asked. The first answer to each question is invalid, if a test wants it."""

    def __init__(self, *, asynchronous: bool = False, retries: bool = False) -> None:
        self.retries = retries
        self.adapter = ScriptedAdapter(self.answer, asynchronous=asynchronous)

    def answer(self, request: Any) -> Any:
        content = request["messages"][0]["content"][0]["text"], request["messages"][1]["content"]
        body = request["extra_body"]["metadata"]["body"]
        if self.retries and len(request["messages"]) == 2:
            return {"age": 1}
        return {"name": f"{content[0]}, {content[1]}, body {body}"}


OPTIONS: dict[str, Any] = {"wires": {Mode.TOOLS: OPENAI_CHAT}, "mode": Mode.TOOLS, "model": "m"}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseCache]:
    port = 0
    if request.param == "RedisCache":
        valkey: Valkey = request.getfixturevalue("valkey")
        port = valkey.port
    cache = STORES[request.param](tmp_path, port)
    yield cache
    if isinstance(cache, DiskCache | RedisCache):
        cache.close()


@pytest.fixture
def at_effect(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], list[int]]:
    """Does something right before the effect of a number is performed; the list counts the effects."""

    def arrange(number: int, do: Callable[[], None]) -> list[int]:
        seen = [0]

        def count() -> None:
            seen[0] += 1
            if seen[0] == number:
                do()

        def perform(effect: Any, sender: Any, leases: Any) -> Any:
            count()
            return plain(effect, sender, leases)

        async def perform_async(effect: Any, sender: Any, leases: Any) -> Any:
            count()
            return await awaited(effect, sender, leases)

        monkeypatch.setattr(drive, "perform", perform)
        monkeypatch.setattr(drive, "perform_async", perform_async)
        return seen

    plain, awaited = drive.perform, drive.perform_async
    return arrange


def listen(client: Any) -> None:
    """Hear every event, so that each is an effect."""
    for name in HookName:
        client.on(name, lambda *_, **__: None)


@pytest.mark.parametrize("retries", [False, True], ids=["first attempt", "second attempt"])
@pytest.mark.parametrize("warm", [False, True], ids=["new key", "known key"])
def test_a_change_at_any_effect_of_a_call_changes_nothing(
    store: BaseCache, at_effect: Any, warm: bool, retries: bool
) -> None:
    provider = Provider(retries=retries)
    client = Instructor(provider.adapter, cache=store, **OPTIONS)
    listen(client)
    number, seen = 0, [0]
    while seen[0] >= number:
        number += 1
        assert number < MOST_EFFECTS
        asked, other = f"Q{number}", f"other{number}"
        saying = Saying(asked)
        if warm:  # the key is remembered, and nothing is stored under it
            at_effect(0, lambda: None)
            client.create(User, **Saying(asked).keywords(), cache_ttl=0)
        seen = at_effect(number, partial(change_all, [saying], other))
        assert client.create(User, **saying.keywords()) == expected(asked)
        at_effect(0, lambda: None)
        assert client.create(User, **Saying(asked).keywords()) == expected(asked), "what is stored"
        assert client.create(User, **Saying(other).keywords()) == expected(other), "nothing is stored for the change"
    assert number > 5


@pytest.mark.parametrize("warm", [False, True], ids=["new key", "known key"])
async def test_a_change_at_any_effect_of_an_awaited_call_changes_nothing_for_it_and_its_waiters(
    store: BaseCache, at_effect: Any, warm: bool
) -> None:
    provider = Provider(asynchronous=True, retries=True)
    client = AsyncInstructor(provider.adapter, cache=store, **OPTIONS)
    listen(client)
    number, seen = 0, [0]
    while seen[0] >= number:
        number += 1
        assert number < 3 * MOST_EFFECTS
        asked, other = f"Q{number}", f"other{number}"
        sayings = [Saying(asked) for _ in range(3)]
        if warm:
            at_effect(0, lambda: None)
            await client.create(User, **Saying(asked).keywords(), cache_ttl=0)
        seen = at_effect(number, partial(change_all, sayings, other))
        answers = await asyncio.gather(*(client.create(User, **saying.keywords()) for saying in sayings))
        at_effect(0, lambda: None)
        # The first effect of one task may come before another task has made its call.
        assert {answer.name for answer in answers} <= {expected(asked).name, expected(other).name}
        assert answers[0] == expected(asked)
        assert await client.create(User, **Saying(asked).keywords()) == expected(asked), "what is stored"
        assert await client.create(User, **Saying(other).keywords()) == expected(other), "what is stored"
    assert number > 5
    if isinstance(store, RedisCache):
        await store.close_async()


def test_a_change_from_another_thread_while_a_long_text_is_named_leads_the_memo_to_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To name a call by the hash of its text takes a while, in which other threads run."""
    long = {"role": "user", "content": "1" * 400_000}

    def change_then_shorten(value: Any) -> Any:
        long["content"] = "2" * 400_000
        return shorten(value)

    adapter = ScriptedAdapter(lambda request: {"name": request["messages"][0]["content"][0]})
    client = Instructor(adapter, cache=AutoCache(), **OPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr("instructor.engine.key_memo.shorten", change_then_shorten)
        assert client.create(User, [long]).name == "1"
    for digit in ("1", "2"):
        assert client.create(User, [{"role": "user", "content": digit * 400_000}]).name == digit


@pytest.mark.parametrize("template", ["{{ words|random }}", "{{ [words]|map('random')|first }}", "{{ lipsum() }}"])
def test_a_template_that_draws_by_chance_is_keyed_by_what_it_drew(
    template: str,
) -> None:
    """A remembered key would be that of another draw than the request's."""
    adapter = ScriptedAdapter(lambda request: {"name": request["messages"][0]["content"]})
    store = UsersStore()
    client = Instructor(adapter, cache=store, **OPTIONS)
    keys: list[Any] = []
    client.on("cache:write", lambda event: keys.append(event.key))
    for seed in range(30):
        random.seed(seed)
        store.data.clear()
        client.create(User, [{"role": "user", "content": template}], context={"words": ["a", "b"]})
    asked = [request["messages"][0]["content"] for request in adapter.requests]
    assert len(set(asked)) > 1
    assert len(set(zip(keys, asked, strict=True))) == len(set(asked)) == len(set(keys))


LENGTH = 400_000


class ChangingStore(UsersStore):
    """Something happens while it is read."""

    def __init__(self, do: Callable[[], None]) -> None:
        super().__init__()
        self.do = do

    def get(self, key: str) -> Any:
        self.do()
        return super().get(key)


class ChangingAsyncStore(ChangingStore):
    async def get(self, key: str) -> Any:
        await asyncio.sleep(0)
        return super().get(key)


def ask_long(digit: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": digit * LENGTH}]


@pytest.mark.parametrize("kind", [ChangingStore, ChangingAsyncStore])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["thread", "task"])
async def test_a_long_text_that_is_changed_while_the_store_is_read_is_asked_for_as_it_was(
    kind: type[ChangingStore], asynchronous: bool
) -> None:
    store = kind(lambda: None)
    adapter = ScriptedAdapter(lambda request: {"name": request["messages"][0]["content"][0]}, asynchronous=asynchronous)
    client = (AsyncInstructor if asynchronous else Instructor)(adapter, cache=store, **OPTIONS)

    async def create(messages: Any, **keywords: Any) -> str:
        if asynchronous:
            return (await client.create(User, messages, **keywords)).name
        return (await asyncio.to_thread(client.create, User, messages, **keywords)).name

    assert await create(ask_long("1"), cache_ttl=0) == "1"  # its key is remembered, and nothing is stored under it
    messages = ask_long("1")
    store.do = lambda: messages[0].update(content="2" * LENGTH)
    assert await create(messages) == "1"
    assert (await create(ask_long("1")), await create(ask_long("2"))) == ("1", "2")
    assert len(adapter.requests) == 3, "the answer was stored under the key of what was asked"


@pytest.mark.parametrize("function", ["_hash", "copy_plain", "holds_long_text"])
def test_a_call_with_a_long_text_is_never_a_mix_of_what_two_threads_wrote(
    monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def answer(request: Any) -> Any:
        return {"name": "".join(message["content"][0] for message in request["messages"])}

    def ask(one: str, other: str) -> list[dict[str, str]]:
        return [*ask_long(one), {"role": "user", "content": other}]

    client = Instructor(ScriptedAdapter(answer), cache=AutoCache(), **OPTIONS)
    for one in "12":
        for other in "12":
            assert client.create(User, ask(one, other)).name == one + other
    messages, plain = ask("1", "1"), getattr(key_memo, function)

    def act_and_change(value: Any) -> Any:
        found = plain(value)
        if value == "1" * LENGTH:
            messages[0]["content"], messages[1]["content"] = "2" * LENGTH, "2"
        return found

    monkeypatch.setattr(key_memo, function, act_and_change)
    assert client.create(User, messages).name in ("11", "22")


def test_a_change_in_another_thread_between_two_attempts_changes_nothing() -> None:
    asked, changed = threading.Event(), threading.Event()

    def answer(request: Any) -> Any:
        if len(adapter.requests) == 1:
            asked.set()
            assert changed.wait(10)
            return {"age": 1}
        return {"name": request["messages"][0]["content"]}

    adapter = ScriptedAdapter(answer)
    client = Instructor(adapter, cache=AutoCache(), **OPTIONS)
    message, answers = {"role": "user", "content": "Q1"}, []
    thread = threading.Thread(target=lambda: answers.append(client.create(User, [message])))
    thread.start()
    assert asked.wait(10)
    message["content"] = "Q2"
    changed.set()
    thread.join(10)
    assert answers == [User(name="Q1")]
    assert client.create(User, [{"role": "user", "content": "Q1"}]) == User(name="Q1")
    assert client.create(User, [{"role": "user", "content": "Q2"}]) == User(name="Q2")
