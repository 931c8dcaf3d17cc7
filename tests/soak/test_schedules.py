"""More orders of events than the normal tests have time for."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from schedules import FROZEN, KINDS, Caller, run_all, run_processes, run_random

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

STAYING = [name for name, caller in KINDS.items() if not caller.end and caller.patience is None]
"""Kinds of callers that stay to the end: their orders are few enough for three at a time."""

PAIRS = list(itertools.combinations_with_replacement(KINDS, 2))
THREES = list(itertools.combinations_with_replacement(STAYING, 3))


@pytest.mark.parametrize("stored", ["", "a"], ids=["absent", "stored"])
@pytest.mark.parametrize("pair", PAIRS, ids=", ".join)
def test_two_callers_in_every_order_in_a_store(pair: tuple[str, ...], stored: str) -> None:
    assert run_all([KINDS[name] for name in pair], stored) > 1


@pytest.mark.parametrize("three", THREES, ids=", ".join)
def test_three_callers_in_every_order_in_memory(three: tuple[str, ...]) -> None:
    assert run_all([KINDS[name] for name in three], memory=True) > 1


@pytest.mark.parametrize("start", range(10_000, 20_000, 1_000))
def test_many_callers_of_any_kind_in_a_random_order(start: int) -> None:
    for seed in range(start, start + 1_000):
        run_random(seed)


@pytest.mark.parametrize("kind", [*KINDS.values(), FROZEN], ids=[*KINDS, "frozen"])
def test_callers_in_two_processes_in_every_order(kind: Caller) -> None:
    assert run_all([Caller(), replace(kind, process=1)]) > 1


def test_processes_who_agree_make_one_request_in_any_order() -> None:
    for seed in range(10_000, 20_000):
        run_processes(seed)
