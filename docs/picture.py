"""Draws docs/demo.svg: what `make demo` shows at its end. Run it with `make picture`."""

from __future__ import annotations

import io
import os
import pty
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 92


def run_demo() -> str:
    """Run the demo in a terminal of its own and return what it wrote, colours and all."""
    os.environ |= {"COLUMNS": str(WIDTH), "LINES": "40", "TERM": "xterm-256color"}
    written = bytearray()

    def read(descriptor: int) -> bytes:
        part = os.read(descriptor, 4096)
        written.extend(part)
        return part

    status = pty.spawn([sys.executable, str(ROOT / "examples" / "demo.py")], read)
    if status:
        raise SystemExit(f"The demo ended with status {os.waitstatus_to_exitcode(status)}.")
    return written.decode()


def last_frames(output: str) -> str:
    """Keep what stays on the screen: of a line that was drawn again and again, only the last drawing."""
    lines: list[str] = []
    for line in output.replace("\r\n", "\n").split("\n"):
        for _ in range(len(re.findall(r"\x1b\[1A", line))):
            if lines:
                lines.pop()
        lines.append(re.sub(r"\x1b\[(?:\?25[hl]|2K|1A)", "", line.rpartition("\r")[2]))
    return "\n".join(lines)


def draw(text: str) -> None:
    """Write the picture of both runs and the table, without the sample tickets and without fonts from the network."""
    start, samples, runs = (text.find(title) for title in ("First run", "A few of the tickets", "Both runs"))
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    line_of = lambda position: max(0, text.rfind("\n", 0, position))  # noqa: E731 - a local shorthand
    shown = text[line_of(start) : line_of(samples)].rstrip("\n") + "\n\n" + text[line_of(runs) :].strip("\n")
    console.print(Text.from_ansi(re.sub(r"\S*/instructor-demo-\w+", "demo", shown).strip("\n")))
    picture = console.export_svg(title="make demo")
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL).replace("Fira Code", "monospace")
    (ROOT / "docs" / "demo.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    draw(last_frames(run_demo()))
