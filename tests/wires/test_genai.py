from __future__ import annotations

import json
from base64 import b64encode
from copy import deepcopy
from typing import Any

import httpx2
import pydantic
import pytest
from google.genai import types

from instructor.exceptions import ConfigurationError, IncompleteOutputException, RefusalError, ResponseParsingError
from instructor.mode import Mode
from instructor.testing.wires import WireContract
from instructor.usage import Usage
from instructor.wires.content import say_call_again
from instructor.wires.genai import GENAI as WIRE
from instructor.wires.genai_config import gather_config
from instructor.wires.spec import ToolSpec
from replies import google_client
from streams import genai_events

MODEL = "some-model"
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
SHAPE = ToolSpec("User", "A user.", SCHEMA)
OURS = {"function_declarations": [{"name": "User", "description": "A user.", "parameters_json_schema": SCHEMA}]}
WEATHER = {"function_declarations": [{"name": "weather", "description": "Look outside."}]}
ASK = [{"role": "user", "content": "Who?"}]
ASKED = {"role": "user", "parts": [{"text": "Who?"}]}
IMAGE = b64encode(b"\xfb\xff~").decode()


def complete(*parts: dict[str, Any], reason: Any = "STOP", **members: Any) -> types.GenerateContentResponse:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finish_reason": reason}
    usage = {"prompt_token_count": 10, "candidates_token_count": 5}
    return types.GenerateContentResponse.model_validate({"candidates": [candidate], "usage_metadata": usage, **members})


def call(arguments: Any, name: str = "User", **members: Any) -> dict[str, Any]:
    return {"function_call": {"name": name, "args": arguments, **members}}


def write(messages: list[Any] = ASK, mode: Mode | None = Mode.TOOLS, **arguments: Any) -> dict[str, Any]:
    binding = WIRE.bind(SHAPE, mode, strict=True) if mode else None
    return WIRE.write(messages, binding, MODEL, arguments)


def newest(reason: str) -> Any:
    """A reason that the oldest SDKs don't declare."""
    return pytest.param(reason, marks=pytest.mark.newest_sdks)


def send(request: dict[str, Any]) -> tuple[httpx2.Request, dict[str, Any]]:
    """Send a request with the real SDK; return the HTTP request and its body."""
    sent: list[httpx2.Request] = []

    def answer(http_request: httpx2.Request) -> httpx2.Response:
        sent.append(http_request)
        return httpx2.Response(200, json={"candidates": []})

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    google_client(client).models.generate_content(**request)
    return sent[0], json.loads(sent[0].content)


class TestContract(WireContract):
    wire = WIRE
    conversation = "contents"
    arguments = {"temperature": 0.25, "top_k": 3, "seed": 7, "safety_settings": []}  # noqa: RUF012 - a test's constant
    used = Usage(10, 5)

    def answered(self, text: str, mode: Mode, name: str) -> types.GenerateContentResponse:
        return complete(call(json.loads(text), name) if mode is Mode.TOOLS else {"text": text})

    def cut_off(self, mode: Mode) -> types.GenerateContentResponse:
        return complete({"text": '{"name": "A'}, reason="MAX_TOKENS")

    def refused(self, mode: Mode) -> types.GenerateContentResponse:
        return complete(reason="SAFETY")

    def empty(self, mode: Mode) -> types.GenerateContentResponse:
        return complete()

    def chunks(self, completion: types.GenerateContentResponse) -> list[types.GenerateContentResponse]:
        body = completion.model_dump(mode="json", by_alias=True, exclude_none=True)
        return [types.GenerateContentResponse.model_validate(event) for event in genai_events(body)]


@pytest.mark.newest_sdks  # older ones spell every name in camel case
def test_tools_mode_allows_our_function_only():
    _, body = send(write([{"role": "system", "content": "Be exact."}, *ASK]))
    assert body == {
        "contents": [ASKED],
        "systemInstruction": {"role": "user", "parts": [{"text": "Be exact."}]},
        "tools": [
            {"functionDeclarations": [{"name": "User", "description": "A user.", "parameters_json_schema": SCHEMA}]}
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["User"]}},
        "generationConfig": {},
    }


def test_json_mode_holds_the_text_to_the_schema():
    _, body = send(write(mode=Mode.JSON))
    assert body == {
        "contents": [ASKED],
        "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
    }


def test_a_plain_request_says_nothing_of_its_own():
    assert write(mode=None) == {"model": MODEL, "contents": [ASKED]}


