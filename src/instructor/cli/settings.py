"""The options of ``instructor extract``: each is declared here, once, as a field with its help."""

# Without `from __future__ import annotations`: typer reads the annotations of `Settings`, not their text.

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from typer import Argument, Context, Option

from instructor.cli.completing import complete_engine, complete_format, complete_mode, complete_model
from instructor.cli.config_file import read_config

_FILES = partial(Option, rich_help_panel="Input and output")
_QUESTION = partial(Option, rich_help_panel="Question")
_RUN = partial(Option, rich_help_panel="Run")
_CACHE = partial(Option, rich_help_panel="Cache")


def need_no_output(context: Context, is_dry: bool) -> bool:
    """Have ``--out`` stand for nothing where nothing is written. It is read before the file of ``--config`` or after it."""
    if is_dry:
        context.default_map = {"out": "-", **(context.default_map or {})}
    return is_dry


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user wrote on the command line. Its fields are the command's parameters; their help describes them."""

    sources: Annotated[
        list[str],
        Argument(
            metavar="INPUT",
            help="CSV, JSONL, text, Parquet or Arrow files, patterns such as 'in/*.csv', or - for stdin.",
        ),
    ]
    response_model: Annotated[
        str,
        Option(
            metavar="MODULE:CLASS",
            help="The type of the answers; also path/to/file.py:Class, or 'file.py:list[Class]'.",
        ),
    ]
    model: Annotated[
        str,
        Option(
            metavar="VENDOR/NAME",
            help='The model to ask, such as "openai/gpt-6-luna"; "instructor models" lists them.',
            autocompletion=complete_model,
        ),
    ]
    out: Annotated[
        str,
        Option(
            metavar="FILE",
            help="Where the answers go: .jsonl, .csv, .tsv, .parquet or .arrow; - for stdout. --dry-run needs none.",
        ),
    ]
    form: Annotated[
        str | None,
        _FILES(
            "--format",
            metavar="FORMAT",
            help="csv, jsonl, text, parquet or arrow. Default: by each input's name or content.",
            autocompletion=complete_format,
        ),
    ] = None
    limit: Annotated[int | None, _FILES(min=1, metavar="N", help="Take only the first N records.")] = None
    report: Annotated[str | None, _FILES(metavar="FILE", help="Write the figures of the run to this file as JSON.")] = (
        None
    )
    prompt: Annotated[
        str | None,
        _QUESTION(metavar="TEMPLATE", help='Jinja2 over the fields: "Sort: {{ text }}". Default: the record\'s text.'),
    ] = None
    system: Annotated[str | None, _QUESTION(metavar="TEXT", help="The system message of every request.")] = None
    temperature: Annotated[float | None, _QUESTION(metavar="NUMBER", help="How far answers may vary; 0 for least.")] = (
        None
    )
    mode: Annotated[
        str | None,
        _QUESTION(
            metavar="MODE",
            help="tools, json, ...: how to ask. Default: what suits the model.",
            autocompletion=complete_mode,
        ),
    ] = None
    base_url: Annotated[
        str | None, _QUESTION(metavar="URL", help="The base URL of the API, in place of the vendor's own.")
    ] = None
    api_key_env: Annotated[
        str | None, _QUESTION(metavar="VARIABLE", help="The environment variable that holds the key.")
    ] = None
    max_retries: Annotated[
        int | None, _QUESTION(min=0, metavar="N", help="How often to ask again after an invalid answer. Default: 3.")
    ] = None
    option: Annotated[
        list[str] | None,
        _QUESTION(
            "--option",
            "-o",
            metavar="NAME=VALUE",
            show_default=False,
            help="Any argument of the vendor's SDK: -o max_tokens=500. Repeat it for more.",
        ),
    ] = None
    cache: Annotated[
        str,
        _CACHE(metavar="PLACE", help="What keeps the answers for the next run: a directory, or redis://host:6379/0."),
    ] = ".instructor_cache"
    cache_size: Annotated[
        str | None,
        _CACHE(metavar="SIZE", help='The most that the directory may hold, such as "2GB". Default: no limit.'),
    ] = None
    concurrency: Annotated[
        str, _RUN(metavar="N", help="How many records are asked at once; auto learns how many may be.")
    ] = "8"
    budget: Annotated[
        str | None,
        _RUN(metavar="AMOUNT", help='The most to spend in this run: "5.50" dollars, or "200000 tokens".'),
    ] = None
    batch: Annotated[
        bool, _RUN("--batch", help="Ask at half the price: in the vendor's batches, which take up to a day.")
    ] = False
    engine: Annotated[
        str | None,
        _RUN(
            metavar="NAME",
            help="Spread the records over the workers of dask or ray, which share --cache.",
            autocompletion=complete_engine,
        ),
    ] = None
    dry_run: Annotated[
        bool,
        _RUN(
            "--dry-run",
            callback=need_no_output,
            is_eager=True,
            help="Ask nothing: show how many records the cache has, and what the others may cost.",
        ),
    ] = False
    price_as: Annotated[
        str | None,
        _RUN(
            metavar="VENDOR/NAME",
            help="Show what the run would cost with this model.",
            autocompletion=complete_model,
        ),
    ] = None
    quiet: Annotated[bool, _RUN("--quiet", "-q", help="Show failed records and warnings only.")] = False
    config: Annotated[
        str | None,
        _RUN(
            metavar="FILE.toml",
            callback=read_config,
            is_eager=True,
            help="Read options from a TOML file, those marked as required too.",
        ),
    ] = None
    latency: Annotated[
        float,
        Option(min=0.0, metavar="SECONDS", hidden=True, help="How long the offline provider takes for an answer."),
    ] = 0.0
