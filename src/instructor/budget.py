"""A limit of what may be spent."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from instructor.exceptions import ArgumentError, BudgetExceeded, ConfigurationError
from instructor.locks import fork_between, make_lock, reset_after_fork
from instructor.prices import FREE, find_rates, price_of, show_money, tier_of
from instructor.usage import Usage

Period = Literal["minute", "hour", "day", "run"]

_SECONDS: dict[str, float | None] = {"minute": 60.0, "hour": 3600.0, "day": 86400.0, "run": None}
"""How long each period takes. It begins on the full minute, on the hour, or at midnight, in UTC."""


class Budget:
    """What may be spent, in dollars or tokens, in each minute, hour or day, or for as long as this object is used.

    Pass it to a client as ``budget=``, and to others too if they are to share it; to a call, it holds beside the client's.
    It stops requests, never hits: a request is made as long as less than the budget is spent or reserved. Each request
    under way reserves what one has cost on average, and settles with what it did cost, so a budget is never overrun by
    more than the requests that were under way, however many threads and tasks share it. A request that fails without an
    answer costs nothing. It holds for one process; a forked child begins with what was spent before.

    With `usd` a model must have a price in the installed ``genai-prices``: one that has none isn't asked, because its
    costs could not be counted. Use `price_as`, or a budget in tokens.

    Args:
        usd: The most US dollars.
        tokens: The most tokens, read and written.
        per: ``"minute"``, ``"hour"`` or ``"day"``, in UTC; or ``"run"``, the default, which never ends.
        price_as: The model by whose price all requests are counted, such as ``"openai/gpt-6-luna"``.
        clock: Unix time in seconds, for tests.

    Raises:
        ArgumentError: Neither `usd` nor `tokens` is a number above 0, or `per` is something else.

    Example:
        >>> budget = instructor.Budget(tokens=100, per="day")
        >>> client = instructor.from_provider("offline/demo", budget=budget, cache=instructor.AutoCache())
        >>> answers = [client.create(User, messages) for _ in range(3)]
        >>> budget.spent_tokens
        93
    """

    def __init__(
        self,
        *,
        usd: float | None = None,
        tokens: int | None = None,
        per: Period = "run",
        price_as: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        limits = [limit for limit in (usd, tokens) if limit is not None]
        if not limits or not all(type(limit) in (int, float) and limit > 0 for limit in limits):
            raise ArgumentError("Budget takes usd= or tokens=, a number above 0, or both.")
        if per not in _SECONDS:
            raise ArgumentError(f"Budget(per=) takes one of {', '.join(map(repr, _SECONDS))}; got {per!r}.")
        if price_as is not None and "/" not in price_as:
            raise ArgumentError('Budget(price_as=) takes "vendor/model", such as "openai/gpt-6-luna".')
        self.usd, self.tokens, self.per, self.price_as = usd, tokens, per, price_as
        self._clock = clock
        self._lock = make_lock()
        self._window = self._open = 0
        self._begin()
        self._ended: deque[tuple[str, str, Usage | None]] = deque()
        self._silent = ""
        fork_between(self._lock)  # so that a child finds whole sums
        reset_after_fork(self)
        if usd is not None:
            price_of("openai", "", Usage())  # imports the price list now, and not in somebody's event loop

    def reset(self) -> None:
        """Begin a forked child with what is spent, and without what the parent's requests under way have reserved."""
        self._turn()
        self._open = 0

    @property
    def spent_usd(self) -> float:
        """US dollars spent in this period."""
        with self._lock:
            self._turn()
            return self._usd

    @property
    def spent_tokens(self) -> int:
        """Tokens spent in this period."""
        with self._lock:
            self._turn()
            return self._tokens

    def reserve(self, vendor: str, model: str) -> None:
        """Reserve a request, which `settle` ends. Raises BudgetExceeded if the budget is spent, or reserved by others."""
        if self.usd is not None and self._rate(vendor, model, Usage(1)) is None:
            raise ConfigurationError(
                f"The price of {vendor}/{model} isn't known, so {self!r} can't be kept. Use a budget in tokens, or "
                'price_as="vendor/model" for a model whose price is known.'
            )
        with self._lock:
            self._turn()
            if self._silent:
                raise ConfigurationError(
                    f"{self._silent} doesn't say how many tokens it used, so {self!r} can't be kept."
                )
            mean = 1 + self._open / max(self._settled, 1) if self._settled else 1
            over = [
                limit is not None and spent * mean >= limit
                for spent, limit in ((self._usd, self.usd), (self._tokens, self.tokens))
            ]
            if any(over):
                raise self._exceeded()
            self._open += 1

    def admit(self, vendor: str, model: str, planned: int, tokens: int) -> None:
        """Refuse one more request where the `planned` ones, which are paid for together as in a batch, will use all up.

        They are expected to cost what requests have cost so far. As long as none has, they cost the `tokens` that they read.
        """
        least = self._rate(vendor, model, Usage(tokens)) or 0.0
        with self._lock:
            self._turn()
            each = planned / self._settled if self._settled else 0.0
            usd = self._usd * (1 + each) if self._settled else least
            total = self._tokens * (1 + each) if self._settled else tokens
            if (self.usd is not None and usd >= self.usd) or (self.tokens is not None and total >= self.tokens):
                raise self._exceeded(planned)

    def reserve_paid(self, vendor: str, model: str) -> None:
        """Reserve a request that is paid for already, such as a row of a batch: it isn't refused any more."""
        del vendor, model
        with self._lock:
            self._turn()
            self._open += 1

    def settle(self, vendor: str, model: str, usage: Usage | None) -> None:
        """End a request: with what it cost, or with None if it brought no answer."""
        # Without the lock: the garbage collector may close a call while this very thread holds it.
        self._ended.append((vendor, model, usage))

    def _rate(self, vendor: str, model: str, usage: Usage) -> float | None:
        if self.usd is None:
            return 0.0
        if self.price_as is not None:
            vendor, _, model = self.price_as.partition("/")
        rates = find_rates(vendor, model, tier_of(usage)) if usage.total_tokens else None
        return None if rates is None else rates.price(usage)

    def _turn(self) -> None:
        """Begin the next period, if it is time, and count what has ended. What is under way counts when it ends."""
        seconds = _SECONDS[self.per]
        window = 0 if seconds is None else int(self._clock() // seconds)
        if window != self._window:
            self._window = window
            self._begin(self._open)
        for _ in range(len(self._ended)):
            vendor, model, usage = self._ended.popleft()
            self._open = max(0, self._open - 1)
            if usage is None:
                continue
            if not usage.total_tokens and vendor not in FREE:
                self._silent = f"{vendor}/{model}"
            self._settled += 1
            self._tokens += usage.total_tokens
            self._usd += self._rate(vendor, model, usage) or 0.0

    def _begin(self, under_way: int = 0) -> None:
        self._usd, self._tokens, self._settled, self._open = 0.0, 0, 0, under_way

    def _exceeded(self, planned: int = 0) -> BudgetExceeded:
        seconds = _SECONDS[self.per]
        opens = None if seconds is None else (self._window + 1) * seconds
        spent = f"{show_money(self._usd)} and {self._tokens:,} tokens" if self.usd else f"{self._tokens:,} tokens"
        later = "Raise it." if opens is None else f"It opens again at {_write_time(opens)}; raise it to go on before."
        under_way = self._open + planned
        reserved = f", and {under_way} requests are under way" if under_way else ""
        return BudgetExceeded(
            f"{self!r} is used up: {spent} are spent{reserved}. Answers from a cache are still served. {later}",
            spent_usd=self._usd,
            spent_tokens=self._tokens,
            opens=opens,
        )

    def __repr__(self) -> str:
        shown = {"usd": self.usd, "tokens": self.tokens, "price_as": self.price_as}
        limits = [f"{name}={value!r}" for name, value in shown.items() if value is not None]
        return f"Budget({', '.join(limits)}, per={self.per!r})"


def _write_time(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
