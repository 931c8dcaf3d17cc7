"""What a job shows while it runs: a bar on a terminal and in a notebook, a line of figures now and then elsewhere."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from instructor.daemon import start_daemon
from instructor.prices import batch_factor, find_rates, show_money, tier_of
from instructor.row import Row
from instructor.usage import Usage

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.table import Table

_PATIENCE = 0.5
"""Seconds for which a job shows nothing: a bar for less would only flicker."""
_PLAIN_SECONDS = 10.0
_SPAN = 30.0
"""The speed of so many of the last seconds says how long the rest will take."""
_MINUTE = 60
SEPARATOR = " · "

_Tariff = tuple[str, str, int, bool]
"""The vendor, the model, its tier of prices, and whether it was in a batch."""


@dataclass(slots=True)
class JobStats:
    """The figures of a job so far.

    Attributes:
        total: How many rows there are; None where that isn't known.
        done: Rows that were handed out. Each is one of `hits`, `shared`, `batched`, `asked` and `errors`.
        tokens: Tokens of the requests made for them, those without a valid answer too.
    """

    total: int | None = None
    done: int = 0
    hits: int = 0
    shared: int = 0
    batched: int = 0
    asked: int = 0
    errors: int = 0
    tokens: int = 0
    _spent: dict[_Tariff, Usage] = field(default_factory=dict["_Tariff", Usage], repr=False)

    def add(self, row: Row[Any]) -> None:
        """Count a row."""
        self.done += 1
        if row.error is not None:
            self.errors += 1
        elif row.cached:
            self.shared += row.shared
            self.hits += not row.shared
        else:
            self.batched += row.batched
            self.asked += not row.batched
        if not row.cached and (row.error is None or row.usage.total_tokens):
            self.tokens += row.usage.total_tokens
            tariff = (row.provider, row.model, tier_of(row.usage), row.batched)
            spent, used = (
                self._spent.get(tariff),
                row.usage + row.live if row.batched else row.usage,
            )  # as in `Row.cost`
            self._spent[tariff] = used if spent is None else spent + used

    def __str__(self) -> str:
        return SEPARATOR.join([show_count(self.done, self.total), *self.figures()])

    def figures(self) -> list[str]:
        """How the rows so far were answered, and at what price, in words."""
        counts = {"hits": self.hits, "asked": self.asked, "shared": self.shared, "batched": self.batched}
        usd = self.usd
        money = f"{self.tokens:,} tokens, price unknown" if usd is None else show_money(usd)
        return [*describe_counts(counts | {"errors": self.errors}), money]

    @property
    def usd(self) -> float | None:
        """What these cost in US dollars; None where the price of one isn't known."""
        prices = [
            (find_rates(vendor, model, tier), batch_factor(vendor) if batched else 1.0, usage)
            for (vendor, model, tier, batched), usage in list(self._spent.items())
        ]
        costs = [rates.price(usage) * factor for rates, factor, usage in prices if rates is not None]
        return sum(costs) if len(costs) == len(prices) else None


@dataclass(slots=True)
class Progress:
    """Shows the figures of a job on standard error, once it has taken half a second.

    Attributes:
        due: When to show them next, by `clock`.
    """

    stats: JobStats
    is_wanted: bool = True
    clock: Callable[[], float] = time.monotonic
    console: Console | None = None
    run: Callable[[Callable[[], None]], object] = start_daemon
    due: float = math.inf
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_closed: bool = False
    _live: Live | None = None
    _plain: Console | None = None
    _samples: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    def __post_init__(self) -> None:
        if self.is_wanted:
            self.due = self.clock() + _PATIENCE
            self._samples.append((self.clock(), 0))

    def update(self) -> None:
        """Show the figures, if it's time. A bar reads them by itself from then on."""
        if self.clock() >= self.due:
            self.due = math.inf
            self.run(self._show)

    def close(self) -> None:
        """Leave the last state of a bar where it is; where there were lines, write the last one."""
        self.due = math.inf
        with self._lock:
            if self._live is not None:
                self._live.refresh()  # in a notebook rich's `stop` doesn't
                self._live.stop()
            elif self._plain is not None and not self._is_closed:
                self._write_on(self._plain)
            self._is_closed = True

    def _show(self) -> None:
        """In a thread of its own: what it needs takes a while to import, for which an event loop must not wait."""
        from rich.console import Console

        with self._lock:
            if not self._is_closed:
                self._show_on(self.console or Console(stderr=True))

    def _show_on(self, console: Console) -> None:
        if console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None):
            from rich.errors import LiveError
            from rich.live import Live

            live = Live(console=console, get_renderable=self._draw, refresh_per_second=8)
            with suppress(LiveError):  # another job's bar is there
                live.start()
                self._live = live
        else:
            self._plain = console
            self._write_on(console)
            self.due = self.clock() + _PLAIN_SECONDS

    def _write_on(self, console: Console) -> None:
        with suppress(OSError, ValueError):  # nobody reads it any more
            console.print(self.describe(), highlight=False, markup=False, soft_wrap=True)

    def describe(self) -> str:
        """The figures in one line."""
        return f"{self.stats} · {self._time_left()}"

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        stats = self.stats
        return Group(draw_bar(stats.done, stats.total, self._time_left()), Text(SEPARATOR.join(stats.figures())))

    def _time_left(self) -> str:
        """By the speed of the last seconds; where that tells nothing, the speed itself."""
        now, samples = self.clock(), self._samples
        before, done = samples[0]
        samples.append((now, self.stats.done))
        while now - samples[0][0] > _SPAN:
            samples.popleft()
        speed = (self.stats.done - done) / max(now - before, 1e-9)
        if self.stats.total is None or speed <= 0:
            return f"{speed:,.0f} rows/s"
        return f"{show_clock(max(0, self.stats.total - self.stats.done) / speed)} left"


def draw_bar(done: int, total: int | None, time: str) -> Table:
    """A bar with the number of rows and a time beside it; one that only moves where nobody knows how many there are."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True, justify="right")
    bar.add_column(no_wrap=True, justify="right")
    bar.add_row(ProgressBar(total=total, completed=done, pulse=total is None), show_count(done, total), time)
    return bar


def describe_counts(counts: Mapping[str, int]) -> list[str]:
    """Say how rows were answered. What most jobs don't have is left out where there is none of it."""
    shown = {name: count for name, count in counts.items() if count or name not in ("shared", "batched")}
    return [f"{count:,} {name.removesuffix('s') if count == 1 else name}" for name, count in shown.items()]


def show_count(done: int, total: int | None) -> str:
    """Write ``123/300``."""
    return f"{done:,}" if total is None else f"{done:,}/{total:,}"


def show_clock(seconds: float) -> str:
    """Write ``0:07`` or ``1:02:07``."""
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
