"""Many more random response models than the normal tests have time for."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructor import AutoCache, BaseCache, DiskCache
from truth import UsersStore, compare

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@pytest.mark.parametrize("start", range(1_000, 5_000, 1_000))
def test_a_hit_of_a_random_model_is_exactly_what_the_live_call_returned(start: int, tmp_path: Path) -> None:
    stores: list[BaseCache] = [AutoCache(maxsize=10_000), DiskCache(tmp_path), UsersStore()]
    for store in stores:
        assert compare(range(start, start + 1_000), store) > 1_000
    for store in stores:
        if isinstance(store, DiskCache):
            store.close()
