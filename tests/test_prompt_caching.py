"""Requests are marked where the vendor's rules make it pay: counted by what each vendor would charge."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

import instructor
from instructor import AutoCache, Instructor, Mode, PromptCache
from instructor.exceptions import ConfigurationError
from instructor.offline.adapter import ChatAdapter
from instructor.prompt_caching import history
from instructor.prompt_caching.planner import Planner
from instructor.prompt_caching.rules import RULES, find_rules
from instructor.providers.capabilities import capabilities_of
from instructor.providers.table import find_vendor
from instructor.testing import ScriptedAdapter
from instructor.usage import Usage
from instructor.wires.anthropic import ANTHROPIC_MESSAGES
from instructor.wires.bedrock_converse import BEDROCK_CONVERSE
from instructor.wires.genai import GENAI
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
    offered = tuple(
        {"name": f"tool{n}", "description": words(n, 150), "input_schema": {"type": "object"}} for n in range(tools)
    )
    said: list[Any] = [words("task", 300)]
    workload = []
    for turn in range(turns):
        workload.append((first + step * turn, ask(*said, system=words("system", 500), tools=offered)))
        said.append([{"type": "tool_use", "id": f"{turn}.{n}", "name": f"tool{n}", "input": {}} for n in range(tools)])
        results = [
            {"type": "tool_result", "tool_use_id": f"{turn}.{n}", "content": words((turn, n), 60)} for n in range(tools)
        ]
        said.append(results)
    return workload


@pytest.mark.parametrize("wish", ["auto", "5m"])
def test_a_conversation_of_30_turns_reads_what_can_be_read(wish: Any):
    bills = run(conversation(30), PromptCache(wish), bill_claude())
    assert sum(bill.read for bill in bills) >= 0.95 * sum(bill.readable for bill in bills)


def documents(rng: random.Random) -> list[tuple[float, Request]]:
    """Questions about documents, each asked of one or of many times, sooner or later."""
    workload, now = [], 0.0
    texts = [words(("document", n), rng.choice([200, 700, 1500])) for n in range(rng.randint(1, 12))]
    for number in range(rng.randint(60, 120)):
        now += rng.choice([1, 10, 100, 280, 320, 900])
        system = texts[int(rng.random() ** rng.choice([1, 3]) * len(texts))]
        workload.append((now, ask(words(number, rng.choice([20, 250])), system=system)))
    return workload


def strangers(rng: random.Random) -> list[tuple[float, Request]]:
    """Documents that are asked of a few times each, and never again: the worst that can happen to a planner."""
    uses, size = rng.randint(1, 4), rng.choice([600, 1500])
    return [
        (10.0 * number, ask(words(("question", number), 50), system=words(("document", number // uses), size)))
        for number in range(rng.randint(80, 120))
    ]


def chats(rng: random.Random) -> list[tuple[float, Request]]:
    """Conversations that end after any number of turns, some of them side by side."""
    workload = []
    for number in range(rng.randint(20, 30)):
        said: list[Any] = [words((number, "first"), rng.choice([50, 800]))]
        now = number * rng.choice([10.0, 400.0])
        for turn in range(rng.choice([1, 2, 3, 3, 5, 20])):
            now += rng.choice([5.0, 60.0, 310.0])
            workload.append((now, ask(*said, system=words("system", 450))))
            said += [words((number, turn, "answer"), 200), words((number, turn, "next"), rng.choice([30, 400]))]
    return sorted(workload, key=lambda one: one[0])


def marked_by_hand(rng: random.Random) -> list[tuple[float, Request]]:
    """Requests of which the user marks some part himself."""
    marked = []
    for moment, request in documents(rng):
        lifetime = rng.choice([{}, {"ttl": "1h"}, {"ttl": "5m"}])
        block = {"type": "text", "text": request["system"], "cache_control": {"type": "ephemeral", **lifetime}}
        marked.append((moment, {**request, "system": [block]} if rng.random() < 0.5 else request))
    return marked


def mixed(rng: random.Random) -> list[tuple[float, Request]]:
    """Documents of very different sizes, each asked of by chance."""
    texts = [words(("document", n), int(200 * 40 ** rng.random())) for n in range(rng.randint(5, 30))]
    workload, now = [], 0.0
    for number in range(rng.randint(80, 120)):
        now += rng.choice([1, 10, 100, 280, 320])
        workload.append((now, ask(words(number, 50), system=rng.choice(texts))))
    return workload


WORKLOADS: list[Callable[[random.Random], list[tuple[float, Request]]]] = [
    documents,
    strangers,
    chats,
    marked_by_hand,
    mixed,
]


def check_never_dearer(seeds: range) -> None:
    for seed in seeds:
        make = WORKLOADS[seed % len(WORKLOADS)]
        workload = make(random.Random(seed))
        workload = [(moment, {**request, "model": "claude-opus-5"}) for moment, request in workload]
        plain, planned = run(workload, None, bill_claude(512)), run(workload, PromptCache("auto"), bill_claude(512))
        assert price(planned) <= 1.01 * price(plain), (make.__name__, seed, price(planned) / price(plain))


def test_it_is_never_dearer_than_without():
    check_never_dearer(range(4 * len(WORKLOADS)))


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
        assert any(
            (one.get("function") or one)["name"] == (tool.get("function") or tool)["name"] for one in request["tools"]
        )
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
    return SimpleNamespace(
        choices=[SimpleNamespace(message=message, finish_reason="tool_calls")], usage=usage, model=GPT
    )


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


def scripted(model: str = GPT, **settings: Any) -> tuple[Instructor, ScriptedAdapter]:
    adapter = ScriptedAdapter(lambda _: {"value": "a"}, provider="openai")
    return Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model=model, **settings), adapter


LONG = [{"role": "user", "content": words("long", 3000)}]


@pytest.mark.parametrize("wish", ["auto", "5m", "1h", PromptCache("5m", response_models=MODELS)])
def test_no_key_of_the_cache_depends_on_it(wish: Any):
    store = AutoCache()
    plain, _ = scripted(cache=store)
    planning, asked = scripted(cache=store, prompt_cache=wish)
    plain.create(Parties, LONG)
    planning.create(Parties, LONG)
    plain.create(Parties, LONG, prompt_cache=wish)
    assert asked.requests == []
    planning.create(Dates, LONG)
    plain.create(Dates, LONG)
    assert len(asked.requests) == 1
    assert store.stats().writes == 2


def test_it_is_off_unless_it_is_asked_for():
    plain, asked = scripted()
    switched, also = scripted(prompt_cache="5m")
    for _ in range(3):
        plain.create(Parties, LONG)
        switched.create(Parties, LONG, prompt_cache="off")
    assert asked.requests == also.requests
    assert "prompt_cache_key" not in asked.requests[0]
    switched.create(Parties, LONG)
    assert "prompt_cache_key" in also.requests[-1]


@pytest.mark.parametrize("wish", ["2h", "", 5, True])
def test_a_wish_that_is_none_is_refused(wish: Any):
    with pytest.raises(ConfigurationError, match="prompt_cache"):
        scripted(prompt_cache=wish)
    with pytest.raises(ConfigurationError, match="prompt_cache"):
        scripted()[0].create(Parties, LONG, prompt_cache=wish)


def test_a_wish_that_is_none_is_refused_by_a_hit_as_well():
    client, _ = scripted(cache=AutoCache())
    client.create(Parties, LONG)
    with pytest.raises(ConfigurationError, match="prompt_cache"):
        client.create(Parties, LONG, prompt_cache="2h")


def test_response_models_must_have_names_of_their_own():
    same = type("Parties", (BaseModel,), {"__annotations__": {"other": int}})
    with pytest.raises(ConfigurationError, match="called Parties"):
        scripted(prompt_cache=PromptCache(response_models=[Parties, same]))[0].create(Parties, LONG)
    with pytest.raises(ConfigurationError, match="response_models"):
        PromptCache(response_models="Parties")


class Plan:
    """A planner with a clock, and a vendor's rules."""

    def __init__(self, wish: Any = "auto", vendor: str = "anthropic", wire: str = "anthropic_messages") -> None:
        self.now = 0.0
        self.planner = Planner(lambda: self.now)
        self.wish = wish if isinstance(wish, PromptCache) else PromptCache(wish)
        self.vendor, self.wire = vendor, wire

    def plan(self, request: Request, model: str = "") -> Request:
        name = model or request.get("model") or request["modelId"]
        return self.planner.plan(self.vendor, self.wire, name, request, self.wish)

    def send(self, request: Request, read: int = 0, completion: Any = None) -> Any:
        """Send a request that was planned; of so many tokens as a character has, `read` are read."""
        watch = self.planner.watch(self.vendor, self.wire, request.get("model") or request["modelId"], request)
        assert watch is not None
        return watch.settle(Usage(watch.blocks[-1].characters // 4, 10, read), completion)


def marks_of(request: Request, mark: str = "cache_control") -> int:
    return json.dumps(request).count(f'"{mark}"')


def test_a_prompt_that_comes_once_is_left_as_it_is():
    plan, request = Plan(), ask(words("once", 5000), system=words("system", 5000))
    assert plan.plan(request) is request


def test_what_is_too_short_for_the_vendor_is_left_as_it_is():
    plan, request = Plan("5m"), ask("question", system=words("system", 450))
    assert plan.plan(request) is request
    assert marks_of(plan.plan(ask("question", system=words("system", 1100)))) == 1
    talk = ask("question", "answer", "question")
    assert plan.plan(talk) is talk


def test_the_request_of_the_caller_is_not_changed():
    request = ask("question", system=words("system", 2000), tools=({"name": "f", "input_schema": {}},))
    before = json.dumps(request)
    assert marks_of(Plan("5m").plan(request)) > 0
    assert json.dumps(request) == before


def test_what_the_user_marked_stays_and_counts():
    mark = {"cache_control": {"type": "ephemeral"}}
    turns = [[{"type": "text", "text": words(n, 1500), **mark}] for n in range(3)]
    plan, request = Plan("5m"), ask(*turns[:1], "yes", *turns[1:2], "yes", *turns[2:], system=words("system", 2000))
    planned = plan.plan(request)
    assert marks_of(planned) == 4
    assert [turn["content"] for turn in planned["messages"]] == [turn["content"] for turn in request["messages"]]
    full = ask(*turns[:1], "yes", *turns[1:2], "yes", *turns[2:], system=words("system", 2000), **mark)
    assert plan.plan(full) is full


def test_marks_within_a_tools_result_count():
    """Anthropic refuses a request with more than four, wherever they stand."""
    text = {"type": "text", "text": words("page", 1500), "cache_control": {"type": "ephemeral"}}
    pages = [{"type": "tool_result", "tool_use_id": f"call{n}", "content": [text]} for n in range(4)]
    calls = [{"type": "tool_use", "id": f"call{n}", "name": "read", "input": {}} for n in range(4)]
    request = ask("question", calls, pages, system=words("system", 2000))
    assert marks_of(request) == 4
    assert Plan("5m").plan(request) is request


@pytest.mark.parametrize("is_extra", [False, True])
def test_a_mark_of_the_whole_request_is_one_at_its_end(is_extra: bool):
    hour = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    request = ask("question", system=words("system", 2000), **({"extra_body": hour} if is_extra else hour))
    assert (
        Plan("5m").plan(request)["system"][0]["cache_control"]["ttl"] == "1h"
    )  # none that is shorter may stand before it
    turns = [{"type": "text", "text": words(n, 1500), "cache_control": {"type": "ephemeral"}} for n in range(3)]
    full = {**request, "messages": [{"role": "user", "content": [*turns, {"type": "text", "text": "question"}]}]}
    assert Plan("5m").plan(full) is full


def test_a_tool_that_is_kept_out_of_the_prompt_is_never_marked():
    """Anthropic refuses a mark on it."""
    tools = [{"name": name, "description": words(name, 2000), "input_schema": {}} for name in ("first", "later")]
    planned = Plan("5m").plan(ask("question", tools=(tools[0], {**tools[1], "defer_loading": True})))
    assert [marks_of(tool) for tool in planned["tools"]] == [1, 0]


def test_lifetimes_stand_in_the_order_that_the_vendor_takes():
    hour = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    minutes = {"cache_control": {"type": "ephemeral"}}
    later = ask([{"type": "text", "text": "question", **hour}], system=words("system", 2000))
    earlier = ask(
        [{"type": "text", "text": words("document", 2000)}, {"type": "text", "text": "question"}],
        tools=({"name": "f", "description": words("f", 2000), "input_schema": {}, **minutes},),
    )
    bill_claude().bill(Plan("5m").plan(later), 0.0)
    bill_claude().bill(Plan("1h").plan(earlier), 0.0)
    assert '"ttl": "1h"' in json.dumps(Plan("5m").plan(later)["system"])
    assert '"ttl"' not in json.dumps(Plan("1h").plan(earlier))


def test_only_one_of_many_at_once_writes():
    plan, request = Plan("5m"), ask("question", system=words("system", 2000))
    first = plan.plan(request)
    watch = plan.planner.watch("anthropic", "anthropic_messages", CLAUDE, first)
    assert [marks_of(plan.plan(request)) for _ in range(3)] == [0, 0, 0]
    assert watch is not None
    watch.settle(Usage(2000, 1), None)
    assert marks_of(plan.plan(request)) > 0


def test_of_many_that_are_planned_before_one_is_sent_only_one_writes():
    plan, request = Plan("5m"), ask("question", system=words("system", 2000))
    assert [marks_of(plan.plan(request)) for _ in range(4)] == [1, 0, 0, 0]


def test_the_rows_of_a_batch_are_all_marked():
    """They are sent together, so the vendor decides which of them writes."""
    planner, request = Planner(), ask("question", system=words("system", 2000))
    plan = partial(planner.plan, "anthropic", "anthropic_messages", CLAUDE, request, PromptCache("5m"), is_live=False)
    assert [marks_of(plan()) for _ in range(3)] == [1, 1, 1]


def test_a_write_that_never_ends_does_not_hold_others_up_for_ever():
    plan, request = Plan("5m"), ask("question", system=words("system", 2000))
    plan.planner.watch("anthropic", "anthropic_messages", CLAUDE, plan.plan(request))
    assert plan.plan(request) is request
    plan.now = 61.0
    assert marks_of(plan.plan(request)) > 0


def test_thinking_is_never_marked():
    thinking = [{"type": "thinking", "thinking": words("hm", 2000), "signature": "s"}]
    planned = Plan("5m").plan(ask("question", thinking, "more"))
    assert "cache_control" not in planned["messages"][1]["content"][0]
    planned = Plan("5m").plan(ask(words("question", 2000), thinking))
    assert [marks_of(turn) for turn in planned["messages"]] == [1, 0]


def test_openai_gets_a_key_of_its_prefix_and_a_breakpoint_where_its_model_has_them():
    system, plan = words("system", 2000), Plan("5m", "openai", "openai_chat")

    def request(question: str, model: str) -> Request:
        said = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        return {"model": model, "messages": said}

    one, two = (plan.plan(request(question, GPT)) for question in ("one", "two"))
    assert (
        one["prompt_cache_key"]
        == two["prompt_cache_key"]
        != plan.plan(request("one", "gpt-5-mini"))["prompt_cache_key"]
    )
    assert one["messages"][0]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit"}
    assert one["messages"][1] == {"role": "user", "content": "one"}
    assert marks_of(plan.plan(request("one", "gpt-5-mini")), "prompt_cache_breakpoint") == 0
    assert plan.plan({**request("one", GPT), "prompt_cache_key": "own"})["prompt_cache_key"] == "own"
    short = {"model": GPT, "messages": [{"role": "user", "content": "short"}]}
    assert plan.plan(short) is short


def test_bedrock_gets_a_block_behind_the_prefix():
    request = {
        "modelId": "eu.anthropic.claude-sonnet-5-v1:0",
        "system": [{"text": words("system", 2000)}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}], "toolChoice": {"auto": {}}},
        "messages": [{"role": "user", "content": [{"text": words("document", 2000)}, {"text": "question"}]}],
    }
    plan = Plan("5m", "bedrock", "bedrock_converse")
    planned = plan.plan(request)
    assert planned["system"][1] == {"cachePoint": {"type": "default"}}
    assert [*map(list, planned["messages"][0]["content"])] == [["text"], ["cachePoint"], ["text"]]
    assert marks_of(plan.plan(planned), "cachePoint") == 2
    hour = Plan("1h", "bedrock", "bedrock_converse").plan(request)
    assert hour["system"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert BEDROCK_CONVERSE.name == "bedrock_converse"


@pytest.mark.parametrize(
    ("vendor", "wire", "model"),
    [
        ("google", "genai_content", "gemini-4-flash"),
        ("groq", "openai_chat", "llama-9"),
        ("openai", "openai_chat", "my-own-model"),
        ("anthropic", "genai_content", CLAUDE),
    ],
)
def test_nothing_is_marked_where_nothing_is_known(vendor: str, wire: str, model: str):
    request = {"model": model, "messages": LONG}
    assert Plan("1h", vendor, wire).plan(request, model) is request


@pytest.mark.parametrize("row", RULES, ids=lambda row: f"{row.vendors[0]}-{row.model}")
def test_every_rule_has_a_source_and_a_date(row: Any):
    assert row.source
    assert len(row.date) == len("2026-11")
    assert [*row.lifetimes] == [*row.write]
    assert [*row.lifetimes.values()] == sorted(row.lifetimes.values())


@pytest.mark.parametrize(
    ("vendor", "model", "minimum", "marks"),
    [
        ("anthropic", "claude-haiku-4-5", 4096, 4),
        ("anthropic", "claude-3-5-haiku-latest", 2048, 4),
        ("anthropic", "claude-opus-5-5", 512, 4),
        ("anthropic", CLAUDE, 1024, 4),
        ("openai", GPT, 1024, 3),
        ("openai", "gpt-5.5", 1024, 0),
        ("google", "gemini-4-pro", 4096, 0),
        ("bedrock", "us.anthropic.claude-opus-4-5-v1:0", 4096, 4),
        ("bedrock", "eu.amazon.nova-pro-v1:0", 1024, 4),
    ],
)
def test_a_model_has_the_rules_of_its_family(vendor: str, model: str, minimum: int, marks: int):
    rules = find_rules(vendor, model)
    assert rules is not None
    assert (rules.minimum, rules.most_marks) == (minimum, marks)
    assert find_rules("cohere", model) is None


def system_with(note: str) -> str:
    return f"{words('rules', 2000)} {note} {words('more rules', 2000)}"


def test_a_prefix_that_stops_being_read_is_told_of_once_with_what_differs_first(caplog: pytest.LogCaptureFixture):
    adapter = Emulated("anthropic", bill_claude())
    client = Instructor(adapter, wires=ANTHROPIC_WIRES, mode=Mode.TOOLS, model="claude-sonnet-4-5", prompt_cache="5m")
    for minute in (0, 0, 1, 2):
        system = {"role": "system", "content": system_with(f"It is 12:0{minute}.")}
        client.create(Parties, [system, {"role": "user", "content": "question"}])
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "first differs system[0].text, character 80" in told[0]
    assert "It is 12:00." in told[0]
    assert "It is 12:01." in told[0]
    assert "The provider says: system_changed." in told[0]


def test_a_prefix_that_the_vendor_has_lost_is_told_of():
    plan, request = Plan("5m"), ask("question", system=words("system", 5000))
    assert plan.send(plan.plan(request)) is None
    assert plan.send(plan.plan(request), read=4990) is None
    lost = plan.send(plan.plan(request), read=0)
    assert lost.read == 0
    assert lost.expected == pytest.approx(5000, rel=0.01)
    assert "the provider has lost it" in str(lost)
    assert plan.send(plan.plan(request), read=0) is None


@pytest.mark.parametrize("short", [1900, 230])
def test_a_little_less_than_expected_is_not_told_of(short: int):
    size = 5000 if short == 1900 else 60_000
    plan, request = Plan("5m"), ask("question", system=words("system", size))
    plan.send(plan.plan(request))
    assert plan.send(plan.plan(request), read=size - short) is None


def test_another_document_is_not_a_collapse():
    plan = Plan("5m")
    for number in range(3):
        for read in (0, 5000):
            assert plan.send(plan.plan(ask("question", system=words(("document", number), 5000))), read) is None


def test_other_conversations_and_rows_are_not_a_collapse():
    plan, system = Plan("5m"), words("system", 6000)
    for number in range(3):
        said = [words((number, "task"), 4000)]
        for read in (6000 if number else 0, 10_000, 10_000):
            assert plan.send(plan.plan(ask(*said, system=system)), read) is None
            said += ["yes", "go on"]
    rows = Plan("5m", "openai", "openai_chat")
    for number in range(3):
        row = {"role": "user", "content": f"{words('row', 5000)} {number}"}
        asked = {"model": GPT, "messages": [{"role": "system", "content": system}, row]}
        assert rows.send(rows.plan(asked), 6000 if number else 0) is None


def test_tools_in_another_order_are_a_collapse():
    tools = [{"name": f"t{n}", "description": words(n, 1500), "input_schema": {}} for n in range(3)]
    plan = Plan("5m")
    for read in (0, 6000):
        plan.send(plan.plan(ask("question", system=words("s", 1500), tools=(*tools,))), read)
    told = plan.send(plan.plan(ask("question", system=words("s", 1500), tools=(tools[1], tools[0], tools[2]))))
    assert "first differs tools[0].name" in told.cause


def test_another_tool_choice_is_a_collapse_of_the_turns():
    plan, said = Plan("5m"), (words("task", 4000), "yes", "go on")
    for read in (0, 4000):
        plan.send(plan.plan(ask(*said, tool_choice={"type": "auto"})), read)
    told = plan.send(plan.plan(ask(*said, tool_choice={"type": "any"})))
    assert told.cause.startswith("before messages[0].content[0] another model, tool choice")


def test_a_document_is_moved_from_a_plain_question_only():
    adapter = Emulated("anthropic", bill_claude())
    wish = PromptCache(response_models=MODELS)
    client = Instructor(adapter, wires=ANTHROPIC_WIRES, mode=Mode.TOOLS, model="claude-sonnet-4-5", prompt_cache=wish)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    client.create(Dates, turns)
    assert [turn["content"] for turn in adapter.requests[-1]["messages"]] == ["a", "b", "c"]
    assert "system" not in adapter.requests[-1]
    pdf = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
    client.create(Dates, [{"role": "user", "content": [pdf, {"type": "text", "text": "Which dates?"}]}])
    assert adapter.requests[-1]["messages"][0]["content"][0]["type"] == "document"
    assert [tool["name"] for tool in adapter.requests[-1]["tools"]] == [model.__name__ for model in MODELS]


def test_a_response_model_that_is_not_in_the_list_is_asked_for_as_ever():
    class Other(BaseModel):
        value: str

    sharing, asked = scripted(prompt_cache=PromptCache(response_models=[Parties, Dates]))
    plain, as_ever = scripted()
    sharing.create(Other, LONG)
    plain.create(Other, LONG)
    assert asked.requests[0]["tools"] == as_ever.requests[0]["tools"]


def test_the_tools_of_the_caller_stay_in_front():
    own = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}
    client, adapter = scripted(prompt_cache=PromptCache(response_models=[Parties, Dates]))
    assert client.create(Parties, LONG, tools=[own]).value == "a"
    assert [tool["function"]["name"] for tool in adapter.requests[0]["tools"]] == ["search", "Parties", "Dates"]


