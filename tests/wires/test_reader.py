from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.wires.reader import _balance, find_json, read_arguments, read_text_answer
from instructor.wires.spec import ToolSpec

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


USER = ToolSpec("User", "A user.", {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})
TICKS = "`" * 3
READERS = [read_arguments, read_text_answer]
layouts = st.sampled_from([None, 0, 2])


def twice(text):
    return json.dumps(text)


def fence(text):
    return f"{TICKS}json\n{text}\n{TICKS}"


def mark(text):
    return f"\ufeff{text}"


def think(text):
    return f"<think>Hm.</think>\n{text}"


def wrap(text):
    return f'{{"User": {text}}}'


def leave_commas(text):
    """Put a comma before each closing bracket that ends something; JSON of the test has none in its strings."""
    return text.replace('"}', '",}').replace("1}", "1,}").replace("1]", "1 , ]")


def is_json(text):
    """Say whether a reading is JSON; broken text is handed on for validation to refuse."""
    try:
        json.loads(text or "")
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("read", READERS)
@given(answer=answers, layout=layouts, escape=st.booleans())
def test_valid_json_is_returned_character_by_character(read, answer, layout, escape):
    text = json.dumps(answer, indent=layout, ensure_ascii=escape)
    assert read(text) == text
    assert read(text, USER) == text or set(answer) == {"User"}


@pytest.mark.parametrize("read", READERS)
@given(answer=answers, disturbances=st.lists(st.sampled_from([twice, fence, mark, think]), max_size=3))
def test_a_disturbed_answer_is_read_as_it_was_or_refused(read, answer, disturbances):
    text = json.dumps(answer)
    for disturb in disturbances:
        text = disturb(text)
    found = read(text)
    assert not is_json(found) or json.loads(found) == answer


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("disturb", [twice, fence, mark, think])
@given(answer=answers)
def test_each_disturbance_alone_is_read(read, disturb, answer):
    assert json.loads(read(disturb(json.dumps(answer)))) == answer


@pytest.mark.parametrize("read", READERS)
@given(name=st.text(), answer=answers)
def test_control_characters_in_strings_and_trailing_commas_are_mended(read, name, answer):
    value = {"name": name, "answer": answer}
    raw = json.dumps(name, ensure_ascii=False)
    for character in map(chr, range(32)):
        raw = raw.replace(json.dumps(character)[1:-1], character) if "\\" not in name else raw
    assert json.loads(read(f'{{"answer": {json.dumps(answer)}, "name": {raw} , }}')) == value


@given(value=st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, "x"]) | st.just([1, 1]), min_size=1))
def test_commas_before_closing_brackets_are_dropped(value):
    assert json.loads(read_arguments(leave_commas(json.dumps(value)))) == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"name": "a\nb"}', '{"name": "a\\nb"}'),
        ('{"name": "a\tb"}', '{"name": "a\\tb"}'),
        ('{"name": "B",}', '{"name": "B"}'),
        ('{"name": ",}",\n}', '{"name": ",}"\n}'),
        ('{"tags": ["a", "b", ], }', '{"tags": ["a", "b" ] }'),
        ('"{\\"name\\": \\"B\\"}"', '{"name": "B"}'),
        (twice(fence('{"name": "B",}')), '{"name": "B"}'),
        ('\ufeff {"name": "B"}\n', '{"name": "B"}'),
        ('Here: {"name": "B"}', '{"name": "B"}'),
        ('{"User": {"name": 1.10}}', '{"name": 1.10}'),
        ('{ "User" : {"name": "B", "name": "C"} }', '{"name": "B", "name": "C"}'),
        ('{"properties": {"name": "B"}}', '{"name": "B"}'),
        ('{"parameters":{"name":"B"}}', '{"name":"B"}'),
        ('{"arguments": {"name": "B"}}', '{"name": "B"}'),
        ('{"name": "User", "arguments": {"name": "B"}}', '{"name": "B"}'),
        ('<tool_call>\n{"name": "User", "arguments": {"name": "B"}}\n</tool_call>', '{"name": "B"}'),
        ('{"type":"function","name":"User","parameters":{"name":"B"}}', '{"name":"B"}'),
        (fence('{"\\u0055ser": {"name": "B"}}'), '{"name": "B"}'),
    ],
)
@pytest.mark.parametrize("read", READERS)
def test_what_can_mean_one_thing_only_is_read(read, text, found):
    assert read(text, USER) == found


