"""Print the keys of a fixed list of calls that hold sets, as text and inside response models."""

# ruff: noqa: T201 - a child tells its parent through its standard output

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from pydantic import BaseModel, Field

from instructor.cache.key import make_cache_key
from instructor.cache.memory import AutoCache
from instructor.client import Instructor
from instructor.mode import Mode
from instructor.testing.scripted import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT

WORDS = frozenset("abcdefgh")


@dataclasses.dataclass
class Plain:
    name: str
    words: frozenset[str] = WORDS


class Default(BaseModel):
    words: frozenset[str] = WORDS
    nested: list[set[str]] = [set(WORDS)]


class Examples(BaseModel):
    words: Annotated[frozenset[str], Field(examples=[WORDS, {"words": WORDS}], alias="Words")]


class Outer(BaseModel):
    inner: list[Examples]
    plain: Plain


HELLO = [{"role": "user", "content": "hello"}]
keys: list[Any] = []
for model in (Plain, Default, Examples, Outer, list[Outer]):
    client = Instructor(
        ScriptedAdapter([RuntimeError("nothing is answered")]),
        wires={Mode.TOOLS: OPENAI_CHAT},
        mode=Mode.TOOLS,
        model="m",
        cache=AutoCache(),
    )
    client.on("cache:miss", lambda event: keys.append(event.key))
    try:
        client.create(model, HELLO, context={"words": WORDS, "map": dict.fromkeys(WORDS, 1)}, max_retries=0)
    except Exception:  # noqa: BLE001 - only the key counts
        keys.append(make_cache_key(messages=HELLO, model="m", response_model=model, context={1: WORDS}))
print(*keys)
