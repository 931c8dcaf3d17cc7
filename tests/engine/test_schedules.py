"""Identical calls in any order of events: nobody gets what is another's, and nobody waits longer than alone."""

from __future__ import annotations

import itertools

import pytest

from schedules import KINDS, Caller, run_all, run_processes, run_random


@pytest.mark.parametrize("stored", ["", "a"], ids=["absent", "stored"])
def test_two_callers_of_any_kind_in_every_order_in_memory(stored: str) -> None:
    for pair in itertools.combinations_with_replacement(KINDS.values(), 2):
        assert run_all(pair, stored, memory=True) > 1


def test_three_callers_who_agree_make_one_request_in_every_order_in_memory() -> None:
    assert run_all([Caller(), Caller(), Caller(source="another client")], memory=True) > 100


def test_two_callers_who_agree_make_one_request_in_every_order_in_a_store() -> None:
    assert run_all([Caller(), Caller()]) > 100


@pytest.mark.parametrize("start", range(0, 1000, 100))
def test_many_callers_of_any_kind_in_a_random_order(start: int) -> None:
    for seed in range(start, start + 100):
        run_random(seed)


def test_processes_who_agree_make_one_request_and_one_more_for_each_that_is_frozen() -> None:
    for seed in range(300):
        run_processes(seed)
