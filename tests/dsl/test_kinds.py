"""Kinds of response models in every mode, through the openai SDK: the live answer equals its hit, type for type."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, Field

from instructor import AutoCache, Instructor, IterableModel, Maybe, Mode
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT
from instructor.wires.openai_responses import OPENAI_RESPONSES

ASK = [{"role": "user", "content": "Who?"}]
T = TypeVar("T")


class User(BaseModel):
    name: str


class Page(BaseModel, Generic[T]):
    items: list[T]
    total: int = 0


ANNA = User(name="Anna")
KINDS: list[tuple[Any, Any, Any]] = [
    (Page[User], {"items": [{"name": "Anna"}], "total": 1}, Page[User](items=[ANNA], total=1)),
    (Annotated[User, Field(description="the user")], {"content": {"name": "Anna"}}, ANNA),
    (Annotated[int, Field(ge=0)], {"content": 3}, 3),
    (list[Annotated[User, Field(title="U")]], {"content": [{"name": "Anna"}]}, [ANNA]),
    (Maybe(User), {"result": {"name": "Anna"}}, Maybe(User)(result=ANNA)),
    (Maybe(User), {"error": True, "message": "none"}, Maybe(User)(error=True, message="none")),
    (IterableModel(User), {"tasks": [{"name": "Anna"}]}, IterableModel(User)(tasks=[ANNA])),
]


@pytest.mark.parametrize("mode", OPENAI_CHAT.modes, ids=lambda mode: mode.name)
@pytest.mark.parametrize(("kind", "reply", "value"), KINDS, ids=lambda each: getattr(each, "__name__", ""))
def test_the_live_answer_equals_its_hit_in_every_mode(mode: Mode, kind: Any, reply: Any, value: Any) -> None:
    adapter = ScriptedAdapter([reply])
    client = Instructor(adapter, wires={mode: OPENAI_CHAT}, mode=mode, model="m", cache=AutoCache())
    live, hit = client.create(kind, ASK), client.create(kind, ASK)
    assert live == hit == value
    assert type(live) is type(hit) is type(value)
    assert len(adapter.requests) == 1


@pytest.mark.parametrize("kind", [kind for kind, _, _ in KINDS[::2]], ids=lambda kind: getattr(kind, "__name__", ""))
def test_a_generic_has_a_name_that_providers_take(kind: Any) -> None:
    from instructor.engine.response_type import make_response_type

    [spec] = make_response_type(kind).specs
    assert spec.name.replace("_", "").isalnum()
    assert OPENAI_RESPONSES.bind(spec, Mode.RESPONSES_TOOLS, strict=False).arguments["tools"][0]["name"] == spec.name
