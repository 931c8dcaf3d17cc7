"""``instructor extract`` from its options to its exit status."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pydantic_core

from instructor.cli import INTERRUPTED
from instructor.cli.extract import Job, Run, listen
from instructor.cli.models import load_response_model
from instructor.cli.output import Output
from instructor.cli.output_paths import check_targets
from instructor.cli.prices import Prices, find_prices
from instructor.cli.progress import Display, make_display, make_summary, report_failure
from instructor.cli.prompts import make_prompt
from instructor.cli.records import Input, open_input
from instructor.cli.run_stats import ClientStats, Outcome
from instructor.exceptions import CacheError, ConfigurationError, InstructorError

if TYPE_CHECKING:
    from rich.console import Console

    from instructor.cache import DiskCache

_SIGNALLED = 128
_COUNT_SECONDS = 0.25
"""How long a run waits to learn how many records there are; the count goes on beside it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of ``instructor extract``, as its help describes them."""

    source: str
    response_model: str
    model: str
    out: str
    cache: str
    concurrency: int = 8
    limit: int | None = None
    prompt: str | None = None
    mode: str | None = None
    base_url: str | None = None
    max_retries: int | None = None
    form: str | None = None
    price_as: str | None = None
    latency: float = 0.0
    report: str | None = None
    quiet: bool = False


def run_extract(settings: Settings) -> int:
    """Do what ``instructor extract`` does.

    Returns:
        The exit status: 0, 1 (some record failed, or the run could not go on), 2 (it cannot be run as given),
        or 130 (stopped by Ctrl-C).
    """
    from rich.console import Console

    console = Console(stderr=True)
    try:
        return _Extraction(settings, console).run()
    except InstructorError as error:
        console.print(f"Error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("Stopped. Run the same command again to go on.", highlight=False)
        return INTERRUPTED


class _Extraction:
    """One run with all that belongs to it. Making it checks every option before anything is asked."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._source = open_input(settings.source, settings.form)
        self._prices: Prices = find_prices(settings.model, settings.price_as)
        prompt = make_prompt(settings.prompt)
        model = load_response_model(settings.response_model)
        client = make_client(settings)
        check_targets(settings.out, settings.report, self._source.path, Path(settings.cache))
        extra = {} if settings.max_retries is None else {"max_retries": settings.max_retries}
        if settings.report is not None:
            check_report(Path(settings.report))
        self._output = Output(settings.out)
        self._stats = ClientStats()
        self._display: Display = make_display(console, self._stats, self._prices, quiet=settings.quiet)
        self._job = Job(
            source=self._source,
            limit=None if settings.limit is None else min(settings.limit, sys.maxsize),
            prompt=prompt,
            ask=lambda messages: client.create(response_model=model, messages=messages, **extra),
            write_answer=write_answer,
            output=self._output,
            concurrency=settings.concurrency,
            report=self._report,
            interrupted=self._say_interrupted,
        )

    def run(self) -> int:
        """Work through the records; return the exit status."""
        run = Run(self._job)
        completed = False
        count_records(self._source, self._settings.limit, self._stats)
        self._display.start()
        try:
            asyncio.run(run.run())
            completed = not run.signal_number
            if completed:
                self._output.finish()
        except OSError as error:
            completed = False
            self._say_error(f"{error}. The run cannot go on.")
        finally:
            self._stats.tick()
            self._display.stop()
            if not completed:
                self._output.abandon()
        told = self._finish(completed=completed)
        if run.signal_number:
            return _SIGNALLED + run.signal_number
        return int(not completed or not told or self._stats.failed > 0)

    def _say_error(self, message: str) -> None:
        self._console.print(f"Error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)

    def _report(self, outcome: Outcome) -> None:
        self._stats.add(outcome, self._prices)
        if outcome.error:
            report_failure(self._console, outcome)
        self._display.update()

    def _say_interrupted(self) -> None:
        self._console.print(
            "Stopping: waiting for the answers that are under way. Press Ctrl-C again to drop them.", highlight=False
        )

    def _finish(self, *, completed: bool) -> bool:
        """Emit what came of the run; return whether it could be told in full."""
        places = {"output" if completed else "unfinished": self._output.unfinished, "cache": self._settings.cache}
        if completed:
            places["output"] = self._settings.out if self._settings.out != "-" else "standard output"
        reported = self._settings.report is None or self._write_report(Path(self._settings.report), completed)
        if not self._settings.quiet:
            self._console.print(make_summary(self._stats, self._prices, places))
        if not completed:
            self._console.print(
                f"Stopped after {self._stats.done:,} records. What was answered is in {self._settings.cache}: "
                "run the same command again, and only the rest is asked.",
                highlight=False,
                soft_wrap=True,
            )
        return reported

    def _write_report(self, path: Path, completed: bool) -> bool:
        figures = self._stats.describe() | {"completed": completed, "price": self._prices.label or self._prices.model}
        try:
            path.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
        except OSError as error:
            self._say_error(f"--report {path} cannot be written: {error.strerror}.")
            return False
        return True


def check_report(path: Path) -> None:
    """Raise `ConfigurationError` if a file cannot be written, before there is something to write in it."""
    try:
        path.open("ab").close()
    except OSError as error:
        raise ConfigurationError(f"--report {path} cannot be written: {error.strerror}.") from error


def make_client(settings: Settings) -> Any:
    """Make the client, with the cache that lets a run go on where another stopped.

    Raises:
        ConfigurationError: The model, the mode or another option is wrong, or the cache cannot be written.
    """
    from instructor.factory import from_provider

    options: dict[str, Any] = {"mode": settings.mode, "base_url": settings.base_url}
    options = {name: value for name, value in options.items() if value is not None}
    if settings.latency:
        options["latency"] = settings.latency
    client = from_provider(settings.model, async_client=True, cache=open_cache(settings.cache), **options)
    listen(client)
    return client


def open_cache(directory: str) -> DiskCache:
    """Make the cache, and see that it works: without it a run could not go on where another stopped.

    Raises:
        ConfigurationError: It cannot be used.
    """
    from instructor.cache import DiskCache

    if not directory.strip():
        raise ConfigurationError("--cache names no directory. Leave it out for .instructor_cache.")
    try:
        with DiskCache(directory) as cache:
            cache.get("")
    except (CacheError, ConfigurationError) as error:
        raise ConfigurationError(f"--cache {directory} cannot be used. {error}") from error
    if not os.access(cache.path, os.W_OK) or not os.access(cache.directory, os.W_OK | os.X_OK):
        raise ConfigurationError(f"--cache {directory} cannot be written. Name another directory.")
    return cache


def write_answer(answer: Any) -> str:
    """Write an answer of any response model as JSON."""
    return pydantic_core.to_json(answer, fallback=str, inf_nan_mode="null").decode()


def count_records(source: Input, limit: int | None, stats: ClientStats) -> None:
    """Learn how many records there are, so that the time left can be told; a long count goes on beside the run."""

    def count() -> None:
        try:
            stats.total = source.count(limit)
        except (InstructorError, OSError):
            return  # the run meets it, too, and tells

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    thread.join(_COUNT_SECONDS)
