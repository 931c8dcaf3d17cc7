"""Every model family answers with no argument but its name, at a server that refuses what its vendor refuses.

The rules are those of the vendors in autumn 2026, in their own words; sources stand in `providers/capabilities.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest

from instructor.factory import from_provider
from instructor.mode import Mode
from instructor.providers.sdks import find_wires
from instructor.providers.table import find_vendor
from instructor.wires.capabilities import Capabilities, adapt_arguments
from instructor.wires.spec import ToolSpec
from replies import Received, Reply, ReplyServer, chat_completion

ASKED = [{"role": "user", "content": "Jason is 25"}]
ANSWER = {"name": "Jason", "plate": "12345"}
FUNCTIONS = "Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. Please use /v1/responses instead."
RESPONSES_ONLY = "This model is only supported in v1/responses and not in v1/chat/completions."


class User(pydantic.BaseModel):
    name: str
    plate: str = pydantic.Field(pattern=r"\d{5}")


def refusals(received: Received, local: bool) -> Iterator[tuple[Any, str]]:
    """What a vendor would refuse in a request, and its words."""
    body, chat = received.body, received.path.endswith("/chat/completions")
    model = body["model"].rpartition("/")[2].removeprefix("us.")
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
    yield reasons and {"temperature", "top_p"} & set(body), "Unsupported value: 'temperature' does not support 0."
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
    yield json_mode and "json" not in json.dumps(body["messages"]).lower(), "Prompt must contain the word 'json'"


def answer(received: Received) -> dict[str, Any]:
    """The answer of an obedient model in the form of the API that was asked."""
    body, text = received.body, json.dumps(ANSWER)
    tool = body["tools"][-1] if body.get("tools") else None
    if received.path.endswith("/responses"):
        call = {"type": "function_call", "id": "f", "call_id": "c", "name": tool["name"], "arguments": text}
        output = [call | {"status": "completed"}]
        frame = {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed"}
        return frame | {"output": output, "tools": [], "tool_choice": "auto", "parallel_tool_calls": False}
    if received.path.endswith("/messages"):
        call = {"type": "tool_use", "id": "t", "name": tool["name"], "input": ANSWER} if tool else None
        frame = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
        usage = {"input_tokens": 1, "output_tokens": 1}
        return frame | {"content": [call or {"type": "text", "text": text}], "usage": usage}
    if tool:
        return chat_completion(tool=tool["function"]["name"], arguments=ANSWER)
    return chat_completion(content=text)


class VendorServer(ReplyServer):
    """A server that refuses what the model's vendor refuses."""

    local = False

    def take(self, received: Received) -> Reply:
        self.requests.append(received)
        for refused, words in refusals(received, self.local):
            if refused:
                message = words.format(model=received.body["model"])
                return Reply(
                    {"type": "error", "error": {"type": "invalid_request_error", "message": message}}, status=400
                )
        return Reply(answer(received))


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
]
LOCAL = {"ollama", "vllm", "sglang", "lmstudio", "llamacpp"}


def open_client(server: VendorServer, name: str) -> Any:
    server.local = name.partition("/")[0] in LOCAL
    return from_provider(name, base_url=server.url, api_key="k", max_retries=0)


def send(client: Any, **arguments: Any) -> None:
    """Ask as the engine does: the model's capabilities, the wire of its mode, the adapter; after a refusal once more."""
    adapter = client._adapter
    can = adapter.capabilities(client.model)
    try:
        send_once(client, can, arguments)
    except Exception as error:
        learned = adapter.learn(client.model, can.modes[0], error, can)
        if learned is None:
            raise
        send_once(client, learned, arguments)


def send_once(client: Any, can: Capabilities, arguments: dict[str, Any]) -> None:
    wire = find_wires(find_vendor(client.provider))[can.modes[0]]
    binding = wire.bind(ToolSpec("User", "A user.", User.model_json_schema()), can.modes[0], True, can)
    request = wire.write(ASKED, binding, client.model, adapt_arguments(arguments, can), can)
    wire.check(client._adapter.send(wire.operation, request))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_with_no_argument_but_its_name(name, vendors: VendorServer):
    client = open_client(vendors, name)
    send(client)
    client.client.close()
    assert len(vendors.requests) == 1


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_with_a_limit_and_a_temperature(name, vendors: VendorServer):
    """A temperature that depends on the reasoning effort is left out once the first refusal has taught it."""
    client = open_client(vendors, name)
    for _ in range(2):
        send(client, max_tokens=100, temperature=0)
    client.client.close()
    learned = re.search(r"/gpt-(5\.6|6-luna|6\.1)", name) is not None
    assert len(vendors.requests) == 2 + learned


@pytest.mark.parametrize("name", [name for name in MODELS if name.partition("/")[0] not in {"anthropic", *LOCAL}])
def test_a_mode_that_the_user_names_is_sent_as_named(name, vendors: VendorServer):
    assert from_provider(name, base_url=vendors.url, mode=Mode.TOOLS).mode is Mode.TOOLS


@pytest.mark.parametrize("name", [name for name in MODELS if "gpt-4" not in name and "my-model" not in name])
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
