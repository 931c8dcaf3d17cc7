"""A caller's arguments reach the API that is asked under the names it has for them, and none is dropped in silence.

Real SDKs send to a server on loopback.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pydantic
import pytest

from instructor.cache import AutoCache
from instructor.exceptions import InstructorRetryException
from instructor.factory import from_anthropic, from_provider
from instructor.hooks import AdaptedEvent
from instructor.mode import Mode
from replies import Received, Reply, ReplyServer, obedient_answer


class User(pydantic.BaseModel):
    name: str


ANSWER = {"name": "Anna"}
USER = User(**ANSWER)
ASKED = [{"role": "user", "content": "Anna is 25."}]
EMPTY = {"role": "assistant", "content": ""}
WITH_EMPTY_PART = {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "Anna is 25."}]}
CHOICE_REFUSED = "Thinking mode does not support this tool_choice"


class Obedient(ReplyServer):
    """A server whose model answers, unless `refuse` finds words to refuse a request with."""

    def take(self, received: Received) -> Reply:
        self.requests.append(received)
        refusal = self.refuse(received.body)
        return Reply(obedient_answer(received, ANSWER)) if refusal is None else refusal

    def refuse(self, body: Any) -> Reply | None:
        """Refuse nothing."""
        del body
        return None

    @property
    def body(self) -> Any:
        """The only request's body."""
        (received,) = self.requests
        return received.body


@pytest.fixture
def server() -> Iterator[Obedient]:
    with Obedient() as obedient:
        yield obedient


@contextmanager
def connect(server: ReplyServer, name: str, **options: Any) -> Iterator[Any]:
    """A client that is closed after the test."""
    client = from_provider(name, base_url=server.url, api_key="k", **options)
    try:
        yield client
    finally:
        client._adapter.close()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "instructor"]


class TestChatArgumentsOnTheResponsesApi:
    @pytest.mark.parametrize(
        ("arguments", "sent"),
        [
            ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
            (
                {"reasoning_effort": "low", "reasoning": {"summary": "auto"}},
                {"reasoning": {"effort": "low", "summary": "auto"}},
            ),
            ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, {"reasoning": {"effort": "high"}}),
            ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
            ({"max_tokens": 9}, {"max_output_tokens": 9}),
            ({"max_completion_tokens": 9}, {"max_output_tokens": 9}),
            ({"max_tokens": 9, "max_output_tokens": 8}, {"max_output_tokens": 8}),
            (
                {
                    "verbosity": "low",
                    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
                },
                {"text": {"verbosity": "low", "format": {"type": "json_schema", "name": "a", "schema": {}}}},
            ),
            (
                {"user": "u", "metadata": {"a": "b"}, "store": False},
                {"user": "u", "metadata": {"a": "b"}, "store": False},
            ),
        ],
        ids=",".join,
    )
    def test_are_sent_under_its_names(self, arguments, sent, server: Obedient, caplog):
        with connect(server, "openai/gpt-5.3-codex") as client:
            assert client.create(User, ASKED, **arguments) == USER
        body = {
            name: value for name, value in server.body.items() if name not in {"model", "input", "tools", "tool_choice"}
        }
        assert body == sent
        assert warnings_of(caplog) == []

    def test_that_it_does_not_have_are_left_out_with_one_warning_and_one_event(self, server: Obedient, caplog):
        events: list[AdaptedEvent] = []
        with connect(server, "openai/gpt-5.3-codex") as client:
            client.on("completion:adapted", events.append)
            for _ in range(3):
                assert client.create(User, ASKED, seed=1, stop=["."], n=1) == USER
        assert {"seed", "stop", "n"}.isdisjoint(server.requests[0].body)
        (event,) = events
        assert (event.reason, event.change) == ("responses.create doesn't have n, seed, stop", "without n, seed, stop")
        (warning,) = warnings_of(caplog)
        assert "without n, seed, stop" in warning

    def test_that_it_does_not_have_make_no_difference_to_the_key(self, server: Obedient):
        with connect(server, "openai/gpt-5.3-codex", cache=AutoCache()) as client:
            for seed in (1, 2):
                client.create(User, ASKED, seed=seed)
        assert len(server.requests) == 1


