"""Rows that begin alike: one writes the provider's prompt cache, the others read it, and the bill shows it."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anthropic.types import Message, ToolUseBlock
from anthropic.types import Usage as AnthropicUsage
from pydantic import BaseModel

from instructor import AsyncInstructor, Instructor, Job, Mode
from instructor.jobs.asking import Miss
from instructor.jobs.order import Order, Waiting
from instructor.jobs.window import AHEAD, Slot
from instructor.offline.adapter import ChatAdapter
from instructor.prompt_caching.history import Foreseen
from instructor.prompt_caching.planner import Planner
from instructor.providers.anthropic import CODEC
from instructor.providers.capabilities import capabilities_of
from instructor.providers.table import find_vendor
from instructor.row import Row
from instructor.usage import Usage
from instructor.wires.anthropic import ANTHROPIC_MESSAGES
from prompt_billing import Bill, Billing, bill_claude

CLAUDE = "claude-sonnet-5"


class Answer(BaseModel):
    text: str


def words(seed: object, tokens: int) -> str:
    """A text of about so many tokens that no other seed begins with."""
    return (f"{seed} " * (4 * tokens))[: 4 * tokens]


class Billed(ChatAdapter):
    """Anthropic as its bill shows it: what a request writes can be read once it is answered. Some take longer than others."""

    asynchronous = True
    provider = "anthropic"
    dump, load, assemble = staticmethod(CODEC.dump), staticmethod(CODEC.load), staticmethod(CODEC.make)

    def __init__(self, turns: Callable[[], int] = lambda: 20) -> None:
        self.billing: Billing = bill_claude()
        self.bills: list[Bill] = []
        self.questions: list[str] = []
        self._turns = turns

    def capabilities(self, model: str) -> Any:
        return capabilities_of(find_vendor(self.provider), model)

    async def send(self, operation: str, request: dict[str, Any]) -> Any:
        self.questions.append(question_of(request))
        before = dict(self.billing.kept)
        bill = self.billing.bill(request, 0.0)
        written, self.billing.kept = self.billing.kept, before
        await self.work(self.questions[-1])
        self.billing.kept.update(written)
        self.bills.append(bill)
        return answer(bill)

    async def work(self, question: str) -> None:
        for _ in range(self._turns()):
            await asyncio.sleep(0)

    @property
    def price(self) -> float:
        return sum(bill.price for bill in self.bills)


def question_of(request: dict[str, Any]) -> str:
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


def answer(bill: Bill) -> Message:
    usage = AnthropicUsage(
        input_tokens=bill.tokens - bill.read - bill.written,
        output_tokens=10,
        cache_read_input_tokens=bill.read,
        cache_creation_input_tokens=bill.written,
    )
    call = ToolUseBlock(type="tool_use", id="1", name="Answer", input={"text": "x"})
    return Message(
        id="1", type="message", role="assistant", content=[call], stop_reason="tool_use", usage=usage, model=CLAUDE
    )


def in_system(row: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"role": "system", "content": row[0]}, {"role": "user", "content": row[1]}]


def in_one_turn(row: tuple[str, str]) -> list[dict[str, Any]]:
    texts = [{"type": "text", "text": text} for text in (words("rules", 1200), *row)]
    return [{"role": "user", "content": texts}]


def run(source: Any, adapter: Billed, messages: Any = in_system, **keywords: Any) -> list[Row[Any]]:
    async def take() -> list[Row[Any]]:
        client = AsyncInstructor(
            adapter, wires=dict.fromkeys(ANTHROPIC_MESSAGES.modes, ANTHROPIC_MESSAGES), mode=Mode.TOOLS, model=CLAUDE
        )
        settings = {"concurrency": 8, "limits": None, "max_retries": 0, "progress": False, **keywords}
        async with client.map(source, Answer, messages=messages, **settings) as job:
            return [row async for row in job]

    return asyncio.run(take())


def ask_about(documents: int, questions: int) -> list[tuple[str, str]]:
    """Questions about documents, one document after the other."""
    texts = [words(("document", number), 3000) for number in range(documents)]
    return [(text, f"{words(text[:20], 3)} {question}") for text in texts for question in range(questions)]


def test_the_first_of_several_rows_writes_what_they_share_though_one_is_asked_at_a_time():
    adapter = Billed()
    run(interleave(ask_about(3, 2), 2), adapter, prompt_cache="auto", concurrency=1)
    assert [bill.written > 0 for bill in adapter.bills] == [True, False, True, False, True, False]
    assert [bill.read > 0 for bill in adapter.bills] == [False, True, False, True, False, True]


def test_an_equal_row_is_no_reason_to_write_what_it_begins_with():
    """It is answered by the first one's answer."""
    adapter = Billed()
    rows = [(words(("document", number), 3000), "question") for number in range(4) for _ in range(3)]
    run(rows, adapter, prompt_cache="auto")
    assert [bill.written for bill in adapter.bills] == [0] * 4


