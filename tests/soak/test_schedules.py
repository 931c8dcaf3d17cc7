"""More orders of events than the normal tests have time for."""

from __future__ import annotations

import itertools

import pytest

from schedules import KINDS, run_all, run_random

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("stored", ["", "a"], ids=["absent", "stored"])
def test_two_callers_of_any_kind_in_every_order_in_a_store(name: str, stored: str) -> None:
    for other in KINDS.values():
        assert run_all([KINDS[name], other], stored) > 1


@pytest.mark.parametrize("name", KINDS)
def test_three_callers_of_any_kind_in_every_order_in_memory(name: str) -> None:
    for pair in itertools.combinations_with_replacement(KINDS.values(), 2):
        assert run_all([KINDS[name], *pair], memory=True) > 1


@pytest.mark.parametrize("start", range(10_000, 20_000, 1_000))
def test_many_callers_of_any_kind_in_a_random_order(start: int) -> None:
    for seed in range(start, start + 1_000):
        run_random(seed)
