"""The table, and the file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from figures import Row, Summary
from rich.console import Console
from rich.table import Table


def make_table(rows: Iterable[Row]) -> Table:
    table = Table(title="Medians, in turns on one loopback server", title_justify="left", show_lines=False)
    for heading in ("what", "bar", "ours", "minimum", "p90", "upstream", "ratio", "verdict"):
        table.add_column(heading, justify="left" if heading in ("what", "verdict") else "right")
    for row in rows:
        table.add_row(
            row.title,
            "" if row.bar is None else f"{row.bar:g} {row.unit}",
            show(row.ours, "median", row.unit),
            "" if row.paired else show(row.ours, "minimum"),
            "" if row.paired else show(row.ours, "p90"),
            show(row.upstream, "median", row.unit),
            "" if row.ratio is None else f"{row.ratio:,.0f}x" if row.ratio >= 10 else f"{row.ratio:.2g}x",
            "; ".join(row.verdicts) or "not measured",
        )
    return table


def show(summary: Summary | None, name: str, unit: str = "") -> str:
    if summary is None:
        return "-" if unit else ""
    value: float = getattr(summary, name)
    digits = f"{value:,.0f}" if value >= 100 or unit == "requests" else f"{value:.3g}"
    return f"{digits} {unit}".strip()


def print_report(rows: list[Row], facts: dict[str, Any], sides: dict[str, Any]) -> None:
    """Print the table, then what a reader must know beside it."""
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    console.print(make_table(rows))
    for row in rows:
        for note in row.notes:
            console.print(f"  {row.title}: {note}", style="dim")
    console.print(
        f"\nPython {facts['python']}, {facts['processors']} processors ({facts['processor']}), load {facts['load']}, "
        f"{facts['date']}, commit {facts['commit']}"
    )
    for name, side in sides.items():
        console.print(f"{name}: {', '.join(f'{key} {value}' for key, value in side['packages'].items())}")


def save_report(path: Path, rows: list[Row], facts: dict[str, Any], sides: dict[str, Any]) -> None:
    """Write everything as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"facts": facts, "sides": sides, "rows": [row.export() for row in rows]}
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
