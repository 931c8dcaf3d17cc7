"""Completions stored and made again: the SDK's own class, equal in every attribute."""

from __future__ import annotations

import enum
import json
import sys
from types import SimpleNamespace

import pytest
from anthropic.types import Message
from anthropic.types.beta import BetaMessage
from google.genai.types import GenerateContentResponse
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ParsedChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel

from instructor.exceptions import CacheEntryError
from instructor.providers import anthropic, genai, openai

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "User", "arguments": '{"a":1}'}}],
            },
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
# What vendors send that OpenAI's own schema does not know.
STRANGE = CHAT | {
    "service_tier": "of another world",
    "x_groq": {"id": "r", "nested": [None, 1.5, {"deep": True}]},
    "citations": ["https://example.com"],
    "created": "not a number",
    "choices": [
        {
            "index": 0,
            "finish_reason": "eos",
            "logprobs": {
                "content": [{"token": "\ud83d", "logprob": float("-inf"), "top_logprobs": [], "bytes": [240]}]
            },
            "message": {
                "role": "model",
                "content": "line\nline\u2028\u0085 é 漢 \x00",
                "reasoning_content": "hm",
                "tool_calls": [{"id": "c", "type": "unheard of", "unheard_of": {"big": 2**90}}],
            },
        }
    ],
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1.0,
    "model": "m",
    "status": "completed",
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "output": [
        {"type": "function_call", "id": "f", "call_id": "c", "name": "User", "arguments": "{}", "status": "completed"},
        {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"},
        {"type": "from the future", "id": "z", "payload": [1]},
    ],
    "usage": {
        "input_tokens": 1,
        "output_tokens": 1,
        "total_tokens": 2,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "tool_use", "id": "t", "name": "User", "input": {"a": [1, None]}},
        {"type": "from the future", "payload": {"b": 1}},
    ],
    "usage": {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": None, "new_tokens": 3},
    "container": {"id": "c", "expires_at": "2030-01-02T03:04:05Z"},
}
CASES = [
    (openai.CODEC, ChatCompletion, CHAT),
    (openai.CODEC, ChatCompletion, STRANGE),
    (openai.CODEC, ChatCompletion, {}),
    (openai.CODEC, Response, RESPONSE),
    (anthropic.CODEC, Message, MESSAGE),
    (anthropic.CODEC, BetaMessage, MESSAGE),
]


def same(one, other) -> bool:
    """Equal as pydantic sees it, and in all that pydantic does not look at."""
    return (
        type(one) is type(other)
        and one == other
        and one.model_fields_set == other.model_fields_set
        and one.model_extra == other.model_extra
        and repr(one) == repr(other)
        and all(
            one.model_dump(exclude_unset=unset, warnings=False) == other.model_dump(exclude_unset=unset, warnings=False)
            for unset in (True, False)
        )
    )


@pytest.mark.parametrize(("codec", "model", "body"), CASES)
def test_a_completion_comes_back_equal_on_one_line(codec, model, body):
    completion = model.construct(**body)
    text = codec.dump(completion)
    assert text.splitlines() == [text] or "\n" not in text
    text.encode()
    assert same(codec.load(text), completion)
    assert codec.dump(codec.load(text)) == text


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*CHAT, "extra", "x-y"]), JSON))
def test_whatever_a_server_sends_comes_back_equal(body):
    """The SDK builds a completion of any JSON object at all."""
    try:
        completion = ChatCompletion.construct(**body)
    except Exception:  # noqa: BLE001 - a body that the SDK itself cannot take is none that it hands out
        return
    text = openai.CODEC.dump(completion)
    assert "\n" not in text
    text.encode()
    assert same(openai.CODEC.load(text), completion)


def test_request_and_workspace_ids_are_kept():
    message = Message.construct(**MESSAGE)
    message._request_id, message._workspace_id = "req_1", "wrk_1"
    again = anthropic.CODEC.load(anthropic.CODEC.dump(message))
    assert (again._request_id, again._workspace_id) == ("req_1", "wrk_1")
    assert "req_1" not in again.model_dump_json(warnings=False)


@pytest.mark.parametrize(
    ("codec", "model", "names"),
    [
        (openai.CODEC, ChatCompletion, ["_request_id"]),
        (openai.CODEC, Response, ["_request_id"]),
        (anthropic.CODEC, Message, ["_request_id", "_workspace_id"]),
        (anthropic.CODEC, BetaMessage, ["_request_id", "_workspace_id"]),
    ],
)
def test_an_id_that_the_server_did_not_send_is_none_again_and_one_never_set_stays_unset(codec, model, names):
    completion = model.construct()
    for name in names:
        assert not hasattr(codec.load(codec.dump(completion)), name)
        setattr(completion, name, None)
        assert getattr(codec.load(codec.dump(completion)), name) is None


