"""Every model family answers with no argument but its name, at a server that refuses what its vendor refuses.

The rules are those of the vendors in autumn 2026, in their own words; sources stand in `providers/capabilities.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pydantic
import pytest

from instructor.cache import AutoCache
from instructor.exceptions import InstructorRetryException
from instructor.factory import from_provider
from instructor.mode import Mode
from replies import Received, Reply, ReplyServer, obedient_answer

ASKED = [{"role": "user", "content": "Jason is 25"}]
ANSWER = {"name": "Jason", "plate": "12345"}
FUNCTIONS = "Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. Please use /v1/responses instead."
DEFAULT_ONLY = "Unsupported value: 'temperature' does not support 0. Only the default (1) value is supported."
RESPONSES_ONLY = "This model is only supported in v1/responses and not in v1/chat/completions."


class User(pydantic.BaseModel):
    name: str
    plate: str = pydantic.Field(pattern=r"\d{5}")


def model_of(received: Received) -> str:
    """The model that was asked; Google names it in the path."""
    path = re.search(r"models/([^:]+):", received.path)
    return path[1] if path else received.body["model"]


def refusals(received: Received, local: bool) -> Iterator[tuple[Any, str]]:
    """What a vendor would refuse in a request, and its words."""
    body, chat = received.body, received.path.endswith("/chat/completions")
    model = model_of(received).rpartition("/")[2].removeprefix("us.")
    choice = body.get("tool_choice")
    forced = (isinstance(choice, dict) and choice.get("type") != "auto") or choice in ("required", "any")
    form = json.dumps(body.get("response_format") or {})
    pattern = re.search(r'"pattern": "(.*?)"', form)
    new_openai = re.match(r"gpt-(5\.[6-9]|6)", model)
    claude = re.match(r"(anthropic\.)?claude-(?!3|sonnet-4)", model)
    if local:
        yield pattern and not (pattern[1].startswith("^") and pattern[1].endswith("$")), "invalid JSON schema in format"
        return
    yield chat and re.match(r"gpt-5\.\d-codex|o3-pro", model), RESPONSES_ONLY
    yield chat and new_openai and body.get("tools") and body.get("reasoning_effort") != "none", FUNCTIONS
    limited = chat and re.match(r"gpt-[56]|o\d", model) and "max_tokens" in body
    yield limited, "Unsupported parameter: 'max_tokens' is not supported with this model."
    reasons = re.match(r"gpt-5(-|$)|o\d|gpt-6|gpt-5\.[5-9]", model) and body.get("reasoning_effort") != "none"
    yield reasons and {"temperature", "top_p"} & set(body), DEFAULT_ONLY
    yield model.startswith("gpt-4o") and "reasoning_effort" in body, "Unrecognized request argument: reasoning_effort"
    yield model.startswith("deepseek") and choice is not None, "Thinking mode does not support this tool_choice"
    yield model.startswith("deepseek") and "json_schema" in form, "This response_format type is unavailable now"
    yield model.startswith("kimi-k2") and forced, "tool_choice 'specified' is incompatible with thinking enabled"
    yield model.startswith("kimi-k3") and isinstance(choice, dict), "tool_choice 'specified' is not supported"
    yield model.startswith("qwen") and (forced or "json" in form), "not supported in thinking mode"
    yield model.startswith("glm") and forced, "Tool choice must be auto"
    yield claude and forced and "opus-5-20" not in model, "tool_choice: forced tool use is not supported"
    yield claude and {"temperature", "top_p", "top_k"} & set(body), "`temperature` is deprecated for this model."
    yield model.startswith("anthropic.") and "output_config" in body, "output_config: Extra inputs are not permitted"
    json_mode = json.loads(form).get("type") == "json_object"
    yield model.startswith("no-tools") and body.get("tools"), f"{model} does not support tools"
    yield model.startswith("no-force") and forced, "Thinking mode does not support this tool_choice"
    yield json_mode and "json" not in json.dumps(body["messages"]).lower(), "Prompt must contain the word 'json'"


class VendorServer(ReplyServer):
    """A server that refuses what the model's vendor refuses."""

    local = False

    def take(self, received: Received) -> Reply:
        self.requests.append(received)
        for refused, words in refusals(received, self.local):
            if refused:
                message = words.format(model=model_of(received))
                return Reply(
                    {"type": "error", "error": {"type": "invalid_request_error", "message": message}}, status=400
                )
        return Reply(obedient_answer(received, ANSWER))


