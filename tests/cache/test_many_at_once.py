"""Many calls at once are the normal case: nothing fails, every paid answer is stored, every warm call is a hit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from many import STORES, Outcome, call_from_tasks, call_from_threads, check
from servers import Valkey


@pytest.mark.parametrize("number", [10, 120])
@pytest.mark.parametrize("call", [call_from_threads, call_from_tasks])
@pytest.mark.parametrize("name", STORES)
def test_each_is_served(name: str, call: Callable[..., Outcome], number: int, tmp_path: Path, valkey: Valkey) -> None:
    check(call, STORES[name](tmp_path, valkey.port), number)


@pytest.mark.parametrize("name", STORES)
def test_hundreds_of_tasks_are_served(name: str, tmp_path: Path, valkey: Valkey) -> None:
    """Thousands are served in the soak."""
    check(call_from_tasks, STORES[name](tmp_path, valkey.port), 300)


@pytest.mark.parametrize("name", STORES)
def test_tasks_are_served_beside_a_busy_loop(name: str, tmp_path: Path, valkey: Valkey) -> None:
    """Each answer is computed on, so that the loop is busy for longer than a store may take."""
    store = STORES[name](tmp_path, valkey.port)
    number = 10
    if store.timeout is not None:
        number, store.timeout = 60, 0.5
    check(call_from_tasks, store, number, busy_seconds=0.01)
