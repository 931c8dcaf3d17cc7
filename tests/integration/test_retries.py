"""Failed requests, over the real SDKs: who sends them again, for how long, and what the error says."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
import tenacity
from pydantic import BaseModel

import instructor
from instructor import Retries, from_provider
from instructor.exceptions import InstructorRetryException
from replies import Reply, ReplyServer, chat_completion

MESSAGES = [{"role": "user", "content": "Ann is 3."}]
VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "google": "GOOGLE_API_KEY or GEMINI_API_KEY"}
vendors = pytest.mark.parametrize("vendor", VARIABLES)
both = pytest.mark.parametrize("async_client", [False, True], ids=["sync", "async"])


class User(BaseModel):
    name: str


def answered(vendor: str) -> dict[str, Any]:
    text = '{"name": "Ann"}'
    if vendor == "openai":
        return chat_completion(tool="User", arguments=text)
    if vendor == "google":
        return {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": "STOP"}]}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    usage = {"input_tokens": 1, "output_tokens": 1}
    return message | {"content": [{"type": "text", "text": text}], "usage": usage}


def failure(status: int, **headers: str) -> Reply:
    error = {"code": status, "type": "api_error", "message": "Try later.", "status": "FAILED"}
    return Reply({"type": "error", "error": error}, status=status, headers=headers)


async def ask(vendor: str, url: str, async_client: bool, **keywords: Any) -> Any:
    client = from_provider(f"{vendor}/m", base_url=url, api_key="k", async_client=async_client)
    try:
        result = client.create(User, MESSAGES, **keywords)
        return await result if async_client else result
    finally:
        closed = client.close()
        await closed if async_client else None


@vendors
@both
@pytest.mark.parametrize("keywords", [{}, {"max_seconds": 60}], ids=["unbounded", "bounded"])
async def test_a_failed_request_is_sent_again_as_often_as_you_say(
    vendor: str, async_client: bool, keywords: dict[str, Any], reply_server: ReplyServer
) -> None:
    retries = Retries(requests=2, wait=0)
    before = len(reply_server.requests)
    reply_server.script(failure(503), failure(429, **{"Retry-After": "0"}), Reply(answered(vendor)))
    assert await ask(vendor, reply_server.url, async_client, max_retries=retries, **keywords) == User(name="Ann")
    assert len(reply_server.requests) - before == 3
    reply_server.script(failure(503))
    with pytest.raises(InstructorRetryException, match=r"asked 3 times\.") as caught:
        await ask(vendor, reply_server.url, async_client, max_retries=retries, **keywords)
    assert len(caught.value.failed_attempts) == 3
    assert len(reply_server.requests) - before == 6, "the SDK's own retries are off"


@vendors
@both
async def test_without_a_number_it_is_left_to_the_sdk(
    vendor: str, async_client: bool, reply_server: ReplyServer
) -> None:
    reply_server.script(failure(503, **{"retry-after-ms": "1"}))
    before = len(reply_server.requests)
    with pytest.raises(InstructorRetryException, match=r"asked once, not counting what its SDK may have sent again\."):
        await ask(vendor, reply_server.url, async_client)
    assert len(reply_server.requests) - before == (1 if vendor == "google" else 3)


@vendors
@both
async def test_a_call_ends_with_its_time(vendor: str, async_client: bool, reply_server: ReplyServer) -> None:
    reply_server.script(Reply(answered(vendor)))
    reply_server.hold()
    with pytest.raises(InstructorRetryException, match=r"max_seconds=0\.3"):
        await ask(vendor, reply_server.url, async_client, max_seconds=0.3)
    reply_server.release()


@vendors
@both
async def test_a_refused_key_names_its_variable(vendor: str, async_client: bool, reply_server: ReplyServer) -> None:
    reply_server.script(failure(401))
    with pytest.raises(InstructorRetryException, match=f"the environment variable {VARIABLES[vendor]}") as caught:
        await ask(vendor, reply_server.url, async_client)
    assert len(str(caught.value)) < 500


@vendors
@both
async def test_where_nothing_answers_the_url_is_named(vendor: str, async_client: bool) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(InstructorRetryException, match=f"Nothing answers at {url}") as caught:
            await ask(vendor, url, async_client, max_retries=Retries(requests=0))
    assert "Check base_url=" in str(caught.value)
    assert "refused" in str(caught.value)


@vendors
@both
async def test_a_page_in_place_of_an_answer_is_shown_and_not_asked_for_again(
    vendor: str, async_client: bool, reply_server: ReplyServer
) -> None:
    before = len(reply_server.requests)
    for kind in ("text/html", "application/json"):
        reply_server.script(Reply("<html>\n<title>Sign in</title>" + 100 * "<br>", headers={"content-type": kind}))
        with pytest.raises(InstructorRetryException, match="isn't the answer of an API") as caught:
            await ask(vendor, reply_server.url, async_client, max_retries=Retries(requests=2, wait=0), limits="auto")
        assert kind in str(caught.value) or vendor == "google", "google's SDK hands out no headers"
        assert "'<html> <title>Sign in</title><br>" in str(caught.value)
        assert f"Check base_url=: {reply_server.url} may lack" in str(caught.value)
        assert len(str(caught.value)) < 500
    assert len(reply_server.requests) - before == 2


@vendors
@both
async def test_an_empty_or_cut_answer_is_asked_for_again_as_after_a_502(
    vendor: str, async_client: bool, reply_server: ReplyServer
) -> None:
    before = len(reply_server.requests)
    as_text = Reply("", headers={"content-type": "text/plain"})
    reply_server.script(Reply(""), as_text, Reply('{"id": "x'), Reply(answered(vendor)))
    answers = 2 if vendor == "google" else 0  # its SDK makes an answer of an empty body
    retries = Retries(answers, requests=3, wait=0)
    assert await ask(vendor, reply_server.url, async_client, max_retries=retries) == User(name="Ann")
    assert len(reply_server.requests) - before == 4


@vendors
@both
async def test_a_timeout_says_so(vendor: str, async_client: bool, reply_server: ReplyServer) -> None:
    reply_server.script(Reply(answered(vendor)))
    reply_server.hold()
    with pytest.raises(InstructorRetryException, match=f"{reply_server.url}.* did not answer in time"):
        await ask(vendor, reply_server.url, async_client, timeout=0.1, max_retries=Retries(requests=0))
    reply_server.release()


@vendors
@pytest.mark.parametrize(("retries", "requests"), [(Retries(requests=1, wait=0), 2), (1, 2), (0, 1)], ids=str)
def test_a_policy_of_the_client_holds_for_its_calls_and_a_number_is_the_sdks(
    vendor: str, retries: Any, requests: int, reply_server: ReplyServer
) -> None:
    reply_server.script(failure(503, **{"retry-after-ms": "1"}))
    if vendor == "google" and retries == 1:
        pytest.skip("its SDK waits a second at least")
    client = from_provider(f"{vendor}/m", max_retries=retries, base_url=reply_server.url, api_key="k")
    with client, pytest.raises(InstructorRetryException) as caught:
        client.create(User, MESSAGES)
    assert len(reply_server.requests) == requests
    assert len(caught.value.failed_attempts) == (requests if isinstance(retries, Retries) else 1)


def test_a_tenacity_object_of_the_client_holds_for_its_calls(reply_server: ReplyServer) -> None:
    reply_server.script(failure(400))
    policy = tenacity.Retrying(stop=tenacity.stop_after_attempt(4))
    client = from_provider("openai/m", max_retries=policy, base_url=reply_server.url, api_key="k")
    with client:
        for _ in range(2):
            with pytest.raises(InstructorRetryException, match="asked 4 times"):
                client.create(User, MESSAGES)


def test_a_name_that_is_not_known_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(host: object, *_: object, **__: object) -> None:
        assert host in ("nowhere.invalid", b"nowhere.invalid")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", find_nothing)
    client = from_provider("openai/m", base_url="http://nowhere.invalid/v1", api_key="k")
    with client, pytest.raises(InstructorRetryException, match=r"Nothing answers at http://nowhere\.invalid/v1/chat"):
        client.create(User, MESSAGES, max_retries=instructor.Retries(requests=0))


def test_a_stream_that_breaks_before_its_first_value_counts_as_a_failed_request(reply_server: ReplyServer) -> None:
    delta = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}
    whole = f"data: {json.dumps(chunk)}\n\n" + ": nothing yet\n" * 1000
    broken = Reply(whole, headers={"Content-Type": "text/event-stream"}, fault="truncate")
    reply_server.script(broken, broken, Reply("no more", status=400))
    before = len(reply_server.requests)
    client = from_provider("openai/m", base_url=reply_server.url, api_key="k")
    with client, pytest.raises(InstructorRetryException, match="asked 2 times"):
        list(client.create_partial(User, MESSAGES, max_retries=Retries(requests=1, wait=0)))
    assert len(reply_server.requests) - before == 2


def test_no_limit_changes_the_key(reply_server: ReplyServer) -> None:
    reply_server.script(Reply(answered("openai")))
    client = from_provider("openai/m", base_url=reply_server.url, api_key="k", cache=instructor.AutoCache())
    with client:
        for keywords in ({}, {"max_seconds": 5}, {"max_retries": Retries(requests=1)}, {"max_seconds": 9.5}):
            client.create(User, MESSAGES, **keywords)
        assert client.cache_stats().hits == 3


@pytest.mark.parametrize("wrong", [0, -1, "5", True, float("nan")])
def test_a_limit_that_means_nothing_is_refused(wrong: Any) -> None:
    client = from_provider("offline/demo")
    with pytest.raises(instructor.exceptions.ArgumentError, match="max_seconds is"):
        client.create(User, MESSAGES, max_seconds=wrong)
