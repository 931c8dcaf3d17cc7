"""`Limiter`: when the next request to one model may be sent, and what each answer says about that."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Final

from instructor.limits.account import Account, Amounts, Cut, Leave, Limit, Pause, Refund, Report, Turn
from instructor.limits.concurrency import Concurrency
from instructor.limits.granted import Granted
from instructor.limits.headers import Headers, Rules, read_limits, read_pause
from instructor.limits.settings import Limits
from instructor.limits.shared import SharedAccount
from instructor.limits.sizes import Expected, Size, make_charges
from instructor.locks import make_lock, reset_after_fork
from instructor.usage import Usage

_REFUSED: Final = 429
_CROWDED: Final = frozenset({408, 500, 502, 503, 504, 529})
_SOON, _LATE = 0.25, 5.0
"""A request that has longer to wait looks again after half of the time, because others may use less than they reserved."""
_FIRST_PAUSE: Final = 1.0
"""Seconds to wait after a refusal that doesn't say how long; twice as long after each further one."""
_MOST_DOUBLED: Final = 6
_MOST_MARGIN, _MARGIN_STEP, _MARGIN_LASTS = 0.2, 0.02, 60.0
_NO_LIMIT: Final = 1e15
"""In place of one that isn't believed any more."""
_REST: Final = 5.0
"""Seconds for which a server that failed isn't asked."""

AnyAccount = Account | SharedAccount


