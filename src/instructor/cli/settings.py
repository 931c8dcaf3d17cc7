"""The options of ``instructor extract``: each is declared here, once, as a field with its help."""

# Without `from __future__ import annotations`: typer reads the annotations of `Settings`, not their text.

from dataclasses import dataclass
from typing import Annotated

from typer import Argument, Option


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user wrote on the command line. Its fields are the command's parameters; their help describes them."""

    source: Annotated[
        str, Argument(metavar="INPUT", help="A CSV, JSONL or text file (a record on each line), or - for stdin.")
    ]
    response_model: Annotated[
        str, Option(metavar="MODULE:CLASS", help="The type of the answers; also path/to/file.py:Class.")
    ]
    model: Annotated[str, Option(metavar="VENDOR/NAME", help='The model to ask, such as "openai/gpt-6-luna".')]
    out: Annotated[str, Option(metavar="OUT.jsonl", help="Where the answers go, a JSON line for each; - for stdout.")]
    cache: Annotated[str, Option(metavar="DIR", help="The directory that keeps the answers for the next run.")] = (
        ".instructor_cache"
    )
    cache_size: Annotated[
        str | None,
        Option(metavar="SIZE", help='The most that the cache may hold, such as "2GB". Default: no limit.'),
    ] = None
    concurrency: Annotated[int, Option(min=1, max=10_000, metavar="N", help="How many records are asked at once.")] = 8
    limit: Annotated[int | None, Option(min=1, metavar="N", help="Take only the first N records.")] = None
    prompt: Annotated[
        str | None,
        Option(metavar="TEMPLATE", help='Jinja2 over the fields: "Sort: {{ text }}". Default: the record\'s text.'),
    ] = None
    mode: Annotated[
        str | None, Option(metavar="MODE", help="tools, json, ...: how to ask. Default: what suits the model.")
    ] = None
    base_url: Annotated[
        str | None, Option(metavar="URL", help="The base URL of the API, in place of the vendor's own.")
    ] = None
    max_retries: Annotated[
        int | None, Option(min=0, metavar="N", help="How often to ask again after an invalid answer. Default: 3.")
    ] = None
    form: Annotated[
        str | None,
        Option("--format", metavar="FORMAT", help="csv, jsonl or text. Default: by the input's name or content."),
    ] = None
    price_as: Annotated[
        str | None, Option(metavar="VENDOR/NAME", help="Show what the run would cost with this model.")
    ] = None
    latency: Annotated[
        float,
        Option(min=0.0, metavar="SECONDS", hidden=True, help="How long the offline provider takes for an answer."),
    ] = 0.0
    report: Annotated[str | None, Option(metavar="FILE", help="Write the figures of the run to this file as JSON.")] = (
        None
    )
    quiet: Annotated[bool, Option("--quiet", "-q", help="Show failed records and warnings only.")] = False
