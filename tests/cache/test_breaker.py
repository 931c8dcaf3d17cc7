"""The circuit breaker: one beginning and one end for each outage, whatever else succeeds or fails."""

from __future__ import annotations

from instructor.cache.breaker import CircuitBreaker, next_moment


def test_a_success_that_began_before_the_outage_does_not_end_it() -> None:
    breaker = CircuitBreaker()
    older, failing = next_moment(), next_moment()
    assert breaker.fail(failing, until=10.0)
    assert not breaker.succeed(older)
    assert breaker.blocks(5.0, pause=10.0)


def test_a_failure_that_began_before_the_outage_is_not_a_new_one() -> None:
    breaker = CircuitBreaker()
    first, second, third = next_moment(), next_moment(), next_moment()
    assert breaker.fail(first, until=10.0)
    assert not breaker.fail(second, until=99.0)
    assert not breaker.blocks(10.0, pause=10.0), "it does not make the pause longer either"
    assert breaker.succeed(next_moment())
    assert not breaker.fail(third, until=99.0)
    assert breaker.until is None


def test_a_trial_that_fails_makes_the_outage_longer_and_one_that_succeeds_ends_it() -> None:
    breaker = CircuitBreaker()
    breaker.fail(next_moment(), until=10.0)
    assert not breaker.fail(next_moment(), until=20.0)
    assert breaker.blocks(19.0, pause=10.0)
    assert breaker.succeed(next_moment())
    assert not breaker.blocks(19.0, pause=10.0)
    assert breaker.fail(next_moment(), until=40.0), "a new outage"


def test_what_was_asked_for_before_the_store_failed_does_not_begin_any_more() -> None:
    breaker = CircuitBreaker()
    waiting = next_moment()
    assert not breaker.opened_since(waiting)
    breaker.fail(next_moment(), until=10.0)
    assert breaker.opened_since(waiting)
    assert not breaker.opened_since(next_moment()), "a trial"
