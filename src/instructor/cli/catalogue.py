"""``instructor models`` and ``instructor providers``: what can be asked, what it needs, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution, requires
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from instructor.cli.cache_report import Report, Row
from instructor.exceptions import ConfigurationError
from instructor.prices import LISTED_AS
from instructor.providers.capabilities import capabilities_of
from instructor.providers.identity import read_variable
from instructor.providers.table import VENDORS, Vendor, find_vendor
from instructor.providers.vendors import PLACES

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo


def models(
    *,
    text: Annotated[
        str, Argument(metavar="[TEXT]", help='A part of the name: "openai", "anthropic/claude-opus", "mini".')
    ] = "",
) -> Report:
    """List models with their prices, in US dollars for a million tokens.

    The installed price list knows them. A vendor may have others, which are asked in the same way.
    """
    rows = [row for vendor in list_vendors() for row in _list_models(vendor, text.strip().lower())]
    if not rows:
        raise ConfigurationError(
            f'The price list has no model like {text!r}. Write a part of a name, such as "openai/".'
        )
    return Report(rows)


def providers() -> Report:
    """List the vendors: what each needs before it can be asked, and where it says more."""
    rows = [
        {
            "provider": vendor.name,
            "needs": ", ".join(_find_missing(vendor)),
            "modes": [mode.name.lower() for mode in vendor.modes],
            "base_url": vendor.base_url,
            "docs": vendor.docs,
        }
        for vendor in list_vendors()
    ]
    note = 'Ask one with --model "PROVIDER/MODEL". Where "needs" is empty, nothing is known to be missing.'
    return Report(rows, note=note, shown=("provider", "needs", "docs"))


def list_vendors() -> list[Vendor]:
    """List every vendor by its name."""
    return [find_vendor(name) for name in sorted({vendor.name for vendor in VENDORS} | PLACES.keys())]


def list_prices(vendor: str) -> list[ModelInfo]:
    """List the models of a vendor that the installed price list knows, and whose tokens have prices."""
    from genai_prices.data_snapshot import get_snapshot

    listed = LISTED_AS.get(vendor, vendor)
    found = [model for one in get_snapshot().providers if one.id == listed for model in one.models]
    return [model for model in found if None not in (_price(model, "input_mtok"), _price(model, "output_mtok"))]


def _list_models(vendor: Vendor, text: str) -> Iterator[Row]:
    for model in list_prices(vendor.name):
        name = f"{vendor.name}/{model.id}"
        if text in name.lower():
            yield {
                "model": name,
                "context": model.context_window,
                "input": _price(model, "input_mtok"),
                "cached": _price(model, "cache_read_mtok"),
                "output": _price(model, "output_mtok"),
                "mode": capabilities_of(vendor, model.id).modes[0].name.lower(),
            }


def _price(model: ModelInfo, member: str) -> float | None:
    price = getattr(model.get_prices(datetime.now(UTC)), member)
    base = getattr(price, "base", price)  # of a price that grows with the length of the prompt
    return None if base is None else float(base)


def _find_missing(vendor: Vendor) -> Iterator[str]:
    if vendor.extra and not _is_installed(vendor.extra):
        yield f"pip install 'instructor[{vendor.extra}]'"
    if vendor.needs_key and vendor.key_variables and read_variable(vendor.key_variables) is None:
        yield vendor.key_variables[0]


def _is_installed(extra: str) -> bool:
    """Whether the packages of an extra are installed."""
    wanted = [line for line in requires("instructor") or () if re.search(rf"extra == ['\"]{extra}['\"]", line)]
    try:
        for line in wanted:
            distribution(re.split(r"[^\w.-]", line, maxsplit=1)[0])
    except PackageNotFoundError:
        return False
    return True