class TestConfig:
    @pytest.mark.parametrize(
        ("choice", "calling"),
        [
            ("auto", {"mode": "AUTO"}),
            ({"type": "any"}, {"mode": "ANY"}),
            ("none", {"mode": "NONE"}),
            ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowed_function_names": ["f"]}),
            ({"type": "tool", "name": "f"}, {"mode": "ANY", "allowed_function_names": ["f"]}),
        ],
    )
    def test_a_tool_choice_in_another_providers_form_is_translated(self, choice: Any, calling: dict[str, Any]):
        assert write(mode=None, tool_choice=choice)["config"] == {"tool_config": {"function_calling_config": calling}}

    def test_a_tool_choice_that_nobody_knows_is_named(self):
        with pytest.raises(ConfigurationError, match="tool_choice is 'never'"):
            write(mode=None, tool_choice="never")

    def test_common_names_become_the_sdks(self):
        http_request, body = send(
            write(
                mode=None,
                temperature=0,
                top_p=0.5,
                max_tokens=9,
                stop="END",
                n=1,
                presence_penalty=0.25,
                timeout=1.5,
                extra_headers={"X-Team": "blue"},
                extra_body={"labels": {"a": "b"}},
            )
        )
        assert body["generationConfig"] == {
            "temperature": 0,
            "topP": 0.5,
            "maxOutputTokens": 9,
            "stopSequences": ["END"],
            "candidateCount": 1,
            "presencePenalty": 0.25,
        }
        assert body["labels"] == {"a": "b"}
        assert http_request.headers["X-Team"] == "blue"
        assert http_request.extensions["timeout"]["read"] == 1.5

    @pytest.mark.parametrize(
        "config",
        [
            {"topK": 3, "httpOptions": {"headers": {"X-A": "a"}, "timeout": 9}},
            types.GenerateContentConfig(top_k=3, http_options=types.HttpOptions(headers={"X-A": "a"}, timeout=9)),
        ],
    )
    def test_a_config_is_merged_whatever_it_is_made_of(self, config: Any):
        before = deepcopy(config)
        request = write(
            mode=None,
            config=config,
            generation_config={"topK": 1, "seed": 5},
            temperature=0.5,
            extra_headers={"X-B": "b"},
        )
        assert request["config"] == {
            "top_k": 3,
            "seed": 5,
            "temperature": 0.5,
            "http_options": {"headers": {"X-A": "a", "X-B": "b"}, "timeout": 9},
        }
        assert config == before
        send(request)

    @pytest.mark.newest_sdks  # older ones spell every name in camel case
    def test_members_of_the_sdks_config_go_through(self):
        arguments = {
            "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
            "thinking_config": types.ThinkingConfig(thinking_budget=0),
        }
        _, body = send(write(**arguments))
        assert body["safetySettings"] == arguments["safety_settings"]
        assert body["generationConfig"]["thinkingConfig"] == {"thinking_budget": 0}

    def test_a_name_nobody_knows_is_reported_by_the_sdk(self):
        with pytest.raises(pydantic.ValidationError, match="no_such_setting"):
            send(write(no_such_setting=1))

    @pytest.mark.parametrize("arguments", [{"timeout": "soon"}, {"config": 5}])
    def test_what_cannot_be_merged_is_named(self, arguments: dict[str, Any]):
        with pytest.raises(ConfigurationError, match=r"soon|5"):
            write(**arguments)


