"""Fixtures for the vendors' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from settings import clear_environment


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, base URL or account of this machine."""
    clear_environment(monkeypatch, str(tmp_path))
