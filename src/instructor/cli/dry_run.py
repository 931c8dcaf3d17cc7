"""``--dry-run``: how many records the cache has answers for, and what it may cost to ask about the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from instructor.cache.entry import Entry
from instructor.cli.cache_places import Place
from instructor.cli.cache_report import Report, write_report
from instructor.cli.clients import add_system, make_client, open_cache
from instructor.cli.columns import find_schema
from instructor.cli.extract import first_good
from instructor.cli.figures import check_report, write_figures
from instructor.cli.inputs import open_inputs
from instructor.cli.models import load_response_model
from instructor.cli.output_forms import find_form
from instructor.cli.output_paths import check_output_paths
from instructor.cli.prices import Prices, find_prices
from instructor.cli.records import Record
from instructor.cli.settings import Settings
from instructor.exceptions import ValidationError
from instructor.jobs.prompts import Prompt, make_prompt
from instructor.messages import Messages
from instructor.usage import Usage

if TYPE_CHECKING:
    from rich.console import Console

    from instructor import Explanation

_LETTERS_PER_TOKEN = 4
"""Of English prose, for OpenAI's tokenizers; where the cache has answers, what they took is used instead."""
_MOST_SAMPLES = 200
"""Stored answers from which tokens are estimated."""


@dataclass(slots=True)
class Estimate:
    """What a run would do.

    Attributes:
        prices: Those of the model.
        records: How many there are. Each is one of `hits`, `equal` (to one that will be asked), `to_ask` and `unusable`.
        letters: The length of what would be sent for the records to ask.
        factor: The part of the price that is asked: less in a batch.
        sample: What stored answers took, and `sample_letters` what was sent for them.
    """

    prices: Prices
    records: int = 0
    hits: int = 0
    equal: int = 0
    to_ask: int = 0
    unusable: int = 0
    letters: int = 0
    samples: int = 0
    sample: Usage = field(default=Usage())
    sample_letters: int = 0
    factor: float = 1.0

    @property
    def input_tokens(self) -> int:
        """Tokens that the requests would take."""
        if self.samples:
            return round(self.letters * self.sample.input_tokens / max(1, self.sample_letters))
        return -(-self.letters // _LETTERS_PER_TOKEN)

    @property
    def output_tokens(self) -> int | None:
        """Tokens that the answers would take; None while no stored answer says how long they are."""
        return round(self.to_ask * self.sample.output_tokens / self.samples) if self.samples else None

    @property
    def input_dollars(self) -> float | None:
        """What the input would cost; None where the price isn't known."""
        return self._price(0)

    @property
    def dollars(self) -> float | None:
        """What it would cost; None where the price or the length of the answers isn't known."""
        if self.to_ask and self.output_tokens is None:
            return None
        return self._price(self.output_tokens or 0)

    def _price(self, output_tokens: int) -> float | None:
        if not self.to_ask:
            return 0.0
        # A price for each token may depend on the length of the request, so one of average length is priced.
        one = self.prices.price(Usage(self.input_tokens // self.to_ask, output_tokens // self.to_ask))
        return None if one is None else one * self.to_ask * self.factor

    def describe(self) -> dict[str, object]:
        """Return the figures as plain data."""
        return {
            "records": self.records,
            "from_the_cache": self.hits,
            "equal_to_another": self.equal,
            "to_ask": self.to_ask,
            "unusable": self.unusable,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "input_dollars": self.input_dollars,
            "dollars": self.dollars,
            "price": self.prices.label or self.prices.model,
        }

    @property
    def advice(self) -> str:
        """What the user should know about the figures."""
        if not self.to_ask:
            return "Nothing was asked, and nothing needs to be."
        if self.output_tokens is None:
            return (
                "Nothing was asked. Input tokens are estimated from the text; how long the answers are isn't known yet. "
                "Run with --limit 20 first: then the estimate goes by what those answers took."
            )
        unpriced = (
            f" The price list doesn't know {self.prices.model}: write --price-as." if self.dollars is None else ""
        )
        return f"Nothing was asked. Tokens are estimated from {self.samples} answers in the cache.{unpriced}"


@dataclass(frozen=True, slots=True)
class Asker:
    """How a run asks, for `make_estimate`.

    Attributes:
        explain: A client's ``explain`` with its other arguments filled in.
        read_entry: Reads an answer from the cache by its key; None where it can't.
        overhead: The length of what goes with each request: the system message and the schema.
    """

    explain: Callable[[Messages], Explanation]
    read_entry: Callable[[str], Entry | None]
    overhead: int


def make_estimate(records: Iterable[Record], prompt: Prompt, asker: Asker, prices: Prices) -> Estimate:
    """Look every record up, and ask nothing."""
    estimate = Estimate(prices)
    seen: set[int] = set()
    for record in records:
        estimate.records += 1
        text = ""
        with suppress(ValidationError):  # of this one record, which the run would report
            text = "" if record.error else prompt(record.data)
        if not text:
            estimate.unusable += 1
            continue
        found = asker.explain([{"role": "user", "content": text}])
        letters = asker.overhead + len(text)
        name = int((found.key or "")[:16] or "-1", 16)  # a part, because there may be millions
        if found.hit:
            estimate.hits += 1
            _add_sample(estimate, asker.read_entry(found.key or ""), letters)
        elif name in seen:
            estimate.equal += 1
        else:
            estimate.to_ask += 1
            estimate.letters += letters
            if name >= 0:  # a call without a key is asked each time
                seen.add(name)
    return estimate


def _add_sample(estimate: Estimate, entry: Entry | None, letters: int) -> None:
    if estimate.samples < _MOST_SAMPLES and entry is not None and entry.usage.total_tokens:
        estimate.samples += 1
        estimate.sample += entry.usage
        estimate.sample_letters += letters


def run_dry(settings: Settings, console: Console) -> int:
    """Show what the run of these settings would do; return the exit status."""
    source = open_inputs(settings.sources, settings.form)
    prices = find_prices(settings.model, settings.price_as)
    prompt = make_prompt(settings.prompt)
    model = load_response_model(settings.response_model)
    find_form(settings.out)
    cache = open_cache(settings)
    client = make_client(settings, cache)
    check_output_paths(settings.out, settings.report, source.paths, Path(settings.cache))
    check_report(settings.report)
    asker = Asker(
        lambda messages: client.explain(model, add_system(settings, messages), max_retries=settings.max_retries),
        Place(cache, settings.cache).read_entry,
        len(orjson.dumps(find_schema(model), default=str)) + len(settings.system or ""),
    )
    records = islice(source.read(), None if settings.limit is None else min(settings.limit, sys.maxsize))
    estimate = make_estimate(first_good(records, prompt), prompt, asker, prices)
    estimate.factor = prices.batch_factor if settings.batch else 1.0
    write_report(Report([estimate.describe()], is_single=True, note=estimate.advice), as_json=False)
    return int(not write_figures(console, settings.report, estimate.describe()))
