from __future__ import annotations

import enum
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, create_model

from instructor.exceptions import ConfigurationError
from instructor.wires.references import expand_root, resolve_ref
from instructor.wires.schema import anchor_patterns, anthropic_schema, express_schema, strict_schema
from instructor.wires.text import dump_json

ALLOWED = {
    "type", "title", "description", "enum", "const", "pattern", "format", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "properties", "required", "additionalProperties",
    "items", "anyOf", "$ref", "$defs",
}  # fmt: skip
FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})


def check_strict(schema: Mapping[str, Any], root: Mapping[str, Any], formats: frozenset[str] = FORMATS) -> None:
    """Hold a schema to the published rules of a strict subset."""
    assert schema.keys() <= ALLOWED
    assert schema.keys() & {"type", "anyOf", "$ref"}, "a value without a type"
    if "$ref" in schema:
        assert schema.keys() == {"$ref"}
        assert resolve_ref(root, schema["$ref"])
    if schema.get("type") == "object":
        assert schema["additionalProperties"] is False
        assert list(schema["properties"]) == schema["required"]
    assert schema.get("format", "uuid") in formats
    assert "(?!" not in schema.get("pattern", "")
    children = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
    for child in [*children, *([schema["items"]] if schema.get("type") == "array" else ())]:
        check_strict(child, root, formats)


class Colour(enum.Enum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(9, ge=0)


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str = Field(min_length=2, examples=["Rex"])


class Node(BaseModel):
    """A node."""

    value: int
    next: Node | None = None
    twin: Node = Field(description="The same again.")


scalars = st.sampled_from(
    [
        str, int, float, bool, type(None), Colour, Literal["a", 1], datetime, timedelta, UUID, Decimal, AnyUrl, bytes, Cat, Node,
        Annotated[Cat | Dog, Field(discriminator="kind")], Annotated[str, Field(max_length=5, pattern="^a")],
        Annotated[int, Field(gt=1, le=9, multiple_of=2)], Annotated[Colour, Field(description="Your favourite.")],
    ]
)  # fmt: skip
kinds = st.recursive(
    scalars,
    lambda inner: (
        st.builds(lambda kind: list[kind], inner)
        | st.builds(lambda kind: set[kind], inner)
        | st.builds(lambda kind: kind | None, inner)
        | st.builds(lambda one, two: create_model("Inner", one=(one, ...), two=(two, None)), inner, inner)
    ),
    max_leaves=4,
)
models = st.builds(
    lambda fields: create_model("Made", **{f"f{index}": field for index, field in enumerate(fields)}),
    st.lists(
        st.tuples(kinds, st.sampled_from([..., None, Field(description="Told."), Field(None, title="T")])), max_size=5
    ),
)


@given(models)
def test_what_pydantic_writes_becomes_strict_and_is_not_changed(model):
    schema = model.model_json_schema()
    before = deepcopy(schema)
    strict = strict_schema(schema)
    assert strict is not None
    check_strict(strict, strict)
    assert strict["type"] == "object"
    assert strict["properties"].keys() == schema.get("properties", {}).keys()
    assert schema == before


@given(models)
def test_what_pydantic_writes_fits_anthropics_subset_or_is_refused(model):
    schema = model.model_json_schema()
    before = deepcopy(schema)
    fitted = anthropic_schema(schema)
    assert schema == before
    if fitted is not None:
        check_strict(fitted, fitted, formats=FORMATS | {"uri"})
        text = dump_json(fitted["properties"])
        assert not any(f'"{bound}":' in text for bound in ("minimum", "maximum", "maxItems", "pattern", "minLength"))


class Leaf(BaseModel):
    number: int = Field(ge=1, le=5)
    code: str = Field(pattern="^a", description="A code.")
    many: list[str] = Field(min_length=2, max_length=3)
    some: list[str] = Field(min_length=1)


def test_what_anthropic_has_no_keyword_for_goes_into_the_description():
    properties = anthropic_schema(Leaf.model_json_schema())["properties"]
    assert properties["number"]["description"] == "maximum: 5, minimum: 1"
    assert properties["code"]["description"] == 'A code.\npattern: "^a"'
    assert properties["many"]["description"] == "maxItems: 3, minItems: 2"
    assert properties["some"]["minItems"] == 1


@pytest.mark.parametrize(
    "model",
    [
        Node,
        create_model("Many", **{f"f{index}": (int | None, None) for index in range(17)}),
        create_model("Free", field=(dict[str, int], ...)),
    ],
)
def test_recursion_many_unions_and_free_dicts_are_beyond_anthropics_subset(model):
    assert anthropic_schema(model.model_json_schema()) is None


@pytest.mark.parametrize("pattern", ["(?P<name>a)", "(?i)abc", r"\A\d+\z", "^(?!x)", r"\p{L}"])
def test_a_pattern_in_the_syntax_of_one_language_goes_into_the_description(pattern):
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
    told = strict_schema(schema)["properties"]["a"]
    assert told == {"type": "string", "description": f"pattern: {dump_json(pattern)}"}


@pytest.mark.parametrize(("count", "length", "fits"), [(300, 50, True), (300, 51, False), (250, 400, True)])
def test_an_enum_of_many_values_is_bounded_in_characters(count, length, fits):
    values = [str(index).rjust(length, "x") for index in range(count)]
    schema = {"type": "object", "properties": {"a": {"type": "string", "enum": values}}}
    assert (strict_schema(schema) is not None) is fits


@pytest.mark.parametrize(("length", "fits"), [(119, True), (121, False)])
def test_names_and_values_are_bounded_in_characters(length, fits):
    names = [str(index).rjust(length, "x") for index in range(1000)]
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    assert (strict_schema(schema) is not None) is fits


def test_patterns_are_anchored_wherever_they_stand_or_described_where_they_cannot_be():
    schema = {
        "type": "object",
        "properties": {"pattern": {"type": "array", "items": {"type": "string", "pattern": r"\d"}}},
        "$defs": {"A": {"anyOf": [{"type": "string", "pattern": "(?i)a", "description": "An a."}]}},
        "default": {"pattern": "x"},
    }
    before = deepcopy(schema)
    anchored = anchor_patterns(schema)
    assert schema == before
    assert anchored["properties"]["pattern"]["items"]["pattern"] == "^[0-9]$"
    assert anchored["$defs"]["A"]["anyOf"] == [{"type": "string", "description": 'An a.\npattern: "(?i)a"'}]
    assert anchored["default"] == {"pattern": "x"}


@pytest.mark.parametrize("subset", ["openai_strict", "anchored", "plain", "anthropic"])
def test_a_schema_that_a_subset_cannot_say_is_sent_as_it_is_and_not_strict(subset):
    schema = create_model("Free", field=(dict[str, int], ...)).model_json_schema()
    assert express_schema(schema, subset, strict=True) == (schema, False)


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")


@pytest.mark.parametrize("kind", [dict[str, int], dict, Any, tuple[int, str], Loose, list[Any], dict[str, Any] | None])
def test_what_strict_mode_has_no_words_for_is_refused(kind):
    assert strict_schema(create_model("Made", field=(kind, ...)).model_json_schema()) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"allOf": [{"type": "string"}, {"minLength": 1}]}}},
        {"type": "object", "properties": {"a": {"type": "string", "not": {"const": "x"}}}},
        {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(5001)}},
        {"type": "object", "properties": {"a": {"enum": list(range(1001))}}},
        {"type": "object", "properties": {"a": {"enum": [{"b": 1}]}}},
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/A", "minimum": 3}},
            "$defs": {"A": {"type": "integer"}},
        },
    ],
)
def test_schemas_beyond_the_subset_or_its_limits_are_refused(schema):
    assert strict_schema(schema) is None