@pytest.mark.parametrize("wish", ["auto", "5m"])
def test_rows_that_share_nothing_worth_keeping_wait_for_nobody(wish: str):
    adapter = Holding(until=4)
    run([("short", str(number)) for number in range(4)], adapter, prompt_cache=wish)
    assert [bill.written for bill in adapter.bills] == [0] * 4


class Holding(Billed):
    """Answers nothing until so many are asked, if those are not asked before."""

    def __init__(self, until: int, first: str = "") -> None:
        super().__init__()
        self.until, self.first = until, first

    async def work(self, question: str) -> None:
        if question.startswith(self.first):
            while len(self.questions) < self.until:
                await asyncio.sleep(0)


def interleave(rows: list[tuple[str, str]], questions: int) -> list[tuple[str, str]]:
    return [row for question in range(questions) for row in rows[question::questions]]


def reckon(rows: list[tuple[str, str]], wish: Any, messages: Any) -> float:
    adapter = Billed()
    answered = run(iter(rows), adapter, messages, prompt_cache=wish)
    assert [row.input for row in answered] == rows
    assert sorted(adapter.questions) == sorted(question for _, question in rows)
    return adapter.price


@pytest.mark.parametrize("messages", [in_system, in_one_turn])
@pytest.mark.parametrize("wish", ["auto", "5m"])
def test_documents_that_take_turns_cost_what_they_cost_one_after_the_other(wish: str, messages: Any):
    grouped = ask_about(6, 8)
    as_grouped, as_interleaved = (reckon(rows, wish, messages) for rows in (grouped, interleave(grouped, 8)))
    assert as_interleaved <= 1.01 * as_grouped
    assert as_interleaved <= 0.3 * reckon(grouped, "off", messages)  # 1.25 + 7 * 0.1 of 8, and the questions


def make_workload(rng: random.Random) -> list[tuple[str, str]]:
    """Documents of many sizes, asked of once or often, in any order; some questions come twice."""
    sizes = [rng.choice([100, 900, 1500, 2500]) for _ in range(rng.randint(1, 30))]
    texts = [words(("document", number), size) for number, size in enumerate(sizes)]
    skew = rng.choice([1, 3])
    rows = [
        (texts[int(rng.random() ** skew * len(texts))], words(rng.randint(0, 60), rng.choice([5, 250])))
        for _ in range(rng.randint(10, 40))
    ]
    return sorted(rows) if rng.random() < 0.3 else rows


def check_never_dearer(seeds: range) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        rows, messages = make_workload(rng), rng.choice([in_system, in_one_turn])
        concurrency = rng.choice([1, 3, 8, "auto"])
        prices = []
        for wish in ("off", "auto"):
            adapter = Billed(lambda: rng.randint(1, 40))  # noqa: B023 - called before the next one
            run(rows, adapter, messages, prompt_cache=wish, concurrency=concurrency)
            prices.append(adapter.price)
        assert prices[1] <= 1.01 * prices[0], (seed, prices[1] / prices[0])


def test_it_is_never_dearer_than_without():
    check_never_dearer(range(12))


@pytest.mark.soak
def test_it_is_never_dearer_than_without_in_a_thousand_jobs():
    check_never_dearer(range(1000))


def test_rows_of_other_documents_go_on_while_one_is_being_written():
    """The first row isn't answered before all rows of the others have been asked."""
    rows = interleave([(words(text, 3000), f"{text}{number}") for text in "abc" for number in range(4)], 4)
    adapter = Holding(until=9, first="a0")
    assert [row.input for row in run(rows, adapter, prompt_cache="auto", concurrency=3)] == rows
    assert adapter.questions[0] == "a0"
    assert {question[0] for question in adapter.questions[1:9]} == {"b", "c"}


