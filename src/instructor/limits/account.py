"""How much of each limit is left, and whose turn it is: arithmetic over a clock that somebody else reads.

Requests take places in a queue. For each limit an account counts three totals that only grow: what was `promised` to
reservations in order, what has `departed` with requests that were sent, and what was `granted` so far. A reservation
may go once as much is granted as its place says, so that nobody is overtaken, and its wait is known beforehand. What a
provider says is left corrects the grants, as of the request that it answered.

`shared.py` has the same arithmetic as a script for Redis; one test steps both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, NamedTuple

from instructor.locks import make_lock

DIMENSIONS: Final = ("requests", "tokens", "input", "output")
"""What a provider limits: requests, tokens, or tokens read and tokens written each for itself."""

Amounts = Mapping[str, float]
"""A number for each dimension."""

SOONEST: Final = 1e-3
"""A shorter wait isn't one."""
SAME: Final = 1e-3
"""Totals that differ by less are the same: a server rounds them."""
LONGEST_PAUSE: Final = 60.0
"""Seconds that an account stands still after a refusal at most; then one request asks whether it goes on."""
RECOVERY: Final = 0.002
"""How much of a limit that was guessed is added to it in a second."""
CUT: Final = 0.7
ENOUGH: Final = 10
"""Requests without which a limit isn't guessed: a pause will do."""
SECONDS_BETWEEN_CUTS: Final = 2.0


class Limit(NamedTuple):
    """Report: what a provider, or the caller, says of one limit.

    Attributes:
        dimension: Which.
        limit: How much is allowed in a period.
        period: Its seconds.
        remaining: What is left; None if nobody says so.
        departed: What had departed when the request left that brought this answer; None for a limit of the caller's.
        reset: Seconds until all is allowed again at once, of a limit that does not refill steadily.
        is_ceiling: Whether the limit is the caller's own, and the provider's is higher.
    """

    dimension: str
    limit: float
    period: float = 60.0
    remaining: float | None = None
    departed: float | None = None
    reset: float | None = None
    is_ceiling: bool = False


class Refund(NamedTuple):
    """Report: a request used less of a limit than was reserved for it; more, if it is negative."""

    dimension: str
    amount: float


class Leave(NamedTuple):
    """Report: a request that had a place in the queue will never be sent."""

    dimension: str
    amount: float


class Pause(NamedTuple):
    """Report: nothing may be sent for some seconds."""

    seconds: float


class Cut(NamedTuple):
    """Report: a request was refused, and nobody says what the limit is. It is guessed from what was sent."""

    dimension: str


Report = Limit | Refund | Leave | Pause | Cut


class Turn(NamedTuple):
    """What an account answers.

    Attributes:
        wait: Seconds until the request may go; 0 if it has gone.
        places: Its place in the queue of each limit.
        departed: What has departed in each dimension, this request included.
    """

    wait: float
    places: Amounts
    departed: Amounts