@pytest.mark.parametrize(("levels", "fits"), [(9, True), (10, False)])
def test_nesting_deeper_than_ten_levels_is_refused(levels, fits):
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    assert (strict_schema(schema) is not None) is fits


def test_what_strict_mode_drops_goes_into_the_description():
    class Told(BaseModel):
        name: str = Field("Bo", min_length=2, description="A name.")
        site: AnyUrl
        price: Decimal
        gone: int | None = None

    properties = strict_schema(Told.model_json_schema())["properties"]
    assert properties["name"]["description"] == 'A name.\ndefault: "Bo", minLength: 2'
    assert 'format: "uri"' in properties["site"]["description"]
    assert "description" not in properties["gone"]
    assert all("pattern" not in choice for choice in properties["price"]["anyOf"])


def test_a_reference_with_something_beside_it_is_written_out():
    class Paint(BaseModel):
        colour: Colour = Field(description="Which one.")

    schema = strict_schema(Paint.model_json_schema())
    assert schema["properties"]["colour"] == {
        "description": "Which one.", "enum": ["red", "blue"], "title": "Colour", "type": "string"
    }  # fmt: skip


def test_a_model_that_contains_itself_stays_finite():
    schema = strict_schema(Node.model_json_schema())
    assert schema["type"] == "object"
    assert schema["properties"]["next"] == {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}
    check_strict(schema, schema)


def test_models_that_all_refer_to_each_other_are_converted_in_reasonable_time():
    names = [f"M{index}" for index in range(9)]
    properties = {name: {"$ref": f"#/$defs/{name}", "description": "One."} for name in names}
    definition = {"type": "object", "properties": properties}
    strict = strict_schema({"$defs": dict.fromkeys(names, definition), **definition})
    assert strict is None, "it has more properties than the limit"


@pytest.mark.parametrize(
    ("values", "named"), [(["a", "b"], "string"), (["a", 1, None], ["integer", "null", "string"]), ([True], "boolean")]
)
def test_values_without_a_type_get_theirs(values, named):
    strict = strict_schema({"properties": {"a": {"enum": values}}})
    assert strict["type"] == "object"
    assert strict["properties"]["a"] == {"type": named, "enum": values}


def test_one_of_becomes_any_of():
    class Owner(BaseModel):
        pet: Cat | Dog = Field(discriminator="kind")

    assert strict_schema(Owner.model_json_schema())["properties"]["pet"] == {
        "title": "Pet", "anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]
    }  # fmt: skip


def test_a_reference_at_the_top_is_replaced_and_the_original_kept():
    schema = Node.model_json_schema()
    before = deepcopy(schema)
    expanded = expand_root(schema)
    assert "$ref" in schema
    assert expanded["type"] == "object"
    assert "$defs" in expanded
    expanded["properties"].clear()
    assert schema == before


@pytest.mark.parametrize("ref", ["#/$defs/Gone", "other.json#/A", "#/$defs/A/type/x", "/$defs/A"])
def test_a_reference_that_leads_nowhere_is_named(ref):
    with pytest.raises(ConfigurationError, match="has no '"):
        resolve_ref({"$defs": {"A": {"type": "string"}}}, ref)


def test_references_in_a_circle_are_refused():
    with pytest.raises(ConfigurationError, match="refers only to itself"):
        expand_root({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}})


def test_references_may_be_escaped():
    assert resolve_ref({"$defs": {"a/b~c": {"type": "string"}}}, "#/$defs/a~1b~0c") == {"type": "string"}


def test_a_property_may_be_called_like_a_keyword():
    schema = {
        "type": "object",
        "properties": {"$ref": {"type": "string"}, "definitions": {"type": "array", "items": {"type": "integer"}}},
    }
    assert strict_schema(schema)["properties"].keys() == schema["properties"].keys()
