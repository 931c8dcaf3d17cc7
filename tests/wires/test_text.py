from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from instructor.exceptions import AsyncValidationError
from instructor.wires.text import (
    ask_for_json,
    describe_error,
    dump_arguments,
    dump_json,
    get_extra,
    get_path,
    read_text,
    shorten,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_the_instruction_holds_the_schema_and_says_json():
    text = ask_for_json({"type": "object"}, fenced=True)
    assert "```json" in text
    assert "JSON" in ask_for_json({"type": "object"})
    assert text.endswith('{"type":"object"}')


class Item(BaseModel):
    price: int = Field(gt=0)
    note: str

    @field_validator("note")
    @classmethod
    def check_note(cls, note: str) -> str:
        if note == "bad":
            raise ValueError("No bad notes.")
        return note


class Order(BaseModel):
    items: list[Item]


def raised(text: str) -> str:
    with pytest.raises(ValidationError) as caught:
        Order.model_validate_json(text)
    return describe_error(caught.value)


def test_each_problem_is_one_line_with_place_message_and_input():
    assert raised('{"items": [{"price": 0}, {"price": null, "note": "bad"}]}').splitlines() == [
        "- items.0.price: Input should be greater than 0 (input: 0)",
        "- items.0.note: Field required",
        "- items.1.price: Input should be a valid integer (input: null)",
        '- items.1.note: Value error, No bad notes. (input: "bad")',
    ]


def test_a_long_input_is_shortened_and_many_problems_are_counted():
    lines = raised(json.dumps({"items": ["x" * 500] * 40})).splitlines()
    assert len(lines) == 26
    assert lines[-1] == "- and 15 more"
    assert all(len(line) < 260 for line in lines)


def test_broken_json_is_a_problem_of_the_whole_answer():
    assert raised('{"items": ').startswith("- the answer: Invalid JSON: EOF")


def test_an_input_that_is_no_json_is_shown_all_the_same():
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"items": {1, 2}.__class__})
    assert "input: <class 'set'>" in describe_error(caught.value)


def test_other_errors_are_described_by_their_message():
    assert describe_error(ValueError("Too short.")) == "Too short."
    assert describe_error(KeyError()) == "KeyError"
    errors = [ValueError("one"), ValueError("two")]
    assert describe_error(AsyncValidationError("both", errors=errors)) == "- one\n- two"


def test_shorten_keeps_to_the_limit():
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"


def test_look_reads_attributes_and_members_and_stops_where_there_is_nothing():
    value = SimpleNamespace(usage={"details": SimpleNamespace(cached=3)})
    assert get_path(value, "usage", "details", "cached") == 3
    assert get_path(value, "usage", "missing", "cached") is None
    assert get_path(None, "usage") is None


@pytest.mark.parametrize(
    ("content", "text"),
    [("a", "a"), (None, ""), ([], ""), (["a", {"text": "b"}, SimpleNamespace(text="c"), {"image": "x"}], "abc")],
)
def test_read_text_joins_the_parts_that_are_text(content, text):
    assert read_text(content) == text


def test_integers_of_any_size_are_written():
    assert dump_json({"maximum": 2**70}) == '{"maximum":1180591620717411303424}'


@given(values)
def test_json_is_written_so_that_it_reads_the_same_at_any_size_of_integer(value):
    assert json.loads(dump_json(value)) == value


@given(st.dictionaries(st.text(), values))
def test_arguments_that_were_parsed_are_written_again_and_text_stays_to_the_letter(arguments):
    text = json.dumps(arguments, indent=1)
    assert json.loads(dump_arguments(arguments)) == arguments
    assert dump_arguments(text) == text


class Declared(BaseModel):
    model_config = ConfigDict(extra="allow")
    error: str | None = None


class Closed(BaseModel):
    error: str | None = None


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (Declared(error="e"), "e"),
        (Declared(), None),
        (Closed(error="e"), "e"),
        (SimpleNamespace(error="e"), "e"),
        (SimpleNamespace(), None),
        ({"error": "e"}, "e"),
        ({}, None),
        (None, None),
    ],
)
def test_a_member_that_a_gateway_adds_is_found_wherever_it_stands(value, found):
    assert get_extra(value, "error") == found


def test_a_member_that_the_sdk_does_not_declare_is_found():
    assert get_extra(Declared(other="o"), "other") == "o"
    assert get_extra(Declared(), "other") is None
