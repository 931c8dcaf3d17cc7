"""A request that is plain JSON isn't looked through by the SDK, and its answer stays data until somebody wants the object."""

from __future__ import annotations

import asyncio
import functools
import operator
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

import instructor
from instructor import AutoCache, Mode
from instructor.cache.handle import handle_of
from instructor.exceptions import IncompleteOutputException, InstructorRetryException
from instructor.providers.data_answers import is_own, shorten
from replies import Reply, ReplyServer, chat_completion, function_call, message, response, tool_use

ASK = [{"role": "system", "content": "Read."}, {"role": "user", "content": "Anna is 25."}]
ANNA = {"name": "Anna", "age": 25}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
HEADERS = {"x-request-id": "req_1", "request-id": "req_1", "anthropic-workspace-id": "wrk_1"}


class User(BaseModel):
    name: str
    age: int = Field(gt=0)


@dataclass(frozen=True)
class Case:
    """One API.

    Attributes:
        connect: Makes the SDK's client for a URL, of its synchronous or its asynchronous class.
        factory: Makes our client of it.
        body: The answer.
        completion: The name of the SDK's class for that.
        more: Arguments of a call.
    """

    name: str
    connect: Callable[[str, bool], Any]
    factory: Callable[[Any], Any]
    body: Any
    completion: str
    more: dict[str, Any]


def connect_openai(url: str, asynchronous: bool) -> Any:
    return (openai.AsyncOpenAI if asynchronous else openai.OpenAI)(base_url=url, api_key="none")


def connect_anthropic(url: str, asynchronous: bool) -> Any:
    address = url.removesuffix("/v1")
    return (anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic)(base_url=address, api_key="none")


OPENAI = {"model": "gpt-4.1-mini", "temperature": 0.5, "tools": [WEATHER], "extra_body": {"top_k": 5}, "timeout": 9.0}
CLAUDE = {"model": "claude-3-haiku", "max_tokens": 9, "extra_headers": {"x-trace": "1"}}
CASES = {
    case.name: case
    for case in (
        Case("chat", connect_openai, instructor.from_openai, chat_completion(tool="User", arguments=ANNA), "ChatCompletion", OPENAI),
        Case(
            "schema",
            connect_openai,
            functools.partial(instructor.from_openai, mode=Mode.JSON_SCHEMA),
            chat_completion(content='{"name":"Anna","age":25}'),
            "ChatCompletion",
            OPENAI,
        ),
        Case(
            "responses",
            connect_openai,
            functools.partial(instructor.from_openai, mode=Mode.RESPONSES_TOOLS),
            response(function_call("User", '{"name":"Anna","age":25}')),
            "Response",
            {"model": "gpt-4.1-mini", "extra_query": {"a": "b"}},
        ),
        Case(
            "anthropic",
            connect_anthropic,
            instructor.from_anthropic,
            message(tool_use("User", ANNA)),
            "Message",
            CLAUDE,
        ),
        Case(
            "beta",
            connect_anthropic,
            functools.partial(instructor.from_anthropic, beta=True),
            message(tool_use("User", ANNA)),
            "BetaMessage",
            CLAUDE | {"betas": ["files-api-2025-04-14"]},
        ),
    )
}  # fmt: skip


async def ask(client: Any, case: Case, **more: Any) -> User:
    answer = client.create(response_model=User, messages=ASK, **case.more, **more)
    return await answer if asyncio.iscoroutine(answer) else answer


async def test_counts_of_tokens_that_came_as_texts_are_counted() -> None:
    """Some servers that copy an API write them so, and the SDK makes numbers of them."""
    case = CASES["chat"]
    counts = {name: str(count) for name, count in case.body["usage"].items()}
    with ReplyServer(Reply(case.body), Reply({**case.body, "usage": counts})) as server:
        client = case.factory(case.connect(server.url, False))
        users = [await ask(client, case) for _ in range(2)]
        assert users[0]._total_usage.total_tokens
        assert users[1]._total_usage == users[0]._total_usage


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", CASES)
async def test_request_and_completion_are_the_sdks_own(name: str, asynchronous: bool) -> None:
    case = CASES[name]
    with ReplyServer(Reply(case.body, headers=HEADERS)) as server:
        sdk = case.connect(server.url, asynchronous)
        client = case.factory(sdk)
        user = await ask(client, case)
        seen: list[Any] = []
        client.on("completion:response", seen.append)  # who sees the object gets the one that the SDK made
        assert await ask(client, case) == user == User(name="Anna", age=25)
        data, plain = server.requests
        closing = sdk.close()
        if asynchronous:
            await closing
    kept = user._raw_response  # type: ignore[attr-defined]
    assert type(kept) is type(seen[0])
    assert type(kept).__name__ == case.completion
    assert kept == seen[0]
    assert kept._request_id == seen[0]._request_id == "req_1"
    assert user._raw_response is kept  # type: ignore[attr-defined]
    assert data.body == plain.body
    assert data.path == plain.path
    is_ours = str.startswith
    headers = [
        {k: v for k, v in each.headers.items() if not is_ours(k.lower(), ("x-stainless", "content-length"))}
        for each in (data, plain)
    ]
    assert headers[0] == headers[1]


