"""What a job shows while it runs."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from instructor.factory import from_provider
from instructor.jobs.progress import JobStats, Progress
from instructor.row import Row
from instructor.usage import Usage


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def show(console: Console, stats: JobStats, *moments: float) -> Progress:
    """Show the figures at some moments."""
    clock = Clock()
    progress = Progress(stats, clock=clock, console=console, run=lambda show: show())
    for clock.now in moments:
        progress.update()
    return progress


def lines_of(console: Any) -> list[str]:
    return console.file.getvalue().splitlines()


def test_a_line_tells_the_figures_now_and_then_where_there_is_no_terminal():
    console = Console(file=io.StringIO(), force_terminal=False, width=40)
    stats = JobStats(total=2_000, done=999, hits=600, shared=10, asked=379, batched=7, errors=3)
    stats.add(Row(0, "", "x", provider="openai", model="gpt-4.1-mini", usage=Usage(1_000_000, 0)))
    show(console, stats, 0.4, 10.0, 11.0)
    assert lines_of(console) == [
        "1,000/2,000 · 600 hits · 380 asked · 10 shared · 7 batched · 3 errors · $0.4000 · 0:10 left"
    ]
    show(console, stats, 10.0, 15.0, 20.0)
    assert len(lines_of(console)) == 3


def test_the_last_line_tells_how_a_job_ended():
    console = Console(file=io.StringIO(), force_terminal=False, width=40)
    stats = JobStats(total=4, done=1, asked=1)
    progress = show(console, stats, 1.0)
    stats.done = stats.asked = 4
    for _ in range(2):
        progress.close()
    assert [line.split(" · ")[0] for line in lines_of(console)] == ["1/4", "4/4"]


def test_a_short_job_shows_nothing(capsys: pytest.CaptureFixture[str]):
    client = from_provider("offline/demo")
    assert len(list(client.map(["1", "2"], int))) == 2
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_that_stays_with_its_last_state():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    stats = JobStats(total=4, done=1, asked=1)
    progress = show(console, stats, 0.6)
    stats.done = 4
    progress.close()
    assert "4/4" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_notebooks_bar_stays_with_its_last_state(monkeypatch: pytest.MonkeyPatch):
    stats = JobStats(total=4, done=1, asked=1)
    drawn: list[int] = []
    monkeypatch.setattr("instructor.jobs.progress.find_spec", lambda _: "ipywidgets")
    monkeypatch.setattr("rich.live.Live.refresh", lambda _: drawn.append(stats.done))
    monkeypatch.setattr("rich.live._RefreshThread.run", lambda _: None)
    progress = show(Console(file=io.StringIO(), force_jupyter=True), stats, 0.6)
    stats.done = 4
    progress.close()
    assert drawn[-1] == 4


def test_a_notebook_that_can_draw_no_bar_gets_lines(monkeypatch: pytest.MonkeyPatch):
    console = Console(file=io.StringIO(), force_jupyter=True)
    monkeypatch.setattr(console, "print", lambda text, **_: console.file.write(f"{text}\n"))
    monkeypatch.setattr("instructor.jobs.progress.find_spec", lambda _: None)
    show(console, JobStats(total=4, done=1, asked=1), 0.6)
    assert lines_of(console) == ["1/4 · 0 hits · 1 asked · 0 errors · $0 · 0:02 left"]


def test_a_job_shows_its_figures():
    client = from_provider("offline/demo")
    job = client.map(["1", "2"], int)
    assert repr(job) == "<Job 0/2 · 0 hits · 0 asked · 0 errors · $0>"
    list(job)
    assert repr(job) == f"<Job {job.stats}>" == "<Job 2/2 · 0 hits · 2 asked · 0 errors · $0>"


def test_no_progress_is_no_progress():
    console = Console(file=io.StringIO(), force_terminal=False)
    clock = Clock()
    progress = Progress(JobStats(), is_wanted=False, clock=clock, console=console)
    clock.now = 1e9
    progress.update()
    assert not lines_of(console)


def test_each_row_is_counted_as_one_thing():
    stats = JobStats()
    for row in [
        Row(0, "", "x", provider="openai", model="gpt-4.1-mini", usage=Usage(1_000_000, 0)),
        Row(1, "", "x", cached=True, usage=Usage(5, 2)),
        Row(2, "", "x", cached=True, shared=True),
        Row(3, "", "x", batched=True, provider="openai", model="gpt-4.1-mini", usage=Usage(1_000_000, 0)),
        Row(4, "", None, error=ValueError()),
    ]:
        stats.add(row)
    assert (stats.asked, stats.hits, stats.shared, stats.batched, stats.errors) == (1, 1, 1, 1, 1)
    assert (stats.done, stats.tokens, stats.usd) == (5, 2_000_000, pytest.approx(0.6))
    failed = Row(5, "", None, error=ValueError(), provider="openai", model="gpt-4.1-mini", usage=Usage(1_000_000, 0))
    stats.add(failed)
    assert (stats.asked, stats.errors, stats.tokens) == (1, 2, 3_000_000)
    assert (failed.cost, stats.usd) == (pytest.approx(0.4), pytest.approx(1.0))
    stats.add(Row(6, "", "x", provider="openai", model="unknown"))
    assert stats.usd is None
