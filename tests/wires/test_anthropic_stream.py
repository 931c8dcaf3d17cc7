"""Events of the Messages API that come out of order, and input that isn't JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from instructor.exceptions import ProviderError
from instructor.wires.anthropic import ANTHROPIC_MESSAGES
from instructor.wires.anthropic_stream import MessageFold
from instructor.wires.spec import ToolSpec
from replies import message, tool_use
from streams import anthropic_events

ANNA = {"name": "Anna Maria", "age": 25, "pets": [{"index": 1, "kind": None}]}
THOUGHT = {"type": "thinking", "thinking": "Who is it? Anna.", "signature": "c2lnbmF0dXJl"}
BODY = message(THOUGHT, {"type": "text", "text": "It is Anna."}, tool_use("User", ANNA), stop_reason="tool_use")
EVENTS = [*anthropic_events(BODY)]


def fold(events: Any, *specs: ToolSpec) -> tuple[list[str], dict[str, Any]]:
    taker = MessageFold({}, specs)
    texts = [delta.text for event in events for delta in taker.add(event) if delta.tool and delta.text]
    return texts, taker.finish().body


def test_the_message_is_that_of_an_answer_in_one_piece() -> None:
    texts, body = fold(EVENTS)
    assert body == BODY
    assert json.loads("".join(texts)) == ANNA
    assert len(texts) > 2


def test_blocks_may_be_interleaved() -> None:
    begin, *rest = EVENTS
    order = sorted(range(len(rest)), key=lambda at: (rest[at]["type"] == "message_delta", at % 3))
    kinds = ("content_block_start", "content_block_delta", "content_block_stop", "message_delta")
    mixed = [
        rest[at]
        for kind in kinds
        for at in (order if kind != kinds[1] else range(len(rest)))
        if rest[at]["type"] == kind
    ]
    assert fold([begin, *mixed])[1] == BODY


@pytest.mark.parametrize(
    "number", [at for at, event in enumerate(EVENTS) if event["type"].endswith(("start", "stop"))][:-1]
)
def test_a_beginning_or_an_end_that_is_lost_or_comes_twice_is_an_error(number: int) -> None:
    before, event, after = EVENTS[:number], EVENTS[number], EVENTS[number + 1 :]
    for events in ([*before, *after], [*before, event, event, *after]):
        with pytest.raises(ProviderError, match="ended early"):
            fold(events)


@pytest.mark.parametrize("count", range(len(EVENTS) - 2))
def test_a_message_without_its_end_is_an_error(count: int) -> None:
    with pytest.raises(ProviderError, match="ended early"):
        fold(EVENTS[:count])


@pytest.mark.parametrize("text", ['{"name": An', "Anna", '"{\\"name\\": 1}"', "[1]", "null"])
def test_input_that_is_no_json_object_stays_text(text: str) -> None:
    _, body = fold(anthropic_events(message(tool_use("User", text))))
    assert body["content"][0]["input"] == text


def test_counts_of_the_end_replace_those_of_the_beginning_and_others_stay() -> None:
    counts = {"output_tokens": 9, "input_tokens": 12, "cache_read_input_tokens": None}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "container": {"id": "c"}}, "usage": counts}
    _, body = fold([*EVENTS[:-2], end])
    assert body["usage"] == {**BODY["usage"], "output_tokens": 9, "input_tokens": 12}
    assert body["container"] == {"id": "c"}


def test_citations_are_collected() -> None:
    cited = [{"type": "char_location", "cited_text": text} for text in "ab"]
    begun = {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": "", "citations": None},
    }
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": one}}
        for one in cited
    ]
    end = [{"type": "content_block_stop", "index": 0}, *EVENTS[-2:]]
    assert fold([EVENTS[0], begun, *deltas, *end])[1]["content"][0]["citations"] == cited


def test_a_block_may_come_whole_at_its_beginning() -> None:
    begun = {"type": "content_block_start", "index": 0, "content_block": tool_use("User", ANNA)}
    texts, body = fold([EVENTS[0], begun, {"type": "content_block_stop", "index": 0}, *EVENTS[-2:]])
    assert json.loads("".join(texts)) == ANNA
    assert body["content"] == [tool_use("User", ANNA)]


def test_names_that_the_api_refuses_are_never_shown() -> None:
    spec = ToolSpec("User", "A user.", {"type": "object", "properties": {"Full Name": {"type": "string"}}})
    [sent] = ANTHROPIC_MESSAGES.bind(spec, ANTHROPIC_MESSAGES.modes[0], True).arguments["tools"]
    [name] = sent["input_schema"]["properties"]
    texts, _ = fold(anthropic_events(message(tool_use("User", {name: "Anna Maria Luisa"}))), spec)
    assert [json.loads(text) for text in texts] == [{"Full Name": "Anna Maria Luisa"}]


def test_an_error_event_is_told() -> None:
    with pytest.raises(ProviderError, match="overloaded"):
        fold([*EVENTS[:3], {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}])
