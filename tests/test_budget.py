"""A budget stops requests, and never hits."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
from typing import Any

import pytest

from instructor import AsyncInstructor, AutoCache, Budget, Instructor, Mode
from instructor.exceptions import ArgumentError, BudgetExceeded, ConfigurationError
from instructor.testing import ScriptedAdapter, ScriptedReply
from instructor.usage import Usage
from instructor.wires.openai_chat import OPENAI_CHAT
from worlds import MESSAGES, User, both


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def make(budget: Any, *, reply: Any = None, asynchronous: bool = False, model: str = "gpt-6-luna") -> Any:
    """A client whose requests cost 1,100 tokens, which are 0.00015 dollars."""

    def answer(request: Any) -> Any:
        return ScriptedReply({"name": "Ann"}, usage=Usage(1000, 100)) if reply is None else reply(request)

    kind: Any = AsyncInstructor if asynchronous else Instructor
    adapter = ScriptedAdapter(answer, asynchronous=asynchronous, provider="openai")
    wires = {Mode.TOOLS: OPENAI_CHAT}
    return kind(adapter, wires=wires, mode=Mode.TOOLS, model=model, cache=AutoCache(), budget=budget)


def ask(client: Any, number: int = 0, **keywords: Any) -> Any:
    made = client.create(User, [{"role": "user", "content": f"question {number}"}], **keywords)
    return asyncio.run(made) if asyncio.iscoroutine(made) else made


@both
@pytest.mark.parametrize("limit", [{"tokens": 2200}, {"usd": 0.0003}], ids=["tokens", "usd"])
def test_requests_stop_when_it_is_spent_and_hits_do_not(limit: dict[str, Any], asynchronous: bool) -> None:
    budget = Budget(**limit)
    client = make(budget, asynchronous=asynchronous)
    assert [ask(client, 1).name, ask(client, 2).name] == ["Ann", "Ann"]
    with pytest.raises(BudgetExceeded, match=r"2,200 tokens are spent.*Raise it") as caught:
        ask(client, 3)
    assert (caught.value.spent_tokens, caught.value.opens) == (2200, None)
    assert ask(client, 1).name == "Ann"
    assert len(client._adapter.requests) == 2
    assert client.ledger().spent.count == 2


def test_a_forked_child_begins_with_what_is_spent_and_none_of_the_reservations() -> None:
    """Which only the parent can settle."""
    budget = Budget(tokens=2200)
    client = make(budget)
    ask(client, 1)
    for _ in range(3):
        budget.reserve_paid("openai", "gpt-6-luna")
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if (budget.spent_tokens, ask(client, 2).name, budget.spent_tokens) == (1100, "Ann", 2200) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(BudgetExceeded, match="3 requests are under way"):
        ask(client, 3)


def test_the_next_period_opens_it_again() -> None:
    clock = Clock()
    client = make(Budget(tokens=1000, per="hour", clock=clock))
    ask(client, 1)
    with pytest.raises(BudgetExceeded, match="opens again at 1970-01-12 14:00:00 UTC") as caught:
        ask(client, 2)
    assert caught.value.opens is not None
    clock.now = caught.value.opens
    assert ask(client, 2).name == "Ann"


def test_the_budget_of_a_call_holds_beside_the_clients() -> None:
    whole, single = Budget(tokens=2200), Budget(tokens=1)
    client = make(whole)
    ask(client, 1, budget=single)
    with pytest.raises(BudgetExceeded, match="tokens=1,"):
        ask(client, 2, budget=single)
    assert (whole.spent_tokens, single.spent_tokens) == (1100, 1100)
    ask(client, 1, budget=single)  # a hit
    ask(client, 3)
    with pytest.raises(BudgetExceeded, match="tokens=2200"):
        ask(client, 4)


async def test_requests_under_way_are_reserved() -> None:
    budget = Budget(tokens=5 * 1100)
    client = make(budget, asynchronous=True)
    await client.create(User, MESSAGES)  # so that the budget knows what one costs
    asked = [client.create(User, [{"role": "user", "content": f"question {number}"}]) for number in range(20)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, User) for one in found) == 4
    assert sum(isinstance(one, BudgetExceeded) for one in found) == 16
    assert budget.spent_tokens == 5 * 1100


@both
def test_what_fails_gives_back_what_it_reserved(asynchronous: bool) -> None:
    def fail(_: Any) -> Any:
        raise OSError("cut")

    budget = Budget(tokens=1100)
    client = make(budget, reply=fail, asynchronous=asynchronous)
    for number in range(3):
        with pytest.raises(Exception, match="cut"):
            ask(client, number)
    assert budget.spent_tokens == 0
    ask(make(budget))


def test_each_attempt_counts() -> None:
    client = make(Budget(tokens=1000), reply=lambda _: ScriptedReply({}, usage=Usage(1000, 100)))
    with pytest.raises(BudgetExceeded):
        ask(client, max_retries=3)
    assert len(client._adapter.requests) == 1


def test_a_model_without_a_price_is_not_asked() -> None:
    client = make(Budget(usd=1), model="a-model-of-ours")
    with pytest.raises(ConfigurationError, match=r"price of openai/a-model-of-ours isn't known.*price_as"):
        ask(client)
    assert client._adapter.requests == []
    borrowed = Budget(usd=1, price_as="openai/gpt-6-luna")
    ask(make(borrowed, model="a-model-of-ours"))
    assert borrowed.spent_usd == pytest.approx(0.00015)


def test_an_answer_without_a_count_of_tokens_is_the_last() -> None:
    client = make(Budget(tokens=10), reply=lambda _: ScriptedReply({"name": "Ann"}, usage=Usage(0, 0)))
    assert ask(client, 1).name == "Ann"
    with pytest.raises(ConfigurationError, match="doesn't say how many tokens"):
        ask(client, 2)


@pytest.mark.parametrize(
    "wrong", [{}, {"usd": 0}, {"tokens": "5"}, {"usd": 1, "per": "week"}, {"usd": 1, "price_as": "x"}]
)
def test_a_wrong_budget_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="Budget"):
        Budget(**wrong)


def test_what_is_no_budget_is_refused() -> None:
    with pytest.raises(ArgumentError, match="Pass a Budget"):
        make(5)
    with pytest.raises(ArgumentError, match="Pass a Budget"):
        ask(make(None), budget=5)


def test_the_error_can_be_copied_and_pickled() -> None:
    error = BudgetExceeded("used up", spent_usd=1.5, spent_tokens=7, opens=3.0)
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(other), other.spent_usd, other.spent_tokens, other.opens) == ("used up", 1.5, 7, 3.0)


def test_a_request_that_the_garbage_collector_ends_waits_for_no_lock() -> None:
    """It may do so while this very thread holds the lock."""
    budget = Budget(tokens=100)
    budget.reserve("openai", "m")
    with budget._lock:
        budget.settle("openai", "m", Usage(5, 2))
    assert budget.spent_tokens == 7
