"""A hit is exactly what the live call returned, for response models of any shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from instructor import AutoCache, BaseCache, DiskCache
from truth import UsersStore, compare

STORES: dict[str, Callable[[Path], BaseCache]] = {
    "AutoCache": lambda folder: AutoCache(),
    "DiskCache": DiskCache,
    "UsersStore": lambda folder: UsersStore(),
}


@pytest.mark.parametrize("name", STORES)
def test_a_hit_of_a_random_model_is_exactly_what_the_live_call_returned(name: str, tmp_path: Path) -> None:
    store = STORES[name](tmp_path)
    assert compare(range(60), store) > 100
    if isinstance(store, DiskCache):
        store.close()