class TestTools:
    def test_our_function_stands_behind_the_callers(self):
        config = write(tools=[WEATHER])["config"]
        assert config["tools"] == [WEATHER, OURS]
        assert config["tool_config"]["function_calling_config"]["allowed_function_names"] == ["User"]

    @pytest.mark.parametrize("hosted", [{"google_search": {}}, types.Tool(google_search=types.GoogleSearch())])
    def test_a_tool_that_the_provider_runs_can_be_used_before_the_answer(self, hosted: Any):
        _, body = send(write(tools=[hosted]))
        assert body["tools"][0] == {"googleSearch": {}}
        assert body["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
        assert "User" in json.dumps(body["systemInstruction"])

    @pytest.mark.parametrize(
        ("wanted", "expected", "is_told"),
        [
            ({"mode": "AUTO"}, {"mode": "AUTO"}, True),
            (
                {"mode": "any", "allowedFunctionNames": ["weather"]},
                {"mode": "any", "allowed_function_names": ["weather", "User"]},
                True,
            ),
            ({"allowed_function_names": ["User"]}, {"mode": "ANY", "allowed_function_names": ["User"]}, False),
        ],
    )
    def test_the_callers_calling_config_wins(self, wanted: Any, expected: Any, is_told: bool):
        tool_config = {"functionCallingConfig": wanted, "retrievalConfig": {"languageCode": "de"}}
        request = write(tools=[WEATHER], config={"toolConfig": tool_config})
        assert request["config"]["tool_config"] == {
            "function_calling_config": expected,
            "retrieval_config": {"languageCode": "de"},
        }
        assert ("system_instruction" in request["config"]) is is_told
        send(request)

    def test_the_callers_functions_are_offered_but_not_run(self, caplog: pytest.LogCaptureFixture):
        """Where Python functions are the only tools, the SDK runs them and asks again."""

        def weather() -> str:
            """Look outside."""
            raise AssertionError

        answers = [complete({"function_call": {"name": "weather", "args": {}}})] * 2
        transport = httpx2.MockTransport(
            lambda _: httpx2.Response(
                200, json=answers.pop().model_dump(mode="json", by_alias=True, exclude_unset=True)
            )
        )
        google_client(httpx2.Client(transport=transport)).models.generate_content(**write(tools=[weather]))
        assert len(answers) == 1
        assert caplog.messages == []


class TestCachedContent:
    def test_the_schema_is_asked_for_without_tools(self):
        request = write(config={"cached_content": "cachedContents/1"})
        _, body = send(request)
        assert body == {
            "contents": [ASKED],
            "cachedContent": "cachedContents/1",
            "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        }
        assert WIRE.read(complete({"text": '{"name": "A"}'}), Mode.TOOLS, ["User"])[0].text == '{"name": "A"}'
        again = WIRE.reask(request, complete({"text": "No."}), ValueError("Wrong."), Mode.TOOLS)
        assert "JSON" in again["contents"][-1]["parts"][0]["text"]

    @pytest.mark.parametrize(
        ("messages", "arguments", "named"),
        [
            ([{"role": "system", "content": "S"}, *ASK], {}, "a system prompt"),
            (ASK, {"system_instruction": "S"}, "a system prompt"),
            (ASK, {"tools": [WEATHER]}, "tools"),
        ],
    )
    def test_an_error_names_what_the_api_does_not_allow_beside_it(self, messages: Any, arguments: Any, named: str):
        for mode in (*WIRE.modes, None):
            with pytest.raises(ConfigurationError, match=named):
                write(messages, mode, cached_content="cachedContents/1", **arguments)


class TestSystem:
    def test_prompts_are_joined_in_the_order_given(self):
        messages = [{"role": "system", "content": "B"}, *ASK, {"role": "developer", "parts": [{"text": "C"}]}]
        request = write(messages, mode=None, system_instruction="A")
        _, body = send(request)
        assert body["systemInstruction"]["parts"] == [{"text": "A"}, {"text": "B"}, {"text": "C"}]
        assert request["contents"] == [ASKED]
        assert write(messages[:1] + ASK, mode=None, system="A")["config"] == {"system_instruction": "A\n\nB"}

    @pytest.mark.parametrize(
        "given",
        [
            types.Content(role="user", parts=[types.Part(text="A")]),
            {"parts": [{"text": "A"}]},
            types.Part(text="A"),
            {"text": "A"},
            [types.Part(text="A")],
        ],
    )
    def test_googles_own_forms_are_kept(self, given: Any):
        _, body = send(write([{"role": "system", "content": "B"}, *ASK], system_instruction=given))
        assert body["systemInstruction"]["parts"] == [{"text": "A"}, {"text": "B"}]


class TestContents:
    def test_googles_own_forms_go_through_untouched(self):
        native = [
            types.Content(role="user", parts=[types.Part(text="Hi")]),
            {"role": "model", "parts": [{"text": "Hm.", "thought_signature": "aGk="}]},
            types.Part(text="And?"),
        ]
        assert write(native)["contents"] == native
        send(write(native))

    @pytest.mark.parametrize("given", ["Hi", ["Hi"], types.Content(role="user", parts=[types.Part(text="Hi")])])
    def test_contents_follow_the_messages(self, given: Any):
        _, body = send(write([{"role": "system", "content": "S"}, *ASK], contents=given))
        assert body["contents"] == [ASKED, {"role": "user", "parts": [{"text": "Hi"}]}]

    @pytest.mark.newest_sdks  # older ones spell every name in camel case
    def test_images_sounds_and_files_are_written_as_parts(self):
        parts = [
            {"type": "text", "text": "Look:"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
            {"type": "image_url", "image_url": "https://example.com/a.jpg?x=1"},
            {"type": "input_audio", "input_audio": {"data": IMAGE, "format": "wav"}},
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{IMAGE}"}},
            {"type": "file", "file": {"file_id": "https://generativelanguage.googleapis.com/v1beta/files/1"}},
            {"text": "Yours."},
        ]
        _, body = send(write([{"role": "user", "content": parts}]))
        data = "-_9-"  # the SDK sends base64 in its URL-safe form
        assert body["contents"][0]["parts"] == [
            {"text": "Look:"},
            {"inlineData": {"mime_type": "image/png", "data": data}},
            {"fileData": {"file_uri": "https://example.com/a.jpg?x=1", "mime_type": "image/jpeg"}},
            {"inlineData": {"mime_type": "audio/wav", "data": data}},
            {"inlineData": {"mime_type": "application/pdf", "data": data}},
            {"fileData": {"file_uri": "https://generativelanguage.googleapis.com/v1beta/files/1"}},
            {"text": "Yours."},
        ]

    @pytest.mark.newest_sdks  # older ones know no media in results
    def test_media_in_the_result_of_a_tool_are_sent(self):
        parts = ["Here: ", {"type": "text", "text": "it is"}, {"text": "."}]
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
        result = {"role": "tool", "tool_call_id": "c", "name": "draw", "content": [*parts, picture]}
        _, body = send(write([*ASK, result]))
        (part,) = body["contents"][-1]["parts"]
        assert part["functionResponse"]["response"] == {"output": "Here: it is."}
        assert "aGk=" in json.dumps(part["functionResponse"]["parts"])

    def test_tool_calls_and_their_results_are_written_as_parts(self):
        messages = [
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}},
                    {"id": "b", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "Sunny."}]},
            {"role": "tool", "tool_call_id": "b", "content": "Noon."},
        ]
        _, body = send(write(messages))
        signature = b64encode(b"skip_thought_signature_validator").decode()
        assert body["contents"] == [
            {
                "role": "model",
                "parts": [
                    {"text": "Let me look."},
                    {
                        "functionCall": {"id": "a", "name": "weather", "args": {"city": "Rome"}},
                        "thoughtSignature": signature,
                    },
                    {"functionCall": {"id": "b", "name": "clock", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "a", "name": "weather", "response": {"output": "Sunny."}}},
                    {"functionResponse": {"id": "b", "name": "clock", "response": {"output": "Noon."}}},
                ],
            },
        ]


