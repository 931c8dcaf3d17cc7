"""A provider that enforces limits, and programs that ask it, on a clock that is stepped by hand."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from instructor.limits.headers import rules_of
from instructor.limits.limiter import Limiter
from instructor.limits.settings import Limits
from instructor.limits.shared import SharedAccount
from instructor.limits.sizes import Size
from instructor.usage import Usage


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bucket:
    """One limit as a server enforces it: a bucket that refills, or a window that begins anew each minute."""

    limit: float
    clock: Clock
    is_window: bool = False
    left: float = field(init=False)
    at: float = field(init=False)

    def __post_init__(self) -> None:
        self.left, self.at = self.limit, self.clock()

    def refill(self) -> None:
        now = self.clock()
        if not self.is_window:
            self.left = min(self.limit, self.left + self.limit / 60 * (now - self.at))
            self.at = now
        elif now - self.at >= 60:
            self.left, self.at = self.limit, now - (now - self.at) % 60

    def change(self, limit: float) -> None:
        self.refill()
        self.left = min(self.left, limit)
        self.limit = limit

    @property
    def reset(self) -> float:
        return 60 - (self.clock() - self.at) if self.is_window else (self.limit - self.left) / self.limit * 60


class Server:
    """A provider that allows requests and tokens a minute, and answers as OpenAI's headers do."""

    def __init__(
        self,
        clock: Clock,
        requests: float,
        tokens: float,
        *,
        is_window: bool = False,
        has_headers: bool = True,
        charges_most: bool = False,
        says_when: bool = True,
    ) -> None:
        self.clock = clock
        self.requests = Bucket(requests, clock, is_window)
        self.tokens = Bucket(tokens, clock, is_window)
        self.has_headers = has_headers
        self.charges_most = charges_most
        self.says_when = says_when
        self.allowed_tokens = 0.0
        self.refused: list[float] = []
        self.answered: list[tuple[float, float]] = []

    def ask(self, tokens: float, most: float) -> tuple[int, dict[str, str]]:
        """Judge a request; return the status and the headers."""
        for bucket in (self.requests, self.tokens):
            bucket.refill()
        charge = most if self.charges_most else tokens
        if self.requests.left < 1 or self.tokens.left < charge:
            self.refused.append(self.clock())
            missing = max(
                (1 - self.requests.left) / self.requests.limit, (charge - self.tokens.left) / self.tokens.limit
            )
            wait = self.tokens.reset if self.tokens.is_window else missing * 60
            return 429, self.headers() | ({"retry-after": f"{int(wait) + 1}"} if self.says_when else {})
        self.requests.left -= 1
        self.tokens.left -= charge
        self.answered.append((self.clock(), charge))
        return 200, self.headers()

    def headers(self) -> dict[str, str]:
        if not self.has_headers:
            return {}
        found: dict[str, str] = {}
        for unit, bucket in (("requests", self.requests), ("tokens", self.tokens)):
            found[f"x-ratelimit-limit-{unit}"] = f"{bucket.limit:.0f}"
            found[f"x-ratelimit-remaining-{unit}"] = f"{bucket.left:.0f}"
            found[f"x-ratelimit-reset-{unit}"] = duration(bucket.reset)
        return found

    def used(self, start: float, end: float) -> float:
        """The tokens that were charged in a span."""
        return sum(tokens for at, tokens in self.answered if start <= at < end)


def duration(seconds: float) -> str:
    """Write a span as OpenAI does."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}m{rest:.3f}s" if minutes else f"{rest:.3f}s"


class World:
    """Programs that have more to ask than the provider allows."""

    def __init__(self, server: Server, clock: Clock, *, seed: int = 1) -> None:
        self.server = server
        self.clock = clock
        self.chance = random.Random(seed)
        self.limiters: list[Limiter] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.waits = 0

    def add_program(
        self, *, width: int = 200, limits: Limits | None = None, shared: SharedAccount | None = None, mean: int = 500
    ) -> Limiter:
        """Add a program that keeps as many rows under way as it may, each of about `mean` tokens."""
        limiter = Limiter(limits or Limits(), rules_of("openai"), shared, self.clock)
        self.limiters.append(limiter)
        for _ in range(width):
            self._at(self.chance.random() / 10, self._row(limiter, mean))
        return limiter

    def _row(self, limiter: Limiter, mean: int) -> Callable[[], None]:
        rows = self._work(limiter, mean)

        def go_on() -> None:
            self._at(next(rows), go_on)

        return go_on

    def _work(self, limiter: Limiter, mean: int) -> Iterator[float]:
        """Ask one row after the other; yields the seconds until it goes on."""
        while True:
            read, written = self.chance.randint(mean // 4, mean // 2), self.chance.randint(mean // 4, mean)
            size = Size(letters=int(read * 3.5), output_limit=2 * mean)
            while True:
                reservation = limiter.reserve(size)
                while wait := reservation.wait():
                    self.waits += 1
                    yield wait
                started = self.clock()
                yield 0.05
                status, headers = self.server.ask(read + written, read + 2 * mean)
                yield 1.0 + written / 200 if status == 200 else 0.05
                usage = Usage(read, written) if status == 200 else None
                reservation.settle(usage, headers, status, self.clock() - started)
                if status == 200:
                    break

    def _at(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.clock.now + seconds, next(self._numbers), event))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.clock.now + seconds
        while self._events and self._events[0][0] <= end:
            at, _, event = heapq.heappop(self._events)
            self.clock.now = at
            event()
        self.clock.now = end
