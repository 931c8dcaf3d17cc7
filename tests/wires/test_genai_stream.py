"""Chunks of Gemini: texts, thoughts, signatures, and calls that come in pieces."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from instructor.exceptions import ProviderError
from instructor.wires import genai_stream
from instructor.wires.genai_partial_args import PartialArgs
from instructor.wires.genai_stream import ResponseFold


def chunk(*parts: Any, reason: str | None = None, **members: Any) -> types.GenerateContentResponse:
    candidate = {"content": {"role": "model", "parts": list(parts)}} | ({"finish_reason": reason} if reason else {})
    return types.GenerateContentResponse.model_validate({"candidates": [candidate], **members})


def fold(*chunks: Any, request: Any = None) -> tuple[list[Any], dict[str, Any]]:
    taker = ResponseFold(request or {})
    deltas = [delta for one in chunks for delta in taker.add(one)]
    return deltas, taker.finish().body


def parts_of(body: dict[str, Any]) -> list[Any]:
    return body["candidates"][0]["content"]["parts"]


def test_texts_and_thoughts_are_joined_up_to_a_signature() -> None:
    chunks = [
        chunk({"text": "Let ", "thought": True}),
        chunk({"text": "me.", "thought": True}),
        chunk({"text": '{"a"'}),
        chunk({"text": ":1}", "thought_signature": b"sig"}),
        chunk({"text": "more"}, reason="STOP"),
    ]
    deltas, body = fold(*chunks)
    assert [delta.text for delta in deltas] == ['{"a"', ":1}", "more"]
    signed = {"text": '{"a":1}', "thought_signature": "c2ln"}
    assert parts_of(body) == [{"text": "Let me.", "thought": True}, signed, {"text": "more"}]
    assert types.GenerateContentResponse.model_validate(body).candidates[0].content.parts[1].thought_signature == b"sig"


def test_counts_and_lists_are_added_up() -> None:
    first = {"usage_metadata": {"prompt_token_count": 5, "total_token_count": 5}}
    cited = [{"citations": [{"uri": uri}]} for uri in "ab"]
    chunks = [chunk({"text": "x"}, **first), chunk(reason="STOP", usage_metadata={"total_token_count": 9})]
    for one, citation in zip(chunks, cited, strict=True):
        one.candidates[0].citation_metadata = types.CitationMetadata.model_validate(citation)
    _, body = fold(*chunks)
    assert body["usage_metadata"] == {"prompt_token_count": 5, "total_token_count": 9}
    assert body["candidates"][0]["citation_metadata"] == {"citations": [{"uri": "a"}, {"uri": "b"}]}


@pytest.mark.newest_sdks
def test_a_call_in_pieces_is_written_as_it_comes() -> None:
    def call(*pieces: Any, goes_on: bool = True, **members: Any) -> Any:
        return chunk({"function_call": {"partial_args": list(pieces), "will_continue": goes_on, **members}})

    chunks = [
        chunk({"function_call": {"name": "User", "will_continue": True}}),
        call({"json_path": "$.name", "string_value": "An", "will_continue": True}),
        call({"json_path": "$.name", "string_value": 'n"a'}),
        call(
            {"json_path": "$.pets[0].age", "number_value": 3.0},
            {"json_path": "$.pets[1].age", "null_value": "NULL_VALUE"},
        ),
        chunk({"function_call": {}}),
        chunk({"function_call": {"name": "Other", "args": {"b": 2}}}, reason="STOP"),
    ]
    deltas, body = fold(*chunks)
    args = {"name": 'Ann"a', "pets": [{"age": 3}, {"age": None}]}
    assert parts_of(body) == [
        {"function_call": {"name": "User", "args": args}},
        {"function_call": {"name": "Other", "args": {"b": 2}}},
    ]
    ours = [delta.text for delta in deltas if delta.tool == "User"]
    assert json.loads("".join(ours)) == args
    assert ours[1] == '{"name":"An'
    assert [delta.number for delta in deltas if delta.tool == "Other"] == [1]


def test_the_schema_of_the_request_decides_whether_the_text_is_parsed() -> None:
    chunks = [chunk({"text": '{"a":'}), chunk({"text": " 1}"}, reason="STOP")]
    request = {"config": {"response_json_schema": {"type": "object"}}}
    assert fold(*chunks, request=request)[1]["parsed"] == {"a": 1}
    assert "parsed" not in fold(*chunks)[1]


@pytest.mark.parametrize("chunks", [(), (types.GenerateContentResponse(candidates=[]),), (chunk({"text": "x"}),)])
def test_a_stream_without_an_end_is_an_error(chunks: Any) -> None:
    with pytest.raises(ProviderError, match="ended early"):
        fold(*chunks)


def test_a_prompt_that_was_blocked_is_an_end() -> None:
    blocked = types.GenerateContentResponse.model_validate({"prompt_feedback": {"block_reason": "SAFETY"}})
    assert fold(blocked)[1]["prompt_feedback"] == {"block_reason": "SAFETY"}


LEAVES = st.one_of(st.text(), st.booleans(), st.none(), st.integers(-1000, 1000))
VALUES = st.recursive(
    LEAVES,
    lambda below: (
        st.lists(below, min_size=1, max_size=3) | st.dictionaries(st.text("abc d"), below, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


def paths_of(value: Any, path: str = "$") -> Any:
    """The values at JSON paths in which Vertex AI streams a value."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from paths_of(member, f"{path}[{json.dumps(name)}]")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths_of(item, f"{path}[{index}]")
    elif isinstance(value, str):
        middle = len(value) // 2
        yield {"json_path": path, "string_value": value[:middle], "will_continue": True}
        yield {"json_path": path, "string_value": value[middle:]}
    elif value is None:
        yield {"json_path": path, "null_value": "NULL_VALUE"}
    else:
        yield {"json_path": path, "bool_value" if isinstance(value, bool) else "number_value": value}