class TestArgumentsThatTheTableRefuses:
    def test_are_told_once_however_many_threads_there_are(self, server: Obedient, caplog):
        events: list[AdaptedEvent] = []
        with connect(server, "anthropic/claude-opus-5-5", temperature=0) as client:
            client.on("completion:adapted", events.append)
            with ThreadPoolExecutor(20) as pool:
                answers = list(pool.map(lambda _: client.create(User, ASKED), range(20)))
        assert answers == [USER] * 20
        assert all("temperature" not in received.body for received in server.requests)
        assert [(event.reason, event.change) for event in events] == [
            ("the model refuses temperature", "without temperature")
        ]
        assert len(warnings_of(caplog)) == 1

    def test_are_told_for_each_argument_and_model(self, server: Obedient, caplog):
        with connect(server, "anthropic/claude-opus-5-5") as client:
            client.create(User, ASKED, temperature=0)
            client.create(User, ASKED, temperature=0, top_p=1)
            client.create(User, ASKED, temperature=0, model="claude-opus-5")
        assert [warning.partition("refuses ")[2].partition(".")[0] for warning in warnings_of(caplog)] == [
            "temperature",
            "top_p",
            "temperature",
        ]

    def test_are_not_told_where_their_value_is_none(self, server: Obedient, caplog):
        with connect(server, "anthropic/claude-opus-5-5") as client:
            client.create(User, ASKED, temperature=None, max_tokens=None)
        assert server.body["max_tokens"] == 16384
        assert warnings_of(caplog) == []


