"""The client: what it does with each keyword, and what it says when one is wrong."""

from __future__ import annotations

import array
import copy
import gc
import inspect
import os
import pickle
import signal
import threading
import warnings
import weakref
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
import tenacity
from pydantic import BaseModel, ValidationInfo, field_validator
from rich.pretty import pretty_repr

from instructor.cache.memory import AutoCache
from instructor.cache.sqlite import DiskCache
from instructor.cache.store import BaseCache
from instructor.client import AsyncInstructor, Instructor
from instructor.exceptions import (
    ArgumentError,
    ConfigurationError,
    InstructorRetryException,
    MissingClientError,
    ModeError,
)
from instructor.factory import from_provider
from instructor.hooks import CacheEvent, Hooks
from instructor.mode import Mode
from instructor.testing.scripted import ScriptedAdapter
from instructor.usage import Usage
from instructor.wires.openai_chat import OPENAI_CHAT
from settings import clear_environment
from steps import HELLO, User

JASON = {"name": "Jason", "age": 25}


class Recorder(BaseCache):
    """A user's store that remembers what it was given."""

    timeout = None

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.ttls: list[Any] = []

    def get(self, key: str) -> Any:
        return self.data.get(key)

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        assert isinstance(value, str)
        self.data[key] = value.encode()
        self.ttls.append(ttl)


def make(replies: Any = lambda _: JASON, **options: Any) -> tuple[Instructor, ScriptedAdapter]:
    port = ScriptedAdapter(replies)
    settings: dict[str, Any] = {"model": "m", **options}
    return Instructor(port, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, **settings), port


def events(client: Instructor, *names: str) -> list[CacheEvent]:
    told: list[CacheEvent] = []
    for name in names:
        client.on(name, told.append)
    return told


def test_every_way_to_create_is_one_method() -> None:
    client, port = make(cache=AutoCache())
    assert client.chat.completions.create(model="m", response_model=User, messages=HELLO) == User(**JASON)
    assert client.messages.create(model="m", response_model=User, messages=HELLO) == User(**JASON)
    assert client.create(User, HELLO, model="m") == User(**JASON)
    assert len(port.requests) == 1


def test_a_model_given_to_the_call_wins_and_is_another_key() -> None:
    client, port = make(cache=AutoCache())
    client.create(User, HELLO)
    client.create(User, HELLO, model="other")
    assert [request["model"] for request in port.requests] == ["m", "other"]


def test_naming_the_clients_own_model_is_the_same_call() -> None:
    client, port = make(cache=AutoCache())
    client.create(User, HELLO)
    client.create(User, HELLO, model="m")
    assert len(port.requests) == 1


def test_two_clients_share_a_store_without_being_told() -> None:
    cache = AutoCache()
    one, port = make(cache=cache)
    other, other_port = make(cache=cache)
    one.create(User, HELLO)
    assert other.create(User, HELLO) == User(**JASON)
    assert (len(port.requests), len(other_port.requests)) == (1, 0)


@pytest.mark.parametrize("where", ["client", "call"])
def test_nothing_crosses_a_namespace(where: str) -> None:
    cache = AutoCache()
    for namespace in ("a", "b", None):
        options = {"cache_namespace": namespace} if namespace else {}
        client, port = make(cache=cache, **(options if where == "client" else {}))
        for _ in range(2):
            client.create(User, HELLO, **(options if where == "call" else {}))
        assert len(port.requests) == 1


def test_defaults_stand_in_for_keywords_that_a_call_leaves_out() -> None:
    client, port = make([{"age": 1}] * 3, defaults={"temperature": 0.5, "max_retries": 0, "seed": 1})
    with pytest.raises(InstructorRetryException):
        client.create(User, HELLO, seed=2)
    (request,) = port.requests
    assert (request["temperature"], request["seed"]) == (0.5, 2)
    assert "max_retries" not in request


