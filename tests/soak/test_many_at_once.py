"""The whole matrix of many calls at once: every store, threads and tasks, up to 5,000, cold and warm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from many import STORES, Outcome, call_from_tasks, call_from_threads, check
from servers import Valkey

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]


@pytest.mark.parametrize("number", [10, 120, 1000, 5000])
@pytest.mark.parametrize("call", [call_from_threads, call_from_tasks])
@pytest.mark.parametrize("name", STORES)
def test_each_is_served(name: str, call: Callable[..., Outcome], number: int, tmp_path: Path, valkey: Valkey) -> None:
    check(call, STORES[name](tmp_path, valkey.port), number)


@pytest.mark.parametrize("name", STORES)
def test_tasks_are_served_beside_a_busy_loop(name: str, tmp_path: Path, valkey: Valkey) -> None:
    """Twice as long as any store of ours may take for an operation."""
    check(call_from_tasks, STORES[name](tmp_path, valkey.port), 2000, busy_seconds=0.005)