@dataclass(slots=True)
class Line:
    """One limit, and the queue for it; the module's docstring says what the totals mean.

    Attributes:
        limit: How much is allowed in a period; None if that isn't known.
        period: Its seconds.
        guessed: Whether the limit was guessed, and so grows until the next refusal.
        full_at: When all is allowed again at once; None for a limit that refills steadily.
        synced: The `departed` of the latest report.
        since: When `counted` was noted, to see how much departs in a period.
        counted: The `departed` at that time.
        cut_at: When the limit was last cut.
    """

    limit: float | None = None
    period: float = 60.0
    granted: float = 0.0
    promised: float = 0.0
    departed: float = 0.0
    guessed: bool = False
    full_at: float | None = None
    synced: float = -1.0
    since: float = 0.0
    counted: float = 0.0
    cut_at: float = -math.inf

    def refill(self, now: float, seconds: float, *, forgets: bool) -> None:
        """Grant what has come back in some seconds; and forget places whose owners don't come, if they could."""
        if now - self.since >= self.period:
            self.since, self.counted = now, self.departed
        if self.limit is None:
            return
        self.full_at = None if self.full_at is None else min(self.full_at, now + self.period)
        if self.full_at is None:
            self.granted += self.limit / self.period * seconds
        elif now >= self.full_at:
            self.granted, self.full_at = self.departed + self.limit, None
        if self.guessed:
            self.limit += self.limit * RECOVERY * seconds
        beyond = self.granted - self.departed - self.limit
        if beyond > 0:
            # Nobody takes what is left, so those who are first in the queue may be gone: a process that was killed.
            lost = min(beyond, max(0.0, self.promised - self.departed)) if forgets else 0.0
            self.departed += lost
            self.granted = self.departed + self.limit

    def note(self, report: Limit, now: float) -> None:
        """Go by what a provider or the caller says. An answer to an earlier request than the latest says nothing new."""
        is_new = self.limit is None
        is_ours = report.departed is not None and report.departed <= self.departed + 1  # not of a server that forgot
        departed = report.departed if is_ours else None
        if departed is not None:
            if departed < self.synced - SAME:
                return
            self.synced = departed
        self.limit, self.period, self.guessed = report.limit, report.period, False
        if report.remaining is None or departed is None:
            full = self.departed + self.limit
            self.granted = full if is_new else min(self.granted, full)
            return
        left = departed + report.remaining
        self.granted = min(self.granted, left) if report.is_ceiling and not is_new else left
        self.full_at = None if report.reset is None else now + report.reset

    def cut(self, now: float) -> None:
        """Guess a lower limit: at first from what has departed lately, then by the same factor each time."""
        sent = self.departed - self.counted
        if abs(now - self.cut_at) < SECONDS_BETWEEN_CUTS or (self.limit is None and sent < ENOUGH):
            return
        seen = sent / max(now - self.since, 1.0) * self.period
        self.limit = max(1.0, min(self.limit or math.inf, seen) * CUT)
        self.granted, self.guessed, self.cut_at = self.departed, True, now

    def queue(self, amount: float, margin: float) -> float:
        """Take the last place in the queue."""
        self.promised = max(self.promised, self.departed) + self._bound(amount, margin)
        return self.promised

    def _bound(self, amount: float, margin: float) -> float:
        """What a request takes of the limit: one that is larger waits for all of it."""
        return amount if self.limit is None else min(amount, self.limit * (1 - margin))

    def seconds_until(self, place: float, amount: float, margin: float, now: float, *, is_back: bool) -> float:
        """How long until as much is granted as a place says.

        One that `is_back` after a wait takes what is left: those before it still sleep, and what is left is not to lie idle.
        """
        if self.limit is None:
            return 0.0
        granted = self.granted - margin * self.limit
        left = self.departed + self._bound(amount, margin) - granted
        missing = left if is_back and left <= 0 else max(place - granted, left)
        if missing <= 0:
            return 0.0
        seconds = missing / self.limit * self.period
        return seconds if self.full_at is None else max(self.full_at - now, 0.0) + max(0.0, seconds - self.period)


@dataclass(slots=True)
class Account:
    """An account in this process. Its clock is monotonic, in seconds."""

    clock: Callable[[], float]
    lines: dict[str, Line] = field(default_factory=dict[str, Line])
    at: float = -math.inf
    paused_until: float = -math.inf
    lock: Lock = field(default_factory=make_lock)

    def turn(self, reports: Sequence[Report], amounts: Amounts, places: Amounts | None, margin: float = 0.0) -> Turn:
        """Enter what was learned since; then let a request go that needs some amounts, or say how long it has to wait.

        A request has no `places` when it comes first. `margin` is the part of each limit that is left alone.
        """
        with self.lock:
            now = self.clock()
            self._refill(now)
            for report in reports:
                self._enter(report, now)
            known = self.lines
            lines = [(name, known.get(name) or self._line(name, now), amount) for name, amount in amounts.items()]
            is_back = places is not None
            if places is None:
                places = {name: line.queue(amount, margin) for name, line, amount in lines}
            wait = self.paused_until - now
            for name, line, amount in lines:
                wait = max(wait, line.seconds_until(places[name], amount, margin, now, is_back=is_back))
            if wait < SOONEST:
                wait = 0.0
                for _, line, amount in lines:
                    line.departed += amount
            return Turn(wait, places, {name: line.departed for name, line, _ in lines})

    def _refill(self, now: float) -> None:
        seconds = 0.0 if self.at == -math.inf else max(0.0, now - self.at)
        self.paused_until = min(self.paused_until, now + LONGEST_PAUSE)  # a server's clock may jump back
        forgets = now >= self.paused_until
        for line in self.lines.values():
            line.refill(now, seconds, forgets=forgets)
        self.at = now

    def _enter(self, report: Report, now: float) -> None:
        match report:
            case Refund(dimension, amount):  # first, as there are several for each answer
                self._line(dimension, now).granted += amount
            case Pause(seconds):
                self.paused_until = max(self.paused_until, now + min(seconds, LONGEST_PAUSE))
            case Leave(dimension, amount):
                line = self._line(dimension, now)
                line.granted, line.departed = line.granted + amount, line.departed + amount
            case Limit():
                self._line(report.dimension, now).note(report, now)
            case Cut(dimension):
                self._line(dimension, now).cut(now)

    def _line(self, dimension: str, now: float) -> Line:
        line = self.lines.get(dimension)
        if line is None:
            line = self.lines[dimension] = Line(since=now)
        return line
