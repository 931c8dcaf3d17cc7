"""``instructor extract`` from its settings to its exit status."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pydantic_core

from instructor.cli.extract import Job, Run, listen
from instructor.cli.models import load_response_model
from instructor.cli.output import Output
from instructor.cli.output_paths import check_output_paths
from instructor.cli.prices import find_prices
from instructor.cli.progress import Display, make_summary, report_failure
from instructor.cli.records import Input, open_input
from instructor.cli.run_stats import Outcome, RunStats
from instructor.cli.settings import Settings
from instructor.cli.signals import SIGNALLED, SignalWatcher
from instructor.cli.terminal import make_console, print_line, show_warnings
from instructor.cli.wording import use_option_names
from instructor.exceptions import CacheError, ConfigurationError, InstructorError, ModeError
from instructor.jobs.prompts import make_prompt
from instructor.mode import Mode, resolve_mode

if TYPE_CHECKING:
    from rich.console import Console

    from instructor.cache import DiskCache
    from instructor.client import AsyncInstructor

_COUNT_SECONDS = 0.25
"""How long a run waits for the number of records; after that they are counted beside it."""
_LEAST_SIZE = 64 * 1024
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([kmgt]?)(i?)b?", re.IGNORECASE)


def run_extract(settings: Settings) -> int:
    """Do what ``instructor extract`` does; return its exit status."""
    console = make_console()
    signals = SignalWatcher()
    signals.start()
    try:
        with show_warnings(console):
            return _Extraction(settings, console, signals).run()
    except InstructorError as error:
        print_line(console, f"Error: {use_option_names(str(error))}", "red")
        return 2
    except KeyboardInterrupt:  # from the watcher, before the run began
        print_line(console, "Stopped. Run the same command again to go on.")
        return SIGNALLED + signals.number
    finally:
        signals.finish()


class _Extraction:
    """One run and its parts. Making it checks every setting before anything is asked."""

    def __init__(self, settings: Settings, console: Console, signals: SignalWatcher) -> None:
        self._settings = settings
        self._console = console
        self._signals = signals
        self._source = open_input(settings.source, settings.form)
        self._prices = find_prices(settings.model, settings.price_as)
        prompt = make_prompt(settings.prompt)
        model = load_response_model(settings.response_model)
        client = make_client(settings)
        check_output_paths(settings.out, settings.report, self._source.path, Path(settings.cache))
        if settings.report is not None:
            check_report(Path(settings.report))
        self._output = Output(settings.out)
        self._stats = RunStats(concurrency=settings.concurrency)
        self._display = Display(console, self._stats, self._prices, quiet=settings.quiet)
        self._job = Job(
            source=self._source,
            limit=None if settings.limit is None else min(settings.limit, sys.maxsize),
            prompt=prompt,
            ask=partial(client.create, model, max_retries=settings.max_retries),
            write_answer=write_answer,
            output=self._output,
            concurrency=settings.concurrency,
            report=self._report,
            announce=lambda sentence: print_line(console, sentence),
        )

    def run(self) -> int:
        """Work through the records; return the exit status."""
        run = Run(self._job, self._signals)
        completed = False
        try:
            count_records(self._source, self._settings.limit, self._stats)
            self._display.start()
            asyncio.run(run.run())
            completed = not run.signal_number
            if completed:
                self._output.finish()
        except OSError as error:
            completed = False
            print_line(self._console, f"Error: {error}. The run cannot go on.", "red")
        finally:
            self._stats.tick()
            self._display.stop()
            if not completed:
                self._output.abandon()
        reported = self._finish(completed=completed)
        if run.signal_number:
            return SIGNALLED + run.signal_number
        return int(not completed or not reported or self._stats.failed > 0)

    def _report(self, outcome: Outcome) -> None:
        self._stats.add(outcome, self._prices)
        if outcome.error:
            report_failure(self._console, outcome)
        self._display.update()

    def _finish(self, *, completed: bool) -> bool:
        """Show and write the figures of the run; return whether the report could be written."""
        places = {"output" if completed else "unfinished": self._output.unfinished, "cache": self._settings.cache}
        if completed:
            places["output"] = self._settings.out if self._settings.out != "-" else "standard output"
        reported = self._settings.report is None or self._write_report(Path(self._settings.report), completed)
        if not self._settings.quiet:
            self._console.print(make_summary(self._stats, self._prices, places))
        if not completed:
            print_line(
                self._console,
                f"Stopped after {self._stats.done:,} records. Their answers are in {self._settings.cache}: "
                "run the same command again, and only the remaining records are asked.",
            )
        return reported

    def _write_report(self, path: Path, completed: bool) -> bool:
        figures = self._stats.describe() | {"completed": completed, "price": self._prices.label or self._prices.model}
        try:
            path.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
        except OSError as error:
            print_line(self._console, f"Error: --report {path} cannot be written: {error.strerror}.", "red")
            return False
        return True


def check_report(path: Path) -> None:
    """Raise `ConfigurationError` if the file of ``--report`` can't be written, before a run is made for it."""
    try:
        path.open("ab").close()
    except OSError as error:
        raise ConfigurationError(f"--report {path} cannot be written: {error.strerror}.") from error


