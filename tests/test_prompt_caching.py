"""Requests are marked where the vendor's rules make it pay: counted by what each vendor would charge."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

import instructor
from instructor import AutoCache, Instructor, Mode, PromptCache
from instructor.exceptions import ConfigurationError
from instructor.prompt_caching.planner import Planner
from instructor.prompt_caching.rules import RULES, find_rules
from instructor.testing import ScriptedAdapter
from instructor.usage import Usage
from instructor.wires.anthropic import ANTHROPIC_MESSAGES
from instructor.wires.bedrock_converse import BEDROCK_CONVERSE
from instructor.wires.openai_chat import OPENAI_CHAT
from instructor.wires.openai_responses import OPENAI_RESPONSES
from prompt_billing import Bill, Billing, bill_claude, bill_openai

CLAUDE = "claude-sonnet-5"
GPT = "gpt-6-luna"
Request = dict[str, Any]


def words(seed: object, tokens: int) -> str:
    """A text of about so many tokens that no other seed begins with."""
    return (f"{seed} " * (4 * tokens))[: 4 * tokens]


def ask(*turns: Any, system: str = "", tools: tuple[Any, ...] = (), **others: Any) -> Request:
    """A request of Anthropic's."""
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": turn} for at, turn in enumerate(turns)]
    optional = {"system": system, "tools": list(tools)}
    return {"model": CLAUDE, "messages": messages, **{name: one for name, one in optional.items() if one}, **others}


def run(
    workload: list[tuple[float, Request]], wish: PromptCache | None, billing: Billing, vendor: str = "anthropic"
) -> list[Bill]:
    """Send requests, each at its second, to what a vendor charges; without a wish as they are."""
    now = [0.0]
    planner = Planner(lambda: now[0])
    wire = {"anthropic": "anthropic_messages", "openai": "openai_chat"}[vendor]
    bills: list[Bill] = []
    for moment, request in workload:
        now[0] = moment
        asked = request if wish is None else planner.plan(vendor, wire, request["model"], request, wish)
        watch = planner.watch(vendor, wire, request["model"], asked)
        bills.append(billing.bill(asked, moment))
        if watch is not None:
            watch.settle(Usage(bills[-1].tokens, 100, bills[-1].read), None)
    return bills


def price(bills: list[Bill]) -> float:
    return sum(bill.price for bill in bills)


def conversation(turns: int, tools: int = 12, first: float = 0.0, step: float = 20.0) -> list[tuple[float, Request]]:
    """An agent that calls all its tools in each turn: more blocks than the vendor looks back."""
    offered = tuple({"name": f"tool{n}", "description": words(n, 150), "input_schema": {"type": "object"}} for n in range(tools))
    said: list[Any] = [words("task", 300)]
    workload = []
    for turn in range(turns):
        workload.append((first + step * turn, ask(*said, system=words("system", 500), tools=offered)))
        said.append([{"type": "tool_use", "id": f"{turn}.{n}", "name": f"tool{n}", "input": {}} for n in range(tools)])
        results = [{"type": "tool_result", "tool_use_id": f"{turn}.{n}", "content": words((turn, n), 60)} for n in range(tools)]
        said.append(results)
    return workload


@pytest.mark.parametrize("wish", ["auto", "5m"])
def test_a_conversation_of_30_turns_reads_what_can_be_read(wish: Any):
    bills = run(conversation(30), PromptCache(wish), bill_claude())
    assert sum(bill.read for bill in bills) >= 0.95 * sum(bill.readable for bill in bills)


def documents(rng: random.Random) -> list[tuple[float, Request]]:
    """Questions about documents, each asked of one or of many times, sooner or later."""
    workload, now = [], 0.0
    texts = [words(("document", n), rng.choice([500, 1500, 4000])) for n in range(rng.randint(1, 12))]
    for number in range(rng.randint(60, 120)):
        now += rng.choice([1, 10, 100, 280, 320, 900])
        system = texts[int(rng.random() ** rng.choice([1, 3]) * len(texts))]
        workload.append((now, ask(words(number, rng.choice([20, 500])), system=system)))
    return workload


def strangers(rng: random.Random) -> list[tuple[float, Request]]:
    """Documents that are asked of a few times each, and never again: the worst that can happen to a planner."""
    uses, size = rng.randint(1, 4), rng.choice([1500, 3000])
    return [
        (10.0 * number, ask(words(("question", number), 50), system=words(("document", number // uses), size)))
        for number in range(rng.randint(80, 120))
    ]


def chats(rng: random.Random) -> list[tuple[float, Request]]:
    """Conversations that end after any number of turns, some of them side by side."""
    workload = []
    for number in range(rng.randint(12, 20)):
        said: list[Any] = [words((number, "first"), rng.choice([50, 1500]))]
        now = number * rng.choice([10.0, 400.0])
        for turn in range(rng.choice([1, 2, 3, 3, 5, 20])):
            now += rng.choice([5.0, 60.0, 310.0])
            workload.append((now, ask(*said, system=words("system", 900))))
            said += [words((number, turn, "answer"), 200), words((number, turn, "next"), rng.choice([30, 800]))]
    return sorted(workload, key=lambda one: one[0])


def marked_by_hand(rng: random.Random) -> list[tuple[float, Request]]:
    """Requests of which the user marks some part himself."""
    marked = []
    for moment, request in documents(rng):
        lifetime = rng.choice([{}, {"ttl": "1h"}, {"ttl": "5m"}])
        block = {"type": "text", "text": request["system"], "cache_control": {"type": "ephemeral", **lifetime}}
        marked.append((moment, {**request, "system": [block]} if rng.random() < 0.5 else request))
    return marked


WORKLOADS: list[Callable[[random.Random], list[tuple[float, Request]]]] = [documents, strangers, chats, marked_by_hand]


def check_never_dearer(seeds: range) -> None:
    for seed in seeds:
        make = WORKLOADS[seed % len(WORKLOADS)]
        workload = make(random.Random(seed))
        plain, planned = run(workload, None, bill_claude()), run(workload, PromptCache("auto"), bill_claude())
        assert price(planned) <= 1.01 * price(plain), (make.__name__, seed, price(planned) / price(plain))


def test_it_is_never_dearer_than_without():
    check_never_dearer(range(48))


@pytest.mark.soak
def test_it_is_never_dearer_than_without_in_a_thousand_workloads():
    check_never_dearer(range(1000))