class TestRead:
    def test_json_in_text_is_accepted_where_no_function_was_called(self):
        completion = complete({"text": '{"name": '}, {"text": '"A"}'})
        for mode in WIRE.modes:
            assert WIRE.read(completion, mode, ["User"])[0].text == '{"name": "A"}'

    def test_the_call_of_ours_is_the_answer_wherever_it_stands(self):
        completion = complete(call({}, "weather"), call({"name": "A"}), call({"name": "B"}))
        assert WIRE.read(completion, Mode.TOOLS, ["User"])[0].text == '{"name":"A"}'

    def test_the_text_beside_another_functions_call_is_no_answer(self):
        with pytest.raises(ResponseParsingError, match="'weather', but not 'User'"):
            WIRE.read(complete({"text": '{"name": "A"}'}, call({}, "weather")), Mode.TOOLS, ["User"])

    def test_what_the_model_thought_is_no_answer(self):
        with pytest.raises(ResponseParsingError):
            WIRE.read(complete({"text": '{"name": "A"}', "thought": True}), Mode.JSON, ["User"])

    def test_a_call_without_arguments_is_an_empty_answer(self):
        assert WIRE.read(complete({"function_call": {"name": "User"}}), Mode.TOOLS, ["User"])[0].text == "{}"

    @pytest.mark.parametrize("reason", ["max_tokens", types.FinishReason.MAX_TOKENS, newest("CONTINUATION")])
    def test_a_cut_off_answer_is_no_answer_even_if_it_reads_well(self, reason: Any):
        with pytest.raises(IncompleteOutputException):
            WIRE.read(complete(call({"name": "A"}), reason=reason), Mode.TOOLS, ["User"])

    @pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"])
    def test_a_filter_is_a_refusal(self, reason: str):
        with pytest.raises(RefusalError, match=reason):
            WIRE.read(complete(call({"name": "A"}), reason=reason), Mode.TOOLS, ["User"])

    @pytest.mark.parametrize("reason", ["BLOCKLIST", newest("JAILBREAK")])
    def test_a_blocked_prompt_is_a_refusal(self, reason: str):
        completion = types.GenerateContentResponse.model_validate({"prompt_feedback": {"block_reason": reason}})
        with pytest.raises(RefusalError, match=reason):
            WIRE.read(completion, Mode.TOOLS, ["User"])

    @pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "OTHER", types.FinishReason.UNEXPECTED_TOOL_CALL])
    def test_any_other_ending_is_no_answer(self, reason: Any):
        with pytest.raises(ResponseParsingError, match=str(getattr(reason, "value", reason))):
            WIRE.read(complete({"text": '{"name": "A"}'}, reason=reason), Mode.JSON, ["User"])

    def test_no_candidates_are_no_answer(self):
        with pytest.raises(ResponseParsingError):
            WIRE.read(types.GenerateContentResponse(), Mode.TOOLS, ["User"])


