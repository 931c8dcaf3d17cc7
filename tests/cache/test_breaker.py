"""The circuit breaker: one beginning and one end for each outage, whatever else succeeds or fails."""

from __future__ import annotations

import pytest

from instructor.cache.breaker import CircuitBreaker, next_moment

LONGEST = 10.0


def fail_again(breaker: CircuitBreaker, *, took: float = 0.0) -> float:
    """Make the next trial, which fails; return the pause that follows it."""
    assert breaker.until is not None
    began = breaker.until
    assert not breaker.blocks(began, trial=5.0)
    assert not breaker.fail(next_moment(), began + took, LONGEST)
    assert breaker.until is not None
    return breaker.until - began - took


def test_a_success_that_began_before_the_outage_does_not_end_it() -> None:
    breaker = CircuitBreaker()
    older, failing = next_moment(), next_moment()
    assert breaker.fail(failing, 0.0, LONGEST)
    assert not breaker.succeed(older, 0.05)
    assert breaker.blocks(0.05, trial=5.0)


def test_a_failure_that_began_before_the_outage_is_not_a_new_one() -> None:
    breaker = CircuitBreaker()
    first, second, third = next_moment(), next_moment(), next_moment()
    assert breaker.fail(first, 0.0, LONGEST)
    assert not breaker.fail(second, 0.05, LONGEST)
    assert not breaker.blocks(0.1, trial=5.0), "it does not make the pause longer either"
    assert breaker.succeed(next_moment(), 0.2)
    assert not breaker.fail(third, 0.3, LONGEST)
    assert breaker.until is None


def test_a_trial_that_fails_makes_the_outage_longer_and_one_that_succeeds_ends_it() -> None:
    breaker = CircuitBreaker()
    breaker.fail(next_moment(), 0.0, LONGEST)
    fail_again(breaker)
    assert breaker.blocks(0.2, trial=5.0)
    assert breaker.succeed(next_moment(), 0.3)
    assert not breaker.blocks(0.3, trial=5.0)
    assert breaker.fail(next_moment(), 0.4, LONGEST), "a new outage"


def test_pauses_double_from_a_hundredth_of_the_longest() -> None:
    breaker = CircuitBreaker()
    breaker.fail(next_moment(), 0.0, LONGEST)
    pauses = [breaker.pause, *(fail_again(breaker) for _ in range(8))]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])


def test_a_trial_that_took_long_is_followed_by_a_pause_that_is_longer_still() -> None:
    breaker = CircuitBreaker()
    breaker.fail(next_moment(), 0.0, LONGEST)
    assert fail_again(breaker, took=2.0) == pytest.approx(4.0)


@pytest.mark.parametrize(("worked", "pause"), [(9.9, 0.8), (10.0, 0.1)])
def test_a_store_that_fails_again_soon_is_not_tried_as_often_as_before(worked: float, pause: float) -> None:
    breaker = CircuitBreaker()
    breaker.fail(next_moment(), 0.0, LONGEST)
    fail_again(breaker)
    fail_again(breaker)
    breaker.succeed(next_moment(), 50.0)
    assert breaker.fail(next_moment(), 50.0 + worked, LONGEST)
    assert breaker.pause == pytest.approx(pause)


def test_what_was_asked_for_before_the_store_failed_does_not_begin_any_more() -> None:
    breaker = CircuitBreaker()
    waiting = next_moment()
    assert not breaker.opened_since(waiting)
    breaker.fail(next_moment(), 0.0, LONGEST)
    assert breaker.opened_since(waiting)
    assert not breaker.opened_since(next_moment()), "a trial"
