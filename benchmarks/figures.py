"""What becomes of many measurements: a few figures, and a verdict."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Summary:
    """Some measurements of one thing, in the row's unit.

    Attributes:
        low, high: An interval that holds the true median with 95 % confidence, by order statistics.
    """

    minimum: float
    median: float
    p90: float
    low: float
    high: float
    count: int


def summarize(measurements: Sequence[float]) -> Summary:
    """Summarize measurements, at least one."""
    ordered = sorted(measurements)
    count = len(ordered)
    reach = 0.98 * math.sqrt(count)  # 1.96 standard deviations of a binomial of one half
    low, high = math.floor(count / 2 - reach), math.ceil(count / 2 + reach)
    return Summary(
        minimum=ordered[0],
        median=statistics.median(ordered),
        p90=ordered[min(count - 1, math.ceil(count * 0.9) - 1)],
        low=ordered[max(0, low)],
        high=ordered[min(count - 1, high)],
        count=count,
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: Short, for the JSON.
        title: What is measured.
        unit: Of all its figures.
        bar: What our median is to stay at or below; None where there is none.
        ours: Our figures; None if the row could not be measured.
        upstream: The other side's.
        ratio: Upstream's median over ours; the median of the rounds' ratios where both were measured in turns.
        ratio_bar: What the ratio is to reach.
        paired: Whether a measurement compares two things that took turns; its extremes are then noise and not shown.
        notes: What else a reader must know.
    """

    name: str
    title: str
    unit: str
    bar: float | None = None
    ours: Summary | None = None
    upstream: Summary | None = None
    ratio: float | None = None
    ratio_bar: float | None = None
    paired: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def verdicts(self) -> list[str]:
        """Whether each bar is met, in words: by the median, whatever the noise."""
        said = []
        if self.ours is not None and self.bar is not None:
            over = self.ours.median - self.bar
            quiet = "" if self.paired or self.ours.minimum > self.bar else "; the minimum meets it"
            said.append("met" if over <= 0 else f"missed by {over:.3g} {self.unit} ({over / self.bar:.0%}){quiet}")
        if self.ratio is not None and self.ratio_bar is not None:
            met = self.ratio >= self.ratio_bar
            said.append(f"{self.ratio_bar:g}x: {'met' if met else f'missed ({self.ratio:.0f}x)'}")
        return said

    def export(self) -> dict[str, Any]:
        """The row as plain data."""
        return {**asdict(self), "verdicts": self.verdicts}


def compare(ours: Sequence[float], upstream: Sequence[float]) -> float | None:
    """How many times as long upstream takes: the median over rounds, each of which measured both."""
    pairs = [other / own for own, other in zip(ours, upstream, strict=False) if own > 0]
    return statistics.median(pairs) if pairs else None
