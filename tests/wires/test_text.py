from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, field_validator

from instructor.exceptions import AsyncValidationError
from instructor.wires.text import (
    ask_for_json,
    describe_error,
    dump_arguments,
    dump_json,
    find_json,
    look,
    read_text,
    shorten,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
answers = st.dictionaries(st.text(), values, max_size=4) | st.lists(values, max_size=4)
prose = st.text(st.characters(exclude_characters="{}[]`<"))


@given(before=prose, answer=answers, after=prose, indent=st.sampled_from([None, 2]), escape=st.booleans())
def test_finds_any_json_in_any_prose(before, answer, after, indent, escape):
    text = json.dumps(answer, indent=indent, ensure_ascii=escape)
    assert find_json(before + text + after) == text


@given(thought=st.text(st.characters(exclude_characters="<")), answer=answers, indent=st.sampled_from([None, 2]))
def test_finds_a_fenced_answer_whatever_was_thought_before(thought, answer, indent):
    text = json.dumps(answer, indent=indent)
    assert find_json(f"<think>{thought}</think>\nSo:\n```json\n{text}\n```") == text


@given(st.text())
def test_any_text_at_all_is_read_without_a_crash(text):
    found = find_json(text)
    assert found is None or (found in text and found[0] in "{[")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("No {braces} and [1", None),
        ("<think>{}", None),
        ('<think>{"a": 1}</think> {"b": 2}', '{"b": 2}'),
        ('first {"a": 1}, no: </think>{"b": 2}', '{"b": 2}'),
        ('{"a": "</think> {}"}', '{"a": "</think> {}"}'),
        ('It says [1] {"a": 1} [2]', '{"a": 1}'),
        ('Use {name} here: {"a": 1}', '{"a": 1}'),
        ('{"a": 1} wait, {"a": 2}', '{"a": 2}'),
        ('```json\n{"a": 1}\n```\nas in {"b": 2}', '{"a": 1}'),
        ('```\n{"a": 1}\n``` or {"b": 2}', '{"a": 1}'),
        ('{"code": "```js\\n{}\\n```"}', '{"code": "```js\\n{}\\n```"}'),
        ('{"a": "\\"}"}', '{"a": "\\"}"}'),
        ('[{"a": 1}]', '[{"a": 1}]'),
    ],
)
def test_finds_the_answer_and_not_what_looks_like_one(text, found):
    assert find_json(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('So: {"user": {"name": "A"}, "tags": [1,],} ok', '{"user": {"name": "A"}, "tags": [1,],}'),
        ('{"user": {"name": "A"}, "ta', '{"user": {"name": "A"}, "ta'),
        ('{"a": {"b": "}"},} then [1]', '{"a": {"b": "}"},}'),
        ('{"a": 1,} no, {"a": 1}', '{"a": 1}'),
    ],
)
def test_never_takes_a_part_of_broken_json_for_the_answer(text, found):
    assert find_json(text) == found


def test_brackets_without_end_are_read_in_reasonable_time():
    assert find_json("[" * 20_000) == "[" * 20_000
    assert find_json("{ " * 20_000) is None


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
        "- items.0.price: Input should be greater than 0 (given: 0)",
        "- items.0.note: Field required",
        "- items.1.price: Input should be a valid integer (given: null)",
        '- items.1.note: Value error, No bad notes. (given: "bad")',
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
    assert "given: <class 'set'>" in describe_error(caught.value)


def test_other_errors_are_told_by_their_message():
    assert describe_error(ValueError("Too short.")) == "Too short."
    assert describe_error(KeyError()) == "KeyError"
    errors = [ValueError("one"), ValueError("two")]
    assert describe_error(AsyncValidationError("both", errors=errors)) == "- one\n- two"


def test_shorten_keeps_to_the_limit():
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"


def test_look_reads_attributes_and_members_and_stops_where_there_is_nothing():
    value = SimpleNamespace(usage={"details": SimpleNamespace(cached=3)})
    assert look(value, "usage", "details", "cached") == 3
    assert look(value, "usage", "missing", "cached") is None
    assert look(None, "usage") is None


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
