"""What a run shows: a live bar on a terminal, a line every few seconds elsewhere, a table at the end."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from instructor.cli.prices import Prices
from instructor.cli.run_stats import Outcome, RunStats
from instructor.cli.terminal import print_line
from instructor.cli.wording import use_option_names
from instructor.jobs.progress import SEPARATOR, describe_counts, draw_bar, show_clock, show_count
from instructor.prices import show_money

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

_PLAIN_SECONDS = 5.0
"""Seconds between two lines where the output is not a terminal."""
_REFRESHES = 10
"""How often the live display is drawn, times a second."""
_LONGEST_ERROR = 500
_GAP = 3
"""Spaces between the names of the summary and its values."""
_NARROWEST = 10
"""What a value has of a line at least, on however narrow a terminal."""
_STYLES = {"hits": "green", "asked": "yellow", "shared": "cyan", "batched": "magenta"}


class Display:
    """Shows a run: a live bar and two lines of figures on a terminal, a line of figures every few seconds elsewhere."""

    def __init__(self, console: Console, stats: RunStats, prices: Prices, *, quiet: bool) -> None:
        from rich.live import Live

        self._console = console
        self._stats = stats
        self._prices = prices
        is_live = console.is_terminal and not quiet
        self._live = Live(console=console, get_renderable=self.draw, refresh_per_second=_REFRESHES) if is_live else None
        self._due = math.inf if is_live or quiet else time.monotonic() + _PLAIN_SECONDS

    def start(self) -> None:
        """Begin to draw."""
        if self._live is not None:
            self._live.start()

    def stop(self) -> None:
        """Draw once more, and leave the last state on the screen."""
        if self._live is not None:
            self._live.stop()

    def update(self) -> None:
        """Write a line of figures if one is due. The live bar reads them by itself."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _PLAIN_SECONDS
            figures = [show_count(self._stats.done, self._stats.total), *describe_counts(self._stats.counts)]
            figures += [describe_costs(self._stats, self._prices), show_time_left(self._stats)]
            print_line(self._console, ", ".join(figures))

    def draw(self) -> RenderableType:
        """The live bar and its figures."""
        from rich.console import Group
        from rich.text import Text

        stats = self._stats
        bar = draw_bar(stats.done, stats.total, show_time_left(stats))
        words = describe_counts(stats.counts)
        styles = _STYLES | {"errors": "bold red" if stats.failed else ""}
        styles |= {name.removesuffix("s"): style for name, style in styles.items()}
        counts = [Text(one, styles[one.rpartition(" ")[2]]) for one in words]
        return Group(bar, Text(SEPARATOR).join(counts), Text(describe_costs(stats, self._prices)))


def show_time_left(stats: RunStats) -> str:
    """Write ``0:12 left``; the time taken where the time left is not known or nothing is left."""
    left = stats.seconds_left()
    if left is None or stats.done == stats.total:
        return show_clock(stats.seconds)
    return f"{show_clock(left)} left"


def show_seconds(seconds: float) -> str:
    """Write ``0.84 s``, ``12.3 s`` or ``4:05``."""
    if seconds >= 60:  # noqa: PLR2004 - a minute
        return show_clock(seconds)
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"  # noqa: PLR2004 - two digits that count


def describe_costs(stats: RunStats, prices: Prices) -> str:
    """Describe what they cost, and what the cache saved."""
    tokens = f"{stats.spent.total_tokens:,} tokens"
    if not stats.priced:
        return f"{tokens}, price unknown"
    return f"{tokens}, {describe_money(stats, prices)}"


def describe_money(stats: RunStats, prices: Prices) -> str:
    """Describe the money spent and saved, and by which price list if it isn't that of the model asked."""
    label = f" ({prices.label})" if prices.label else ""
    return f"{show_money(stats.money_spent)} spent, {show_money(stats.money_saved)} saved{label}"


def report_failure(console: Console, outcome: Outcome) -> None:
    """Say which record failed, and why, on one line."""
    reason = use_option_names(" ".join(outcome.error.split()))
    file = f"{outcome.file}, " if outcome.file else ""
    print_line(console, f"{file}line {outcome.line}: {reason[:_LONGEST_ERROR]}", "red")


def make_summary(console: Console, stats: RunStats, prices: Prices, places: dict[str, str]) -> Text:
    """Make the text that ends a run: a name and a value on each line; `places` are more of them, such as the output's.

    A table of rich's looks the same, takes 2 ms, and reads brackets in the name of a file as markup.
    """
    from rich.text import Text

    rows = {name: value for name, value in (summarise(stats, prices) | places).items() if value}
    indent = 1 + max(map(len, rows)) + _GAP
    room = max(_NARROWEST, console.width - indent - 1)
    summary = Text("\n")
    for name, value in rows.items():
        summary.append(f" {name}".ljust(indent), "bold")
        lines = Text(value).wrap(console, room, overflow="fold")
        summary.append(Text("\n" + " " * indent).join(lines)).append("\n")
    return summary


def summarise(stats: RunStats, prices: Prices) -> dict[str, str]:
    """Return the rows of the summary, by name; empty where there is nothing to say."""
    return {
        "records": show_count(stats.done, None if stats.done == stats.total else stats.total),
        "from the cache": f"{stats.hits:,}",
        "asked": f"{stats.asked:,} ({stats.requests:,} {'request' if stats.requests == 1 else 'requests'})",
        "batched": f"{stats.batched:,} (at the price of a batch)" if stats.batched else "",
        "shared": f"{stats.shared:,} (identical records in flight)" if stats.shared else "",
        "failed": f"{stats.failed:,}",
        "tokens": f"{stats.spent.total_tokens:,} spent, {stats.saved.total_tokens:,} saved",
        "money": describe_money(stats, prices) if stats.priced else "price unknown",
        "time": show_seconds(stats.seconds) + _describe_time_saved(stats),
    }


def _describe_time_saved(stats: RunStats) -> str:
    """Compare the time with that of the same run without its hits, if that is longer by a tenth."""
    if stats.seconds_saved < stats.seconds / 10:
        return ""
    return f" (about {show_seconds(stats.seconds + stats.seconds_saved)} without the cache)"
