"""Traces of calls, by which policies of eviction are compared, and policies to compare with.

Traces come from a seed of their own. Those of issue 7 are at their full size with a capacity of 1,000.
"""

from __future__ import annotations

import itertools
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator

from instructor.cache.eviction import Policy
from instructor.cache.key_log import count_hits

Trace = list[str]


def draw(names: int, skew: float, count: int, rng: random.Random, topic: object = "") -> Trace:
    """Draw prompts of which the n-th is asked in proportion to ``1 / n**skew``."""
    weights = list(itertools.accumulate(1 / (rank + 1) ** skew for rank in range(names)))
    return [f"{topic}:{rank}" for rank in rng.choices(range(names), cum_weights=weights, k=count)]


def loop(names: int, rounds: int, topic: object = "") -> Trace:
    """The same data set again and again."""
    return [f"{topic}:{number}" for _ in range(rounds) for number in range(names)]


def frequent_few(size: int, rng: random.Random) -> Trace:
    """Zipf with exponent 0.9 over 20 times as many prompts as fit."""
    return draw(20 * size, 0.9, 60 * size, rng)


def mostly_unique(size: int, rng: random.Random) -> Trace:
    """Three quarters never repeat, as in LMArena's traffic."""
    popular = draw(3 * size, 0.9, 40 * size, rng)
    return [f"once:{at}" if rng.random() < 0.75 else prompt for at, prompt in enumerate(popular)]


def evaluation(size: int, rng: random.Random) -> Trace:
    """A data set that is a fifth too large, ten times."""
    return loop(size * 6 // 5, 10)


def questions_and_evaluation(size: int, rng: random.Random) -> Trace:
    """Frequent questions by day, an evaluation of one and a half times the capacity by night."""
    days = (draw(3 * size, 0.9, 3 * size, rng, "day") + loop(size * 3 // 2, 1, "night") for _ in range(10))
    return list(itertools.chain.from_iterable(days))


def shifting_topics(size: int, rng: random.Random) -> Trace:
    """Every now and then, other prompts altogether."""
    topics = (draw(size * 3 // 2, 0.8, 3 * size, rng, topic) for topic in range(15))
    return list(itertools.chain.from_iterable(topics))


def drift(size: int, rng: random.Random) -> Trace:
    """What is asked moves on with each call."""
    return [f"{at // 8 + rng.randrange(size * 4 // 5)}" for at in range(40 * size)]


def thrice(size: int, rng: random.Random) -> Trace:
    """Each prompt comes three times within a short time, and never again."""
    spread = size * 3 // 5
    moments = (
        (at + later, at) for at in range(14 * size) for later in (0, rng.randrange(spread), rng.randrange(spread))
    )
    return [str(prompt) for _, prompt in sorted(moments)]


def evaluations_that_fit(size: int, rng: random.Random) -> Trace:
    """Data sets of nine tenths of the capacity, one after the other, each three times."""
    return list(itertools.chain.from_iterable(loop(size * 9 // 10, 3, topic) for topic in range(12)))


TRACES: dict[str, Callable[[int, random.Random], Trace]] = {
    "frequent few": frequent_few,
    "mostly unique": mostly_unique,
    "evaluation": evaluation,
    "questions and evaluation": questions_and_evaluation,
    "shifting topics": shifting_topics,
    "drift": drift,
    "thrice": thrice,
    "evaluations that fit": evaluations_that_fit,
}


def make_trace(name: str, size: int) -> Trace:
    """Make a trace for a store of `size` entries."""
    return TRACES[name](size, random.Random(7))


def hit_rate(policy: Policy, trace: Trace, size: int) -> float:
    """Which share of a trace a store of `size` entries serves."""
    return count_hits(policy, trace, size) / len(trace)


class QueuesOfThree:
    """S3-FIFO: Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023."""

    def __init__(self) -> None:
        self.small: OrderedDict[object, None] = OrderedDict()
        self.main: OrderedDict[object, None] = OrderedDict()
        self.ghosts: OrderedDict[object, None] = OrderedDict()
        self.uses: dict[object, int] = {}

    def use(self, name: object) -> None:
        self.uses[name] = min(3, self.uses[name] + 1)

    def add(self, name: object) -> None:
        known = name in self.ghosts
        self.ghosts.pop(name, None)
        (self.main if known else self.small)[name] = None
        self.uses[name] = 0

    def drop(self, name: object) -> None:
        self.uses.pop(name, None)
        if name in self.small:
            del self.small[name]
            self.ghosts[name] = None
            if len(self.ghosts) > len(self):
                self.ghosts.popitem(last=False)
        self.main.pop(name, None)

    def choose(self) -> object:
        return next(self._oldest())

    def _oldest(self) -> Iterator[object]:
        while len(self.small) > len(self) // 10 or not self.main:
            name = next(iter(self.small))
            if self.uses[name] <= 1:
                yield name
            del self.small[name]
            self.main[name], self.uses[name] = None, 0
        while self.uses[name := next(iter(self.main))]:
            self.uses[name] -= 1
            self.main.move_to_end(name)
        yield name

    def __iter__(self) -> Iterator[object]:
        return iter(self.uses)

    def __len__(self) -> int:
        return len(self.small) + len(self.main)

    def __contains__(self, name: object) -> bool:
        return name in self.uses