@pytest.fixture
def vendors() -> Iterator[VendorServer]:
    with VendorServer() as server:
        yield server


MODELS = [
    *(
        f"openai/{model}"
        for model in ("gpt-4.1-mini", "gpt-4o", "gpt-5-mini", "o3", "gpt-5.2", "gpt-5.4", "gpt-5.6-terra")
    ),
    *(
        f"openai/{model}"
        for model in ("gpt-6-luna", "gpt-6-astra", "gpt-6.1-sol", "gpt-5.3-codex", "o3-pro", "my-model")
    ),
    "azure_openai/gpt-6-luna",
    "github/openai/gpt-6-luna",
    "openrouter/openai/gpt-5.6-terra",
    "anthropic/claude-sonnet-4-6",
    "anthropic/claude-opus-5-20260801",
    "anthropic/claude-opus-5-5",
    "anthropic/claude-mythos-5",
    "anthropic/us.anthropic.claude-opus-5-5-v1:0",
    "openrouter/anthropic/claude-opus-5.5",
    "deepseek/deepseek-v4-flash",
    "openrouter/deepseek/deepseek-v4-pro",
    "moonshot/kimi-k2.6",
    "moonshot/kimi-k3",
    "dashscope/qwen3.5-plus",
    "zai/glm-5.2",
    "ollama/qwen3.5",
    "vllm/deepseek-v4",
    "sglang/any",
    "lmstudio/any",
    "llamacpp/any",
    "google/gemini-3-pro",
]
LOCAL = {"ollama", "vllm", "sglang", "lmstudio", "llamacpp"}


USER = User(**ANSWER)
NO_TOOLS = "openai/no-tools"
"""A model that the table does not know, and that refuses functions."""


@contextmanager
def connect(server: VendorServer, name: str, **options: Any) -> Iterator[Any]:
    """A client that is closed after the test."""
    server.local = name.partition("/")[0] in LOCAL
    client = from_provider(name, base_url=server.url, api_key="k", **options)
    try:
        yield client
    finally:
        client._adapter.close()


@asynccontextmanager
async def connect_async(server: VendorServer, name: str, **options: Any) -> AsyncIterator[Any]:
    """An asynchronous client that is closed after the test."""
    server.local = name.partition("/")[0] in LOCAL
    client = from_provider(name, base_url=server.url, api_key="k", async_client=True, **options)
    try:
        yield client
    finally:
        await client._adapter.aclose()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "instructor"]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_with_no_argument_but_its_name(name, vendors: VendorServer, caplog):
    with connect(vendors, name) as client:
        assert client.create(User, ASKED) == USER
    assert len(vendors.requests) == 1
    assert warnings_of(caplog) == []


@pytest.mark.parametrize("name", MODELS)
async def test_a_model_answers_the_asynchronous_client_with_no_argument_but_its_name(name, vendors: VendorServer):
    async with connect_async(vendors, name) as client:
        assert await client.create(User, ASKED) == USER
    assert len(vendors.requests) == 1


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_with_a_limit_and_a_temperature(name, vendors: VendorServer, caplog):
    """A temperature is left out with one warning, if the table's row says so or a refusal has taught it."""
    with connect(vendors, name) as client:
        for _ in range(2):
            assert client.create(User, ASKED, max_tokens=100, temperature=0) == USER
    learned = re.search(r"/gpt-(5\.6|6-luna|6\.1)", name) is not None
    assert len(vendors.requests) == 2 + learned
    is_refused = bool(client._adapter.published(name.partition("/")[2]).refused)
    assert len(warnings_of(caplog)) == (learned or is_refused)


def test_the_mode_follows_the_model_of_each_call(vendors: VendorServer):
    """One client may ask models that answer in different ways."""
    with connect(vendors, "openai/gpt-4.1-mini") as client:
        for model in ("gpt-4.1-mini", "gpt-6-luna", "o3-pro", "gpt-4o"):
            assert client.create(User, ASKED, model=model) == USER
    tools, schema, responses, again = vendors.requests
    assert tools.body["tools"]
    assert again.body["tools"]
    assert schema.body["response_format"]["type"] == "json_schema"
    assert responses.path.endswith("/responses")


