from __future__ import annotations

import json
import re
from copy import deepcopy
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal

import httpx2
import pydantic
import pytest
from google.genai import types

from instructor.mode import Mode
from instructor.wires.genai import GENAI
from instructor.wires.genai_schema import fit_schema
from instructor.wires.spec import ToolSpec
from replies import google_client


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Leaf(pydantic.BaseModel):
    kind: Literal["leaf"]
    colour: Colour = pydantic.Field(description="Of the leaf.")
    level: Level | None = None


class Branch(pydantic.BaseModel):
    kind: Literal["branch"] = "branch"
    arms: list[Leaf | Branch]
    fork: tuple[int, str] = (1, "a")
    counts: dict[str, int] = pydantic.Field(default_factory=dict)


class Tree(pydantic.BaseModel):
    root: Annotated[Leaf | Branch, pydantic.Field(discriminator="kind")]
    name: str | None
    size: int | str | None = pydantic.Field(None, gt=0)
    is_old: Literal[True]
    parent: Tree | None = None


SUPPORTED = set(
    re.findall(r"-\s+`([$\w]+)`", types.GenerateContentConfig.model_fields["response_json_schema"].description)
)
"""The keywords that the SDK's documentation says the API knows."""


def schemas_in(node: Any):
    yield node
    for name in ("properties", "$defs"):
        for child in node.get(name, {}).values():
            yield from schemas_in(child)
    for name in ("anyOf", "oneOf", "prefixItems"):
        for child in node.get(name, []):
            yield from schemas_in(child)
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), dict):
            yield from schemas_in(node[name])


@pytest.mark.parametrize("mode", GENAI.modes)
def test_the_sdk_sends_optional_union_enum_and_recursive_models(mode: Mode):
    schema = Tree.model_json_schema()
    before = deepcopy(schema)
    sent: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.content)
        return httpx2.Response(200, json={"candidates": []})

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    models = google_client(client).models
    binding = GENAI.bind(ToolSpec("Tree", "", schema), mode, strict=True)
    models.generate_content(**GENAI.write([{"role": "user", "content": "Hi"}], binding, "some-model", {}))
    assert json.dumps(fit_schema(schema), sort_keys=True) in json.dumps(json.loads(sent[0]), sort_keys=True)
    assert schema == before


def test_only_keywords_that_the_api_knows_are_sent():
    for node in schemas_in(fit_schema(Tree.model_json_schema())):
        assert node.keys() <= SUPPORTED
        assert "$ref" not in node or node.keys() == {"$ref"}
        assert all(isinstance(value, str | int) and not isinstance(value, bool) for value in node.get("enum", []))


def test_nothing_that_contains_itself_is_required():
    definitions = fit_schema(Tree.model_json_schema())["$defs"]
    assert "required" not in definitions["Branch"] or "arms" not in definitions["Branch"]["required"]
    assert definitions["Leaf"]["required"] == ["kind", "colour"]


def test_a_constant_is_an_enum_or_a_type():
    schema = fit_schema(Tree.model_json_schema())
    assert schema["$defs"]["Leaf"]["properties"]["kind"]["enum"] == ["leaf"]
    assert schema["properties"]["is_old"] == {"title": "Is Old", "type": "boolean"}


def test_what_the_api_does_not_know_is_described_to_the_model():
    schema = {"type": "string", "description": "A code.", "pattern": "^x", "format": "uuid", "default": "x1"}
    (told,) = fit_schema({"type": "object", "properties": {"code": schema}})["properties"].values()
    assert told == {"type": "string", "description": 'A code.\npattern: "^x", default: "x1", format: "uuid"'}


def test_members_named_like_keywords_stay():
    members = {"const": {"type": "string"}, "$ref": {"type": "string"}, "discriminator": {"type": "string"}}
    schema = {"type": "object", "properties": members, "required": [*members]}
    assert fit_schema(schema) == schema