@pytest.fixture
def constructed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The bodies of which the SDK's class was made."""
    bodies: list[Any] = []
    construct = openai.types.chat.ChatCompletion.construct

    def count(**body: Any) -> Any:
        bodies.append(body)
        return construct(**body)

    monkeypatch.setattr(openai.types.chat.ChatCompletion, "construct", count)
    return bodies


def make_client(server: ReplyServer, sdk: Any = None, **options: Any) -> Any:
    return instructor.from_openai(sdk or connect_openai(server.url, False), model="gpt-4.1-mini", **options)


@pytest.mark.parametrize("limits", [None, "auto"])
@pytest.mark.parametrize("stores", [False, True], ids=["", "stored"])
def test_no_object_is_made_before_somebody_wants_it(constructed: list[Any], limits: Any, stores: bool) -> None:
    with ReplyServer(Reply(CASES["chat"].body)) as server:
        client = make_client(server, cache=AutoCache() if stores else None, limits=limits)
        user = client.create(response_model=User, messages=ASK)
        assert not constructed
        assert user._raw_response.choices[0].message.tool_calls[0].id == "call_1"
        assert len(constructed) == 1
        if stores:
            stored = client.create(response_model=User, messages=ASK)
            assert stored._raw_response == user._raw_response
            assert len(server.requests) == 1


def test_rows_of_a_job_are_data(constructed: list[Any]) -> None:
    with ReplyServer(Reply(CASES["chat"].body)) as server:
        rows = [*make_client(server).map(["Anna is 25."], User, progress=False)]
    assert [row.value for row in rows] == [User(name="Anna", age=25)]
    assert not constructed


def test_limits_learn_from_an_answer_that_stays_data() -> None:
    headers = {"x-ratelimit-limit-requests": "77", "x-ratelimit-remaining-requests": "76"}
    with ReplyServer(Reply(CASES["chat"].body, headers=headers)) as server:
        client = make_client(server, limits="auto")
        client.create(response_model=User, messages=ASK)
        limiter = client._throttles.find("auto", None).find(client._adapter, "gpt-4.1-mini")
    assert limiter._known["requests"].limit == 77


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (chat_completion(tool="User", arguments=ANNA, finish_reason="length"), IncompleteOutputException),
        (chat_completion(content="I don't know."), InstructorRetryException),
    ],
)
def test_an_error_has_the_sdks_object(body: Any, error: type[Exception]) -> None:
    with ReplyServer(Reply(body)) as server, pytest.raises(error) as raised:
        make_client(server).create(response_model=User, messages=ASK, max_retries=0)
    failure: Any = raised.value
    assert isinstance(failure.last_completion, openai.types.chat.ChatCompletion)
    assert failure.failed_attempts[0].completion is failure.last_completion


def test_an_invalid_answer_is_shown_to_the_model_as_ever() -> None:
    wrong = chat_completion(tool="User", arguments=ANNA | {"age": -1})
    with ReplyServer(Reply(wrong), Reply(CASES["chat"].body)) as server:
        client = make_client(server)
        attempts: list[Any] = []
        client.on("parse:error", attempts.append)
        assert client.create(response_model=User, messages=ASK, max_retries=1).age == 25
        turns = server.requests[1].body["messages"]
    assert len(attempts) == 1
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "tool"]
    assert turns[2]["tool_calls"] == wrong["choices"][0]["message"]["tool_calls"]


def test_a_body_that_is_not_an_object_is_the_sdks_to_judge() -> None:
    with (
        ReplyServer(Reply("<html>", headers={"Content-Type": "text/html"})) as server,
        pytest.raises(InstructorRetryException),
    ):
        make_client(server).create(response_model=User, messages=ASK, max_retries=0)


def wrap_method(client: Any, seen: list[Any]) -> None:
    own = client.chat.completions.create
    client.chat.completions.create = lambda **request: seen.append(request) or own(**request)


def wrap_class(client: Any, seen: list[Any]) -> None:
    kind = type(client.chat.completions)
    own = kind.create

    @functools.wraps(own)
    def create(self: Any, **request: Any) -> Any:
        seen.append(request)
        return own(self, **request)

    kind.create = create


def wrap_resource(client: Any, seen: list[Any]) -> None:
    own = client.chat.completions
    client.chat.completions = SimpleNamespace(create=lambda **request: seen.append(request) or own.create(**request))