@pytest.mark.parametrize("wish", ["auto", "5m"])
def test_a_later_group_of_a_client_does_not_wait_for_what_an_earlier_one_has_written(wish: str):
    """On an engine each group of rows is a job of the worker's client. Nothing of the second is answered before all is asked."""
    adapter, text = Holding(until=0), words("document", 3000)
    wires = dict.fromkeys(ANTHROPIC_MESSAGES.modes, ANTHROPIC_MESSAGES)
    client = AsyncInstructor(adapter, wires=wires, mode=Mode.TOOLS, model=CLAUDE, prompt_cache=wish)  # type: ignore[arg-type]

    async def ask_group(first: int) -> None:
        rows = [(text, str(number)) for number in range(first, first + 4)]
        job = client.map(rows, Answer, messages=in_system, concurrency=4, limits=None, progress=False)
        assert len([row async for row in job]) == 4

    async def ask_groups() -> None:
        await ask_group(0)
        adapter.until = 8
        await ask_group(4)

    asyncio.run(ask_groups())
    assert [bill.read > 0 for bill in adapter.bills] == [False] + [True] * 7


class Blocking(Billed):
    """The same for threads."""

    asynchronous = False

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def send(self, operation: str, request: dict[str, Any]) -> Any:
        with self._lock:
            return asyncio.run(super().send(operation, request))


def begin_job(adapter: Blocking, rows: list[tuple[str, str]], concurrency: int, **keywords: Any) -> Job[Answer]:
    wires = dict.fromkeys(ANTHROPIC_MESSAGES.modes, ANTHROPIC_MESSAGES)
    client = Instructor(adapter, wires=wires, mode=Mode.TOOLS, model=CLAUDE, prompt_cache="auto")
    settings: Any = {"messages": in_system, "limits": None, "progress": False, **keywords}
    return client.map(rows, Answer, concurrency=concurrency, **settings)


@pytest.mark.parametrize("ordered", [True, False])
def test_rows_that_wait_are_not_asked_about_once_a_job_is_stopped(ordered: bool):
    adapter = Blocking()
    with begin_job(adapter, ask_about(1, 20), 2, ordered=ordered) as job:
        next(job)
        job.stop()
        assert 1 + len(list(job)) == len(adapter.questions) <= 4


@pytest.mark.parametrize("ordered", [True, False])
def test_the_rows_of_a_job_that_is_stopped_have_no_gaps_if_they_are_in_order(ordered: bool):
    """The first rows of three documents are asked at once, and those between them wait."""
    adapter = Blocking()
    with begin_job(adapter, ask_about(3, 5), 3, ordered=ordered) as job:
        first = next(job)
        job.stop()
        taken = [first.index, *(row.index for row in job)]
    if ordered:
        assert taken == list(range(len(taken)))
        assert len(taken) < len(adapter.questions), "the answers behind a row that wasn't asked are stored only"
    else:
        assert len(taken) == len(adapter.questions)


def test_threads_keep_the_order_as_well():
    adapter, rows = Blocking(), interleave(ask_about(3, 4), 4)
    with begin_job(adapter, rows, 8) as job:
        assert [row.input for row in job] == rows
    assert sum(bill.written > 0 for bill in adapter.bills) == 3
    assert sum(bill.read > 0 for bill in adapter.bills) == 9


class Failing(Billed):
    """Fails for questions that begin with a word, before anything is read of them."""

    async def send(self, operation: str, request: dict[str, Any]) -> Any:
        if question_of(request).startswith("fail"):
            self.questions.append(question_of(request))
            await self.work("")
            raise RuntimeError("refused")
        return await super().send(operation, request)


def test_if_the_first_row_fails_the_next_one_is_the_first():
    text = words("document", 3000)
    rows = [(text, f"fail {number}") for number in range(3)] + [(text, f"ask {number}") for number in range(6)]
    adapter = Failing()
    run(rows, adapter, prompt_cache="auto", on_error="collect")
    assert adapter.questions[:4] == ["fail 0", "fail 1", "fail 2", "ask 0"]
    assert [bill.written > 0 for bill in adapter.bills] == [True] + [False] * 5
    assert [bill.read > 0 for bill in adapter.bills] == [False] + [True] * 5


