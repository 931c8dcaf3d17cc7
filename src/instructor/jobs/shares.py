"""A job's budgets, kept where the job is: each group that goes to a worker has a share, and settles it when it is back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instructor.budget import Budget
from instructor.exceptions import BudgetExceeded
from instructor.locks import make_lock
from instructor.usage import Usage

Spent = tuple[str, str, Usage | None]
"""The vendor and the model of a request, and its tokens; None where it brought no answer."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A share as it goes to a worker.

    Attributes:
        limits: What is left of each budget: dollars, tokens, and the model that all is priced as.
        rows: For how many rows a request is reserved.
        refusal: What the other rows get, unless they are hits.
    """

    limits: tuple[tuple[float | None, int | None, str | None], ...]
    rows: int
    refusal: BudgetExceeded | None = None


class Share(Budget):
    """The budget of a group. It notes what is spent, so that it can be settled where the job is."""

    def __init__(self, grant: Grant) -> None:
        parts = [Budget(usd=usd, tokens=tokens, price_as=model) for usd, tokens, model in grant.limits]
        super().__init__(usd=parts[0].usd, tokens=parts[0].tokens, price_as=parts[0].price_as)
        self._parts = parts
        self._refusal = grant.refusal
        self._left = grant.rows
        self._counting = make_lock()
        self.requests: list[Spent] = []

    def reserve(self, vendor: str, model: str) -> None:
        """Reserve a request of each budget, or of none."""
        with self._counting:
            if self._refusal is not None and self._left <= 0:
                raise self._refusal.with_traceback(None)  # which would grow with each row
            self._left -= 1
        _reserve_all(self._parts, vendor, model)

    def settle(self, vendor: str, model: str, usage: Usage | None) -> None:
        """End a request."""
        self.requests.append((vendor, model, usage))
        for part in self._parts:
            part.settle(vendor, model, usage)


class Purse:
    """The budgets of a job.

    Each row that is under way on a worker has one request reserved. So a budget is overrun by no more than those rows,
    however many machines they are on.
    """

    def __init__(self, budgets: Sequence[Budget], vendor: str, model: str) -> None:
        self._budgets = budgets
        self._asked = vendor, model

    def grant(self, rows: int) -> Grant | None:
        """Reserve for a group; None without budgets."""
        if not self._budgets:
            return None
        reserved, refusal = 0, None
        while reserved < rows and refusal is None:
            try:
                _reserve_all(self._budgets, *self._asked)
                reserved += 1
            except BudgetExceeded as error:
                refusal = error
        return Grant(tuple(map(_find_rest, self._budgets)), reserved, refusal)

    def settle(self, grant: Grant | None, requests: Sequence[Spent] = ()) -> None:
        """Settle what was reserved for a group with what it has spent."""
        unused = 0 if grant is None else max(0, grant.rows - len(requests))
        nothing: Spent = (*self._asked, None)
        for vendor, model, usage in [*requests, *[nothing] * unused]:
            for budget in self._budgets:
                budget.settle(vendor, model, usage)


def _reserve_all(budgets: Sequence[Budget], vendor: str, model: str) -> None:
    reserved: list[Budget] = []
    try:
        for budget in budgets:
            budget.reserve(vendor, model)
            reserved.append(budget)
    except Exception:
        for budget in reserved:
            budget.settle(vendor, model, None)
        raise


def _find_rest(budget: Budget) -> tuple[float | None, int | None, str | None]:
    """What is left of a budget: never nothing, which no budget can be."""
    usd = None if budget.usd is None else max(budget.usd - budget.spent_usd, 1e-12)
    tokens = None if budget.tokens is None else max(budget.tokens - budget.spent_tokens, 1)
    return usd, tokens, budget.price_as