@given(st.dictionaries(st.text("abc d"), VALUES, max_size=4))
def test_any_arguments_are_written_as_the_json_that_they_are(value: dict[str, Any]) -> None:
    args = PartialArgs("User")
    assert json.loads("".join([*map(args.add, paths_of(value)), args.close()])) == value


@pytest.mark.newest_sdks
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_pieces_joined_some_at_a_time_make_the_same_completion(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*pieces: Any, goes_on: bool = True) -> Any:
        return chunk({"function_call": {"partial_args": list(pieces), "will_continue": goes_on}})

    name = {"json_path": "$.name", "string_value": "An", "will_continue": True}
    cited = chunk({"text": "e"}, usage_metadata={"prompt_token_count": 5})
    cited.candidates[0].citation_metadata = types.CitationMetadata.model_validate({"citations": [{"uri": "a"}]})
    chunks = [
        *(chunk({"text": text, "thought": True}) for text in "abc"),
        *(chunk({"text": text}) for text in "dxyz"),
        chunk({"text": "!"}, {"text": "?", "thought_signature": b"sig"}),
        *(cited, cited, cited),
        chunk({"function_call": {"name": "User", "will_continue": True}}),
        *(call(name), call(name), call(name), call(goes_on=False)),
        *(chunk({"function_call": {"name": "Other", "args": {"b": number}}}) for number in range(3)),
        chunk(reason="STOP", usage_metadata={"total_token_count": 9}),
    ]
    _, whole = fold(*chunks)
    monkeypatch.setattr(genai_stream, "_AT_ONCE", at_once)
    assert fold(*chunks)[1] == whole


def test_a_long_answer_is_kept_as_its_text() -> None:
    taker, count = ResponseFold({}), 5_000
    gc.collect()
    before = len(gc.get_objects())
    for number in range(count):
        taker.add(chunk({"text": str(number)}))
    gc.collect()
    assert len(gc.get_objects()) - before < count / 2
    taker.add(chunk({"text": "."}, reason="STOP"))
    assert parts_of(taker.finish().body) == [{"text": "".join(map(str, range(count))) + "."}]
