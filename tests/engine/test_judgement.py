"""The fast path serves what the flow would serve, tells what it would tell, and leaves everything else to it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any, Literal, Union

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationInfo, field_validator

from instructor import AutoCache, BaseCache, Hooks, Instructor, Mode
from instructor.cache.entry import decode_entry, encode_entry, pack_completion
from instructor.engine.background import Background
from instructor.engine.drive import drive
from instructor.engine.fast_path import MISSING
from instructor.exceptions import InstructorRetryException
from instructor.hooks import HookName
from instructor.messages import Part
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT

MESSAGES = [{"role": "user", "content": "hello"}]


class User(BaseModel):
    name: str
    age: int = 0


class Animal(BaseModel):
    legs: int


class Picky(BaseModel):
    """Refuses what the call's context names."""

    name: str

    @field_validator("name")
    @classmethod
    def check(cls, name: str, info: ValidationInfo) -> str:
        if info.context and info.context.get("refuse"):
            raise ValueError("refused")
        return f"{name} {info.context}"


class Crashing(BaseModel):
    """Its validator has a defect that shows in one context only."""

    name: str

    @field_validator("name")
    @classmethod
    def check(cls, name: str, info: ValidationInfo) -> str:
        return name if not (info.context or {}).get("refuse") else name.missing


@dataclass
class Place:
    city: str