@pytest.mark.parametrize(
    "text",
    [
        '{"User": {"name": "B"}, "note": 1}',
        '{"User": {"age": 1}}',
        '{"User": "B"}',
        '{"name": "Other", "arguments": {"name": "B"}}',
        '{"name": "User", "arguments": {"name": "B"}, "note": 1}',
        '{"name": "User", "arguments": "B"}',
        '{"Other": {"name": "B"}}',
        '{"name": {"name": "B"}}',
        '{"name": "a\\\nb"}',
        '{"name": "B",,}',
        "{,}",
        '{"name":,}',
        '{"name": "a"b"}',
        '{"name": "B',
        '{"name": "B", "ta',
    ],
)
@pytest.mark.parametrize("read", READERS)
def test_what_could_mean_two_things_or_nothing_stays_as_it_came(read, text):
    assert read(text, USER) in (text, None)


TWO = '{"name": "A"} {"name": "B"}'
ONE = '{"name": "C"}'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TWO, TWO),
        (f"First {TWO} last", TWO),
        (fence(TWO), TWO),
        (f"{fence(ONE)} or {fence(TWO)}", f"{ONE}\n{TICKS} or {TICKS}json\n{TWO}"),
        ('{"name": "A",} no, {"name": "B"}', '{"name": "A",} no, {"name": "B"}'),
        ('{"name": 1} {"name": true}', '{"name": 1} {"name": true}'),
        ('{"name": "A"} hm </think> {"name": "B"}', '{"name": "A"} hm </think> {"name": "B"}'),
    ],
)
@pytest.mark.parametrize("read", READERS)
def test_of_values_that_differ_none_is_chosen(read, text, found):
    assert not is_json(read(text, USER))
    assert read_text_answer(text, USER) == found


@pytest.mark.parametrize("text", [f'{ONE}\n{{ "name" : "C" }}', f'So: {ONE} or {{"name": "C",}}', f"{ONE}{ONE}{ONE}"])
@pytest.mark.parametrize("read", READERS)
def test_of_equal_values_the_first_is_read(read, text):
    assert read(text, USER) == ONE


@pytest.mark.parametrize(
    "text",
    [
        f"{TWO} So:\n{fence(ONE)}",
        f"{fence(ONE)}\nunlike {TWO}",
        f"As [1] says, {ONE} [2]",
        f'Not {{"name": ...}} but {ONE}',
        f"Perhaps {TWO}. </think> {ONE}",
    ],
)
def test_a_value_in_a_fence_beats_others_and_an_object_an_array_and_json_a_form(text):
    assert read_text_answer(text, USER) == ONE


def test_arguments_with_a_second_value_that_is_cut_off_are_refused():
    text = f'{ONE} {{"name": "D'
    assert read_arguments(text, USER) == text


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "object", "properties": {"User": {}, "name": {}}, "required": ["name"]}, '{"User": {"name": "B"}}'),
        ({"type": "object", "properties": {"name": {}}}, '{"User": {"name": "B"}}'),
        ({"type": "object", "additionalProperties": {"type": "object"}}, '{"User": {"name": "B"}}'),
    ],
)
def test_a_wrapper_that_may_be_the_answer_itself_is_kept(schema, text):
    assert read_arguments(text, ToolSpec("User", "", schema)) == text


def test_a_wrapper_that_the_schema_refuses_is_taken_off_even_if_nothing_is_required():
    schema = {"type": "object", "properties": {"name": {}}, "additionalProperties": False}
    assert read_arguments(wrap('{"name": "B"}'), ToolSpec("User", "", schema)) == '{"name": "B"}'


def test_a_broken_answer_of_any_size_is_read_in_reasonable_time():
    text = '{"a": [' + '"x\ny", ' * 20_000 + "]}"
    assert len(json.loads(read_arguments(text))["a"]) == 20_000


CUT_OFF = ["{", "}", "[", "]", '"', "\\", "\\\\", '\\"', "\\\n", "\n", ",", ":", "a", '"a"']


@given(st.lists(st.sampled_from(CUT_OFF)).map(lambda parts: '{"a' + "".join(parts)))
def test_where_a_string_has_no_end_brackets_count_as_if_its_quote_was_not_there(text):
    depth = 0
    end = len(text)
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', text, re.DOTALL):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if depth == 0:
            end = token.end()
            break
    assert _balance(text, 0) == end


@pytest.mark.parametrize("read", [read_text_answer, read_arguments])
@pytest.mark.parametrize("ending", ["", "\\", '\\\n"}', "\n"], ids=["cut", "in escape", "broken escape", "raw"])
def test_a_long_answer_cut_off_within_a_string_is_read_in_reasonable_time(read, ending):
    text = '{"a": [1,], "name": "' + '<a href=\\"x\\">y</a> ' * 100_000 + ending
    assert read(text) == text.strip()
