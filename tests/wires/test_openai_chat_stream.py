"""What vendors of OpenAI's protocol do differently when they stream."""

from __future__ import annotations

from typing import Any

import pytest

from instructor.exceptions import ProviderError
from instructor.wires.folding import TEXT, Delta
from instructor.wires.openai_chat import OPENAI_CHAT
from instructor.wires.openai_chat_stream import ChatFold

END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}


def chunk(delta: Any, **choice: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, **choice}]}


def piece(text: str, name: str | None = None, **members: Any) -> dict[str, Any]:
    function = {"arguments": text} | ({"name": name} if name else {})
    return chunk({"tool_calls": [{"function": function, **members}]})


def fold(*chunks: Any) -> tuple[list[Delta], dict[str, Any]]:
    taker = ChatFold()
    deltas = [delta for one in chunks for delta in taker.add(one)]
    return deltas, taker.finish().body


def calls_of(body: dict[str, Any]) -> list[tuple[str, str]]:
    calls = body["choices"][0]["message"]["tool_calls"]
    return [(call["function"]["name"], call["function"]["arguments"]) for call in calls]


@pytest.mark.parametrize(
    "chunks",
    [
        (piece('{"a"', "One", index=0, id="x"), piece(":1}", index=0), piece("{}", "Two", index=1, id="y")),
        (piece('{"a"', "One", index=1, id="x"), piece(":1}", index=1), piece("{}", "Two", index=2, id="y")),
        (piece('{"a"', "One", id="x"), piece(":1}"), piece("{}", "Two", id="y")),
        (piece('{"a"', "One", id="x"), piece(":1}", id="x"), piece("{}", "Two", id="y")),
        (piece('{"a":1}', "One", index=0, id="x"), piece("{}", "Two", index=0, id="y")),
        (piece('{"a"', "One", index=0, id="x"), piece("{}", "Two", index=1, id="y"), piece(":1}", index=0)),
        (piece('{"a"', "One", index=0, id="x"), piece(":1}", "", index=0, id=""), piece("{}", "Two", index=1, id="y")),
        (piece('{"a"', "One"), piece(":1}"), piece("{}", "Two")),
        (piece('{"a"', "One", index=0), piece(":1}", "One", index=0), piece("{}", "Two", index=1)),
    ],
    ids=[
        "index",
        "counted from 1",
        "no index",
        "id only",
        "same index",
        "interleaved",
        "empty name and id",
        "name only",
        "name repeated",
    ],
)
def test_calls_are_told_apart(chunks: Any) -> None:
    deltas, body = fold(*chunks, END)
    assert calls_of(body) == [("One", '{"a":1}'), ("Two", "{}")]
    assert "".join(delta.text for delta in deltas if delta.tool == "One") == '{"a":1}'
    assert len({delta.number for delta in deltas}) == 2


def test_several_calls_may_come_whole_in_one_chunk() -> None:
    calls = [{"id": f"c{number}", "function": {"name": name, "arguments": "{}"}} for number, name in enumerate("AB")]
    deltas, body = fold(chunk({"role": "assistant", "content": None, "tool_calls": calls}), END)
    assert [delta.tool for delta in deltas] == ["A", "B"]
    assert calls_of(body) == [("A", "{}"), ("B", "{}")]


def test_azures_chunks_without_choices_and_its_filters_are_kept_as_in_one_piece() -> None:
    safe = {"hate": {"filtered": False, "severity": "safe"}}
    first = {"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    texts = [chunk({"content": text}, content_filter_results=safe, finish_reason=None) for text in ("Hel", "lo")]
    end = chunk({}, finish_reason="stop", content_filter_results={})
    used = {"id": "c1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
    deltas, body = fold(first, *texts, end, used)
    assert [delta for delta in deltas if delta.text] == [Delta(TEXT, "", "Hel"), Delta(TEXT, "", "lo")]
    assert (body["id"], body["model"]) == ("c1", "m")
    assert body["prompt_filter_results"] == [{"prompt_index": 0}]
    assert body["choices"][0]["content_filter_results"] == safe
    assert OPENAI_CHAT.usage(body).total_tokens == 3


def test_reasoning_is_kept() -> None:
    details = [{"type": "reasoning.text", "index": 0, "text": text} for text in ("Let me ", "see.")]
    chunks = [
        chunk({"reasoning_content": text, "reasoning_details": [one]}) for text, one in zip("ab", details, strict=True)
    ]
    _, body = fold(*chunks, chunk({"content": "Yes"}, finish_reason="stop"))
    message = body["choices"][0]["message"]
    assert message["reasoning_content"] == "ab"
    assert message["reasoning_details"] == [{"type": "reasoning.text", "index": 0, "text": "Let me see."}]


def test_mistrals_thinking_is_kept_among_the_parts_of_the_content() -> None:
    thought = [[{"type": "thinking", "thinking": [{"type": "text", "text": text}]}] for text in ("Let me ", "think.")]
    contents = ["Hm. ", "So: ", *thought, [{"type": "text", "text": '{"a"'}], ":1}"]
    deltas, body = fold(*(chunk({"content": content}) for content in contents), chunk({}, finish_reason="stop"))
    assert "".join(delta.text for delta in deltas) == 'Hm. So: {"a":1}'
    assert body["choices"][0]["message"]["content"] == [
        {"type": "text", "text": "Hm. So: "},
        {"type": "thinking", "thinking": [{"type": "text", "text": "Let me think."}]},
        {"type": "text", "text": '{"a":1}'},
    ]


def test_groqs_usage_counts_and_what_hides_the_length_is_dropped() -> None:
    counts = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    end = {**chunk({}, finish_reason="stop"), "x_groq": {"id": "r", "usage": counts}, "obfuscation": "aBc"}
    _, body = fold(chunk({"content": "Yes"}), end)
    assert OPENAI_CHAT.usage(body).total_tokens == 3
    assert "obfuscation" not in body


def test_a_finish_reason_is_not_lost_to_a_later_chunk_without_one() -> None:
    _, body = fold(chunk({"content": "Yes"}, finish_reason="stop"), chunk({"content": ""}, finish_reason=""))
    assert body["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("chunks", [(), ({"choices": []},), ({"choices": None},), (chunk({"content": "Ye"}),), ({},)])
def test_a_stream_without_an_end_is_an_error(chunks: Any) -> None:
    with pytest.raises(ProviderError, match="ended early"):
        fold(*chunks)


def test_an_error_instead_of_the_end_is_told() -> None:
    with pytest.raises(ProviderError, match="overloaded"):
        fold(chunk({"content": "Ye"}), {"error": {"message": "overloaded"}, "choices": []})
