"""The commands. Their options are in `settings`."""

from __future__ import annotations

import inspect
import sys
from functools import cache, wraps
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from instructor.cli.settings import Settings

_PURPOSE = "Typed, validated answers from any LLM provider, with a cache at its heart."
_EXTRACT = """Make one typed answer for each record of the inputs.

A line of a .jsonl output is {"line": 2, "answer": {...}, "cached": false} or {"line": 2, "error": "..."}, in the order of the input; "line" is where the record begins in it. With several inputs, "file" names the one. Other outputs have a column for each field.

Each answer is stored as soon as it comes: after Ctrl-C or a crash, run the same command again, and only the remaining records are asked.
"""
_EXIT_STATUS = (
    "Exit status: 0 if every record has its answer, 1 if some record failed, 2 if the command can't be run as "
    "written, 129, 130 or 143 if a closed terminal, Ctrl-C or a request to terminate stopped it."
)


class _Command(TyperCommand):
    """A command whose help has no types beside the switches."""

    def get_params(self, ctx: Any) -> Any:
        """The parameters, as the help shows them."""
        return _hide_types(super().get_params(ctx))


class _Group(TyperGroup):
    """``instructor`` itself, whose help has no types beside the switches either."""

    def get_params(self, ctx: Any) -> Any:
        """The parameters, as the help shows them."""
        return _hide_types(super().get_params(ctx))


def _hide_types(parameters: Any) -> Any:
    """Keep typer from writing ``<bool>`` beside each switch, and ``<list[str]>`` beside the inputs."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif parameter.param_type_name == "argument":
            parameter.display_type_rich = _hide_type
    return parameters


def _hide_type(**_: object) -> None:
    """Stand for what names the type of a parameter."""


def make_app(first: str = "") -> typer.Typer:
    """Make the command line application. If the `first` word is ``extract``, the other commands are left out of it."""
    app = typer.Typer(cls=_Group, help=_PURPOSE, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(instructor)
    app.command("extract", cls=_Command, help=_EXTRACT, epilog=_EXIT_STATUS, no_args_is_help=True)(extract)
    if first != "extract":  # typer reads the options of all commands, which takes longer than a short run
        _add_commands(app)
    return app


def make_command(first: str = "") -> Any:
    """Make the command line, once in a process for each set of commands."""
    return _make_command("extract" if first == "extract" else "")


@cache
def _make_command(first: str) -> Any:
    return typer.main.get_command(make_app(first))


def _add_commands(app: typer.Typer) -> None:
    from instructor.cli.batch_app import make_batch_app
    from instructor.cli.cache_app import make_cache_app, make_runner
    from instructor.cli.catalogue import models, providers

    for command in (models, providers):
        app.command(command.__name__, cls=_Command, help=inspect.getdoc(command))(make_runner(command))
    app.add_typer(make_cache_app(_Group, _Command), name="cache")
    app.add_typer(make_batch_app(_Group, _Command), name="batch")


def show_version(wanted: bool) -> None:
    """Print the version and exit, if ``--version`` was written."""
    if wanted:
        from instructor import __version__

        typer.echo(f"instructor {__version__}")
        raise typer.Exit


def instructor(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Do nothing: the options and the help of ``instructor`` itself hang on this function."""
    del version


# Typer reads the parameters of the function wrapped. Only the settings' own members are left out of the copy.
@wraps(Settings, updated=())
def extract(**options: Any) -> None:
    """Run ``instructor extract`` and exit with its status."""
    from instructor.cli.command import run_extract

    sys.exit(run_extract(Settings(**options)))