class TestReask:
    def test_every_call_is_answered_the_one_read_with_the_error_and_signatures_are_kept(self):
        said = [
            {"text": "Hm.", "thought": True},
            {**call({"name": None}, id="1"), "thought_signature": IMAGE},
            call({"name": "B"}),
            call({"city": "Rome"}, "weather"),
        ]
        completion = complete(*said)
        request = WIRE.reask(write(), completion, ValueError("Wrong."), Mode.TOOLS)
        told, unused = {"error": say_call_again("Wrong.")}, {"error": "Not used. Call User, once."}
        _, body = send(request)
        assert body["contents"] == [
            ASKED,
            {
                "role": "model",
                "parts": [
                    {"text": "Hm.", "thought": True},
                    {"functionCall": {"id": "1", "name": "User", "args": {"name": None}}, "thoughtSignature": "-_9-"},
                    {"functionCall": {"name": "User", "args": {"name": "B"}}},
                    {"functionCall": {"name": "weather", "args": {"city": "Rome"}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "1", "name": "User", "response": told}},
                    {"functionResponse": {"name": "User", "response": unused}},
                    {"functionResponse": {"name": "weather", "response": unused}},
                ],
            },
        ]

    def test_when_only_others_were_called_every_call_is_told_what_to_call(self):
        completion = complete(call({}, "weather"), call({}, "clock"))
        request = WIRE.reask(write(), completion, ValueError("Wrong."), Mode.TOOLS)
        _, body = send(request)
        results = [part["functionResponse"] for part in body["contents"][-1]["parts"]]
        assert [result["name"] for result in results] == ["weather", "clock"]
        told = [result["response"]["error"] for result in results]
        assert all("Wrong." in text and "User" in text for text in told)

    def test_the_result_of_a_call_where_there_are_no_tools_asks_for_json(self):
        request = write(config={"cached_content": "cachedContents/1"})
        again = WIRE.reask(request, complete(call({}, "weather")), ValueError("Wrong."), Mode.TOOLS)
        told = again["contents"][-1]["parts"][0]["function_response"]
        assert "Give the answer in JSON" in told["response"]["error"]

    def test_text_is_answered_with_text(self):
        request = WIRE.reask(write(mode=Mode.JSON), complete({"text": "No."}), ValueError("Wrong."), Mode.JSON)
        assert request["contents"][1] == {"role": "model", "parts": [{"text": "No."}]}
        assert "Wrong." in request["contents"][2]["parts"][0]["text"]


def test_usage_counts_thoughts_tools_and_the_providers_cache():
    usage = {
        "prompt_token_count": 100,
        "tool_use_prompt_token_count": 7,
        "cached_content_token_count": 80,
        "candidates_token_count": 5,
        "thoughts_token_count": 3,
    }
    assert WIRE.usage(complete(usage_metadata=usage)) == Usage(107, 8, 80, 3)


def test_usage_is_zero_where_the_provider_does_not_say():
    assert WIRE.usage(types.GenerateContentResponse()) == Usage()


def test_every_ending_the_sdk_knows_is_an_answer_or_an_error():
    """None of them may pass as an answer but STOP, and what is unspecified."""
    answers = {
        reason.value
        for reason in types.FinishReason
        if not isinstance(_outcome(complete(call({"name": "A"}), reason=reason)), Exception)
    }
    assert answers == {"STOP", "FINISH_REASON_UNSPECIFIED"}


def _outcome(completion: Any) -> Any:
    try:
        return WIRE.read(completion, Mode.TOOLS, ["User"])[0].text
    except (IncompleteOutputException, RefusalError, ResponseParsingError) as error:
        return error


def test_safety_settings_may_be_a_dict():
    config = gather_config({"safety_settings": {"HARM_CATEGORY_HARASSMENT": "BLOCK_NONE"}})
    assert config["safety_settings"] == [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    assert gather_config({"safety_settings": {}})["safety_settings"] == []
