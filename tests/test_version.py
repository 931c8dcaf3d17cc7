"""The version fits into what other packages demand of `instructor`, and is newer than any 1.x."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import instructor

ROOT = Path(__file__).resolve().parents[1]
# What the newest releases said on PyPI in November 2026.
DEMANDED = {
    "atomic-agents 2.15.0": ">=1.17.0,<2",
    "bespokelabs-curator 0.1.31": ">=1.6.3,<2.0.0",
    "distilabel 1.5.3": ">=1.2.3",
    "extract-thinker 0.1.14": ">=1.8.3",
    "fast-graphrag 0.0.5": ">=1.6.3,<2.0.0",
    "kura 0.5.4": ">=1.8.3",
    "ragas 0.4.3": "",
}
NEWEST_OF_UPSTREAM = "1.17.0"


@pytest.mark.parametrize("package", DEMANDED)
def test_it_is_what_packages_that_use_instructor_accept(package: str) -> None:
    assert SpecifierSet(DEMANDED[package]).contains(instructor.__version__)


def test_it_is_newer_than_any_1_x_of_upstream_and_told_apart_by_the_pin_that_we_name() -> None:
    assert Version(instructor.__version__) > Version(NEWEST_OF_UPSTREAM)
    pin = SpecifierSet("<1.99")
    assert not pin.contains(instructor.__version__)
    assert pin.contains(NEWEST_OF_UPSTREAM)


def test_it_is_written_alike_in_the_package_and_its_metadata() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == instructor.__version__
