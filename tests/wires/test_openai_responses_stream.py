"""Events of the Responses API that come twice, not at all, or from servers that copy it."""

from __future__ import annotations

from typing import Any

import pytest

from instructor.exceptions import ProviderError
from instructor.wires.openai_responses import OPENAI_RESPONSES
from instructor.wires.openai_responses_stream import ResponseFold
from replies import function_call, response
from streams import responses_events

BODY = response({"type": "reasoning", "summary": []}, function_call("User", '{"name": "Anna Maria", "age": 25}'))
EVENTS = [*responses_events(BODY)]


def fold(events: Any) -> tuple[str, dict[str, Any]]:
    taker = ResponseFold()
    text = "".join(delta.text for event in events for delta in taker.add(event) if delta.tool == "User")
    return text, taker.finish().body


def test_the_response_is_that_of_the_last_event() -> None:
    assert fold(EVENTS) == ('{"name": "Anna Maria", "age": 25}', BODY)


@pytest.mark.parametrize("number", [at for at, event in enumerate(EVENTS) if event["type"].endswith(".delta")])
def test_a_piece_that_is_lost_or_comes_twice_or_too_late_is_an_error(number: int) -> None:
    before, piece, after = EVENTS[:number], EVENTS[number], EVENTS[number + 1 :]
    wrong = [[*before, *after], [*before, piece, piece, *after]]
    if after[0]["type"].endswith(".delta"):
        wrong.append([*before, after[0], piece, *after[1:]])
    for events in wrong:
        with pytest.raises(ProviderError, match="ended early"):
            fold(events)


def test_a_piece_of_an_item_that_has_not_begun_and_an_item_that_begins_twice_are_errors() -> None:
    added = next(event for event in EVENTS if event["type"].endswith("added") and event["output_index"] == 1)
    for events in ([event for event in EVENTS if event is not added], [added, *EVENTS]):
        with pytest.raises(ProviderError, match="ended early"):
            fold(events)


@pytest.mark.parametrize("kept", [("arguments.done",), ("item.done",), ("item.added", "arguments.done")])
def test_servers_that_send_whole_items_only_are_read(kept: tuple[str, ...]) -> None:
    needed = (*kept, "item.added", "completed") if kept != ("item.done",) else (*kept, "completed")
    assert fold(event for event in EVENTS if event["type"].endswith(needed)) == fold(EVENTS)


def test_items_that_the_last_event_leaves_out_are_those_that_came() -> None:
    end = {"type": "response.completed", "response": {**BODY, "output": []}}
    assert fold([*EVENTS[:-1], end]) == fold(EVENTS)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"type": "error", "code": "server_error", "message": "Sorry."}, "server_error: Sorry."),
        ({"type": "error"}, "sent an error"),
    ],
)
def test_an_error_is_told(event: Any, words: str) -> None:
    with pytest.raises(ProviderError, match=words):
        fold([*EVENTS[:4], event])


def test_the_status_is_that_of_the_event_where_the_response_has_none() -> None:
    body = {name: value for name, value in BODY.items() if name != "status"}
    _, whole = fold([*EVENTS[:-1], {"type": "response.failed", "response": body}])
    with pytest.raises(ProviderError, match="failed"):
        OPENAI_RESPONSES.check(whole)
