"""What an adapter learns from a provider's refusal."""

from __future__ import annotations

from dataclasses import replace

import openai
import pytest

from instructor.factory import from_provider
from instructor.mode import Mode
from instructor.providers.corrections import CapabilityMemory, correct, read_refusal
from instructor.wires.capabilities import Capabilities
from instructor.wires.responses_arguments import PLACES
from replies import Reply, ReplyServer, chat_completion

ALL = Capabilities((Mode.TOOLS, Mode.JSON_SCHEMA, Mode.JSON, Mode.MD_JSON, Mode.RESPONSES_TOOLS))
FUNCTIONS = "Function tools with reasoning_effort are not supported for gpt-6-luna in /v1/chat/completions. Please use /v1/responses instead."


class RefusalError(Exception):
    """An error as an SDK raises it, with a status."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status_code = status
        self.body: object = None


@pytest.mark.parametrize(
    "words",
    [
        "Thinking mode does not support this tool_choice",
        "tool_choice 'specified' is incompatible with thinking enabled",
        "The tool_choice parameter does not support being set to required or object in thinking mode",
        "Tool choice must be auto",
        "tool_choice must be set to 'auto' or 'none' with this model",
        "Thinking may not be enabled when tool_choice forces tool use.",
        "deepseek-reasoner does not support this tool_choice",
        "404 No endpoints found that support the provided 'tool_choice' value.",
        "toolChoice is not supported",
        "422 body.tool_choice.literal['none','auto']: Input should be 'none' or 'auto'",
        "422 body.tool_choice: Extra inputs are not permitted",
    ],
)
def test_a_refused_tool_choice_is_weakened_then_left_out_then_the_mode_changes(words):
    first = correct(ALL, Mode.TOOLS, words)
    second = correct(first, Mode.TOOLS, words)
    third = correct(second, Mode.TOOLS, words)
    assert (first.tool_choice, second.tool_choice, third.modes[0]) == ("auto", "omitted", Mode.JSON_SCHEMA)
    assert correct(ALL, Mode.JSON, words) is None


@pytest.mark.parametrize(
    ("mode", "words", "following"),
    [
        (Mode.TOOLS, FUNCTIONS, Mode.RESPONSES_TOOLS),
        (Mode.JSON_SCHEMA, FUNCTIONS, Mode.RESPONSES_TOOLS),
        (Mode.MD_JSON, FUNCTIONS, Mode.RESPONSES_TOOLS),
        (Mode.TOOLS, "registry.ollama.ai/library/gemma does not support tools", Mode.JSON_SCHEMA),
        (Mode.TOOLS, "No endpoints found that support tool use.", Mode.JSON_SCHEMA),
        (Mode.TOOLS, "`tool calling` is not supported with this model", Mode.JSON_SCHEMA),
        (Mode.JSON_SCHEMA, "This response_format type is unavailable now", Mode.TOOLS),
        (Mode.JSON_SCHEMA, "'response_format' of type 'json_schema' is not supported with this model.", Mode.TOOLS),
        (Mode.JSON, "'response_format.type' must be 'json_schema' or 'text'", Mode.TOOLS),
        (Mode.JSON, "Json mode response is not supported when enable_thinking is true", Mode.TOOLS),
        (
            Mode.TOOLS,
            "This model is only supported in v1/responses and not in v1/chat/completions.",
            Mode.RESPONSES_TOOLS,
        ),
        (Mode.RESPONSES_TOOLS, "404 page not found", Mode.TOOLS),
    ],
)
def test_a_refused_mode_is_followed_by_the_next_best(mode, words, following):
    corrected = correct(ALL, mode, words)
    assert corrected.modes[0] is following
    assert mode not in corrected.modes
    assert replace(corrected, modes=ALL.modes) == ALL


def test_functions_that_belong_to_an_api_that_is_not_offered_cost_the_mode_but_never_an_argument():
    chat = Capabilities((Mode.TOOLS, Mode.JSON_SCHEMA))
    assert correct(chat, Mode.TOOLS, FUNCTIONS) == Capabilities((Mode.JSON_SCHEMA,))
    assert correct(chat, Mode.JSON_SCHEMA, FUNCTIONS) is None


@pytest.mark.parametrize(
    ("words", "argument"),
    [
        (
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported.",
            "temperature",
        ),
        ("Unsupported parameter: 'top_p' is not supported with this model.", "top_p"),
        ("`temperature` is deprecated for this model.", "temperature"),
        ("top_k: Extra inputs are not permitted", "top_k"),
        ("invalid temperature: only 1 is allowed for this model", "temperature"),
        ("Unrecognized request argument supplied: reasoning_effort", "reasoning_effort"),
        ("Argument not supported on this model: stop", "stop"),
        ("Unsupported parameter: 'stop' is not supported with this model.", "stop"),
        ("Model grok-5 does not support parameter presence_penalty", "presence_penalty"),
        ('Invalid JSON payload received. Unknown name "topK": Cannot find field.', "top_k"),
        ("Unsupported parameter: parallelToolCalls", "parallel_tool_calls"),
    ],
)
def test_a_refused_argument_is_left_out(words, argument):
    corrected = correct(ALL, Mode.JSON, words)
    assert corrected == replace(ALL, refused={argument})
    assert correct(corrected, Mode.JSON, words) is None


@pytest.mark.parametrize("name", ["reasoning_effort", "verbosity"])
def test_the_responses_apis_own_name_of_a_refused_argument_is_understood(name):
    place, member = PLACES[name]
    words = f"Unsupported parameter: '{place}.{member}' is not supported with this model."
    assert correct(Capabilities((Mode.RESPONSES_TOOLS,)), Mode.RESPONSES_TOOLS, words).refused == {name}


def test_all_arguments_of_one_refusal_are_left_out():
    words = "Model incompatible request arguments supplied: frequency_penalty, presence_penalty, temperature, top_p"
    refused = {"frequency_penalty", "presence_penalty", "temperature", "top_p"}
    assert correct(ALL, Mode.JSON_SCHEMA, words) == replace(ALL, refused=refused)


def test_what_a_body_repeats_of_the_request_is_not_taken_for_the_providers_words():
    body = {
        "detail": [{"loc": ["body", "messages", 0], "msg": "Field required", "input": "tools are not supported"}],
        "input": "tools are not supported",
    }
    error = RefusalError(f"Error code: 422 - {body}", 422)
    error.body = body
    assert read_refusal(error) == "422 body.messages.0: Field required"
    for nested in ({"error": body}, {"message": body}, {"detail": body}):
        error.body = nested
        assert read_refusal(error) == "422 body.messages.0: Field required"


@pytest.mark.parametrize(
    "body", [None, "text", {"detail": "no"}, {"detail": ["no", {"loc": 5}]}, {"error": {"error": 1}}]
)
def test_a_body_of_another_kind_is_no_obstacle(body):
    error = RefusalError("temperature is not supported")
    error.body = body
    assert read_refusal(error) is not None


@pytest.mark.parametrize(
    "words",
    [
        "'reasoning_effort' does not support 'minimal' here. Supported values are: 'low', 'medium', and 'high'.",
        "'reasoning_effort' does not support 'minimal' with this model.",
        "Unsupported value for verbosity. Supported values are: 'medium'.",
        "top_p must be in (0, 1], got 0.0.",
        "temperature must be non-negative",
        "`temperature` may only be set to 1 when thinking is enabled",
        "'parallel_tool_calls' is only allowed when 'tools' are specified.",
        "`top_k` may not be set above 40",
    ],
)
def test_a_refused_value_does_not_cost_later_calls_the_argument(words):
    for mode in ALL.modes:
        assert correct(ALL, mode, words) is None


def test_the_output_limit_gets_the_name_that_the_provider_asks_for():
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    corrected = correct(ALL, Mode.TOOLS, words)
    assert corrected == replace(ALL, output_limit="max_completion_tokens")
    again = correct(corrected, Mode.TOOLS, "Unrecognized request argument supplied: max_completion_tokens")
    assert again == replace(ALL, refused={"max_completion_tokens"})
    assert correct(again, Mode.TOOLS, words) == corrected


@pytest.mark.parametrize(
    "words",
    [
        "The model `gpt-7` does not exist or you do not have access to it.",
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        "Invalid schema for response_format 'User': In context=(), 'additionalProperties' is required to be supplied.",
        "This model's maximum context length is 8192 tokens.",
        "Incorrect API key provided",
        "web_search tools are not supported in chat completions",
        "tools: Tool names must be unique.",
        "tools.0.custom.name: Name must be at most 64 characters",
        "Your organization must be verified to use json_schema",
        "Image urls are not supported with response_format",
        "tool_choice.name must be at most 64 characters",
        "Invalid 'messages[0].content': empty string not allowed",
        "",
    ],
)
def test_an_error_about_something_else_teaches_nothing(words):
    for mode in ALL.modes:
        assert correct(ALL, mode, words) is None


def test_the_last_mode_is_kept():
    assert correct(Capabilities((Mode.TOOLS,)), Mode.TOOLS, FUNCTIONS) is None


def test_what_was_learned_changes_the_next_request_and_not_the_preferred_mode():
    memory = CapabilityMemory(lambda model: ALL)
    corrected = memory.learn("m", Mode.TOOLS, RefusalError(FUNCTIONS))
    assert memory.capabilities("m") == ALL, "nothing is proved yet"
    memory.remember("m", corrected)
    assert memory.capabilities("m") == corrected
    assert corrected.modes == (Mode.RESPONSES_TOOLS,)
    assert memory.published("m").modes[0] is Mode.TOOLS
    assert memory.capabilities("other") == ALL


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_only_a_refused_request_teaches(status):
    assert CapabilityMemory(lambda model: ALL).learn("m", Mode.TOOLS, RefusalError(FUNCTIONS, status)) is None
    assert CapabilityMemory(lambda model: ALL).learn("m", Mode.TOOLS, ValueError(FUNCTIONS)) is None


def test_calls_that_were_refused_at_the_same_time_learn_one_thing():
    memory = CapabilityMemory(lambda model: ALL)
    error = RefusalError("Tool choice must be auto")
    corrected = [memory.learn("m", Mode.TOOLS, error, ALL) for _ in range(5)]
    assert [each.tool_choice for each in corrected] == ["auto"] * 5
    memory.remember("m", corrected[0])
    assert memory.learn("m", Mode.TOOLS, error, ALL) is memory.capabilities("m")


def test_a_provider_that_refuses_everything_is_asked_a_few_times_only():
    memory = CapabilityMemory(lambda model: ALL)
    limits = ("use 'max_completion_tokens' instead", "Unrecognized request argument supplied: max_completion_tokens")
    asked = 0
    while corrected := memory.learn("m", memory.capabilities("m").modes[0], RefusalError(limits[asked % 2])):
        memory.remember("m", corrected)
        asked += 1
    assert asked == 2


def test_the_memory_of_models_is_bounded():
    memory = CapabilityMemory(lambda model: ALL)
    for number in range(1000):
        memory.capabilities(f"model-{number}")
    assert len(memory._known) <= 256


def test_the_errors_of_a_real_sdk_are_understood(reply_server: ReplyServer):
    reply_server.script(Reply({"error": {"message": FUNCTIONS, "type": "invalid_request_error"}}, status=400))
    adapter = from_provider("openai/gpt-4.1", base_url=reply_server.url, api_key="k", max_retries=0)._adapter
    with pytest.raises(openai.BadRequestError) as caught:
        adapter.send("chat.completions.create", {"model": "gpt-4.1", "messages": []})
    assert adapter.published("gpt-4.1").modes[0] is Mode.TOOLS
    assert adapter.learn("gpt-4.1", Mode.TOOLS, caught.value).modes == (Mode.RESPONSES_TOOLS,)
    adapter.client.close()


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("422 messages[0].role: unknown variant `developer`, expected one of `system`, `user`, `assistant`", False),
        ("Unsupported value: 'messages[0].role' does not support 'developer' with this model.", False),
        ("A developer must set a role for this key.", True),
    ],
)
def test_the_role_of_the_developer_is_left_out_where_it_is_refused(words, known):
    corrected = correct(ALL, Mode.TOOLS, words)
    assert (corrected or ALL).developer is known


@pytest.mark.parametrize(
    ("model", "roles"),
    [("openai/m", ["developer", "user"]), ("deepseek/m", ["system", "user"]), ("groq/m", ["system", "user"])],
)
def test_a_message_of_the_developer_is_the_systems_where_the_vendor_has_no_such_role(
    model, roles, reply_server: ReplyServer
):
    reply_server.script(Reply(chat_completion(content="5")))
    client = from_provider(model, base_url=reply_server.url, api_key="k", mode=Mode.MD_JSON)
    client.create(None, [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "2 + 3?"}])
    client.close()
    assert [message["role"] for message in reply_server.requests[0].body["messages"]] == roles
