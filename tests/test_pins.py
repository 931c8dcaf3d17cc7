"""What is tested is what `pyproject.toml` allows."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lowest_of(version: str) -> str:
    """``2.10`` and ``2.10.0`` are one version."""
    return re.sub(r"(\.0)+$", "", version)


def test_the_oldest_versions_that_are_allowed_are_those_that_are_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = chain(project["dependencies"], *project["optional-dependencies"].values())
    bounds = [re.match(r"([\w-]+)(?:\[.*\])?>=([\d.]+)", requirement) for requirement in requirements]
    allowed = {(bound[1], lowest_of(bound[2])) for bound in bounds if bound}
    text = (ROOT / "requirements" / "lowest.txt").read_text(encoding="utf-8").partition("# tests")[0]
    tested = {(name, lowest_of(version)) for name, version in re.findall(r"^([\w-]+)==([\d.]+)$", text, re.MULTILINE)}
    assert tested <= allowed
    assert {name for name, _ in tested} == {"openai", "anthropic", "google-genai", "pydantic", "redis"}
    assert "make test-lowest" in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
