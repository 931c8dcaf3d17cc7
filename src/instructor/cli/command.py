"""``instructor extract`` from its settings to its exit status."""

from __future__ import annotations

import sys
import threading
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic_core

from instructor.cli.cache_places import show_place
from instructor.cli.clients import add_system, make_client, open_cache, read_concurrency
from instructor.cli.columns import find_columns
from instructor.cli.dry_run import run_dry
from instructor.cli.extract import BATCH_FAREWELL, FAREWELL, Job, Run, listen, write_messages
from instructor.cli.figures import check_report, write_figures
from instructor.cli.inputs import Inputs, open_inputs
from instructor.cli.models import load_response_model
from instructor.cli.output import Output
from instructor.cli.output_forms import LINES, NO_COLUMNS, find_form
from instructor.cli.output_paths import check_output_paths
from instructor.cli.prices import find_prices
from instructor.cli.progress import Display, make_summary, report_failure
from instructor.cli.run_stats import Outcome, RunStats
from instructor.cli.settings import Settings
from instructor.cli.signals import SIGNALLED, SignalWatcher
from instructor.cli.terminal import make_console, print_line, show_warnings
from instructor.cli.wording import use_option_names
from instructor.exceptions import BudgetExceeded, EngineError, InstructorError
from instructor.jobs.pace import Pace
from instructor.jobs.prompts import make_prompt

if TYPE_CHECKING:
    from rich.console import Console

    from instructor.cli.records import Record
    from instructor.client import Instructor
    from instructor.jobs import job as jobs
    from instructor.jobs.sources import Source
    from instructor.messages import Messages

_COUNT_SECONDS = 0.25
"""How long a run waits for the number of records; after that they are counted beside it."""
_KEPT = "what was answered is in %s, and only the rest is asked."
_KEPT_BY_BATCH = "it reads the answers of the batch into %s, and submits nothing twice."


def run_extract(settings: Settings) -> int:
    """Do what ``instructor extract`` does; return its exit status."""
    console = make_console()
    signals = SignalWatcher()
    signals.start()
    try:
        with show_warnings(console):
            return run_dry(settings, console) if settings.dry_run else _Extraction(settings, console, signals).run()
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
        concurrency = read_concurrency(settings.concurrency)
        self._source = open_inputs(settings.sources, settings.form)
        self._prices = find_prices(settings.model, settings.price_as)
        prompt = _make_prompt(settings.prompt)
        model = load_response_model(settings.response_model)
        client = make_client(settings, open_cache(settings))
        listen(client)
        check_output_paths(settings.out, settings.report, self._source.paths, Path(settings.cache))
        check_report(settings.report)
        # Lines need no columns, for which the schema of the response model is made.
        columns = (
            NO_COLUMNS if find_form(settings.out) is LINES else find_columns(model, has_file=self._source.are_many)
        )
        self._output = Output(settings.out, columns)
        self._stats = RunStats(concurrency=Pace(concurrency, asynchronous=False).most)
        self._display = Display(console, self._stats, self._prices, quiet=settings.quiet)
        self._job = Job(
            source=self._source,
            limit=None if settings.limit is None else min(settings.limit, sys.maxsize),
            prompt=prompt,
            write_answer=write_answer,
            output=self._output,
            concurrency=concurrency,
            report=self._report,
            announce=lambda sentence: print_line(console, sentence),
            map=partial(map_records, client, model, settings),
            is_slow=settings.batch,
            farewell=BATCH_FAREWELL if settings.batch else FAREWELL,
        )

    def run(self) -> int:
        """Work through the records; return the exit status."""
        run = Run(self._job, self._signals)
        completed = False
        try:
            count_records(self._source, self._settings.limit, self._stats)
            self._display.start()
            run.run()
            completed = not run.signal_number
            if completed:
                self._output.finish()
        except (OSError, BudgetExceeded, EngineError) as error:
            completed = False
            reason = use_option_names(str(error)).rstrip(".")
            if isinstance(error, BudgetExceeded):
                reason = f"--budget {self._settings.budget} is spent"
            print_line(self._console, f"Error: {reason}. The run cannot go on.", "red")
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
        complete = self._settings.out if self._settings.out != "-" else "standard output"
        places = {"output": complete} if completed else {"answers so far": self._output.unfinished}
        places["cache"] = show_place(self._settings.cache)
        price = self._prices.label or self._prices.model
        figures = self._stats.describe() | {"completed": completed, "price": price}
        reported = write_figures(self._console, self._settings.report, figures)
        if not self._settings.quiet:
            summary = make_summary(self._console, self._stats, self._prices, places)
            self._console.print(summary, soft_wrap=True)
        if not completed:
            kept = _KEPT_BY_BATCH if self._settings.batch else _KEPT
            done = f"{self._stats.done:,} {'record' if self._stats.done == 1 else 'records'}"
            place = show_place(self._settings.cache)
            print_line(self._console, f"Stopped after {done}. Run the same command again to go on: {kept % place}")
        return reported


def map_records(client: Instructor, model: Any, settings: Settings, records: Source, **terms: Any) -> jobs.Job[Any]:
    """Ask a client about records, as the settings say."""
    if settings.max_retries is not None:
        terms["max_retries"] = settings.max_retries
    if settings.batch:
        terms["batch"] = "always"
    if settings.engine is not None:
        terms["engine"] = settings.engine
    return client.map(records, model, messages=partial(_write_messages, settings), **terms)


def _write_messages(settings: Settings, record: Record) -> Messages:
    return add_system(settings, write_messages(_make_prompt(settings.prompt), record))


_make_prompt = cache(make_prompt)
"""Made once in a process, because a template can't be sent to another."""


def write_answer(answer: object) -> str:
    """Write an answer of any response model as JSON."""
    return pydantic_core.to_json(answer, fallback=str, inf_nan_mode="null").decode()


def count_records(source: Inputs, limit: int | None, stats: RunStats) -> None:
    """Count the records in a thread, for the time left. A long count goes on beside the run."""

    def count() -> None:
        try:
            stats.total = source.count(limit)
        except (InstructorError, OSError):
            return  # the run meets the same error, and reports it

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    thread.join(_COUNT_SECONDS)
