"""How many rows a job asks for at once, against providers that exist in numbers only."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import openai
import pytest

from instructor.exceptions import InstructorRetryException
from instructor.jobs.pace import Pace
from instructor.row import Row


def serve(seconds: Callable[[int], float], answers: int = 3_000) -> list[int]:
    """Answer as many rows as are under way, again and again; return the limits that the job came to."""
    pace, limits = Pace("auto", asynchronous=True), [4]
    while answers > 0:
        for _ in range(under_way := pace.limit):
            pace.note(Row(0, "", "x", seconds=seconds(under_way)))
        answers -= under_way
        limits.append(pace.limit)
    return limits


def test_a_fast_provider_is_soon_asked_as_much_as_is_allowed():
    limits = serve(lambda _: 1.0)
    assert limits[:6] == [4, 8, 16, 32, 64, 128]
    assert limits[-1] == 256


def test_the_number_stays_where_answers_get_slower():
    """A provider that works on 20 rows at a time: more only wait."""
    limits = serve(lambda under_way: max(1.0, under_way / 20))
    settled = limits[len(limits) // 2 :]
    assert min(settled) >= 15
    assert max(settled) <= 60


def fail(status: int) -> Row[None]:
    response = httpx2.Response(status, request=httpx2.Request("POST", "http://provider"))
    error = InstructorRetryException("no answer", n_attempts=1, total_usage=0)
    error.__cause__ = openai.APIStatusError("no", response=response, body=None)
    return Row(0, "", None, error, attempts=1)


@pytest.mark.parametrize(("status", "limit"), [(429, 20), (503, 20), (400, 31)])
def test_it_falls_once_for_all_rows_that_were_refused_together(status: int, limit: int):
    pace = Pace("auto", asynchronous=True)
    for _ in range(27):
        pace.note(Row(0, "", "x", seconds=1.0))
    assert pace.limit == 31
    for _ in range(5):
        pace.note(fail(status))
    assert pace.limit == limit


def test_a_provider_that_one_job_has_reached_is_there_for_the_next():
    """A worker's groups of rows are jobs of their own."""
    nowhere = InstructorRetryException("no answer", n_attempts=7, total_usage=0)
    nowhere.__cause__ = openai.APIConnectionError(request=httpx2.Request("POST", "http://provider"))
    nowhere.__cause__.__cause__ = httpx2.ConnectError("Connection refused")
    first, second = Pace("auto", asynchronous=True), Pace(7, asynchronous=False)
    first.note(Row(0, "", "x", cached=True))
    assert first.is_reached is None
    first.note(fail(503))
    second.go_on_from(first)
    second.note(Row(0, "", None, nowhere, attempts=7))
    assert second.is_reached is True
    other = Pace(7, asynchronous=False)
    other.note(Row(0, "", None, nowhere, attempts=7))
    assert other.is_reached is False


def test_a_number_that_was_passed_stays():
    pace = Pace(7, asynchronous=False)
    pace.note(fail(429))
    assert (pace.limit, pace.most) == (7, 7)
