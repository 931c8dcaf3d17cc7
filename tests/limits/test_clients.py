"""Clients with limits: the SDKs' responses teach them, and a request that has to wait is not sent."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import instructor
from instructor import Limits, Retries
from instructor.cache.redis import RedisCache
from instructor.exceptions import ConfigurationError, InstructorRetryException
from instructor.limits.registry import name_account
from replies import Reply, ReplyServer, chat_completion, message
from streams import chat_events, encode


class User(BaseModel):
    name: str
    age: int


HELLO = [{"role": "user", "content": "Anna is 25."}]
ONCE = Retries(requests=0)
ANNA = {"name": "Anna", "age": 25}
COMPLETION = chat_completion(content=json.dumps(ANNA))
USED_UP = {
    "x-ratelimit-limit-requests": "1",
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-reset-requests": "1m0s",
}
CLAUDE_USED_UP = {
    "date": "Sat, 21 Nov 2026 12:00:00 GMT",
    "anthropic-ratelimit-requests-limit": "1",
    "anthropic-ratelimit-requests-remaining": "0",
    "anthropic-ratelimit-requests-reset": "2026-11-21T12:01:00Z",
}
STREAMED = b"".join(map(encode, chat_events(COMPLETION))) + b"data: [DONE]\n\n"


@pytest.fixture
def server() -> Iterator[ReplyServer]:
    with ReplyServer(Reply(COMPLETION, headers=USED_UP)) as server:
        yield server


@pytest.fixture(autouse=True)
def close_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the SDKs' clients: one that the garbage collector finds may have its socket collected before it."""
    make, made = instructor.from_provider, list[Any]()

    def note(*arguments: Any, **keywords: Any) -> Any:
        made.append(make(*arguments, **keywords))
        return made[-1]

    monkeypatch.setattr(instructor, "from_provider", note)
    yield
    for client in made:
        if not client._adapter.asynchronous:
            client.client.close()


def make(server: ReplyServer, key: str, model: str = "openai/gpt-6-luna", **keywords: Any) -> Any:
    address = server.address if model.startswith("anthropic") else server.url
    return instructor.from_provider(model, base_url=address, api_key=key, limits="auto", **keywords)


def soon(client: Any, **keywords: Any) -> Any:
    """A call that has no time to wait for its turn, and enough for a busy machine."""
    return client.create(User, HELLO, max_seconds=20.0, max_retries=ONCE, **keywords)


def test_what_the_headers_say_holds_for_the_next_request(server: ReplyServer) -> None:
    client = make(server, "key-1")
    assert client.create(User, HELLO) == User(**ANNA)
    with pytest.raises(InstructorRetryException, match=r"allows the next request to gpt-6-luna only in about .* s"):
        soon(client)
    assert len(server.requests) == 1


def test_a_call_whose_turn_would_come_too_late_fails_at_once_and_counts_as_no_request(
    server: ReplyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make(server, "key-19")
    client.create(User, HELLO)
    seen: list[str] = []
    for name in ("completion:request", "completion:error", "completion:last_attempt"):
        client.on(name, lambda *_, name=name: seen.append(name))
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail(f"it waits for {seconds} s"))
    with pytest.raises(InstructorRetryException, match=r"asked not at all.* in about (60\.0|5\d\.\d) s") as caught:
        client.create(User, HELLO, max_seconds=30.0)
    assert caught.value.n_attempts == 0
    assert client.ledger().spent.count == 1
    assert seen == ["completion:error", "completion:last_attempt"]


def test_a_server_that_has_never_answered_is_tried_less_often_than_one_that_went_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with ReplyServer(Reply(COMPLETION, headers={"connection": "close"})) as server:
        known, unknown = make(server, "key-21"), make(server, "key-22")
        known.create(User, HELLO)
    for client, attempts in ((unknown, 3), (known, 7)):
        caplog.clear()
        with pytest.raises(InstructorRetryException, match=rf"asked {attempts} times.*Nothing answers") as caught:
            client.create(User, HELLO)
        assert caught.value.n_attempts == attempts
        (record,) = caplog.records  # one line for all of them, while there is still something to wait for
        assert f"Nothing answers at {server.url}/chat/completions: the connection was refused" in record.getMessage()


def test_the_callers_own_number_of_requests_counts_for_a_server_that_is_still_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with ReplyServer(Reply(COMPLETION)) as server:
        client = make(server, "key-23", max_retries=Retries(requests=4))
    with pytest.raises(InstructorRetryException, match="asked 5 times"):
        client.create(User, HELLO)