def google_response(config: dict | None = None, **headers: str) -> GenerateContentResponse:
    body = {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": '{"a": 1}', "thought_signature": "_-8="},
                        {"inline_data": {"data": "/+8=", "mime_type": "image/png"}},
                        {"function_call": {"name": "User", "args": {"a": [1, {"b": None}]}}},
                    ],
                },
                "finish_reason": "STOP",
            }
        ],
        "create_time": "2025-01-01T00:00:00.123Z",
        "usage_metadata": {"prompt_token_count": 1},
        "sdk_http_response": {"headers": {"content-type": "application/json", **headers}},
    }
    return GenerateContentResponse._from_response(response=body, kwargs={"config": config or {}})


@pytest.mark.parametrize(
    "config", [None, {"response_json_schema": {"type": "object"}}, {"response_schema": dict[str, int]}]
)
def test_a_google_response_comes_back_equal(config):
    response = google_response(config)
    again = genai.CODEC.load(genai.CODEC.dump(response))
    assert same(again, response)
    assert again.candidates[0].content.parts[0].thought_signature == b"\xff\xef"
    assert again.parsed == (None if config is None else {"a": 1})


def test_cookies_and_keys_among_the_headers_of_a_response_are_not_kept():
    text = genai.CODEC.dump(
        google_response(
            **{"Set-Cookie": "s3cret", "x-goog-api-key": "s3cret", "x-proxy-auth": "s3cret", "X-Request-Id": "kept"}
        )
    )
    assert "s3cret" not in text
    headers = genai.CODEC.load(text).sdk_http_response.headers
    assert headers == {"content-type": "application/json", "X-Request-Id": "kept"}


class Mine(BaseModel):
    a: int


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize("parsed", [Mine(a=1), Colour.RED, [Mine(a=1)], {"c": Colour.RED}])
def test_a_parsed_object_of_the_callers_own_class_is_not_stored(parsed):
    """It would come back as something else."""
    response = google_response()
    response.parsed = parsed
    with pytest.raises(CacheEntryError, match="a class of yours"):
        genai.CODEC.dump(response)


class Subclass(ChatCompletion):
    pass


@pytest.mark.parametrize(
    "completion",
    [
        None,
        "text",
        {"choices": []},
        SimpleNamespace(choices=[]),
        Subclass.construct(**CHAT),
        ParsedChatCompletion.construct(**CHAT),
        Message.construct(**MESSAGE),
        type("ChatCompletion", (BaseModel,), {})(),
        ChatCompletion.construct(**CHAT, handle=object()),
    ],
    ids=lambda completion: type(completion).__name__,
)
def test_what_is_no_completion_of_the_sdk_is_not_stored(completion):
    with pytest.raises(CacheEntryError, match="cannot be stored"):
        openai.CODEC.dump(completion)


def test_a_completion_that_contains_itself_is_not_stored():
    loop: dict = {}
    loop["loop"] = loop
    with pytest.raises(CacheEntryError, match="cannot be stored"):
        openai.CODEC.dump(ChatCompletion.construct(**CHAT, loop=loop))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"kind": "ChatCompletion", "private": {}}',
        '{"kind": "Popen", "private": {}, "body": {"args": "true"}}',
        '{"kind": ["ChatCompletion"], "private": {}, "body": {}}',
        '{"kind": "ChatCompletion", "private": {}, "body": [1]}',
        '{"kind": "ChatCompletion", "private": null, "body": {}}',
        '{"kind": "ChatCompletion", "private": ["_request_id"], "body": {}}',
    ],
)
def test_a_damaged_text_is_a_bad_entry(text):
    with pytest.raises(CacheEntryError):
        openai.CODEC.load(text)


def test_a_stored_text_sets_no_other_attribute():
    again = openai.CODEC.load('{"kind": "ChatCompletion", "private": {"__class__": "x", "usage": "y"}, "body": {}}')
    assert type(again) is ChatCompletion
    assert again.usage is None


def test_an_sdk_that_refuses_a_body_makes_a_bad_entry():
    with pytest.raises(CacheEntryError, match="google"):
        genai.CODEC.load('{"kind": "GenerateContentResponse", "private": {}, "body": {"of_the_future": 1}}')


def test_without_the_sdk_a_namespace_with_the_same_attributes_comes_back(monkeypatch: pytest.MonkeyPatch):
    completion = ChatCompletion.construct(**CHAT)
    completion._request_id = "req_1"
    text = openai.CODEC.dump(completion)
    monkeypatch.setitem(sys.modules, "openai.types.chat", None)
    again = openai.CODEC.load(text)
    assert isinstance(again, SimpleNamespace)
    assert again.choices[0].message.tool_calls[0].function.arguments == '{"a":1}'
    assert again.usage.total_tokens == 3
    assert again._request_id == "req_1"


def test_the_stored_text_names_nothing_to_import():
    data = json.loads(openai.CODEC.dump(ChatCompletion.construct(**CHAT)))
    assert data["kind"] == "ChatCompletion"
    assert "openai" not in json.dumps(data)
