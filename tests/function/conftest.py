"""Fixtures of the tests of cached functions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instructor.cache import DiskCache


@pytest.fixture
def calls() -> list[Any]:
    """Where a cached function notes that it ran."""
    return []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DiskCache]:
    """A new store on disk."""
    with DiskCache(tmp_path / "cache") as cache:
        yield cache