class UsersStore(BaseCache):
    """A store that isn't memory to the fast path."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.data.get(key)

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        self.data[key] = value


MODELS: list[tuple[Any, Any]] = [
    (User, {"name": "Ann"}),
    (User, {"name": "Ann", "age": "27"}),  # valid only if validation isn't strict
    (Picky, {"name": "Ann"}),
    (Crashing, {"name": "Ann"}),
    (Place, {"city": "Oslo"}),
    (list[User], {"content": [{"name": "Ann"}]}),
    (Union[User, Animal], {"content": {"legs": 4}}),
    (Literal["a", "b"], {"content": "b"}),
    (int, {"content": 3}),
    (Annotated[User, "metadata"], {"content": {"name": "Ann"}}),
    (None, "any text"),
]
ONE_POLICY = tenacity.Retrying(stop=tenacity.stop_after_attempt(1))
WORDS: dict[str, list[Any]] = {
    "context": [None, {}, {"refuse": True}, {"refuse": False}, {"x": (1, 2)}],
    "strict": [None, True, False],
    "cache_namespace": [None, "a"],
    "cache": ["memory", "store", None],
    "cache_ttl": [None, 0, 60, timedelta(minutes=1), lambda _: 60, -1, True, math.nan, 1e12, "1h"],
    "hooks": [None, "listening", "deaf"],
    "token_budget": [None, 10_000],
    "max_retries": [None, 0, 1, ONE_POLICY],
    "temperature": [None, 0, 0.0],
    "timeout": [None, 5.0],
    "cache_mode": [None, "use", "refresh", "read_only", "write_only", "bypass", "replay", "no mode", []],
    "cache_salt": [None, "a"],
    "samples": [None, 1, 2],
    "max_age": [None, 50, 500],
    "stale_while_revalidate": [None, 0, 1e6],
    "stale_if_error": [None, 1e6],
    "refresh_early": [None, False, True],
}
"""Keywords of a call. A store and hooks are made for each side; see `Side`."""

CALLS = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in WORDS.items()})
DAMAGES = (
    "none",
    "none",
    "expired",
    "expires later",
    "aged",
    "expired lately",
    "other type",
    "other text",
    "no parts",
    "completion",
)


class Inline(Background):
    """Replaces answers at once, so that both sides see the same."""

    def start(self, flow: Any, sender: Any, done: Any) -> None:
        drive(flow, sender)
        done(True)


DEFAULTS = ("context", "strict", "max_age", "stale_while_revalidate", "stale_if_error", "refresh_early")
"""Settings of a client with which its fast path still serves."""


class Side:
    """A client with stores of its own, which are in the same state as those of the other side.

    Args:
        answer: What the provider answers.
        defaults: The client's settings.
        asks_fast: Whether the client has its fast path.
        hears: Whether the client has a listener of its own.
    """

    def __init__(self, answer: Any, defaults: dict[str, Any], *, asks_fast: bool, hears: bool) -> None:
        self.adapter = ScriptedAdapter(lambda _: answer)
        self.stores: dict[str, BaseCache] = {"own": AutoCache(), "memory": AutoCache(), "store": UsersStore()}
        self.events: list[Any] = []
        self.client = Instructor(
            self.adapter,
            wires={Mode.TOOLS: OPENAI_CHAT},
            mode=Mode.TOOLS,
            model="m",
            cache=self.stores["own"],
            defaults=defaults,
        )
        self.client._background = Inline()
        self.served_fast = 0
        fast = self.client._lookup

        def lookup(*arguments: Any) -> Any:
            found = fast(*arguments) if asks_fast else MISSING
            self.served_fast += found is not MISSING
            return found

        self.client._lookup = lookup
        if hears:
            self._listen(self.client.hooks)

    def call(self, model: Any, keywords: dict[str, Any], *, with_completion: bool) -> Any:
        """Make a call; return what a caller can see of its result."""
        method = self.client.create_with_completion if with_completion else self.client.create
        try:
            result = method(model, MESSAGES, **self._own(keywords))
        except Exception as error:  # noqa: BLE001 - an error is a result
            return type(error), str(error)
        value = result[0] if with_completion else result
        completion = result[1].model_dump_json() if with_completion else None
        fields = value.model_fields_set if isinstance(value, BaseModel) else None
        return type(value), repr(value), fields, completion

    def damage(self, kind: str) -> None:
        """Change every entry in memory."""
        changes: dict[str, dict[str, Any]] = {
            "expired": {"expires": 1.0},
            "expires later": {"expires": 1e12},
            "aged": {"created": time.time() - 100},
            "expired lately": {"created": time.time() - 100, "expires": time.time() - 50},
            "other type": {"parts": (Part("", '{"name": 5}'),)},
            "other text": {"parts": (Part("", "no JSON"),)},
            "no parts": {"parts": ()},
            "completion": {"completion_data": b"12345678 damaged"},
        }
        for name in ("own", "memory"):
            store: Any = self.stores[name]
            for key in list(store._held):
                entry = store.find(key)
                if kind in changes and entry is not None:
                    store.keep(replace(entry, carried=None, **changes[kind]))  # which holds what was made of the text

    def seen(self) -> Any:
        """All that is counted and told, without times."""
        stats = [self.client.cache_stats(), *(store.stats() for store in self.stores.values())]
        counts = [
            (one.hits, one.misses, one.writes, one.errors, one.bypasses, one.coalesced, one.tokens_saved)
            for one in stats
        ]
        return counts, len(self.adapter.requests), self.events

    def _own(self, keywords: dict[str, Any]) -> dict[str, Any]:
        own = dict(keywords)
        if own.get("cache") is not None:
            own["cache"] = self.stores[own["cache"]]
        if own.get("hooks") is not None:
            hooks = Hooks()
            if own["hooks"] == "listening":
                self._listen(hooks)
            own["hooks"] = hooks
        return own

    def _listen(self, hooks: Hooks) -> None:
        for name in HookName:
            if name.name.startswith("CACHE"):
                hooks.on(name, self._hear)

    def _hear(self, event: Any) -> None:
        names = (
            "name",
            "store",
            "provider",
            "model",
            "response_model",
            "key",
            "tokens_saved",
            "usage",
            "reason",
            "tier",
            "stale",
        )
        self.events.append([*(getattr(event, name) for name in names), event.age is None])


SETTINGS: list[dict[str, Any]] = [
    {},
    {"strict": False},
    {"context": {"refuse": True}},
    {"max_age": 50, "refresh_early": True},
]
"""Of clients."""


@pytest.mark.filterwarnings("ignore:AutoCache ignores ttl")
@pytest.mark.parametrize("defaults", SETTINGS, ids=str)
@pytest.mark.parametrize("name", WORDS)
def test_the_fast_path_and_the_flow_agree_on_every_keyword(name: str, defaults: dict[str, Any]) -> None:
    """Each keyword and each setting meets every model; all three meet in the soak."""
    first = (list(WORDS).index(name) + SETTINGS.index(defaults)) % 3
    check_agreement(name, defaults, MODELS[first::3])


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:AutoCache ignores ttl")
@pytest.mark.parametrize("defaults", SETTINGS, ids=str)
@pytest.mark.parametrize("name", WORDS)
def test_they_agree_on_every_keyword_with_every_model_and_setting(name: str, defaults: dict[str, Any]) -> None:
    check_agreement(name, defaults, MODELS)


def check_agreement(name: str, defaults: dict[str, Any], models: list[tuple[Any, Any]]) -> None:
    """Both sides make all calls with a keyword twice, and each time the plain call before."""
    for model, answer in models:
        fast, slow = (Side(answer, defaults, asks_fast=asks_fast, hears=False) for asks_fast in (True, False))
        for value in WORDS[name] * 2:
            for keywords in ({}, {name: value}):
                results = [side.call(model, keywords, with_completion=False) for side in (fast, slow)]
                assert results[0] == results[1], (model, keywords)
                assert fast.seen() == slow.seen(), (model, keywords)


@pytest.mark.filterwarnings("ignore:AutoCache ignores ttl")
@given(
    case=st.sampled_from(MODELS),
    defaults=st.fixed_dictionaries({}, optional={name: st.sampled_from(WORDS[name]) for name in DEFAULTS}),
    calls=st.lists(st.tuples(CALLS, st.booleans()), min_size=1, max_size=4),
    damage=st.sampled_from(DAMAGES),
    hears=st.booleans(),
)
def test_the_fast_path_and_the_flow_always_agree(
    case: tuple[Any, Any], defaults: dict[str, Any], calls: list[Any], damage: str, hears: bool
) -> None:
    model, answer = case
    fast, slow = (Side(answer, defaults, asks_fast=asks_fast, hears=hears) for asks_fast in (True, False))
    for round_number in range(3):
        for keywords, with_completion in calls:
            results = [side.call(model, keywords, with_completion=with_completion) for side in (fast, slow)]
            assert results[0] == results[1], (round_number, keywords)
            assert fast.seen() == slow.seen(), (round_number, keywords)
        if round_number == 0:
            for side in (fast, slow):
                side.damage(damage)
    assert slow.served_fast == 0


def test_the_property_is_about_something() -> None:
    """Most kinds of calls are served by the fast path, so that the comparison compares."""
    for model, answer in MODELS:
        fast = Side(answer, {"strict": False}, asks_fast=True, hears=False)
        for _ in range(2):
            fast.call(model, {}, with_completion=False)
        assert fast.served_fast == 1, model


@pytest.mark.parametrize("hears", [False, True], ids=["unheard", "heard"])
@pytest.mark.parametrize("model", [User, None])
def test_a_hit_that_is_heard_or_has_its_completion_is_served_by_the_fast_path(model: Any, hears: bool) -> None:
    fast = Side({"name": "Ann"} if model else "any text", {}, asks_fast=True, hears=hears)
    live, hit = (fast.call(model, {}, with_completion=True) for _ in range(2))
    assert live == hit
    assert fast.served_fast == 1
    assert [event[0] for event in fast.events][-1:] == ([HookName.CACHE_HIT] if hears else [])


@pytest.mark.parametrize("ttl", [0, 60, 0.5, timedelta(hours=1)], ids=str)
def test_a_hit_with_a_ttl_of_its_own_is_served_by_the_fast_path(ttl: Any) -> None:
    fast = Side({"name": "Ann"}, {}, asks_fast=True, hears=False)
    for keywords in ({}, {"cache_ttl": ttl}):
        fast.call(User, keywords, with_completion=False)
    assert fast.served_fast == 1


def make_client(replies: Any, store: BaseCache) -> tuple[Instructor, ScriptedAdapter]:
    adapter = ScriptedAdapter(replies)
    return Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=store), adapter


def test_memory_warmed_from_a_store_serves_nothing_that_has_expired() -> None:
    store, memory, keys = UsersStore(), AutoCache(), []
    old, _ = make_client([{"name": "old"}], store)
    old.on("cache:write", lambda event: keys.append(event.key))
    old.create(User, MESSAGES, cache_ttl=60)
    entry = decode_entry(store.get(keys[0]), keys[0])
    for expires, name in ((entry.created + 60, "old"), (entry.created - 60, "new")):
        new, _ = make_client([{"name": "new"}], memory)
        memory.set(keys[0], encode_entry(replace(entry, expires=entry.created + 60)))
        assert new.create(User, MESSAGES).name == "old", "from now on the fast path knows the key"
        memory.set(keys[0], encode_entry(replace(entry, expires=expires)))
        assert [new.create(User, MESSAGES).name for _ in range(3)] == [name] * 3
        assert new.create_with_completion(User, MESSAGES)[0].name == name


@pytest.mark.parametrize("make_store", [AutoCache, UsersStore])
@pytest.mark.parametrize(
    "completion", ["nope", "[" * 100_000, '{"kind": "Unknown", "private": {}, "body": {}}', "{}", "[]", "null"]
)
def test_a_completion_that_todays_sdk_cannot_build_is_asked_for_again_and_replaced(
    make_store: type[Any], completion: str
) -> None:
    store, keys = make_store(), []
    client, adapter = make_client([{"name": "a"}, {"name": "b"}], store)
    client.on("cache:write", lambda event: keys.append(event.key))
    client.create(User, MESSAGES)
    entry = decode_entry(store.get(keys[0]), keys[0])
    store.set(keys[0], encode_entry(replace(entry, completion_data=pack_completion(completion))))
    assert client.create(User, MESSAGES).name == "a", "the answer itself is whole"
    user, live = client.create_with_completion(User, MESSAGES)
    assert (user.name, type(live).__name__) == ("b", "ChatCompletion")
    assert client.create_with_completion(User, MESSAGES)[1] == live
    assert len(adapter.requests) == 2
    assert store.stats().errors == client.cache_stats().writes - 1 == 1


def test_an_entry_that_is_refused_is_read_and_validated_once_and_is_no_hit() -> None:
    validated = []

    class Watched(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def check(cls, name: str) -> str:
            validated.append(name)
            if len(validated) > 1:
                raise ValueError("refused from now on")
            return name

    store = AutoCache()
    client, adapter = make_client([{"name": "a"}] * 2, store)
    client.create(Watched, MESSAGES)
    with pytest.raises(InstructorRetryException):
        client.create(Watched, MESSAGES, max_retries=0)
    assert len(validated) == 3, "once live, once for the entry, once for the live answer in its place"
    assert len(adapter.requests) == 2
    stats = store.stats()
    assert (stats.hits, stats.misses, stats.errors) == (0, 2, 1)
