"""What a reader of the figures must know about the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sides import ROOT


def collect_facts() -> dict[str, Any]:
    """Collect them; what cannot be found is None."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": find_commit(),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "system": platform.platform(),
        "processor": find_processor(),
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def find_commit() -> str | None:
    """The commit that is checked out, marked if files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--match="],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or None


def find_processor() -> str | None:
    try:
        with Path("/proc/cpuinfo").open() as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), None)
    except OSError:
        return platform.processor() or None