def test_changing_what_was_given_as_a_default_changes_no_call() -> None:
    metadata, context = {"tenant": "a"}, {"thing": "a"}
    client, port = make(cache=AutoCache(), defaults={"metadata": metadata, "context": context})
    messages = [{"role": "user", "content": "Find {{ thing }}"}]
    for tenant in "ab":
        metadata["tenant"] = context["thing"] = tenant
        client.create(User, messages)
        client.create(User, HELLO)
    assert [request["metadata"]["tenant"] for request in port.requests] == ["a", "a"]
    assert port.requests[0]["messages"][-1]["content"] == "Find a"


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), ([1, 2], (1, 2)), ({"x": 1, "y": 2}, {"y": 2, "x": 1})], ids=["number", "list", "dict"]
)
def test_contexts_that_make_different_prompts_are_different_calls(one: Any, other: Any) -> None:
    client, port = make(cache=AutoCache())
    messages = [{"role": "user", "content": "Say {{ thing }}"}]
    for thing in (one, other, one, other):
        client.create(User, messages, context={"thing": thing})
    assert len(port.requests) == 2
    for thing in (one, other):
        client.create(User, HELLO, context={"thing": thing})
    assert len(port.requests) == 3, "to a validator alone they mean the same"


def test_our_own_keywords_never_reach_the_provider() -> None:
    client, port = make()
    client.create(
        User,
        HELLO,
        max_retries=1,
        context={"a": 1},
        strict=False,
        hooks=Hooks(),
        cache=AutoCache(),
        cache_ttl=0,
        cache_namespace="n",
        token_budget=10,
    )
    assert set(port.requests[0]) == {"model", "messages", "tools", "tool_choice"}


def test_a_store_for_one_call_takes_the_place_of_the_clients() -> None:
    mine, theirs = AutoCache(), Recorder()
    client, port = make(cache=mine)
    client.create(User, HELLO, cache=theirs)
    assert len(theirs.data) == 1
    assert len(mine) == 0
    client.create(User, HELLO, cache=theirs)
    assert len(port.requests) == 1


def test_cache_none_bypasses_the_store_both_ways() -> None:
    cache = AutoCache()
    client, port = make(cache=cache)
    told = events(client, "cache:hit", "cache:miss", "cache:bypass")
    client.create(User, HELLO, cache=None)
    assert len(cache) == 0
    client.create(User, HELLO)
    client.create(User, HELLO, cache=None)
    assert len(port.requests) == 3
    assert [event.name.value for event in told] == ["cache:miss"]


@pytest.mark.parametrize(
    ("ttl", "given"), [(60, 60), (1.2, 2), (timedelta(minutes=1), 60), (None, None), (0.001, 1)], ids=str
)
def test_a_ttl_of_any_form_reaches_the_store_in_whole_seconds(ttl: Any, given: Any) -> None:
    cache = Recorder()
    client, _ = make(cache=cache)
    client.create(User, HELLO, cache_ttl=ttl)
    assert cache.ttls == [given]


def test_a_clients_ttl_holds_for_its_calls_and_a_calls_own_wins() -> None:
    cache = Recorder()
    client, _ = make(cache=cache, cache_ttl=60)
    client.create(User, HELLO)
    client.create(User, HELLO, temperature=1, cache_ttl=5)
    assert cache.ttls == [60, 5]


def test_a_ttl_of_zero_stores_nothing_and_may_still_hit() -> None:
    client, port = make(cache=AutoCache())
    for _ in range(2):
        client.create(User, HELLO, cache_ttl=0)
    assert len(port.requests) == 2
    client.create(User, HELLO)
    client.create(User, HELLO, cache_ttl=0)
    assert len(port.requests) == 3


def test_a_store_that_ignores_its_ttl_serves_nothing_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    client, port = make(cache=Recorder())
    original = client._call
    monkeypatch.setattr(client, "_call", lambda *values, **names: _at(original(*values, **names), now))
    client.create(User, HELLO, cache_ttl=60)
    now[0] = 1059.9
    client.create(User, HELLO, cache_ttl=60)
    assert len(port.requests) == 1
    now[0] = 1060.0
    client.create(User, HELLO, cache_ttl=60)
    assert len(port.requests) == 2


def _at(call: Any, now: list[float]) -> Any:
    return call._replace(policy=call.policy._replace(clock=lambda: now[0]))