def test_tasks_learn_the_same(server: ReplyServer) -> None:
    async def ask_twice() -> None:
        client = make(server, "key-2", async_client=True)
        assert await client.create(User, HELLO) == User(**ANNA)
        with pytest.raises(InstructorRetryException, match="allows the next request"):
            await soon(client)

    asyncio.run(ask_twice())
    assert len(server.requests) == 1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_anthropics_headers_are_heard(server: ReplyServer, asynchronous: bool) -> None:
    server.script(Reply(message({"type": "text", "text": json.dumps(ANNA)}), headers=CLAUDE_USED_UP))
    client = make(server, f"key-3{asynchronous}", "anthropic/claude-opus-5-5", async_client=asynchronous)

    async def ask_twice() -> None:
        assert await client.create(User, HELLO) == User(**ANNA)
        with pytest.raises(InstructorRetryException, match="allows the next request"):
            await soon(client)

    if asynchronous:
        asyncio.run(ask_twice())
    else:
        assert client.create(User, HELLO) == User(**ANNA)
        with pytest.raises(InstructorRetryException, match="allows the next request"):
            soon(client)
    assert len(server.requests) == 1


def test_a_streams_headers_are_heard_when_it_begins(server: ReplyServer) -> None:
    server.script(Reply(STREAMED, headers={**USED_UP, "content-type": "text/event-stream"}))
    client = make(server, "key-4")
    assert list(client.create_partial(User, HELLO))[-1] == User(**ANNA)
    with pytest.raises(InstructorRetryException, match="allows the next request"):
        soon(client)


def test_a_refusal_is_waited_out_and_the_sdk_adds_no_retries(server: ReplyServer) -> None:
    refusal = Reply({"error": {"message": "slow down"}}, 429, {"retry-after-ms": "20"})
    server.script(refusal, Reply({"error": {"message": "oops"}}, 500), Reply(COMPLETION))
    assert make(server, "key-5").create(User, HELLO, max_retries=Retries(requests=2, wait=0.0)) == User(**ANNA)
    assert len(server.requests) == 3
    server.script(Reply({"error": {"message": "oops"}}, 500))
    with pytest.raises(InstructorRetryException):
        make(server, "key-5").create(User, HELLO, max_retries=Retries(requests=0))
    assert len(server.requests) == 4


def test_a_pause_that_google_asks_for_in_the_body_holds_for_the_next_request(server: ReplyServer) -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3400.074824224s"}
    server.script(Reply({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [retry]}}, 429))
    client = instructor.from_provider("google/gemini-2.5-flash", base_url=server.address, api_key="g", limits="auto")
    with pytest.raises(InstructorRetryException):
        client.create(User, HELLO, max_seconds=20)
    with pytest.raises(InstructorRetryException, match=r"allows the next request .* only in about (60\.0|5\d\.\d) s"):
        client.create(User, HELLO, max_seconds=20, max_retries=ONCE)
    assert len(server.requests) == 1


