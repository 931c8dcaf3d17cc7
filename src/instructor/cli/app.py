"""The commands and their options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer

_EXIT_STATUS = (
    "Exit status: 0 if every record has its answer, 1 if some record failed, "
    "2 if the command cannot be run as given, 130 after Ctrl-C."
)


def make_app() -> typer.Typer:
    """Make the command line application. Typer is imported here, so that the library never needs it."""
    import typer

    app = typer.Typer(
        help="Typed, validated answers from any LLM provider, with a cache at its heart.",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def instructor() -> None:  # pyright: ignore[reportUnusedFunction] - typer keeps it; it makes `extract` a command
        """Typed, validated answers from any LLM provider, with a cache at its heart."""

    app.command("extract", epilog=_EXIT_STATUS, no_args_is_help=True)(_make_extract(_make_options()))
    return app


def _make_options() -> dict[str, Any]:
    """The options of ``extract``, by the name of the parameter that each is the default of."""
    import typer

    return {
        "source": typer.Argument(metavar="INPUT", help="A CSV, JSONL or text file (a record a line), or - for stdin."),
        **{name: typer.Option(default, *flags, **more) for name, (default, flags, more) in _OPTIONS.items()},
    }


_Option = tuple[Any, tuple[str, ...], dict[str, Any]]
_OPTIONS: dict[str, _Option] = {
    "response_model": (..., (), {"metavar": "MODULE:CLASS", "help": "The answer's shape; also path/to/file.py:Class."}),
    "model": (..., (), {"metavar": "VENDOR/NAME", "help": 'Whom to ask, such as "openai/gpt-4.1-mini".'}),
    "out": (..., (), {"metavar": "OUT.jsonl", "help": "Where the answers go, a JSON line each; - for stdout."}),
    "cache": (".instructor_cache", (), {"metavar": "DIR", "help": "Where answers are kept for the next run."}),
    "concurrency": (8, (), {"min": 1, "max": 10_000, "metavar": "N", "help": "How many records are asked at once."}),
    "limit": (None, (), {"min": 1, "metavar": "N", "help": "Take only the first records."}),
    "prompt": (
        None,
        (),
        {"metavar": "TEMPLATE", "help": 'Jinja2 over the fields: "Sort: {{ text }}". Default: the record\'s text.'},
    ),
    "mode": (None, (), {"metavar": "MODE", "help": "TOOLS, JSON, ...: how to ask. Default: the vendor's."}),
    "base_url": (None, (), {"metavar": "URL", "help": "Another address of the vendor's API."}),
    "max_retries": (
        None,
        (),
        {"min": 0, "metavar": "N", "help": "How often to ask again after an invalid answer. Default: 3."},
    ),
    "form": (None, ("--format",), {"metavar": "FORMAT", "help": "csv, jsonl or text. Default: told by the input."}),
    "price_as": (None, (), {"metavar": "VENDOR/NAME", "help": "Show what it would cost with this model."}),
    "latency": (0.0, (), {"min": 0.0, "metavar": "SECONDS", "help": "How long an offline model takes to answer."}),
    "report": (None, (), {"metavar": "FILE", "help": "Write the figures of the run to this file as JSON."}),
    "quiet": (False, ("--quiet", "-q"), {"help": "Show failed records only."}),
}


def _make_extract(default: dict[str, Any]) -> Callable[..., None]:
    def extract(
        source: str = default["source"],
        response_model: str = default["response_model"],
        model: str = default["model"],
        out: str = default["out"],
        cache: str = default["cache"],
        concurrency: int = default["concurrency"],
        limit: int | None = default["limit"],
        prompt: str | None = default["prompt"],
        mode: str | None = default["mode"],
        base_url: str | None = default["base_url"],
        max_retries: int | None = default["max_retries"],
        form: str | None = default["form"],
        price_as: str | None = default["price_as"],
        latency: float = default["latency"],
        report: str | None = default["report"],
        quiet: bool = default["quiet"],
    ) -> None:
        """Make one typed answer for each record of INPUT.

        A line of OUT is {"line": 2, "answer": {...}, "cached": false} or {"line": 2, "error": "..."}, in the order of INPUT; "line" is where the record begins in it.

        Each answer is kept in the cache as soon as it comes: after Ctrl-C or a crash, run the same command again, and only the rest is asked.
        """
        from instructor.cli.command import Settings, run_extract

        settings = Settings(
            source=source,
            response_model=response_model,
            model=model,
            out=out,
            cache=cache,
            concurrency=concurrency,
            limit=limit,
            prompt=prompt,
            mode=mode,
            base_url=base_url,
            max_retries=max_retries,
            form=form,
            price_as=price_as,
            latency=latency,
            report=report,
            quiet=quiet,
        )
        sys.exit(run_extract(settings))

    return extract
