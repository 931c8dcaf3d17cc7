"""``instructor cache`` and its commands: a table of functions, each of which takes a place and returns a report."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated, Any, Final

import typer
from typer import Argument, Option
from typer.core import TyperCommand, TyperGroup

from instructor.cli.cache_changing import compact, export, import_entries, purge, rm
from instructor.cli.cache_places import PREFIX, open_place
from instructor.cli.cache_reading import explain, ls, show, stats, top, verify
from instructor.cli.cache_report import Report, write_report
from instructor.cli.cache_simulation import simulate
from instructor.cli.terminal import make_console, print_line, show_warnings
from instructor.cli.wording import use_option_names
from instructor.exceptions import InstructorError

COMMANDS: Final[dict[str, Callable[..., Report]]] = {
    "stats": stats,
    "top": top,
    "ls": ls,
    "show": show,
    "explain": explain,
    "rm": rm,
    "purge": purge,
    "verify": verify,
    "compact": compact,
    "export": export,
    "import": import_entries,
    "simulate": simulate,
}

_CREATING = frozenset({import_entries})
"""Commands that make a place which isn't there."""

PURPOSE = """Look after a cache.

PLACE is a directory of a DiskCache, a cassette (.jsonl), or a URL: redis://..., s3://..., postgresql+psycopg://...
"""


def _options(
    *,
    place: Annotated[str, Argument(metavar="PLACE", help="A directory, a cassette (.jsonl), or a URL.")],
    prefix: Annotated[str, Option(metavar="TEXT", help="How the keys of a Redis store begin.")] = PREFIX,
    as_json: Annotated[bool, Option("--json", help="Write a line of JSON for each row, for programs.")] = False,
) -> None:
    """The parameters that commands have in common."""


def make_cache_app(group_class: type[TyperGroup], command_class: type[TyperCommand]) -> typer.Typer:
    """Make the command line application of ``instructor cache``."""
    app = typer.Typer(cls=group_class, help=PURPOSE, no_args_is_help=True)
    for name, command in COMMANDS.items():
        app.command(name, cls=command_class, help=inspect.getdoc(command), no_args_is_help=True)(make_runner(command))
    return app


def make_runner(command: Callable[..., Report], *, writes: bool = False) -> Callable[..., None]:
    """Make what typer calls: it opens the place, if there is one, writes the report, and exits with its status.

    `writes` is as in `open_place`.
    """
    own = inspect.signature(command, eval_str=True).parameters
    common = inspect.signature(_options, eval_str=True).parameters
    before = [common["place"]] if "place" in own else []
    after = [common["prefix"], common["as_json"]] if before else [common["as_json"]]
    parameters = [*before, *(one for name, one in own.items() if name != "place"), *after]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]

    def run(**options: Any) -> None:
        sys.exit(run_command(command, options, writes=writes))

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def run_command(command: Callable[..., Report], options: dict[str, Any], *, writes: bool = False) -> int:
    """Run a command with what the user wrote; return its exit status."""
    as_json = options.pop("as_json")
    console = make_console()
    try:
        with show_warnings(console), ExitStack() as stack:
            if "place" in options:
                create = command in _CREATING
                opened = open_place(options["place"], options.pop("prefix"), create=create, writes=writes)
                options["place"] = stack.enter_context(opened)
            report = command(**options)
            write_report(report, as_json=as_json)
    except InstructorError as error:
        print_line(console, f"Error: {use_option_names(str(error))}", "red")
        return 2
    return int(report.failed)