def test_rows_before_one_that_fails_are_handed_out_though_it_overtook_them():
    shared = words("document", 3000)
    rows = [(shared, "ask 0"), (shared, "ask 1"), (shared, "ask 2"), ("", "fail"), (shared, "ask 3")]
    adapter, seen = Failing(), []
    with pytest.raises(Exception, match="refused") as caught:
        seen += run(rows, adapter, prompt_cache="auto", on_error="raise")
    assert "This is about row 3" in str(caught.value.__notes__)
    assert sorted(adapter.questions) == ["ask 0", "ask 1", "ask 2", "fail"]


async def test_other_tasks_have_turns_while_rows_are_read_ahead():
    adapter, turns, before = Billed(), 0, []

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def note() -> None:
        before.append(turns)

    adapter.work = lambda _: note()  # type: ignore[method-assign]
    wires = dict.fromkeys(ANTHROPIC_MESSAGES.modes, ANTHROPIC_MESSAGES)
    client = AsyncInstructor(adapter, wires=wires, mode=Mode.TOOLS, model=CLAUDE, prompt_cache="auto")
    other = asyncio.create_task(take_turns())
    job = client.map(ask_about(1, 100), Answer, messages=in_system, limits=None, progress=False)
    async with job:
        await anext(job)
    other.cancel()
    assert before[0] >= 100


@pytest.mark.parametrize("ordered", [True, False])
def test_no_more_rows_are_read_than_wait_at_most(ordered: bool):
    read = 0

    def source() -> Iterator[tuple[str, str]]:
        nonlocal read
        for read in range(1, 2_000):
            yield shared, str(read)

    async def leave() -> None:
        client = AsyncInstructor(
            adapter, wires=dict.fromkeys(ANTHROPIC_MESSAGES.modes, ANTHROPIC_MESSAGES), mode=Mode.TOOLS, model=CLAUDE
        )
        keywords: Any = {"messages": in_system, "concurrency": 16, "limits": None, "prompt_cache": "5m"}
        async with client.map(source(), Answer, ordered=ordered, progress=False, **keywords) as job:
            await anext(job)

    shared, adapter = words("document", 2000), Billed()
    asyncio.run(leave())
    assert AHEAD <= read <= AHEAD + 64 + 1
    assert len(adapter.questions) <= 17  # those that waited when it was left aren't asked


def test_rows_found_in_a_store_make_room_for_more_until_one_is_asked():
    """One read at a time of a store that takes 5 ms would serve 200 rows a second."""
    order, _ = make_order()
    add(order, 20)
    begun = [begin_all(order)]
    for cached in (True, True, True, True):
        end(order, begun[-1], cached=cached)
        begun.append(begin_all(order))
    assert [len(each) for each in begun] == [1, 2, 8, 8, 1]
    add(order, 20, first=20)
    end(order, begun[-1])
    assert len(begin_all(order)) == 20


def test_rows_go_on_without_one_that_is_never_answered():
    order, now = make_order()
    add(order, 3)
    assert len(begin_all(order)) == 1
    now[0] = 59.0
    assert begin_all(order) == []
    now[0] = 61.0
    assert len(begin_all(order)) == 1
    now[0] = 122.0
    assert len(begin_all(order)) == 1


def test_rows_whose_beginning_is_written_go_before_others_but_not_for_ever():
    order, _ = make_order()
    add(order, 1, (b"a",))
    add(order, 1, (b"b",), first=1)
    add(order, 1, (b"b",), first=2)
    add(order, 1, (b"a",), first=3)
    first = order.begin()
    assert first is not None
    end(order, [first])
    add(order, 1, (b"a",), first=AHEAD + 2)
    assert [waiting.miss.index for waiting in begin_all(order)] == [3, 1, AHEAD + 2]


def make_order() -> tuple[Order[Any], list[float]]:
    now = [0.0]
    planner = Planner(lambda: now[0])

    def foresee(miss: Miss) -> Foreseen:
        return Foreseen(miss.input, str(miss.index).encode(), 300.0)

    return Order(planner, foresee, lambda: now[0]), now


def add(order: Order[Any], count: int, prefixes: tuple[bytes, ...] = (b"a",), first: int = 0) -> None:
    for index in range(first, first + count):
        order.add(Slot(), Miss(index, prefixes, []))


def begin_all(order: Order[Any]) -> list[Waiting[Any]]:
    return list(iter(order.begin, None))


def end(order: Order[Any], begun: list[Waiting[Any]], *, cached: bool = False) -> None:
    for waiting in begun:
        order.end(waiting.slot, Row(waiting.miss.index, "", "x", cached=cached, usage=Usage(10, 1)))