def test_a_refusal_that_no_waiting_mends_pauses_nobody(server: ReplyServer) -> None:
    error = {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota"}
    server.script(Reply({"error": error}, 429), Reply(COMPLETION))
    client = make(server, "key-16")
    with pytest.raises(InstructorRetryException):
        client.create(User, HELLO)
    assert soon(client) == User(**ANNA)


def test_a_refused_request_is_sent_again_without_being_asked_to(server: ReplyServer) -> None:
    refusal = Reply({"error": {"message": "slow down"}}, 429, {"retry-after-ms": "1"})
    server.script(refusal, Reply(COMPLETION))
    quick = Retries(wait=0.0)
    assert make(server, "key-15").create(User, HELLO, max_retries=quick) == User(**ANNA)
    assert [request.headers["x-stainless-retry-count"] for request in server.requests] == ["0", "0"]


def test_the_answer_is_the_same_as_without_limits(server: ReplyServer) -> None:
    server.script(Reply(COMPLETION, headers={"x-request-id": "abc"}))
    plain = instructor.from_provider("openai/gpt-6-luna", base_url=server.url, api_key="key-6")
    user, completion = plain.create_with_completion(User, HELLO)
    same, other = make(server, "key-6").create_with_completion(User, HELLO)
    assert (user, completion) == (same, other)
    assert type(completion) is type(other)
    assert completion._request_id == other._request_id == "abc"


def test_a_hit_waits_for_nothing(server: ReplyServer) -> None:
    client = make(server, "key-7", cache=instructor.AutoCache())
    client.create(User, HELLO)
    assert soon(client) == User(**ANNA)
    assert soon(client, limits=Limits(requests_per_minute=1)) == User(**ANNA)


def test_clients_with_one_key_share_a_limit_and_others_do_not(server: ReplyServer) -> None:
    first = make(server, "key-8")
    first.create(User, HELLO)
    with pytest.raises(InstructorRetryException):
        soon(make(server, "key-8"))
    assert soon(make(server, "another-8")) == User(**ANNA)
    assert soon(make(server, "key-8", "openai/gpt-6-sol")) == User(**ANNA)


def test_a_call_may_have_limits_where_its_client_has_none(server: ReplyServer) -> None:
    client = instructor.from_provider("openai/gpt-6-luna", base_url=server.url, api_key="key-9")
    limits = Limits(requests_per_minute=1)
    client.create(User, HELLO, limits=limits)
    with pytest.raises(InstructorRetryException, match="allows the next request"):
        soon(client, limits=limits)
    assert soon(client) == User(**ANNA)


def test_processes_share_a_limit_through_the_cache(server: ReplyServer, make_store: Callable[[], RedisCache]) -> None:
    """Two stores and two limits of their own stand for two processes; nothing in memory is shared."""
    first = make(server, "key-10", cache=make_store())
    second = make(server, "key-10", cache=make_store())
    alone = instructor.from_provider(
        "openai/gpt-6-luna",
        base_url=server.url,
        api_key="key-10",
        limits=Limits(shared=False),
        cache=make_store(),
    )
    first.create(User, HELLO)
    first.create(User, HELLO)  # a hit; what the first learned is told with its next request
    with pytest.raises(InstructorRetryException):
        soon(first, cache_salt="1")
    with pytest.raises(InstructorRetryException, match="allows the next request"):
        soon(second, cache_salt="2")
    assert soon(alone, cache_salt="3") == User(**ANNA)
    assert len(server.requests) == 2


def test_tasks_share_a_limit_through_a_server(server: ReplyServer, make_store: Callable[[], RedisCache]) -> None:
    async def ask() -> None:
        limits = Limits(requests_per_minute=1, shared=make_store())
        client = instructor.from_provider(
            "openai/gpt-6-luna", async_client=True, base_url=server.url, api_key="key-11", limits=limits
        )
        await client.create(User, HELLO)
        with pytest.raises(InstructorRetryException, match="allows the next request"):
            await soon(client)

    server.script(Reply(COMPLETION))
    asyncio.run(ask())


def test_what_is_shared_is_no_entry_and_holds_no_credential(
    server: ReplyServer, make_store: Callable[[], RedisCache]
) -> None:
    store = make_store()
    make(server, "sk-very-secret", cache=store).create(User, HELLO)
    names = [name.decode() for name in store._client.keys("*limits*")]
    texts = [store._client.get(name).decode() for name in names]
    assert len(names) == 1
    assert "secret" not in " ".join(names + texts)
    assert store.clear() == 1
    assert store._client.keys("*limits*")


def test_names_tell_credentials_hosts_and_models_apart() -> None:
    def name(key: str, url: str, model: str) -> str:
        client = instructor.from_provider("openai/x", api_key=key, base_url=url)
        assert client.client
        return name_account(client._adapter, model)

    names = {name(key, f"http://{host}/v1", model) for key in "ab" for host in "cd" for model in "ef"}
    assert len(names) == 8
    assert name("a", "http://c/v1", "e") in names


def test_limits_survive_a_copy_and_are_no_part_of_a_key(server: ReplyServer) -> None:
    store = instructor.AutoCache()
    plain = instructor.from_provider("openai/gpt-6-luna", base_url=server.url, api_key="key-12", cache=store)
    plain.create(User, HELLO)
    copied = copy.copy(make(server, "key-12", cache=store))
    assert copied.create(User, HELLO) == User(**ANNA)
    assert len(server.requests) == 1


def test_a_request_whose_caller_leaves_makes_room_for_others(server: ReplyServer) -> None:
    async def leave() -> int:
        client = make(server, "key-14", async_client=True)
        server.hold()
        task = asyncio.create_task(client.create(User, HELLO))
        await asyncio.to_thread(server.wait_for, 1)
        limiter = client._throttles.find("auto", None).find(client._adapter, "gpt-6-luna")
        assert limiter._flights.under_way == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.release()
        return int(limiter._flights.under_way)

    assert asyncio.run(leave()) == 0


def test_rows_of_a_job_wait_for_their_turn_unless_the_caller_wants_no_limits(server: ReplyServer) -> None:
    client = instructor.from_provider("openai/gpt-6-luna", base_url=server.url, api_key="key-13")
    job = client.map(
        ["Anna is 25.", "Ben is 31."], User, concurrency=1, on_error="collect", max_seconds=20, max_retries=ONCE
    )
    first, second = job
    assert first.value == User(**ANNA)
    assert "allows the next request" in str(second.error)
    assert len(server.requests) == 1
    free = client.map(["Cleo is 3.", "Dan is 4."], User, concurrency=1, max_seconds=20, limits=None)
    assert [row.value for row in free] == [User(**ANNA)] * 2


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ("off", r"limits is 'off'\. Pass \"auto\", Limits\(.*, or None"),
        ({"requests_per_minute": 5}, "limits is"),
        (600, "limits is"),
    ],
    ids=str,
)
def test_what_is_no_limit_is_refused(limits: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        instructor.from_provider("openai/gpt-6-luna", limits=limits)


@pytest.mark.parametrize(
    "settings",
    [{"requests_per_minute": 0}, {"tokens_per_minute": "5"}, {"concurrency": True}, {"shared": "redis"}],
    ids=str,
)
def test_numbers_of_limits_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        Limits(**settings)
