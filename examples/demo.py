"""The same extraction twice: the first run asks, the second has every answer from the cache.

python examples/demo.py [--model openai/gpt-6-luna] [--limit N]

It needs no key and no network: ``offline/demo`` fills the schema by rules and is not a language model.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
DATA = HERE / "banking77.csv"
OFFLINE = "offline/demo"
PRICED_AS = "openai/gpt-6-luna"
LATENCY = "0.05"
SAMPLES = 5

console = Console()


def main() -> int:
    """Run the demo; return its exit status."""
    options = read_options()
    with tempfile.TemporaryDirectory(prefix="instructor-demo-") as name:
        folder = Path(name)
        runs: list[dict[str, Any]] = []
        for title in ("First run: every message is asked", "Second run: a new process, the same cache"):
            console.print(f"\n[bold]{title}[/]")
            status, figures = extract(options, folder)
            if status != 0:
                return status
            runs.append(figures)
        answers = read_answers(folder / "tickets.jsonl")
    show_samples(answers)
    show_runs(*runs)
    show_accuracy(answers, options.model)
    if runs[1]["hits"] != runs[1]["done"] or runs[1]["requests"]:
        console.print("[bold red]The second run was not answered from the cache alone.[/]")
        return 1
    return 0


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default=OFFLINE, help=f"vendor/name; default {OFFLINE}, which needs no key")
    parser.add_argument("--limit", type=int, default=300, help="how many messages; default 300")
    return parser.parse_args()


def extract(options: argparse.Namespace, folder: Path) -> tuple[int, dict[str, Any]]:
    """Run ``instructor extract`` in a process of its own; return its exit status and its figures."""
    words = [str(DATA), "--response-model", f"{HERE / 'ticket.py'}:Ticket", "--model", options.model]
    words += ["--cache", str(folder / "cache"), "--out", str(folder / "tickets.jsonl"), "--limit", str(options.limit)]
    words += ["--report", str(folder / "figures.json")]
    if options.model.startswith("offline/"):
        words += ["--latency", LATENCY, "--price-as", PRICED_AS]
    # S603: every argument but the model's name is written here, and no shell reads them.
    finished = subprocess.run([sys.executable, "-m", "instructor", "extract", *words], check=False)  # noqa: S603
    if finished.returncode != 0:
        return finished.returncode, {}
    return 0, json.loads((folder / "figures.json").read_text())


def read_answers(path: Path) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Pair every message with its ticket."""
    with DATA.open(newline="", encoding="utf-8") as lines:
        messages = list(csv.DictReader(lines))
    tickets = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(message, ticket["answer"]) for message, ticket in zip(messages, tickets, strict=False)]


def show_samples(answers: list[tuple[dict[str, str], dict[str, Any]]]) -> None:
    """Show a few tickets, each of another topic, those with something in every field first."""
    ordered = sorted(answers, key=lambda pair: bool(pair[1]["amounts"]) + bool(pair[1]["dates"]))
    shown = list({ticket["topic"]: (message, ticket) for message, ticket in ordered}.values())[-SAMPLES:]
    table = Table(title="A few of the tickets", title_justify="left", title_style="bold", show_lines=True)
    for column in ("message", "intent", "topic", "amounts", "dates"):
        table.add_column(column, ratio=3 if column == "message" else None, overflow="fold")
    for message, ticket in shown:
        amounts = ", ".join(f"{amount:g}" for amount in ticket["amounts"])
        table.add_row(message["text"], ticket["intent"], ticket["topic"], amounts, ", ".join(ticket["dates"]))
    console.print()
    console.print(table)


def show_runs(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Show both runs side by side."""
    table = Table(title="Both runs", title_justify="left", title_style="bold")
    table.add_column("")
    for title in ("first run", "second run"):
        table.add_column(title, justify="right")
    for name, form in ROWS.items():
        table.add_row(name, *(form.format(**figures) for figures in (first, second)))
    if first["money_spent"] is not None:
        for name in ("spent", "saved"):
            table.add_row(f"money {name} *", *(f"${figures[f'money_{name}']:.4f}" for figures in (first, second)))
    console.print()
    console.print(table)
    console.print(f"* {first['price']}, by the installed price list", style="dim", highlight=False)


ROWS = {
    "messages": "{done:,}",
    "from the cache": "{hits:,}",
    "requests": "{requests:,}",
    "time": "{seconds:.2f} s",
    "tokens spent": "{tokens_spent:,}",
    "tokens saved": "{tokens_saved:,}",
}


def show_accuracy(answers: list[tuple[dict[str, str], dict[str, Any]]], model: str) -> None:
    """Say how many intents are the labelled ones, for honesty."""
    right = sum(message["category"] == ticket["intent"] for message, ticket in answers)
    note = " It is not a language model: it compares words." if model.startswith("offline/") else ""
    console.print(
        f"\n{model} named the true intent, one of 77, for {right} of {len(answers)} messages ({right / len(answers):.0%}).{note}",
        highlight=False,
    )


if __name__ == "__main__":
    sys.exit(main())