class TestCorrection:
    """A refusal of a model that the table does not know, or knows by an old row, is learned from."""

    def test_is_an_event_and_one_warning_and_remembered(self, vendors: VendorServer, caplog):
        events: list[Any] = []
        with connect(vendors, NO_TOOLS) as client:
            client.on("completion:adapted", events.append)
            assert client.create(User, ASKED, max_retries=0) == USER
            assert client.create(User, [{"role": "user", "content": "Once more"}], max_retries=0) == USER
        assert len(vendors.requests) == 3, "only the first call is asked twice"
        assert [(event.provider, event.model, event.change) for event in events] == [
            ("openai", "no-tools", "mode TOOLS -> JSON_SCHEMA")
        ]
        assert "does not support tools" in events[0].reason
        [warning] = warnings_of(caplog)
        assert "no-tools" in warning
        assert "mode TOOLS -> JSON_SCHEMA" in warning

    async def test_is_made_by_the_asynchronous_client_as_well(self, vendors: VendorServer, caplog):
        events: list[Any] = []
        async with connect_async(vendors, NO_TOOLS) as client:
            client.on("completion:adapted", events.append)
            assert await client.create(User, ASKED, max_retries=0) == USER
        assert len(vendors.requests) == 2
        assert len(events) == len(warnings_of(caplog)) == 1

    def test_leaves_the_cache_key_as_it_was(self, vendors: VendorServer):
        """The call that taught it, a call after it, and a client that never learned it share one answer."""
        cache, keys = AutoCache(), []
        for _ in range(2):
            with connect(vendors, NO_TOOLS, cache=cache) as client:
                for event in ("cache:miss", "cache:hit"):
                    client.on(event, lambda event: keys.append(event.key))
                assert client.create(User, ASKED) == client.create(User, ASKED) == USER
        assert len(keys) == 4
        assert len(set(keys)) == 1
        assert len(vendors.requests) == 2

    def test_does_not_change_a_mode_that_the_user_named(self, vendors: VendorServer, caplog):
        """The refusal is the caller's to see, and the same request is not sent twice."""
        events: list[Any] = []
        with connect(vendors, NO_TOOLS, mode=Mode.TOOLS) as client:
            client.on("completion:adapted", events.append)
            for count in (1, 2):
                with pytest.raises(InstructorRetryException, match="does not support tools"):
                    client.create(User, ASKED, max_retries=0)
                assert len(vendors.requests) == count
            assert client.mode is Mode.TOOLS
        assert all(received.body["tools"] for received in vendors.requests)
        assert events == warnings_of(caplog) == []

    def test_keeps_the_named_mode_and_corrects_the_rest(self, vendors: VendorServer):
        events: list[Any] = []
        with connect(vendors, "openai/no-force", mode=Mode.TOOLS) as client:
            client.on("completion:adapted", events.append)
            assert client.create(User, ASKED, temperature=0) == USER
        assert [event.change for event in events] == ["tool choice named -> auto"]
        assert all(received.body["tools"] for received in vendors.requests)


@pytest.mark.parametrize("name", [name for name in MODELS if not re.search(r"gpt-4|my-model|gemini", name)])
def test_the_server_refuses_what_was_sent_before_the_table(name, vendors: VendorServer):
    """The rules have teeth: a named function, as every model was asked until now, is refused by most of them."""
    vendors.local = name.partition("/")[0] in LOCAL
    model = name.partition("/")[2]
    choice = {"type": "tool", "name": "User"} if name.startswith("anthropic") else {"type": "function"}
    path = "/v1/messages" if name.startswith("anthropic") else "/v1/chat/completions"
    form = {"pattern": r"\d{5}"}
    body = {"model": model, "tools": [{}], "tool_choice": choice, "messages": [], "max_tokens": 1, "temperature": 0}
    received = Received("POST", path, {}, body | {"response_format": form})
    assert any(refused for refused, _ in refusals(received, vendors.local)) or "4-6" in name
