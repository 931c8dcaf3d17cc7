"""What a provider may answer without harm: counts that cannot be, text that is not text, and our own key."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from instructor import DiskCache, from_provider
from instructor.credentials import mask_error
from instructor.exceptions import InstructorRetryException
from replies import Reply, ReplyServer, chat_completion

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
MESSAGES = [{"role": "user", "content": "Ann is 3."}]


class User(BaseModel):
    name: str
    age: int


def answer(vendor: str, text: str) -> dict[str, Any]:
    if vendor == "openai":
        return chat_completion(tool="User", arguments=text, content=text)
    if vendor == "google":
        return {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": "STOP"}]}
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    return message | {"content": [{"type": "text", "text": text}], "usage": usage}


@pytest.mark.parametrize("count", [b"1" + b"0" * 30, b"1e400", b"-1e400", b"1.5", b"-7", b'"many"', b"null", b"[]"])
def test_an_answer_is_stored_whatever_its_counts_of_tokens_and_its_price(
    count: bytes, reply_server: ReplyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = Reply(chat_completion(tool="User", arguments={"name": "Ann", "age": 3}, usage=(987, 654))).encode()
    body = body.replace(b'"usage": {', b'"usage": {"cost": %b, ' % count)
    reply_server.script(Reply(body.replace(b"987", count).replace(b"654", count).replace(b"1641", count)))
    with DiskCache(tmp_path) as cache:
        for _ in range(2):
            with from_provider("openai/m", base_url=reply_server.url, api_key=KEY, cache=cache) as client:
                user, completion = client.create_with_completion(User, MESSAGES)
            assert user == User(name="Ann", age=3)
            assert completion.usage is not None
    assert len(reply_server.requests) == 1
    assert not caplog.records


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "google"])
@pytest.mark.parametrize("text", ['{"name": "\ud800", "age": "x\udfff"}', '"\ud800'], ids=["value", "no JSON"])
def test_an_answer_with_half_a_character_is_asked_for_again(
    vendor: str, text: str, reply_server: ReplyServer, tmp_path: Path
) -> None:
    reply_server.script(Reply(answer(vendor, text)), Reply(answer(vendor, '{"name": "Ann", "age": 3}')))
    with from_provider(f"{vendor}/m", base_url=reply_server.url, api_key=KEY) as client:
        assert client.create(User, MESSAGES, max_retries=1) == User(name="Ann", age=3)
    assert len(reply_server.requests) == 2


@pytest.mark.parametrize("async_client", [False, True])
@pytest.mark.parametrize("vendor", ["openai", "anthropic", "google"])
async def test_a_key_that_the_server_echoes_is_masked(
    vendor: str, async_client: bool, reply_server: ReplyServer, caplog: pytest.LogCaptureFixture
) -> None:
    error = {"code": 401, "type": "authentication_error", "message": f"Incorrect API key provided: {KEY}."}
    reply_server.script(Reply({"error": error | {"param": [KEY]}}, status=401))
    client = from_provider(f"{vendor}/m", base_url=reply_server.url, api_key=KEY, async_client=async_client)
    shown: list[str] = []
    for name in ("completion:error", "completion:last_attempt"):
        client.on(name, lambda error, **_: shown.append(f"{error} {error!r} {vars(error)}"))
    with caplog.at_level(logging.INFO), pytest.raises(InstructorRetryException, match=r"\*\*\*") as caught:
        result = client.create(User, MESSAGES)
        await result if async_client else None
    await client.aclose() if async_client else client.close()
    shown += traceback.format_exception(caught.value)
    shown += [repr(caught.value), repr(caught.value.failed_attempts), str(caught.value.create_kwargs), caplog.text]
    assert len(shown) > 5
    assert KEY not in " ".join(shown)


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_a_key_that_is_echoed_with_status_200_is_masked(vendor: str, reply_server: ReplyServer) -> None:
    reply_server.script(Reply({"error": {"code": 401, "message": f"Incorrect API key provided: {KEY}."}}))
    client = from_provider(f"{vendor}/m", base_url=reply_server.url, api_key=KEY)
    with pytest.raises(InstructorRetryException, match=r"\*\*\*") as caught:
        client.create(User, MESSAGES, max_retries=0)
    assert KEY not in " ".join(traceback.format_exception(caught.value))


def test_an_error_without_its_request_is_raised_as_it_is() -> None:
    error = httpx2.ConnectError("not reached")
    mask_error(error)
    assert error.args == ("not reached",)


def test_a_key_in_the_query_of_a_url_is_masked_and_a_version_is_not() -> None:
    request = httpx2.Request("POST", "https://h.example/v1?api-version=2024-10-21&pat=secret%2Bvalue")
    error = httpx2.ConnectError(f"{request.url} does not take secret+value", request=request)
    mask_error(error)
    assert error.args == ("https://h.example/v1?api-version=2024-10-21&pat=*** does not take ***",)