async def test_the_asynchronous_client_plans_alike():
    adapter = ScriptedAdapter(lambda _: {"value": "a"}, provider="openai", asynchronous=True)
    wires = {Mode.TOOLS: OPENAI_CHAT}
    client = instructor.AsyncInstructor(adapter, wires=wires, mode=Mode.TOOLS, model=GPT, prompt_cache="5m")
    sync, asked = scripted(prompt_cache="5m")
    for _ in range(2):
        await client.create(Parties, LONG)
        sync.create(Parties, LONG)
    assert adapter.requests == asked.requests


def test_a_planner_remembers_a_bounded_number_of_prefixes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(history, "MOST_PREFIXES", 10)
    plan, request = Plan("5m"), ask("question", system=words("system", 2000))
    plan.send(plan.plan(request))
    assert plan.plan(request)["messages"] != request["messages"]
    plan.send(plan.plan(ask(*(words(turn, 20) for turn in range(11)))))
    assert plan.plan(request)["messages"] == request["messages"]


@pytest.mark.parametrize(
    ("vendor", "model", "mode"),
    [
        ("anthropic", "claude-sonnet-4-5", Mode.TOOLS),
        ("openai", GPT, Mode.TOOLS),
        ("openai", GPT, Mode.RESPONSES_TOOLS),
    ],
)
def test_the_ledger_counts_what_the_vendor_read_and_wrote(vendor: str, model: str, mode: Mode):
    adapter = Emulated(vendor, bill_claude() if vendor == "anthropic" else bill_openai())
    wires = ANTHROPIC_WIRES if vendor == "anthropic" else OPENAI_WIRES
    client = Instructor(adapter, wires=wires, mode=mode, model=model, prompt_cache=PromptCache(response_models=MODELS))
    for each in MODELS:
        client.create(each, WITH_QUESTION)
    ledger = client.ledger()
    assert ledger.spent.tokens == sum(bill.tokens + 10 for bill in adapter.bills)
    assert ledger.prompt_cache_saved.tokens == sum(bill.read for bill in adapter.bills) > 0
    assert ledger.prompt_cache_paid.tokens == sum(bill.written for bill in adapter.bills) > 0


def test_bedrock_and_gemini_count_what_was_read_as_well():
    counts = {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 30}
    assert BEDROCK_CONVERSE.usage({"usage": counts}) == Usage(135, 7, 100, cache_write_tokens=30)
    details = [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 10}]
    assert BEDROCK_CONVERSE.usage({"usage": {**counts, "cacheDetails": details}}) == Usage(135, 7, 100, 0, 30, 20)
    metadata = SimpleNamespace(prompt_token_count=120, candidates_token_count=7, cached_content_token_count=100)
    usage = GENAI.usage(SimpleNamespace(usage_metadata=metadata))
    assert (usage.input_tokens, usage.cached_tokens) == (120, 100)
