"""The figures of a run, and how one record got its answer."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from instructor.cli.prices import Prices
from instructor.usage import Usage

_WINDOW = 20.0
"""Seconds over which the speed is measured, for the time left."""


@dataclass(slots=True)
class Outcome:
    """How one record got its answer.

    Attributes:
        text: The JSON of its answer; empty if it failed.
        file: The name of its input where there are several.
        source: ``"hit"``, ``"shared"`` (an identical record was just being asked), or ``"asked"``.
        attempts: Requests made for it.
        spent: Tokens of those requests.
        saved: Tokens that the answer cost when the provider was asked for it.
        batched: Whether it was asked in a batch, at its price.
        live: Tokens among `spent` of a batched record that were asked live, at the full price.
        seconds_saved: How long that request took, for a hit. A shared answer saves a request, but it was waited for.
    """

    line: int
    text: str = ""
    error: str = ""
    source: str = "asked"
    attempts: int = 0
    spent: Usage = field(default=Usage())
    saved: Usage = field(default=Usage())
    seconds_saved: float = 0.0
    file: str = ""
    batched: bool = False
    live: Usage = field(default=Usage())

    @property
    def cached(self) -> bool:
        """Whether no request was made for it, as in `Row.cached`."""
        return self.source != "asked"

    def note_saved(self, usage: Usage, seconds: float, *, shared: bool) -> None:
        """Note that no request was made for it, and what that saved."""
        self.source = "shared" if shared else "hit"
        self.saved = usage
        self.seconds_saved = 0.0 if shared else seconds


@dataclass(slots=True)
class RunStats:
    """The figures of a run.

    Attributes:
        total: How many records there are; None where that is not known.
        concurrency: How many records are asked at once, at most.
        done: Records so far. Each is one of `hits`, `asked`, `shared` (with an identical one in flight), `batched` and
            `failed`.
        requests: Requests that were made, with those that asked again.
        spent: Tokens of those requests, which cost `money_spent` US dollars.
        saved: Tokens that hits and shared records did not cost; `money_saved` is their price.
        priced: False once a price was not known.
        request_seconds_saved: How long the requests took whose answers were hits, one after the other.
        seconds: How long the run has taken.
    """

    total: int | None = None
    concurrency: int = 1
    done: int = 0
    hits: int = 0
    asked: int = 0
    shared: int = 0
    batched: int = 0
    failed: int = 0
    requests: int = 0
    spent: Usage = field(default=Usage())
    saved: Usage = field(default=Usage())
    money_spent: float = 0.0
    money_saved: float = 0.0
    priced: bool = True
    request_seconds_saved: float = 0.0
    seconds: float = 0.0
    _samples: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    _began: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome, prices: Prices) -> None:
        """Count one record."""
        self.done += 1
        source = "failed" if outcome.error else outcome.source
        self.failed += source == "failed"
        self.hits += source == "hit"
        self.shared += source == "shared"
        self.asked += source == "asked" and not outcome.batched
        self.batched += source == "asked" and outcome.batched
        self.requests += outcome.attempts
        self.request_seconds_saved += outcome.seconds_saved
        if outcome.spent.total_tokens:
            self.spent += outcome.spent
            factor = prices.batch_factor if outcome.batched else 1.0
            self.money_spent += self._price(outcome.spent, prices) * factor
            if outcome.live.total_tokens:
                self.money_spent += self._price(outcome.live, prices) * (1 - factor)
        if outcome.saved.total_tokens:
            self.saved += outcome.saved
            self.money_saved += self._price(outcome.saved, prices)
        self.tick()

    @property
    def counts(self) -> dict[str, int]:
        """How the records so far were answered."""
        counts = {"hits": self.hits, "asked": self.asked, "shared": self.shared, "batched": self.batched}
        return counts | {"errors": self.failed}

    def tick(self) -> None:
        """Measure the time taken, and the speed."""
        now = time.monotonic()
        self.seconds = now - self._began
        if not self._samples or now - self._samples[-1][0] > _WINDOW / 100:
            self._samples.append((now, self.done))
        while now - self._samples[0][0] > _WINDOW:
            self._samples.popleft()

    def seconds_left(self) -> float | None:
        """Estimate the time left from the speed of the last seconds; None where that is not possible."""
        if self.total is None or not self._samples:
            return None
        began, done = self._samples[0]
        speed = (self.done - done) / max(time.monotonic() - began, 1e-9)
        return (self.total - self.done) / speed if speed > 0 else None

    @property
    def seconds_saved(self) -> float:
        """Estimate how much longer this run would have taken without its hits: their requests, so many at once."""
        return self.request_seconds_saved / max(1, min(self.concurrency, self.hits))

    def describe(self) -> dict[str, object]:
        """Return the figures as plain data, for a report."""
        return {
            "total": self.total,
            "done": self.done,
            "hits": self.hits,
            "asked": self.asked,
            "shared": self.shared,
            "batched": self.batched,
            "failed": self.failed,
            "requests": self.requests,
            "tokens_spent": self.spent.total_tokens,
            "tokens_saved": self.saved.total_tokens,
            "money_spent": self.money_spent if self.priced else None,
            "money_saved": self.money_saved if self.priced else None,
            "seconds": round(self.seconds, 3),
            "seconds_saved": round(self.seconds_saved, 3),
            "request_seconds_saved": round(self.request_seconds_saved, 3),
        }

    def _price(self, usage: Usage, prices: Prices) -> float:
        price = prices.price(usage)
        self.priced = self.priced and price is not None
        return price or 0.0