def make_client(settings: Settings) -> AsyncInstructor:
    """Make the client, with the cache in which a run finds the answers of the one before."""
    from instructor.factory import from_provider

    latency: dict[str, Any] = {"latency": settings.latency} if settings.latency else {}
    client: AsyncInstructor = from_provider(
        settings.model,
        async_client=True,
        cache=open_cache(settings),
        mode=find_mode(settings.mode),
        base_url=settings.base_url,
        **latency,
    )
    listen(client)
    return client


def find_mode(name: str | None) -> Mode | None:
    """Return the mode that ``--mode`` names, by its name or its value."""
    try:
        return None if name is None else resolve_mode(name)
    except ModeError:
        known = ", ".join(
            mode.name.lower() for mode in Mode if mode is not Mode.PARALLEL_TOOLS
        )  # lines are single answers
        raise ConfigurationError(f"--mode {name}: there is no such mode. Use one of {known}.") from None


def read_size(text: str | None) -> int | None:
    """Read the bytes of ``--cache-size``; None, for no limit, where it is left out.

    Example:
        >>> read_size("65536"), read_size("2GB"), read_size("1.5 MiB")
        (65536, 2000000000, 1572864)
    """
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(f'--cache-size {text} is not a size. Write bytes, or a number such as "2GB".')
    number, unit, binary = match.groups()
    size = int(float(number) * (1024 if binary else 1000) ** " kmgt".index(unit.lower() or " "))
    if size < _LEAST_SIZE:
        raise ConfigurationError(f"--cache-size {text} is too small to hold answers. Write 64KiB or more.")
    return size


def open_cache(settings: Settings) -> DiskCache:
    """Open the cache and try it: without one, a run could not go on where the last one stopped."""
    from instructor.cache import DiskCache

    directory = settings.cache
    if not directory.strip():
        raise ConfigurationError("--cache names no directory. Leave it out for .instructor_cache.")
    size = read_size(settings.cache_size)
    try:
        with DiskCache(directory, size) as cache:
            cache.get("")
    except (CacheError, ConfigurationError) as error:
        raise ConfigurationError(f"--cache {directory} cannot be used. {error}") from error
    if not os.access(cache.path, os.W_OK) or not os.access(cache.directory, os.W_OK | os.X_OK):
        raise ConfigurationError(f"--cache {directory} cannot be written. Name another directory.")
    return cache


def write_answer(answer: object) -> str:
    """Write an answer of any response model as JSON."""
    return pydantic_core.to_json(answer, fallback=str, inf_nan_mode="null").decode()


def count_records(source: Input, limit: int | None, stats: RunStats) -> None:
    """Count the records in a thread, for the time left. A long count goes on beside the run."""

    def count() -> None:
        try:
            stats.total = source.count(limit)
        except (InstructorError, OSError):
            return  # the run meets the same error, and reports it

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    thread.join(_COUNT_SECONDS)
