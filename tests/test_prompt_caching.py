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
from instructor.offline.adapter import ChatAdapter
from instructor.providers.capabilities import capabilities_of
from instructor.providers.table import find_vendor
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


class Parties(BaseModel):
    """The parties of the contract."""

    value: str


class Dates(BaseModel):
    """Its dates."""

    value: str


class Duties(BaseModel):
    """Who must do what."""

    value: str


class Risks(BaseModel):
    """What may go wrong."""

    value: str


class Prices(BaseModel):
    """What it costs."""

    value: str


MODELS = [Parties, Dates, Duties, Risks, Prices]
DOCUMENT = words("contract", 50_000)


class Emulated(ChatAdapter):
    """Answers in a vendor's own form with what was asked for and whether the document was there, and bills it."""

    asynchronous = False

    def __init__(self, provider: str, billing: Billing, lost: Callable[[int], bool] = lambda _: False) -> None:
        self.provider = provider
        self.billing = billing
        self.requests: list[Request] = []
        self.bills: list[Bill] = []
        self.lost = lost

    def capabilities(self, model: str) -> Any:
        return capabilities_of(find_vendor(self.provider), model)

    def send(self, operation: str, request: Request) -> Any:
        if self.lost(len(self.requests)):
            self.billing.kept.clear()
        self.requests.append(request)
        bill = self.billing.bill(request, 0.0)
        self.bills.append(bill)
        name = asked_tool(request)
        value = {"value": f"{name} {DOCUMENT[:4000] in json.dumps(request)}"}
        return FORMS[operation](name, value, bill, not request.get("tools"))


def asked_tool(request: Request) -> str:
    """Which tool the model is made to call, in whatever way; else the one that a format or a sentence asks for."""
    choice = request.get("tool_choice") or {}
    if choice.get("type") == "allowed_tools":
        (tool,) = choice.get("tools") or choice["allowed_tools"]["tools"]
        assert any((one.get("function") or one)["name"] == (tool.get("function") or tool)["name"] for one in request["tools"])
        return (tool.get("function") or tool)["name"]
    if "name" in (choice.get("function") or choice):
        return (choice.get("function") or choice)["name"]
    text = json.dumps(request)
    called = [model.__name__ for model in MODELS if f"calling the tool {model.__name__}," in text]
    described = [model.__name__ for model in MODELS if json.dumps(model.__doc__)[1:-1] in text]
    (name,) = called or described
    return name


def claude_message(name: str, value: dict[str, str], bill: Bill, as_text: bool) -> Any:
    usage = SimpleNamespace(
        input_tokens=bill.tokens - bill.read - bill.written,
        output_tokens=10,
        cache_read_input_tokens=bill.read,
        cache_creation_input_tokens=bill.written,
    )
    call = SimpleNamespace(type="tool_use", id="1", name=name, input=value)
    text = SimpleNamespace(type="text", text=json.dumps(value))
    reason = SimpleNamespace(cache_miss_reason=SimpleNamespace(type="system_changed"))
    return SimpleNamespace(
        content=[text if as_text else call], stop_reason="end_turn", usage=usage, model=CLAUDE, diagnostics=reason
    )


def openai_response(name: str, value: dict[str, str], bill: Bill, as_text: bool) -> Any:
    assert not as_text
    details = SimpleNamespace(cached_tokens=bill.read, cache_write_tokens=bill.written)
    usage = SimpleNamespace(input_tokens=bill.tokens, output_tokens=10, input_tokens_details=details)
    call = SimpleNamespace(type="function_call", call_id="1", name=name, arguments=json.dumps(value))
    return SimpleNamespace(status="completed", output=[call], usage=usage, model=GPT, error=None)


def openai_completion(name: str, value: dict[str, str], bill: Bill, as_text: bool) -> Any:
    usage = SimpleNamespace(
        prompt_tokens=bill.tokens,
        completion_tokens=10,
        total_tokens=bill.tokens + 10,
        prompt_tokens_details=SimpleNamespace(cached_tokens=bill.read, cache_write_tokens=bill.written),
    )
    call = SimpleNamespace(id="1", type="function", function=SimpleNamespace(name=name, arguments=json.dumps(value)))
    text = json.dumps(value) if as_text else None
    message = SimpleNamespace(role="assistant", content=text, tool_calls=None if as_text else [call])
    return SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason="tool_calls")], usage=usage, model=GPT)


FORMS = {
    "messages.create": claude_message,
    "responses.create": openai_response,
    "chat.completions.create": openai_completion,
}
ANTHROPIC_WIRES = dict.fromkeys(ANTHROPIC_MESSAGES.modes, ANTHROPIC_MESSAGES)
OPENAI_WIRES = {**dict.fromkeys(OPENAI_CHAT.modes, OPENAI_CHAT), Mode.RESPONSES_TOOLS: OPENAI_RESPONSES}
ONE_TEXT = [{"role": "user", "content": f"{DOCUMENT}\n\nWhat does it say?"}]
WITH_QUESTION = [
    {"role": "system", "content": "You read contracts."},
    {"role": "user", "content": DOCUMENT},
    {"role": "user", "content": "What does it say?"},
]


@pytest.mark.parametrize("messages", [ONE_TEXT, WITH_QUESTION], ids=["one text", "with a question"])
@pytest.mark.parametrize(
    ("vendor", "model", "mode"),
    [
        ("anthropic", "claude-sonnet-4-5", Mode.TOOLS),
        ("anthropic", "claude-sonnet-5-1", None),
        ("openai", GPT, None),
        ("openai", GPT, Mode.TOOLS),
        ("anthropic", CLAUDE, Mode.JSON),
        ("openai", GPT, Mode.MD_JSON),
    ],
)
def test_five_response_models_pay_for_one_document_once(vendor: str, model: str, mode: Mode | None, messages: Any):
    def ask_all(wish: PromptCache | None, asked_in: Mode | None) -> tuple[list[str], Emulated]:
        adapter = Emulated(vendor, bill_claude() if vendor == "anthropic" else bill_openai())
        wires = ANTHROPIC_WIRES if vendor == "anthropic" else OPENAI_WIRES
        client = Instructor(adapter, wires=wires, mode=asked_in, model=model, prompt_cache=wish)
        return [client.create(each, messages).value for each in MODELS], adapter

    tools = mode or (Mode.TOOLS if vendor == "anthropic" else Mode.RESPONSES_TOOLS)
    plain, unplanned = ask_all(None, tools)
    answers, planned = ask_all(PromptCache(response_models=MODELS), mode)
    one = unplanned.bills[0].tokens
    assert answers == plain == [f"{each.__name__} True" for each in MODELS]
    assert price(unplanned.bills) >= 4.99 * one
    assert price(planned.bills) <= 1.70 * one
