"""What a run shows fits a small terminal and says nothing that it does not know."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from instructor.cli.prices import Prices
from instructor.cli.progress import Display, make_summary, show_time_left, summarise
from instructor.cli.run_stats import Outcome, RunStats
from instructor.usage import Usage

PRICES = Prices("openai/gpt-4.1-mini", "as gpt-4.1-mini")


def make_stats(*outcomes: Outcome, total: int | None = 300, prices: Prices = PRICES) -> RunStats:
    stats = RunStats(total=total)
    for outcome in outcomes:
        stats.add(outcome, prices)
    return stats


def make_console(width: int, *, terminal: bool) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, _environ={})


HIT = Outcome(1, "{}", source="hit", saved=Usage(1_000_000, 0), seconds_saved=1.5)
ASKED = Outcome(2, "{}", attempts=2, spent=Usage(500_000, 0))
SHARED = Outcome(3, "{}", source="shared", saved=Usage(250_000, 0))
BATCHED = Outcome(5, "{}", attempts=1, batched=True)
FAILED = Outcome(4, error="no", attempts=1, spent=Usage(250_000, 0))


def test_every_record_is_counted_once_and_its_money_where_it_belongs():
    stats = make_stats(HIT, ASKED, SHARED, FAILED, BATCHED)
    assert stats.counts == {"hits": 1, "asked": 1, "shared": 1, "batched": 1, "errors": 1}
    assert (stats.done, stats.requests) == (5, 4)
    assert (stats.money_spent, stats.money_saved) == (pytest.approx(0.3), pytest.approx(0.5))
    assert (stats.spent.total_tokens, stats.saved.total_tokens) == (750_000, 1_250_000)


@pytest.mark.parametrize("width", [80, 100])
def test_the_live_display_takes_three_lines(width: int):
    console = make_console(width, terminal=True)
    display = Display(console, make_stats(HIT, ASKED, SHARED, FAILED, BATCHED), PRICES, quiet=False)
    lines = console.render_lines(display.draw())
    assert len(lines) == 3
    text = "\n".join("".join(segment.text for segment in line).rstrip() for line in lines)
    assert "5/300" in text
    assert "1 hit · 1 asked · 1 shared · 1 batched · 1 error" in text
    assert "750,000 tokens, $0.3000 spent, $0.5000 saved (as gpt-4.1-mini)" in text


def test_without_a_terminal_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch):
    clock = [1000.0]
    monkeypatch.setattr("instructor.cli.progress.time.monotonic", lambda: clock[0])
    console = make_console(80, terminal=False)
    display = Display(console, make_stats(HIT), PRICES, quiet=False)
    for clock[0] in (1001.0, 1006.0, 1007.0, 1012.0):
        display.update()
    assert console.file.getvalue().count("1/300") == 2


def test_a_price_that_is_not_known_is_not_zero():
    unknown = Prices("ollama/llama3")
    stats = make_stats(ASKED, prices=unknown)
    console = make_console(80, terminal=False)
    console.print(make_summary(console, stats, unknown, {"output": "out.jsonl"}), soft_wrap=True)
    shown = console.file.getvalue()
    assert "price unknown" in shown
    assert "$" not in shown
    assert stats.describe()["money_spent"] is None


@pytest.mark.parametrize("width", [30, 60])
def test_the_summary_shows_names_of_files_as_they_are_and_fits(width: int):
    console = make_console(width, terminal=False)
    name = f"runs of [/b] today/{'x' * width}:smile:[b].jsonl"
    console.print(make_summary(console, make_stats(HIT), PRICES, {"output": name}), soft_wrap=True)
    lines = console.file.getvalue().split("\n")
    assert max(map(len, lines)) <= width
    assert "from the cache   1" in lines[2]
    values = [line[18:] for line in lines[2:]]
    assert name in "".join(values)


def test_the_time_left_follows_from_the_speed_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]
    monkeypatch.setattr("instructor.cli.run_stats.time.monotonic", lambda: clock[0])
    stats = RunStats(total=1200, _began=0.0)
    stats.tick()
    for _ in range(1000):  # a thousand hits at once, then one miss a second
        stats.add(HIT, Prices("offline/x"))
    for clock[0] in range(1, 101):
        stats.add(ASKED, Prices("offline/x"))
    assert show_time_left(stats) == "1:40 left"
    stats.total = None
    assert show_time_left(stats) == "1:40"


def test_the_summary_never_claims_more_time_than_there_was(monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]
    monkeypatch.setattr("instructor.cli.run_stats.time.monotonic", lambda: clock[0])
    stats = RunStats(total=16, concurrency=8, _began=0.0)
    for _ in range(16):
        stats.add(HIT, Prices("offline/x"))
    clock[0] = 0.5
    stats.tick()
    assert stats.request_seconds_saved == 24.0, "one request after the other"
    assert summarise(stats, PRICES)["time"] == "0.50 s (about 3.50 s without the cache)", "eight requests at once"
    assert stats.describe()["seconds_saved"] == 3.0
    few = RunStats(total=2, concurrency=8)
    few.add(HIT, Prices("offline/x"))
    assert few.seconds_saved == 1.5, "no more at once than there are hits"
    few.add(Outcome(2, "{}", attempts=1), Prices("offline/x"))
    assert summarise(few, PRICES)["asked"] == "1 (1 request)"


def test_without_hits_the_summary_names_one_time():
    assert "(" not in summarise(make_stats(ASKED), PRICES)["time"]


def test_a_shared_answer_saves_a_request_but_no_time():
    outcome = Outcome(1, "{}")
    outcome.note_saved(Usage(10, 5), 9.0, shared=True)
    assert (outcome.source, outcome.saved, outcome.seconds_saved) == ("shared", Usage(10, 5), 0.0)
    outcome.note_saved(Usage(10, 5), 9.0, shared=False)
    assert (outcome.source, outcome.seconds_saved) == ("hit", 9.0)
