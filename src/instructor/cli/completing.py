"""What a shell offers for the values of options."""

from __future__ import annotations

from collections.abc import Iterator


def complete_mode(incomplete: str) -> list[str]:
    """Offer the modes."""
    from instructor.mode import Mode

    names = [mode.name.lower() for mode in Mode if mode is not Mode.PARALLEL_TOOLS]  # lines are single answers
    return [name for name in names if name.startswith(incomplete.lower())]


def complete_engine(incomplete: str) -> list[str]:
    """Offer the engines."""
    from instructor.engines.opening import NAMED

    return [name for name in NAMED if name.startswith(incomplete.lower())]


def complete_format(incomplete: str) -> list[str]:
    """Offer the formats of an input."""
    from instructor.cli.records import FORMATS

    return [form for form in FORMATS if form.startswith(incomplete.lower())]


def complete_model(incomplete: str) -> list[str]:
    """Offer the vendors, and after the slash the models of one."""
    from instructor.cli.catalogue import list_prices
    from instructor.providers.table import VENDORS

    vendor, slash, _ = incomplete.partition("/")
    if not slash:
        return [f"{vendor.name}/" for vendor in VENDORS if vendor.name.startswith(incomplete.lower())]
    names: Iterator[str] = (f"{vendor}/{model.id}" for model in list_prices(vendor))
    return [name for name in names if name.startswith(incomplete)]