def wrap_request(client: Any, seen: list[Any]) -> None:
    own = client.request

    def request(cast_to: Any, options: Any, **more: Any) -> Any:
        seen.append(options.json_data)
        assert cast_to.__name__ == "ChatCompletion"
        return own(cast_to, options, **more)

    client.request = request


def wrap_post(client: Any, seen: list[Any]) -> None:
    own = client.chat.completions._post
    client.chat.completions._post = lambda path, **more: seen.append(more["body"]) or own(path, **more)


def wrap_options(client: Any, seen: list[Any]) -> None:
    own = client._prepare_options
    client._prepare_options = lambda options: seen.append(options.json_data) or own(options)


def wrap_answer(client: Any, seen: list[Any]) -> None:
    own = client._process_response

    def process(**more: Any) -> Any:
        seen.append(more["options"].json_data)
        answer = own(**more)
        assert isinstance(answer, openai.types.chat.ChatCompletion)
        return answer

    client._process_response = process


@pytest.mark.parametrize(
    "wrap", [wrap_method, wrap_class, wrap_resource, wrap_request, wrap_post, wrap_options, wrap_answer]
)
def test_who_watches_the_sdk_sees_what_everybody_sends(wrap: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    completions = openai.resources.chat.completions.Completions
    monkeypatch.setattr(completions, "create", completions.create)
    with ReplyServer(Reply(CASES["chat"].body)) as server:
        sdk, seen = connect_openai(server.url, False), list[Any]()
        client = make_client(server, sdk)
        client.create(response_model=User, messages=ASK)  # before anybody watches
        wrap(sdk, seen)
        client.create(response_model=User, messages=ASK)
    assert [turn["content"] for turn in seen[0]["messages"]] == ["Read.", "Anna is 25."]


@pytest.mark.parametrize("module", ["_response", "_legacy_response"])
def test_who_watches_the_sdks_responses_sees_no_data(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    kind = getattr(getattr(openai, module), "APIResponse" if module == "_response" else "LegacyAPIResponse")
    own = kind.parse
    monkeypatch.setattr(kind, "parse", lambda self, **more: (seen.append(own(self, **more)), seen[-1])[-1])
    with ReplyServer(Reply(CASES["chat"].body)) as server:
        make_client(server).create(response_model=User, messages=ASK)
        make_client(server, limits="auto").create(response_model=User, messages=ASK)
    assert [type(answer) for answer in seen] == [openai.types.chat.ChatCompletion]


def test_who_has_stopped_watching_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with ReplyServer(Reply(CASES["chat"].body)) as server:
        sdk, seen = connect_openai(server.url, False), list[Any]()
        client = make_client(server, sdk)
        with monkeypatch.context() as watched:
            completions = openai.resources.chat.completions.Completions
            watched.setattr(completions, "create", completions.create)
            wrap_class(sdk, seen)
            sdk.chat.completions.with_raw_response.create(model="gpt-4.1-mini", messages=ASK)  # which the SDK keeps
        client.create(response_model=User, messages=ASK)
    assert len(seen) == 1


def test_middleware_sees_the_request_and_may_change_the_answer() -> None:
    seen: list[Any] = []

    def change(request: Any, call_next: Any) -> Any:
        seen.append(request.json["messages"])
        answer = call_next(request)
        answer.parse().id = "changed"
        return answer

    with ReplyServer(Reply(CASES["anthropic"].body)) as server:
        sdk = anthropic.Anthropic(base_url=server.url.removesuffix("/v1"), api_key="none")
        if not hasattr(sdk, "_middleware"):
            pytest.skip("this version of the SDK has none")
        client = instructor.from_anthropic(sdk.with_middleware(change), model="claude-3-haiku", max_tokens=9)
        user = client.create(response_model=User, messages=ASK)
    assert user._raw_response.id == "changed"
    assert [turn["content"] for turn in seen[0]] == ["Anna is 25."]


@pytest.mark.parametrize("limits", [None, "auto"])
def test_an_answer_of_an_http_client_that_somebody_replaced(limits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with ReplyServer(Reply(CASES["chat"].body)) as server:
        sdk = connect_openai(server.url, False)
        own = sdk._client.send

        def send(request: Any, **more: Any) -> Any:
            answer = own(request, **more)
            answer.request = type(request)("POST", "http://localhost/")  # which nobody asked for the whole response
            return answer

        monkeypatch.setattr(sdk._client, "send", send)
        user = make_client(server, sdk, limits=limits).create(response_model=User, messages=ASK)
    assert isinstance(user._raw_response, openai.types.chat.ChatCompletion)


def test_a_reply_has_the_sdks_object() -> None:
    with ReplyServer(Reply(CASES["chat"].body)) as server:
        reply = make_client(server).create_with_reply(response_model=User, messages=ASK)
    assert isinstance(reply.completion, openai.types.chat.ChatCompletion)
    assert reply.completion is reply.value._raw_response
    assert pickle.loads(pickle.dumps(reply)).completion == reply.completion


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_waiter_for_an_answer_that_no_store_takes_has_the_sdks_object(
    streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReplyServer(Reply(CASES["chat"].body)) as server, ThreadPoolExecutor(2) as threads:
        store = AutoCache()
        client = make_client(server, cache=store)
        monkeypatch.setattr(client._adapter, "dump", partial(operator.truediv, 1))  # which fails
        server.hold()
        first = threads.submit(client.create, response_model=User, messages=ASK)
        server.wait_for(1)
        second = threads.submit(wait_for_completion, client, streamed)
        while not any(flight._waiters for flight in handle_of(store).flights._flights.values()):
            time.sleep(0.001)
        server.release()
        assert isinstance(second.result(30), openai.types.chat.ChatCompletion)
        assert first.result(30) == User(name="Anna", age=25)
        assert len(server.requests) == 1


def wait_for_completion(client: Any, streamed: bool) -> Any:
    if not streamed:
        return client.create_with_reply(response_model=User, messages=ASK).completion
    stream = client.create_partial(response_model=User, messages=ASK)
    list(stream)
    return stream.completion


def test_a_handler_that_comes_while_the_answer_is_under_way_gets_the_sdks_object() -> None:
    with ReplyServer(Reply(CASES["chat"].body)) as server:
        sdk, seen = connect_openai(server.url, False), list[Any]()
        client = make_client(server, sdk)
        sdk._client.event_hooks = {"request": [lambda _: client.on("completion:response", seen.append)]}
        user = client.create(response_model=User, messages=ASK)
    assert seen == [user._raw_response]
    assert isinstance(seen[0], openai.types.chat.ChatCompletion)


def test_a_client_that_validates_or_is_of_a_class_of_the_users_is_left_alone() -> None:
    class Traced(openai.OpenAI):
        """Somebody's own."""

    plain, strict = openai.OpenAI(api_key="none"), openai.OpenAI(api_key="none", _strict_response_validation=True)
    traced = Traced(api_key="none")
    owned = [is_own(client, client.chat.completions, "create") for client in (plain, strict, traced)]
    assert owned == [True, False, False]


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
requests = st.fixed_dictionaries(
    {"model": st.text()},
    optional={
        **dict.fromkeys(
            ("messages", "input", "system", "tools", "tool_choice", "response_format", "text", "seed"), plain_values
        ),
        "extra_body": st.none() | st.dictionaries(st.text(max_size=3) | st.just("tools"), plain_values, max_size=3),
        "extra_headers": st.dictionaries(st.text(), st.text(), max_size=1),
    },
)


@given(requests)
def test_the_body_of_a_short_request_is_that_of_the_long_one(request: dict[str, Any]) -> None:
    before = repr(request)
    short = shorten(request)
    assert short is not None
    assert merge(short) == merge(request)
    assert short["extra_headers"] == request["extra_headers"] if "extra_headers" in request else True
    assert all(short[name] == [] for name in ("messages", "input") if name in short)
    assert repr(request) == before


def merge(request: dict[str, Any]) -> dict[str, Any]:
    """The body that an SDK sends."""
    body = {name: value for name, value in request.items() if name not in ("extra_body", "extra_headers")}
    return {**body, **(request.get("extra_body") or {})}


class Text(str):
    """A text with a meaning of its own."""

    __slots__ = ()


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: {"messages": [User(name="Anna", age=1)]},
        lambda: {"messages": (turn for turn in ASK)},
        lambda: {"messages": [{"role": "user", "content": Text("Who?")}]},
        lambda: {"messages": ASK, "tools": openai.NOT_GIVEN},
        lambda: {"messages": ASK, "extra_body": SimpleNamespace()},
    ],
)
def test_what_is_not_plain_the_sdk_looks_through(request_of: Callable[[], dict[str, Any]]) -> None:
    assert shorten(request_of()) is None


def test_a_member_that_the_sdk_takes_for_an_argument_of_its_own_is_left_to_it() -> None:
    outcomes: list[Any] = []
    with ReplyServer(Reply(CASES["chat"].body | {"_fields_set": 5})) as server:
        for watch in (False, True):
            client = make_client(server)
            if watch:
                client.on("completion:response", lambda _: None)
            try:
                outcomes.append(client.create(response_model=User, messages=ASK, max_retries=0)._raw_response.id)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the same
                outcomes.append((type(error), str(error)))
    assert outcomes[0] == outcomes[1]
