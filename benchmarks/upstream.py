"""An environment of its own for the package that the index knows as ``instructor``, in its newest release before 2."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from sides import FOLDER, Installation, make_installation

REQUIREMENTS = ("instructor<1.99", "diskcache")


def find_upstream() -> tuple[Installation | None, str]:
    """Return upstream's installation, made if it's missing; or None, and why there is none."""
    folder = FOLDER / ".upstream-venv"
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    stamp = folder / ".complete"
    if stamp.exists():
        return make_installation("upstream", python), ""
    print(f"Installing {' and '.join(REQUIREMENTS)} into {folder} ...", flush=True)
    try:
        make_environment(folder)
        run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", *REQUIREMENTS])
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", "") or str(error)
        return None, f"upstream could not be installed: {reason.strip().splitlines()[-1]}"
    stamp.touch()
    return make_installation("upstream", python), ""


def make_environment(folder: Path) -> None:
    """Make a virtual environment with pip. Some systems ship Python without what `venv` needs for that."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
    except (OSError, subprocess.SubprocessError):
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "virtualenv", "--quiet", str(folder)])


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
