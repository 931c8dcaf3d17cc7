"""The prompt is the record's own text, or a template that is safe whatever the record holds."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from instructor.exceptions import ArgumentError, ConfigurationError, ValidationError
from instructor.jobs.prompts import make_prompt, make_writer


@pytest.mark.parametrize(
    ("data", "prompt"),
    [
        ("a line", "a line"),
        ({"text": "hello", "label": "x"}, "hello"),
        ({"id": 1, "Message": "hello"}, "hello"),
        ({"content": ["a", 1]}, '["a",1]'),
        ({"text": "a", "content": "b"}, '{"text":"a","content":"b"}'),
        ({"name": "Zoë", "age": 3}, '{"name":"Zoë","age":3}'),
        ("{{ 7 * 7 }} {% raw %} {0} {text}", "{{ 7 * 7 }} {% raw %} {0} {text}"),
    ],
)
def test_without_a_template_the_records_own_text_is_sent(data: object, prompt: str):
    assert make_prompt(None)(data) == prompt


@pytest.mark.parametrize(
    ("template", "data", "prompt"),
    [
        ("Sort: {{ text }}!", "a line", "Sort: a line!"),
        ("{{ a }}-{{ b }}", {"a": 1, "b": "{{ a }}{% if %}"}, "1-{{ a }}{% if %}"),
        ("{{ record['Full name'] }}", {"Full name": "Ann Lee"}, "Ann Lee"),
        ("{{ record | tojson }}", {"a": "<Zoë>"}, '{"a":"<Zoë>"}'),
        ("{{ a | default('none') }}{% if b is defined %}{{ b }}{% endif %}", {"c": 1}, "none"),
    ],
)
def test_a_template_is_filled_with_the_fields(template: str, data: object, prompt: str):
    assert make_prompt(template)(data) == prompt


def test_of_a_value_that_is_missing_a_template_shows_nothing():
    data = {"title": None, "text": "a", "year": math.nan, "sum": 0}
    assert make_prompt("{{ title }}{{ text }}{{ year }}{{ sum }}")(data) == "a0"


def test_a_field_that_the_record_does_not_have_is_named_with_those_it_has():
    with pytest.raises(ConfigurationError, match=r"'texts', which the record does not have\. It has label, text"):
        make_prompt("{% if false %}{{ texts }}{% endif %}{{ text }}")({"text": "a", "label": "b"})


def test_a_name_with_spaces_is_refused_with_how_to_write_it():
    with pytest.raises(ConfigurationError, match=r"\(line 1\)\. A field .* \{\{ record\['Full name'\] \}\}"):
        make_prompt("Who is {{ Full name }}?")


@pytest.mark.parametrize(
    "template",
    [
        "Classify this",
        "Classify {text}",
        "{{ text",
        "{% for %}",
        "{{ text | nofilter }}",
        "{{ text is nosuchtest }}",
        "{% for a in text %}" * 30 + "{{ a }}" + "{% endfor %}" * 30,
        "{{" + "(" * 3000 + "text" + ")" * 3000 + "}}",
    ],
    ids=range(8),
)
def test_a_template_without_a_field_or_out_of_shape_is_refused(template: str):
    with pytest.raises(ConfigurationError):
        make_prompt(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ text.__class__.__mro__ }}",
        "{{ text / 2 }}",
        "{{ text.nothing.more }}",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}{{ text }}",
        "{{ text * 10 ** 15 }}",
    ],
)
def test_a_template_that_cannot_be_filled_fails_the_record(template: str):
    with pytest.raises(ValidationError, match=r"cannot be filled: .+"):
        make_prompt(template)("a line")


@pytest.mark.parametrize(
    ("template", "data"),
    [
        (None, {"text": "  "}),
        (None, {}),
        (None, None),
        (None, {"id": 7, "text": None}),
        (None, {"text": math.nan}),
        ("{{ text }}", " "),
        ("Sort: {{ text }}", {"text": ""}),
        ("{{ title }}: {{ text }}", {"title": math.nan, "text": None}),
    ],
    ids=range(8),
)
def test_nothing_is_asked_about_an_empty_text(template: str | None, data: object):
    with pytest.raises(ValidationError, match="no text"):
        make_prompt(template)(data)


class Person(BaseModel):
    name: str


@dataclasses.dataclass
class Place:
    name: str


class Thing(NamedTuple):
    name: str


@pytest.mark.parametrize("row", [Person(name="Ann"), Place("Ann"), Thing("Ann"), {"name": "Ann"}])
def test_a_row_has_the_fields_of_its_class(row: object):
    assert make_writer("Who is {{ name }}?", None)(row) == [{"role": "user", "content": "Who is Ann?"}]
    assert make_writer(None, None)(row) == [{"role": "user", "content": '{"name":"Ann"}'}]


def test_a_conversation_has_templates_in_its_texts():
    system = {"role": "system", "content": "Be brief."}
    write = make_writer(None, [system, {"role": "user", "content": "{{ text }}!"}])
    assert write("Hello") == [system, {"role": "user", "content": "Hello!"}]


def test_functions_of_a_row_say_all_there_is_to_say():
    assert make_writer(lambda row: row["q"], None)({"q": "why"}) == [{"role": "user", "content": "why"}]
    assert make_writer(None, lambda row: [{"role": "user", "content": row}])("why") == [
        {"role": "user", "content": "why"}
    ]


def test_a_row_that_is_a_list_is_a_conversation():
    row = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    assert make_writer(None, None)(row) is row


async def write_later(row: object) -> str:
    return f"about {row}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": write_later}, "prompt= is an async function"),
        ({"messages": write_later}, "messages= is an async function"),
        ({"prompt": [{"role": "user", "content": "{{ text }}"}]}, "prompt is a list. Pass a template"),
        ({"messages": "{{ text }}"}, "messages is a str. .* for one text there is prompt="),
        ({"messages": ["{{ text }}"]}, "messages is a list. Pass a list such as"),
    ],
    ids=["async prompt", "async messages", "prompt as a list", "messages as a text", "messages of texts"],
)
def test_what_can_be_no_prompt_is_refused_before_a_row_is_read(arguments: dict[str, Any], message: str):
    with pytest.raises(ArgumentError, match=message):
        make_writer(**{"prompt": None, "messages": None} | arguments)


@pytest.mark.parametrize("made", [None, {"role": "user", "content": "a"}, 7])
def test_a_function_that_makes_no_text_fails_the_row(made: object):
    with pytest.raises(ValidationError, match="and not a text: return one from prompt="):
        make_writer(lambda _: made, None)("a")  # type: ignore[arg-type, return-value]
