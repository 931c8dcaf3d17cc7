"""Stepping a flow by hand: no client, no network, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from instructor.cache.flight import Flights
from instructor.cache.memory import AutoCache
from instructor.cache.store import BaseCache
from instructor.engine.client_stats import ClientStats
from instructor.engine.effects import Call, Effect, Flow
from instructor.engine.plan import Plans
from instructor.engine.retry import make_retry_policy
from instructor.hooks import HookName, Hooks
from instructor.mode import Mode
from instructor.testing.scripted import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT

KEY = "a" * 64
HELLO = [{"role": "user", "content": "hello"}]


class User(BaseModel):
    name: str
    age: int = 0


class DeafCache(BaseCache):
    """A store that is never touched: the flow's effects say what it would be asked."""

    def get(self, key: str) -> str | None:
        raise AssertionError("the flow asks for a Read instead")

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        raise AssertionError("the flow asks for a Write instead")


@dataclass
class HandHandle:
    """A handle whose answers a test gives as the results of effects."""

    store: BaseCache = field(default_factory=DeafCache)
    local: AutoCache | None = None
    flights: Flights = field(default_factory=Flights)
    is_paused: bool = False
    counted: dict[str, int] = field(default_factory=dict)

    def paused(self) -> bool:
        return self.is_paused

    def count(self, **counters: int) -> None:
        for name, number in counters.items():
            self.counted[name] = self.counted.get(name, 0) + number


def every_hook() -> Hooks:
    """Hooks that hear everything; what they are told is seen as effects."""
    hooks = Hooks()
    for name in HookName:
        hooks.on(name, print)
    return hooks


def make_call(**changes: Any) -> Call:
    """A call with a store and a key, as the client would make it."""
    model = changes.pop("response_model", User)
    said: dict[str, Any] = {
        "plan": Plans(OPENAI_CHAT, Mode.TOOLS).make(model),
        "adapter": ScriptedAdapter([]),
        "model": "m",
        "messages": HELLO,
        "arguments": {},
        "response_model": model,
        "retries": make_retry_policy(changes.pop("max_retries", 1)),
        "hooks": Hooks(),
        "stats": ClientStats(),
        "handle": HandHandle(),
        "key": KEY,
        "clock": lambda: 1000.0,
        **changes,
    }
    return Call(**said)


def completion(content: Any, model: Any = User, name: str | None = None, **details: Any) -> Any:
    """A completion of OpenAI's chat API that calls a response model's tool, or the one named, with the content."""
    from instructor.engine.response_type import make_response_type
    from instructor.testing.scripted import ScriptedReply

    port = ScriptedAdapter([ScriptedReply(content, **details)])
    tools = [
        {"type": "function", "function": {"name": name or make_response_type(model).specs[0].name, "parameters": {}}}
    ]
    return port.send("chat.completions.create", {"model": "m", "messages": HELLO, "tools": tools})


class Steps:
    """Runs a flow, one effect at a time."""

    def __init__(self, flow: Flow[Any]) -> None:
        self.flow = flow
        self.effect: Effect | None = next(flow)
        self.reply: Any = None

    def give(self, result: Any = None) -> Effect | None:
        """Give the result of the effect asked for; return the next, or None at the end."""
        return self._next(lambda: self.flow.send(result))

    def fail(self, error: BaseException) -> Effect | None:
        """Let the effect asked for fail."""
        return self._next(lambda: self.flow.throw(error))

    def _next(self, step: Any) -> Effect | None:
        try:
            self.effect = step()
        except StopIteration as stop:
            self.effect, self.reply = None, stop.value
        return self.effect
