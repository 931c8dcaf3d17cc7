"""Stepping a flow by hand: no client, no network, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from instructor.cache.books import Books
from instructor.cache.call_notes import CallNotes
from instructor.cache.flight import Flights, Lease
from instructor.cache.hits import HitLog
from instructor.cache.memory import AutoCache
from instructor.cache.store import BaseCache
from instructor.engine.call import Call, Policy, Prompt
from instructor.engine.client_stats import ClientStats
from instructor.engine.effects import Effect, Flow
from instructor.engine.path import CachePath, LocalTier, StoreTier
from instructor.engine.plan import Plans
from instructor.engine.retry import make_retry_policy
from instructor.hooks import HookName, Hooks
from instructor.mode import Mode
from instructor.testing.scripted import ScriptedAdapter
from instructor.wires.capabilities import Capabilities
from instructor.wires.openai_chat import OPENAI_CHAT

KEY = "a" * 64
HELLO = [{"role": "user", "content": "hello"}]

ScriptedAdapter([]).prepare()  # so that no flow begins by having this done


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
    flights: Flights[Any] = field(default_factory=Flights)
    is_paused: bool = False
    recorder: None = None
    books: Books = field(default_factory=Books)
    keeps_ledger: bool = False
    notes: CallNotes = field(default_factory=CallNotes)
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


def make_path(handle: Any = None, memory: AutoCache | None = None) -> CachePath:
    """A path of one tier: a store whose answers a test gives, or memory."""
    handle = handle or HandHandle()
    tier = LocalTier(handle, memory, HitLog()) if memory is not None else StoreTier(handle, HitLog(), handle.flights)
    return CachePath((tier,), handle.flights, handle)


def make_call(**changes: Any) -> Call[Any]:
    """A call with a store and a key, as the client would make it."""
    model = changes.pop("response_model", User)
    wires = {Mode.TOOLS: OPENAI_CHAT}
    prompt = Prompt(HELLO, {}, OPENAI_CHAT, Mode.TOOLS, Capabilities(), wires)
    path = changes.pop("path", None) or (make_path() if changes.get("key", KEY) else None)
    stats = ClientStats()
    if path is not None:
        stats.attach(path.tiers[0].hits)
    values: dict[str, Any] = {
        "plan": Plans().make(model),
        "adapter": ScriptedAdapter([]),
        "model": "m",
        "load_prompt": lambda: prompt,
        "response_model": model,
        "with_completion": False,
        "retries": make_retry_policy(changes.pop("max_retries", 1)),
        "hooks": Hooks(),
        "stats": stats,
        "path": path,
        "key": KEY,
        "policy": Policy(changes.pop("ttl", None), None, "source", lambda: 1000.0),
        **changes,
    }
    return Call(**values)


def lease() -> Lease[Any]:
    """The right to ask, in nobody's way."""
    claimed = Flights[Any]().claim(KEY, "source")
    assert isinstance(claimed, Lease)
    return claimed


def offered(lease: Lease[Any]) -> Any:
    """What the leader has handed to its waiters so far; None for nothing."""
    landed = lease.flight._landed
    return None if landed is None else landed.answer


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
        self.value: Any = None

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
            self.effect, self.value = None, stop.value
        return self.effect
