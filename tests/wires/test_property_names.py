from __future__ import annotations

import json
import re
from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from instructor.wires.property_names import choose_names, rename_properties, restore_names

names = st.text(st.sampled_from("ab _ßé2."), max_size=4) | st.text(max_size=70)
leaves = st.sampled_from([{"type": "string"}, {"type": "integer"}])
schemas = st.recursive(
    leaves,
    lambda inner: (
        st.builds(
            lambda members: {"type": "object", "properties": members, "required": [*members]},
            st.dictionaries(names, inner, max_size=3),
        )
        | st.builds(lambda items: {"type": "array", "items": items}, inner)
        | st.builds(lambda one: {"anyOf": [one, {"type": "null"}]}, inner)
    ),
    max_leaves=6,
)


def fill(schema):
    """Make the answer that holds every property."""
    if "properties" in schema:
        return {name: fill(member) for name, member in schema["properties"].items()}
    if "items" in schema:
        return [fill(schema["items"])]
    return fill(schema["anyOf"][0]) if "anyOf" in schema else 1


def walk_names(value):
    if isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from walk_names(member)
    for item in value if isinstance(value, list) else ():
        yield from walk_names(item)


@given(schemas)
def test_every_name_that_is_sent_is_allowed_and_comes_back_as_it_was(schema):
    before = deepcopy(schema)
    sent = rename_properties(schema, choose_names(schema))
    assert schema == before
    answer = fill(sent)
    assert all(re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", name) for name in walk_names(answer))
    assert json.loads(restore_names(json.dumps(answer), schema)) == fill(schema)
    assert json.loads(restore_names(json.dumps(fill(schema)), schema)) == fill(schema)


def test_keys_that_the_model_chose_itself_are_not_renamed():
    schema = {
        "type": "object",
        "properties": {"Full Name": {"type": "string"}, "notes": {"type": "object", "additionalProperties": {}}},
    }
    answer = {"Full_Name": "Ada", "notes": {"Full_Name": "x"}}
    assert json.loads(restore_names(json.dumps(answer), schema)) == {"Full Name": "Ada", "notes": {"Full_Name": "x"}}


def test_names_are_restored_below_references_in_a_circle():
    node = {"type": "object", "properties": {"the next": {"$ref": "#/$defs/Node"}}}
    schema = {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}
    assert restore_names('{"the_next": {"the_next": {}}}', schema) == '{"the next":{"the next":{}}}'


def test_text_stays_to_the_letter_where_nothing_was_renamed_or_it_is_broken():
    assert restore_names('{"a":  1.10}', {"properties": {"a": {}}}) == '{"a":  1.10}'
    assert restore_names('{"a b', {"properties": {"a b": {}}}) == '{"a b'
