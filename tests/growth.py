"""What holds for every stream: random response models and answers, in random chunks."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from instructor import AutoCache, Instructor, Mode
from instructor.engine.response_type import make_response_type
from instructor.engine.showing import Partials
from instructor.exceptions import InstructorError
from instructor.function.comparison import is_same
from instructor.offline.chunks import stream_completion
from instructor.streams import want_partial
from instructor.testing import ScriptedAdapter
from instructor.wires.folding import Delta
from instructor.wires.openai_chat import OPENAI_CHAT
from truth import make_question

MESSAGES = [{"role": "user", "content": "?"}]


class CutAdapter(ScriptedAdapter):
    """Sends its answers in chunks of random sizes."""

    def __init__(self, answer: str, chance: random.Random) -> None:
        super().__init__(lambda _: answer)
        self._chance = chance

    def send(self, operation: str, request: Any) -> Any:
        whole = super().send(operation, {name: value for name, value in request.items() if name != "stream"})
        return stream_completion(whole, self._chance.choice([1, 2, 3, 7, 1000])) if request.get("stream") else whole


def check_growth(before: Any, after: Any, path: str = "") -> None:
    """Check that nothing that was shown is taken back or changed. Texts, objects and lists may grow."""
    if before is None:
        return
    if isinstance(before, str):
        assert isinstance(after, str), path
        assert after.startswith(before), (path, before, after)
    elif isinstance(before, BaseModel) and isinstance(after, BaseModel):
        for name in before.model_fields_set:
            check_growth(getattr(before, name), getattr(after, name), f"{path}.{name}")
    elif isinstance(before, dict):
        for name, value in before.items():
            check_growth(value, after[name], f"{path}[{name!r}]")
    elif isinstance(before, list):
        assert len(before) <= len(after), path
        for at, value in enumerate(before):
            check_growth(value, after[at], f"{path}[{at}]")
    elif not hasattr(before, "__dataclass_fields__"):
        assert is_same(before, after), (path, before, after)


def check_prefixes(model: Any, text: str, sizes: Iterator[int]) -> None:
    """Show every part of an answer, read in chunks of these sizes, without a client around it."""
    showing = want_partial(model, {}.get).show(make_response_type(model), True, None)
    assert isinstance(showing, Partials)
    shown, at = [*showing.begin()], 0
    while at < len(text):
        size = next(sizes)
        shown += showing.add(Delta(0, "", text[at : at + size]))
        at += size
    for before, after in pairwise(shown):
        repr(after)
        check_growth(before, after)


def check_stream(seed: int) -> bool:
    """Stream one random answer, replay it, and compare with the plain call; False where the answer isn't valid."""
    chance = random.Random(seed)
    model, answer = make_question(chance)
    text = json.dumps(answer, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 1]))
    check_prefixes(model, text, iter(lambda: chance.randint(1, 4), 0))
    options: dict[str, Any] = {"wires": {Mode.TOOLS: OPENAI_CHAT}, "mode": Mode.TOOLS, "model": "m"}
    adapter = CutAdapter(text, chance)
    client = Instructor(adapter, cache=AutoCache(), **options)
    try:
        live = list(client.create_partial(model, MESSAGES, max_retries=0))
    except InstructorError:  # the answer isn't valid where validation is strict
        return False
    for before, after in pairwise(live[:-1]):
        check_growth(before, after)
    assert is_same(client.create(model, MESSAGES, max_retries=0), live[-1]), seed
    again = list(client.create_partial(model, MESSAGES, max_retries=0))
    assert [repr(value) for value in again] == [repr(value) for value in live], seed
    assert is_same(again[-1], live[-1]), seed
    assert len(adapter.requests) == 1, seed
    return True