def test_auto_cache_ignores_a_ttl_and_says_so_once() -> None:
    client, port = make(cache=AutoCache())
    with pytest.warns(UserWarning, match="ignores ttl") as caught:
        for _ in range(2):
            client.create(User, HELLO, cache_ttl=1e-9)
    assert len(caught) == 1
    assert len(port.requests) == 1


def test_context_reaches_validators_and_templates_live_and_on_a_hit() -> None:
    class Named(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def greet(cls, name: str, info: ValidationInfo) -> str:
            return f"{info.context['greeting']} {name}"

    client, port = make(cache=AutoCache())
    messages = [{"role": "user", "content": "Say {{ greeting }} to {{ nobody }}"}]
    with pytest.warns(UserWarning, match="nobody"):
        for _ in range(2):
            assert client.create(Named, messages, context={"greeting": "Hi"}, strict=False).name == "Hi Jason"
        assert port.requests[0]["messages"][-1]["content"] == "Say Hi to {{ nobody }}"
        assert messages[0]["content"] == "Say {{ greeting }} to {{ nobody }}"
        assert client.create(Named, messages, context={"greeting": "Ho"}, strict=False).name == "Ho Jason"
    assert len(port.requests) == 2


def test_strict_is_the_default_and_can_be_turned_off() -> None:
    client, _ = make(lambda _: {"name": "Jason", "age": "25"})
    with pytest.raises(InstructorRetryException, match="valid integer"):
        client.create(User, HELLO, max_retries=0)
    assert client.create(User, HELLO, strict=False).age == 25


def test_a_call_that_has_no_key_is_answered_and_says_why_it_is_not_cached() -> None:
    client, port = make(cache=AutoCache())
    told = events(client, "cache:bypass")
    for _ in range(2):
        client.create(User, HELLO, context={"now": object()})
    assert len(port.requests) == 2
    assert "context.now is a builtins.object" in str(told[0].reason)
    assert client.cache_stats().bypasses == 2


def test_hooks_of_a_call_come_beside_the_clients_and_go_with_it() -> None:
    client, _ = make()
    told: list[str] = []
    client.on("completion:response", lambda _: told.append("client"))
    hooks = Hooks()
    hooks.on("completion:response", lambda _: told.append("call"))
    client.create(User, HELLO, hooks=hooks)
    client.create(User, HELLO)
    assert told == ["client", "call", "client"]


def test_a_hit_with_a_listener_tells_it() -> None:
    client, _ = make(cache=AutoCache())
    client.create(User, HELLO)
    client.create(User, HELLO)
    told = events(client, "cache:hit")
    client.create(User, HELLO)
    assert [event.response_model for event in told] == [User]
    assert client.cache_stats().hits == 2


@pytest.mark.parametrize("said", [{}, {"strict": False}, {"context": {"a": 1}}, {"temperature": 0}, {"max_retries": 2}])
def test_a_hit_in_memory_builds_no_call(said: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = make(cache=AutoCache())
    answer = client.create(User, HELLO, **said)
    monkeypatch.setattr(client, "_call", lambda *_: pytest.fail("the way of a hit was left"))
    assert client.create(User, HELLO, **said) == answer


def test_a_list_changed_between_two_calls_is_another_call() -> None:
    client, port = make(cache=AutoCache())
    messages = [{"role": "user", "content": "a"}]
    client.create(User, messages)
    messages[0]["content"] = "b"
    client.create(User, messages)
    messages.append({"role": "user", "content": "c"})
    client.create(User, messages)
    assert len(port.requests) == 3


def test_true_and_one_and_absent_are_three_calls_on_the_fast_path_too() -> None:
    client, port = make(cache=AutoCache())
    for _ in range(2):
        for arguments in ({"logprobs": True}, {"logprobs": 1}, {}, {"logprobs": None}, {"logprobs": 1.0}):
            client.create(User, HELLO, **arguments)
    assert len(port.requests) == 3


@pytest.mark.parametrize(
    "data", [bytearray(b"ab"), memoryview(b"ab"), array.array("b", b"ab")], ids=["bytearray", "memoryview", "array"]
)
def test_a_buffer_is_never_taken_for_the_bytes_in_it(data: Any) -> None:
    client, port = make(cache=AutoCache())
    for _ in range(2):
        client.create(User, HELLO, context={"data": b"ab"})
    assert len(port.requests) == 1
    client.create(User, HELLO, context={"data": data})
    assert len(port.requests) == 2


def test_stats_of_the_client_and_of_the_store_agree() -> None:
    cache = AutoCache()
    client, _ = make(cache=cache)
    for _ in range(3):
        client.create(User, HELLO)
    ours, its = client.cache_stats(), cache.stats()
    assert (ours.hits, ours.misses, ours.writes) == (its.hits, its.misses, its.writes) == (2, 1, 1)
    assert (its.entries, ours.hit_rate) == (1, pytest.approx(2 / 3))
    assert ours.tokens_saved > 0


def test_an_answer_that_was_evicted_is_one_miss() -> None:
    cache = AutoCache(maxsize=1)
    client, _ = make(cache=cache)
    for temperature in (0, 1, 0, 1):
        client.create(User, HELLO, temperature=temperature)
    assert client.cache_stats().misses == cache.stats().misses == 4


def test_counters_lose_nothing_between_threads() -> None:
    client, _ = make(cache=AutoCache())
    client.create(User, HELLO)
    threads = [threading.Thread(target=lambda: [client.create(User, HELLO) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.cache_stats().hits == 4000


def test_the_same_store_on_disk_answers_a_new_client(tmp_path) -> None:
    first, _ = make(cache=DiskCache(directory=tmp_path))
    first.create(User, HELLO)
    again, port = make([], cache=DiskCache(directory=tmp_path))
    assert again.create(User, HELLO) == User(**JASON)
    assert not port.requests


@pytest.mark.usefixtures("clean_heap")
def test_a_client_can_be_freed() -> None:
    client, _ = make(cache=AutoCache())
    client.create(User, HELLO)
    reference = weakref.ref(client)
    del client
    gc.collect()
    assert reference() is None


def test_a_client_has_a_form_for_keys_without_credentials() -> None:
    from instructor.cache.canonical import canonical_text

    forms = {
        canonical_text(make(cache=AutoCache(), **options)[0].__cache_key__(), "client")
        for options in ({}, {}, {"model": "other"}, {"cache_namespace": "a"}, {"defaults": {"temperature": 1}})
    }
    assert len(forms) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_hits_though_other_threads_held_every_lock() -> None:
    client, _ = make(cache=AutoCache())
    client.create(User, HELLO)
    locks = [
        client._stats._lock,
        client._memo._lock,
        client._plans._lock,
        client._path.tiers[0].handle._lock,
        client.cache._lock,
    ]
    for lock in locks:
        lock.acquire()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on forking beside threads warns
        child = os.fork()
    if child == 0:
        signal.alarm(20)
        answers = [client.create(User, HELLO, temperature=temperature) for temperature in (None, 0, 0)]
        os._exit(0 if answers == [User(**JASON)] * 3 and client.cache_stats().hits == 2 else 1)
    for lock in locks:
        lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_unknown_attributes_are_the_sdks() -> None:
    client, port = make()
    assert client.client is port
    assert client.requests is port.requests
    with pytest.raises(AttributeError):
        _ = client.nothing_of_the_kind
    assert not hasattr(client, "_private")


def test_an_sdks_own_message_can_be_part_of_the_conversation() -> None:
    from openai.types.chat import ChatCompletionMessage

    client, port = make(cache=AutoCache())
    said = ChatCompletionMessage(role="assistant", content="Who?")
    for _ in range(2):
        client.create(User, [*HELLO, said, {"role": "user", "content": "Jason"}])
    assert port.requests[0]["messages"][-2] == {"role": "assistant", "content": "Who?"}
    assert len(port.requests) == 1


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages is empty"),
    ({"messages": b"hello"}, "messages is a bytes"),
    ({"messages": {"role": "user", "content": "x"}}, "messages is a dict"),
    ({"messages": 5}, "messages is 5"),
    ({"messages": ["hello"]}, r"messages\[0\] is a str"),
    ({"messages": [None]}, r"messages\[0\] is None"),
    ({"messages": [{"content": "x"}]}, r"messages\[0\] has no role"),
    ({"max_retries": -1}, "max_retries is -1"),
    ({"max_retries": True}, "max_retries is True"),
    ({"max_retries": "3"}, "max_retries is a str"),
    ({"max_retries": 1.5}, "max_retries is 1.5"),
    ({"context": "x"}, "context is a str"),
    ({"context": [1]}, "context is a list"),
    ({"strict": "yes"}, "strict is a str"),
    ({"hooks": {}}, "hooks is a dict"),
    ({"cache": True}, "cache is True"),
    ({"cache": {}}, "cache is a dict"),
    ({"cache": AutoCache}, "cache is the class AutoCache"),
    ({"cache_ttl": -1}, "cache_ttl is -1"),
    ({"cache_ttl": float("nan")}, "cache_ttl is nan"),
    ({"cache_ttl": float("inf")}, "cache_ttl is inf"),
    ({"cache_ttl": "5"}, "cache_ttl is a str"),
    ({"cache_ttl": True}, "cache_ttl is True"),
    ({"cache_ttl": timedelta(seconds=-1)}, "cache_ttl is -1"),
    ({"cache_namespace": ""}, "cache_namespace is ''"),
    ({"cache_namespace": 5}, "cache_namespace is 5"),
    ({"token_budget": 0}, "token_budget is 0"),
    ({"token_budget": "5"}, "token_budget is a str"),
    ({"model": 5}, "model is 5"),
    ({"model": 0}, "model is 0"),
    ({"model": {}}, "model is a dict"),
    ({"cache_ttl": 10**400}, "cache_ttl is 1000"),
    ({"timeout": "5"}, "timeout is a str"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=str)
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_wrong_argument_is_named_before_anything_is_sent(wrong: dict[str, Any], message: str, warm: bool) -> None:
    client, port = make(cache=AutoCache())
    if warm:
        client.create(User, HELLO)
    with pytest.raises(ArgumentError, match=message):
        client.create(**{"response_model": User, "messages": HELLO, **wrong})
    assert len(port.requests) == warm


async def test_the_asynchronous_client_says_the_same() -> None:
    client = AsyncInstructor(ScriptedAdapter([]), wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m")
    with pytest.raises(ConfigurationError, match="messages is empty"):
        await client.create(User, [])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cache": 5}, "cache"),
        ({"hooks": 5}, "hooks"),
        ({"cache_ttl": -1}, "ttl"),
        ({"cache_namespace": ""}, "namespace"),
        ({"defaults": {"strict": "yes"}}, "strict"),
        ({"defaults": {"context": 5}}, "context"),
        ({"defaults": {"max_retries": "x"}}, "max_retries"),
        ({"defaults": {"token_budget": 0}}, "token_budget"),
        ({"defaults": {"messages": HELLO}}, "messages= belongs to a call"),
        ({"defaults": {"response_model": User}}, "response_model= belongs to a call"),
        ({"defaults": {"stream": True}}, "stream= belongs to a call"),
    ],
    ids=str,
)
def test_a_wrong_setting_of_a_client_is_named_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make(**wrong)


def test_a_client_without_a_model_says_where_to_name_one() -> None:
    client, _ = make(model=None)
    with pytest.raises(ConfigurationError, match="Pass model="):
        client.create(User, HELLO)


def test_a_mode_that_the_vendor_lacks_is_refused() -> None:
    with pytest.raises(ModeError, match="MD_JSON"):
        Instructor(ScriptedAdapter([]), wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.MD_JSON)


def test_a_template_that_is_none_is_named() -> None:
    client, port = make()
    with pytest.raises(ConfigurationError, match=r"messages\[0\].content is not a valid template") as caught:
        client.create(User, [{"role": "user", "content": "{{ a "}], context={"a": 1})
    assert ".. With context=" not in str(caught.value), "Jinja's sentence ends in a full stop of its own"
    client.create(User, [{"role": "user", "content": "{% if {{ x }}"}])
    assert port.requests[0]["messages"][-1]["content"] == "{% if {{ x }}", "without a context braces are just text"


def test_a_template_cannot_reach_into_python() -> None:
    client, port = make()
    with pytest.raises(ConfigurationError, match="not a valid template"):
        client.create(User, [{"role": "user", "content": "{{ a.__class__.__mro__ }}"}], context={"a": 1})
    assert not port.requests


@pytest.mark.parametrize("where", ["client", "call"])
def test_settings_of_a_cache_without_a_cache_warn(where: str) -> None:
    settings: dict[str, Any] = {"cache_ttl": 60, "cache_namespace": "tenant"}
    with pytest.warns(UserWarning, match="no effect without a cache") as caught:
        client, _ = make(**(settings if where == "client" else {}))
        client.create(User, HELLO, **({} if where == "client" else settings))
    assert len(caught) == 1


def test_a_new_store_for_each_call_is_freed_and_its_hits_stay_counted(tmp_path: Any) -> None:
    client, _ = make(lambda _: JASON, cache=AutoCache())
    stores = []
    for number in range(30):
        store = AutoCache()
        stores.append(weakref.ref(store))
        for _ in range(3):
            client.create(User, [{"role": "user", "content": str(number)}], cache=store)
        del store
    gc.collect()
    assert sum(reference() is not None for reference in stores) <= 10
    assert client.cache_stats().hits == 60
    client.create(User, HELLO)
    client.create(User, HELLO)
    assert client.cache.stats().hits == 1


@pytest.fixture
def keyless(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """A client as in a test run without any key."""
    clear_environment(monkeypatch, str(tmp_path))
    return lambda **options: from_provider("openai/gpt-6-luna", **options)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_client_can_be_looked_at_and_mocked_without_a_key(keyless: Any, asynchronous: bool) -> None:
    client = keyless(async_client=asynchronous)
    members = dict(inspect.getmembers(client))
    assert members["provider"] == "openai"
    mocked = mock.create_autospec(client)
    mocked.create.return_value = "mocked"
    assert hasattr(mocked, "create_with_completion")
    assert not hasattr(client, "nothing_of_the_kind")
    with pytest.raises(MissingClientError, match=r"^openai needs a key .* Set OPENAI_API_KEY"):
        _ = client.client


async def test_a_client_without_a_key_is_a_context_manager_and_can_be_closed(keyless: Any) -> None:
    with keyless() as client:
        assert client.cache is None
    client.close()
    async with keyless(async_client=True, cache=AutoCache()) as later:
        assert isinstance(later.cache, AutoCache)
    await later.aclose()
    await later.close()


def test_the_sdks_client_is_closed_at_the_end_of_a_with_block() -> None:
    with from_provider("openai/m", api_key="sk-1") as client:
        sdk = client.client
    assert sdk.is_closed()


def test_an_asynchronous_client_passes_for_a_client_as_in_1_x(keyless: Any) -> None:
    later = keyless(async_client=True)
    assert isinstance(later, Instructor)
    assert isinstance(later, AsyncInstructor)
    assert not isinstance(keyless(), AsyncInstructor)
    assert not isinstance("client", Instructor)

    class Agent(BaseModel, arbitrary_types_allowed=True):
        client: Instructor

    assert Agent(client=later).client is later


@pytest.mark.parametrize("name", ["openai", "scripted"])
def test_a_misspelt_method_is_answered_with_the_one_meant(keyless: Any, name: str) -> None:
    client = keyless() if name == "openai" else make()[0]
    with pytest.raises(AttributeError, match=r"^Instructor has no attribute 'cache_stat'.*Did you mean cache_stats\?"):
        _ = client.cache_stat


@pytest.mark.parametrize("leave", [pickle.dumps, copy.deepcopy])
def test_a_client_that_cannot_leave_its_process_says_what_to_do(leave: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^Instructor cannot be .*make the client there: in the function"):
        leave(make()[0])
    assert copy.copy(make()[0]).model == "m"


def test_a_client_shows_its_model_its_mode_and_its_cache() -> None:
    client, _ = make(cache=AutoCache())
    assert repr(client) == "<Instructor model=scripted/m mode=TOOLS cache=AutoCache(maxsize=128)>"
    assert pretty_repr(client) == "Instructor(model='scripted/m', mode='TOOLS', cache=AutoCache(maxsize=128))"


def test_a_client_its_store_and_its_usage_are_tables_in_a_notebook() -> None:
    client, _ = make(cache=AutoCache())
    client.create(User, HELLO)
    shown = client._repr_html_()
    assert shown.startswith("<table><caption>Instructor</caption><tr><th>model</th><td>scripted/m</td></tr>")
    assert "<tr><th>cache</th><td>AutoCache(maxsize=128)</td></tr>" in shown
    assert "<tr><th>misses</th><td>1</td></tr>" in shown
    assert "misses" not in make()[0]._repr_html_()
    assert client.cache._repr_html_().startswith("<table><caption>AutoCache(maxsize=128)</caption><tr><th>hits</th>")
    assert "<tr><th>total_tokens</th><td>1,003</td></tr>" in Usage(1000, 3)._repr_html_()
    assert dict(Usage(1000, 3).__rich_repr__())["total_tokens"] == 1003


def test_a_stream_shows_whether_it_came_from_the_cache_and_what_it_cost() -> None:
    client, _ = make(cache=AutoCache())
    client.create(User, HELLO)
    with client.create_partial(User, HELLO) as stream:
        list(stream)
    assert repr(stream).startswith("<Stream is_cached=True usage=Usage(input_tokens=0")


def test_a_warning_is_shown_at_the_callers_line() -> None:
    client, _ = make(cache=AutoCache())
    with pytest.warns(UserWarning, match="ignores ttl") as caught:
        client.create(User, HELLO, cache_ttl=60)
    assert [warning.filename for warning in caught] == [__file__]


MISSPELT = [
    ({"respone_model": User}, r"respone_model=. Did you mean response_model=\?"),
    ({"cache_tll": 5}, r"cache_tll=. Did you mean cache_ttl=\?"),
    ({"strem": True}, r"strem=. Did you mean stream=\?"),
    ({"message": HELLO}, r"message=. Did you mean messages=\?"),
    ({"messages": None, "prompt": "x"}, r"There is no keyword prompt=, and messages is missing. Pass messages="),
    ({"mode": Mode.TOOLS}, r"mode= belongs to the client, .* from_provider\(.*mode="),
    ({"async_client": True}, "async_client= belongs to the client"),
    ({"timeout": -1}, "timeout is -1. Pass seconds"),
    ({"timeout": True}, "timeout is True"),
    ({"response_model": BaseModel}, "response_model is BaseModel itself, .* Pass a subclass"),
]


@pytest.mark.parametrize(("wrong", "message"), MISSPELT, ids=str)
def test_a_keyword_that_cannot_be_meant_is_refused_before_anything_is_sent(wrong: dict[str, Any], message: str) -> None:
    client, port = make()
    with pytest.raises(ConfigurationError, match=message):
        client.create(**{"response_model": User, "messages": HELLO, **wrong})
    assert not port.requests


def test_a_misspelt_keyword_of_a_client_is_refused_when_the_client_is_made() -> None:
    with pytest.raises(ValueError, match=r"There is no keyword cache_tll=. Did you mean cache_ttl=\?"):
        from_provider("offline/demo", cache_tll=5)
    with pytest.raises(ValueError, match="timeout is a str"):
        from_provider("offline/demo", timeout="5")


def test_the_entries_of_live_answers_hold_once_what_they_have_in_common() -> None:
    cache = AutoCache()
    client, _ = make(cache=cache)
    for text in ("one", "two"):
        client.create(User, [{"role": "user", "content": text}])
    one, other = (cache.find(key) for [listed, *more] in cache.list_entries() for key in (listed.key, more[0].key))
    assert one is not None
    assert other is not None
    assert one.usage is other.usage
    assert one.origin is other.origin
    assert one.parts[0].tool is other.parts[0].tool


def test_each_call_has_a_state_of_its_own_of_the_clients_tenacity_object() -> None:
    states: list[object] = []
    policy = tenacity.Retrying(stop=lambda state: states.append(state) is None)
    client, _ = make(lambda _: {"name": 1}, max_retries=policy)
    for _ in range(2):
        with pytest.raises(InstructorRetryException):
            client.create(User, HELLO)
    assert len({id(state) for state in states}) == len(states) == 2
