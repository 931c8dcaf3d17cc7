"""``max_retries`` as a number and as a tenacity object mean what their authors say."""

from __future__ import annotations

import pytest
import tenacity
from pydantic import BaseModel, ValidationError

from instructor.engine.retry import make_retry_policy
from instructor.exceptions import ConfigurationError, IncompleteOutputException, ResponseParsingError


class User(BaseModel):
    name: str


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        User.model_validate({})
    return caught.value


def test_a_number_counts_the_requests_after_the_first() -> None:
    policy = make_retry_policy(2)
    assert policy.limit == 3
    assert [policy.wait_after(number, invalid()) for number in (1, 2, 3)] == [0.0, 0.0, None]
    assert make_retry_policy(0).wait_after(1, invalid()) is None


def test_a_number_retries_only_what_the_model_can_mend() -> None:
    policy = make_retry_policy(5)
    assert policy.wait_after(1, ResponseParsingError("nothing")) == 0.0
    for error in (ConnectionError(), KeyError("x"), IncompleteOutputException()):
        assert policy.wait_after(1, error) is None


@pytest.mark.parametrize("kind", [tenacity.Retrying, tenacity.AsyncRetrying])
def test_a_tenacity_object_decides_everything(kind: type[tenacity.BaseRetrying]) -> None:
    told: list[str] = []
    policy = make_retry_policy(
        kind(
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_incrementing(start=1, increment=2),
            retry=tenacity.retry_if_exception_type(ConnectionError),
            after=lambda state: told.append(f"after {state.attempt_number}"),
            before_sleep=lambda state: told.append(f"sleep {state.next_action.sleep}"),
        )
    )
    assert policy.limit == 3
    assert policy.wait_after(1, ConnectionError()) == 1.0
    assert policy.wait_after(2, ConnectionError()) == 3.0
    assert policy.wait_after(3, ConnectionError()) is None
    assert policy.wait_after(1, invalid()) is None
    assert told == ["after 1", "sleep 1.0", "after 2", "sleep 3.0", "after 3"]


def test_a_tenacity_object_can_be_used_by_many_calls() -> None:
    shared = tenacity.Retrying(stop=tenacity.stop_after_attempt(2))
    for _ in range(3):
        policy = make_retry_policy(shared)
        assert policy.wait_after(1, invalid()) == 0.0
        assert policy.wait_after(2, invalid()) is None


def test_try_again_is_tried_again_whatever_the_predicate_says() -> None:
    policy = make_retry_policy(tenacity.Retrying(retry=tenacity.retry_never, stop=tenacity.stop_after_attempt(2)))
    assert policy.wait_after(1, tenacity.TryAgain()) == 0.0


def test_asynchronous_parts_of_a_tenacity_object_are_refused() -> None:
    async def wait(_: object) -> float:
        return 0.0

    with pytest.raises(ConfigurationError, match="asynchronous parts"):
        make_retry_policy(tenacity.AsyncRetrying(wait=wait))