class TestRefusals:
    """What a provider refuses is learned from only if the next request proves it."""

    def test_a_tool_choice_of_the_callers_own_is_the_callers_to_correct(self, server: Obedient, monkeypatch):
        def refuse(body: Any) -> Reply | None:
            refused = body.get("tool_choice") == "required"
            return Reply({"error": {"message": CHOICE_REFUSED}}, status=400) if refused else None

        monkeypatch.setattr(server, "refuse", refuse)
        with connect(server, "openai/my-model") as client:
            with pytest.raises(InstructorRetryException, match="does not support this tool_choice"):
                client.create(User, ASKED, max_retries=0, tool_choice="required")
            assert len(server.requests) == 1, "the same request is not sent twice"
            assert client.create(User, ASKED) == USER
        assert server.requests[1].body["tool_choice"]["function"]["name"] == "User", "nothing was learned"

    def test_what_did_not_help_is_not_remembered(self, server: Obedient, monkeypatch):
        """A server that blames the tool choice, whatever it is."""
        refusals = [Reply({"error": {"message": CHOICE_REFUSED}}, status=400)] * 9
        monkeypatch.setattr(server, "refuse", lambda body: refusals.pop() if refusals else None)
        with connect(server, "openai/my-model", mode=Mode.TOOLS) as client:
            with pytest.raises(InstructorRetryException, match="does not support this tool_choice"):
                client.create(User, ASKED, max_retries=0)
            bodies = [received.body for received in server.requests]
            assert all(body not in bodies[:index] for index, body in enumerate(bodies))
            refusals.clear()
            assert client.create(User, ASKED) == USER
        assert server.requests[-1].body["tool_choice"]["function"]["name"] == "User"

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "reasoning_effort"], "msg": "Extra inputs are not permitted", "input": "low"}]}),
            (400, {"object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'reasoning_effort'), 'msg': 'Extra inputs are not permitted', 'input': 'low'}]"}),
            (400, {"error": {"message": "Unsupported parameter: 'reasoningEffort'."}}),
        ],
        ids=["FastAPI", "vLLM", "camelCase"],
    )  # fmt: skip
    def test_an_argument_that_a_server_does_not_know_is_left_out(self, status, body, server: Obedient, monkeypatch):
        monkeypatch.setattr(server, "refuse", lambda sent: Reply(body, status) if "reasoning_effort" in sent else None)
        with connect(server, "openai/my-model") as client:
            for _ in range(2):
                assert client.create(User, ASKED, reasoning_effort="low") == USER
        assert ["reasoning_effort" in received.body for received in server.requests] == [True, False, False]

    def test_the_limit_gets_its_old_name_where_a_server_does_not_know_the_new_one(self, server: Obedient, monkeypatch):
        words = {"detail": [{"loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}]}
        monkeypatch.setattr(
            server, "refuse", lambda sent: Reply(words, 422) if "max_completion_tokens" in sent else None
        )
        events: list[AdaptedEvent] = []
        with connect(server, "openai/my-model") as client:
            client.on("completion:adapted", events.append)
            for _ in range(2):
                assert client.create(User, ASKED, max_completion_tokens=9) == USER
        assert [received.body.get("max_tokens") for received in server.requests] == [None, 9, 9]
        assert [event.change for event in events] == ["max_completion_tokens -> max_tokens"]

    @pytest.mark.parametrize("mode", [Mode.TOOLS, Mode.RESPONSES_TOOLS])
    def test_openrouters_404_about_the_tool_choice_weakens_it(self, mode, server: Obedient, monkeypatch):
        words = {"error": {"message": "No endpoints found that support the provided 'tool_choice' value.", "code": 404}}
        monkeypatch.setattr(
            server, "refuse", lambda sent: Reply(words, 404) if isinstance(sent["tool_choice"], dict) else None
        )
        with connect(server, "openrouter/some/model", mode=mode) as client:
            assert client.create(User, ASKED) == USER
        assert [received.body["tool_choice"] for received in server.requests][1:] == ["auto"]

    def test_a_refusal_that_many_threads_meet_is_told_once(self, server: Obedient, monkeypatch, caplog):
        monkeypatch.setattr(
            server,
            "refuse",
            lambda sent: (
                Reply({"error": {"message": CHOICE_REFUSED}}, 400) if isinstance(sent["tool_choice"], dict) else None
            ),
        )
        with connect(server, "openai/my-model") as client, ThreadPoolExecutor(20) as pool:
            assert list(pool.map(lambda _: client.create(User, ASKED), range(20))) == [USER] * 20
        assert len(warnings_of(caplog)) == 1


class TestAnthropic:
    @pytest.mark.parametrize(
        ("options", "arguments", "version"),
        [
            ({}, {}, "2023-06-01"),
            ({"default_headers": {"Anthropic-Version": "2024-01-01"}}, {}, "2024-01-01"),
            ({}, {"extra_headers": {"Anthropic-Version": "2024-02-02"}}, "2024-02-02"),
            (
                {"default_headers": {"anthropic-version": "2024-01-01"}},
                {"extra_headers": {"anthropic-version": "2024-02-02"}},
                "2024-02-02",
            ),
        ],
    )
    def test_sampling_arguments_choose_a_version_unless_the_caller_does(
        self, options, arguments, version, server: Obedient
    ):
        with connect(server, "anthropic/claude-sonnet-4-6", **options) as client:
            assert client.create(User, ASKED, temperature=0.5, **arguments) == USER
        headers = {name.lower(): value for name, value in server.requests[0].headers.items()}
        assert headers["anthropic-version"] == version
        assert server.body["temperature"] == 0.5

    def test_a_client_that_the_caller_made_keeps_its_version(self, server: Obedient):
        import anthropic

        with anthropic.Anthropic(
            api_key="k", base_url=server.url, default_headers={"anthropic-version": "2024-01-01"}
        ) as sdk:
            client = from_anthropic(sdk, model="claude-sonnet-4-6")
            assert client.create(User, ASKED, top_k=4) == USER
        headers = {name.lower(): value for name, value in server.requests[0].headers.items()}
        assert headers["anthropic-version"] == "2024-01-01"

    def test_without_sampling_arguments_the_sdk_chooses_the_version(self, server: Obedient):
        from anthropic import Anthropic

        with connect(server, "anthropic/claude-sonnet-4-6") as client:
            client.create(User, ASKED)
        headers = {name.lower(): value for name, value in server.requests[0].headers.items()}
        with Anthropic(api_key="k") as sdk:
            assert headers["anthropic-version"] == sdk.default_headers["anthropic-version"]


class TestEmptyContent:
    @pytest.mark.parametrize(
        "name", ["openai/my-model", "openai/o3-pro", "anthropic/claude-sonnet-4-6", "google/gemini-3-pro"]
    )
    def test_a_part_without_text_is_not_sent(self, name, server: Obedient):
        with connect(server, name) as client:
            assert client.create(User, [WITH_EMPTY_PART]) == USER
        (turn,) = (server.body.get("messages") or server.body.get("input") or server.body["contents"])[-1:]
        parts = turn.get("content") or turn["parts"]
        assert [part["text"] for part in parts] == ["Anna is 25."]

    @pytest.mark.parametrize("empty", [EMPTY, {"role": "assistant", "content": [{"type": "text", "text": ""}]}])
    def test_an_empty_turn_makes_no_difference_to_the_key(self, empty, server: Obedient):
        with connect(server, "openai/my-model", cache=AutoCache()) as client:
            for messages in (ASKED, [empty, *ASKED], [{"role": "user", "content": ""}, *ASKED]):
                assert client.create(User, messages) == USER
        assert len(server.requests) == 1


def test_a_call_of_the_callers_own_tool_where_the_answer_is_text_says_what_to_change(server: Obedient):
    search = {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}
    for name in ("openai/my-model", "anthropic/claude-sonnet-4-6", "google/gemini-3-pro"):
        with (
            connect(server, name, mode=Mode.JSON) as client,
            pytest.raises(InstructorRetryException, match=r"'search'.*Mode\.TOOLS"),
        ):
            client.create(User, ASKED, tools=[search], max_retries=0)