class Limiter:
    """What one credential may ask of one model, and what was learned of it. It doesn't wait; it says how long to."""

    def __init__(
        self,
        settings: Limits,
        rules: Rules,
        shared: SharedAccount | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self.clock = clock
        self.shared = shared
        self.own = Account(clock)
        self._expected = Expected()
        self._charges = make_charges()
        self._granted = Granted()
        self._flights = Concurrency(settings.concurrency)
        self._ceilings = settings.ceilings()
        self._known = {name: Limit(name, ceiling) for name, ceiling in self._ceilings.items()}
        # What nobody limits isn't counted; requests are, because a refusal may show a limit that no header names.
        self._counted = tuple(dict.fromkeys(("requests", *(names.dimension for names in rules.names), *self._ceilings)))
        self._reports: list[Report] = []
        self._used: AnyAccount | None = None
        self._rests_until = float("-inf")
        self._margin, self._refusals, self._refused_at = 0.0, 0, float("-inf")
        self._lock = make_lock()
        reset_after_fork(self)

    def reset(self) -> None:
        """Begin anew in a forked child: no request of the parent's ends there."""
        self._flights.under_way = 0

    @property
    def concurrency(self) -> int:
        """How many requests may be under way at once, as far as is known by now."""
        return int(self._flights.most)

    @property
    def shared_now(self) -> SharedAccount | None:
        """The account on a server, unless there is none or it rests after a failure."""
        return self.shared if self.shared is not None and self.clock() >= self._rests_until else None

    def reserve(self, size: Size) -> Reservation:
        """Reserve what a request will likely need; `Reservation.wait` says when it may be sent."""
        with self._lock:
            read, written = self._expected.tokens(size)
        return Reservation(self, size, self._amounts(read, written))

    def seconds_until_free(self) -> float:
        """How long until another request may be under way; 0 if it may now. No lock: it may be otherwise at once."""
        return self._flights.seconds_until_free()

    def take(self, account: AnyAccount) -> tuple[Sequence[Report], float]:
        """What an account must know before the next turn, and the margin to keep."""
        with self._lock:
            reports: list[Report] = [] if account is self._used else [*map(_without_state, self._known.values())]
            if account is self._used or self._used is None:
                reports += self._reports
            self._used, self._reports = account, []
            return reports, self._margin_at(self.clock())

    def rest(self) -> None:
        """Leave the server alone for a while: it failed. Until then this process keeps to the limits by itself."""
        self._rests_until = self.clock() + _REST

    def sent(self) -> None:
        """Note that a request is under way."""
        with self._lock:
            self._flights.under_way += 1

    def give_back(self, reports: Sequence[Report], account: AnyAccount | None) -> None:
        """Note what a request that isn't sent leaves to others."""
        with self._lock:
            self._note(reports, account)

    def settle(
        self, reservation: Reservation, usage: Usage | None, headers: Headers, status: int | None, latency: float
    ) -> None:
        """Note what an answer, or a failure, says."""
        with self._lock:
            now = self.clock()
            self._flights.under_way = max(0, self._flights.under_way - 1)
            if status == _REFUSED:
                self._granted.forget()
            used = self._used_by(usage)
            limits = list(self._read(headers, reservation, used))
            seen = {limit.dimension for limit in limits if limit.remaining is not None}
            reports: list[Report] = list(limits)
            if status == _REFUSED:
                reports += self._refuse(headers, now)
                reports += [Refund(name, amount) for name, amount in reservation.amounts.items() if name not in seen]
            elif status is None or status in _CROWDED:
                if status is not None or latency:
                    self._flights.failed(now)
            else:
                self._refusals = 0
                self._flights.succeeded(latency, now)
            if usage is not None:
                self._expected.learn(reservation.size, usage)
                reports += self._refunds(reservation.amounts, used, seen)
            self._note(reports, reservation.account)

    def _note(self, reports: Sequence[Report], account: AnyAccount | None) -> None:
        """Keep reports for the next turn. Those about an account that isn't used any more say nothing of the other one."""
        if account is self._used:
            self._reports += reports

    def _read(self, headers: Headers, reservation: Reservation, used: Amounts) -> Iterator[Limit]:
        sent_at = reservation.sent_at
        for limit in read_limits(self.rules, headers, reservation.departed):
            if self._granted.refutes(limit, used.get(limit.dimension, 0.0), sent_at):
                yield from self._disbelieve(limit.dimension)
                continue
            charge = self._charges[limit.dimension]
            charge.learn(limit, sent_at)
            found, ceiling = charge.scale(limit), self._ceilings.get(limit.dimension)
            if ceiling is not None and ceiling / 60.0 <= found.limit / found.period:
                found = found._replace(limit=ceiling, period=60.0, is_ceiling=True)
            self._known[limit.dimension] = found
            yield found

    def _disbelieve(self, dimension: str) -> Iterator[Limit]:
        """Go by the caller's own limit alone, if one of the provider's was believed before."""
        ceiling = self._ceilings.get(dimension)
        own = Limit(dimension, _NO_LIMIT if ceiling is None else ceiling)
        if self._known.get(dimension, own) != own:
            self._known[dimension] = own
            yield own

    def _refuse(self, headers: Headers, now: float) -> Iterator[Report]:
        """Wait as long as the provider asks, and leave more of each limit alone; guess the limit if nobody says it."""
        self._refusals += 1
        asked = read_pause(headers)
        yield Pause(_FIRST_PAUSE * 2.0 ** min(self._refusals - 1, _MOST_DOUBLED) if asked is None else asked)
        is_known = bool(self._known) and self._margin_at(now) < _MOST_MARGIN
        if now - self._refused_at > _FIRST_PAUSE:
            self._margin = min(_MOST_MARGIN, self._margin_at(now) + _MARGIN_STEP)
            self._refused_at = now
        if not is_known:
            yield Cut("requests")

    def _margin_at(self, now: float) -> float:
        """The part of each limit that is left alone: more with each refusal, and half as much with each minute since."""
        return self._margin * 0.5 ** ((now - self._refused_at) / _MARGIN_LASTS) if self._margin else 0.0

    def _used_by(self, usage: Usage | None) -> Amounts:
        """What a request used of each limit; nothing where that isn't known."""
        if usage is None or not usage.total_tokens:
            return {}
        read = usage.input_tokens - (0 if self.rules.counts_cached else usage.cached_tokens)
        return self._amounts(read, usage.output_tokens)

    def _amounts(self, read: float, written: float) -> Amounts:
        """What a request takes of each limit, by the tokens that it reads and writes."""
        taken = {"requests": 1.0, "tokens": read + written, "input": read, "output": written}
        return {name: taken[name] for name in self._counted}

    def _refunds(self, amounts: Amounts, used: Amounts, seen: Container[str]) -> list[Refund]:
        """What a request used less than was reserved, of the limits that are known and that its answer says nothing of."""
        names = [name for name in used if name in self._known and name != "requests" and name not in seen]
        return [Refund(name, amounts[name] - used[name]) for name in names]


def _without_state(limit: Limit) -> Limit:
    """What a limit is, without what was left of it for another account."""
    return limit._replace(remaining=None, departed=None, reset=None)


class Reservation:
    """What one request will likely need, and its place among those that wait.

    Attributes:
        size: The request's size.
        amounts: What is reserved of each limit.
        departed: What had departed when it was sent, in each dimension.
        account: Whose turn it waits for.
        due_in: The seconds until its turn, as far as is known: `wait` says to look again sooner.
        sent_at: When it was sent, on the limiter's clock.
    """

    __slots__ = (
        "_is_over",
        "_is_sent",
        "_limiter",
        "_places",
        "account",
        "amounts",
        "departed",
        "due_in",
        "sent_at",
        "size",
    )

    def __init__(self, limiter: Limiter, size: Size, amounts: Amounts) -> None:
        self._limiter = limiter
        self.size = size
        self.amounts = amounts
        self.departed: Amounts = {}
        self.account: AnyAccount | None = None
        self.due_in = self.sent_at = 0.0
        self._places: Amounts | None = None
        self._is_sent = self._is_over = False

    @property
    def is_local(self) -> bool:
        """Whether `wait` asks no server, and so never blocks."""
        return self._limiter.shared_now is None

    def wait(self) -> float:
        """Return the seconds to wait before asking again; 0 if the request is to be sent now."""
        self.due_in = self._limiter.seconds_until_free()
        if self.due_in:
            return self.due_in
        shared = self._limiter.shared_now
        if shared is not None:
            try:
                return self._take(shared.turn(*self._ask(shared)))
            except Exception:  # noqa: BLE001 - whatever a server's client raises
                self._limiter.rest()
        return self._take(self._limiter.own.turn(*self._ask(self._limiter.own)))

    async def wait_async(self) -> float:
        """As `wait`, without blocking the event loop."""
        self.due_in = self._limiter.seconds_until_free()
        if self.due_in:
            return self.due_in
        shared = self._limiter.shared_now
        if shared is not None:
            try:
                return self._take(await shared.turn_async(*self._ask(shared)))
            except Exception:  # noqa: BLE001 - whatever a server's client raises
                self._limiter.rest()
        return self._take(self._limiter.own.turn(*self._ask(self._limiter.own)))

    def settle(
        self,
        usage: Usage | None = None,
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
        latency: float = 0.0,
    ) -> None:
        """Note how the request ended: what it cost, the response's headers with names in lower case, and its status.

        Without an answer there is neither usage nor status. `latency` is in seconds; 0 for one that was abandoned.
        """
        if self._is_sent and not self._is_over:
            self._is_over = True
            self._limiter.settle(self, usage, headers or {}, status, latency)

    def cancel(self) -> None:
        """Leave the queue; the request will not be sent. After it was sent, it counts as spent."""
        if self._is_sent:
            self.settle()
        elif self._places is not None and not self._is_over:
            self._is_over = True
            self._limiter.give_back([Leave(name, amount) for name, amount in self.amounts.items()], self.account)

    def _ask(self, account: AnyAccount) -> tuple[Sequence[Report], Amounts, Amounts | None, float]:
        reports, margin = self._limiter.take(account)
        if account is not self.account:
            self.account, self._places = account, None
        return reports, self.amounts, self._places, margin

    def _take(self, turn: Turn) -> float:
        self._places, self.departed, self.due_in = turn.places, turn.departed, turn.wait
        if not turn.wait:
            self._is_sent, self.sent_at = True, self._limiter.clock()
            self._limiter.sent()
        return turn.wait if turn.wait <= _SOON else min(max(_SOON, turn.wait / 2), _LATE)
