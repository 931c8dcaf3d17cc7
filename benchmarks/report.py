"""The table, and what a reader must know about the machine."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sides import ROOT


@dataclass(slots=True)
class Row:
    """One line of the table, with the measurements of both sides in `unit`, one a round."""

    name: str
    title: str
    unit: str
    bar: float | None = None  # what the median of ours is to stay at or below
    ours: list[float] = field(default_factory=list[float])
    upstream: list[float] = field(default_factory=list[float])
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times as long upstream takes: of the medians, measured in turns."""
        own = statistics.median(self.ours)
        return statistics.median(self.upstream) / own if self.upstream and own > 0 else None

    @property
    def verdict(self) -> str:
        """Whether the bar is met, by the median."""
        if self.bar is None:
            return ""
        over = statistics.median(self.ours) / self.bar - 1
        return "met" if over <= 0 else f"missed by {over:.0%}"


def describe_machine() -> dict[str, Any]:
    """Collect the conditions of a run."""
    git = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--match="]
    commit = ""
    with contextlib.suppress(OSError):  # git isn't installed
        commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    cpus = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = (line.partition(":")[2].strip() for line in cpus if line.startswith("model name"))
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit, "python": platform.python_version(),
        "system": platform.platform(), "processor": next(names, platform.processor()), "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def print_report(rows: Iterable[Row], machine: dict[str, Any], sides: dict[str, Any]) -> None:
    """Print the table, then the conditions."""
    table = Table(title="Medians, in turns on one machine; ratio: upstream over ours", title_justify="left")
    for heading in ("what", "measured", "minimum", "bar", "upstream", "ratio", "verdict"):
        table.add_column(heading, justify="left" if heading in {"what", "verdict"} else "right")
    for row in rows:
        bar = "" if row.bar is None else f"{row.bar:,g}"
        upstream = show(statistics.median(row.upstream), row.unit) if row.upstream else ""
        ratio = "" if row.ratio is None else f"{row.ratio:,.3g}x"
        own = show(statistics.median(row.ours), row.unit)
        table.add_row(row.title, own, show(min(row.ours)), bar, upstream, ratio, f"{row.verdict} {row.note}")
    console = Console(width=None if Console().is_terminal else 150, highlight=False)
    console.print(table)
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()))
    for name, side in sides.items():
        console.print(f"{name}: {', '.join(f'{key} {value}' for key, value in side['packages'].items())}")


def show(value: float, unit: str = "") -> str:
    return f"{value:,.0f} {unit}".strip() if abs(value) >= 100 else f"{value:.3g} {unit}".strip()
