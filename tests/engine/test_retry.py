"""``max_retries`` as a number and as a tenacity object mean what their authors say."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
from pydantic import BaseModel, ValidationError

from instructor.engine.attempts import Attempts
from instructor.engine.effects import Limit, Send, Sleep
from instructor.engine.question import answer
from instructor.engine.retry import make_retry_policy, within_budget
from instructor.exceptions import (
    ArgumentError,
    ConfigurationError,
    IncompleteOutputException,
    InstructorRetryException,
    ProviderError,
    ResponseParsingError,
)
from instructor.failures import advise, seconds_asked
from instructor.retries import Retries
from steps import Steps, completion, make_call


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


class FailedError(Exception):
    """An error of an SDK: an answer with a status and headers."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(str(status))
        self.status_code = status
        self.response = SimpleNamespace(headers={name.replace("_", "-"): text for name, text in headers.items()})


class APIConnectionError(Exception):
    """Named as the base class of the SDKs' errors for a request that got no answer."""


def steady(**changes: Any) -> Retries:
    return Retries(**{"requests": 9, "wait": 1.0, "jitter": lambda: 0.0, **changes})


def test_requests_and_answers_are_counted_apart() -> None:
    policy = steady(answers=1, requests=2)
    assert policy.limit == 4
    dropped = APIConnectionError()
    assert [policy.wait_after(number, dropped, number) for number in (1, 2, 3)] == [1.0, 2.0, None]
    assert policy.wait_after(3, invalid(), 2) == 0.0  # the first answer, after two requests that failed
    assert policy.wait_after(4, invalid(), 2) is None
    assert [policy.is_last(number, 2) for number in (3, 4)] == [False, True]


def test_an_answer_that_says_what_failed_counts_as_a_request() -> None:
    attempts = Attempts(SimpleNamespace(), "m")  # type: ignore[arg-type]
    for number in (1, 2):
        attempts.begin()
        attempts.answered = True
        attempts.fail(ProviderError("p", "It failed.", code="server_error"), {"status": "failed"})
        assert attempts.failed_requests == number


def test_who_has_waited_is_not_advised_to_wait() -> None:
    asked = SimpleNamespace(provider="p", mode=None, key_variables=(), endpoint={})
    attempts = Attempts(asked, "m")  # type: ignore[arg-type]
    error = FailedError(429, Retry_After="1")
    told: list[bool] = []
    for _ in range(2):
        attempts.begin()
        attempts.fail(error, None)
        told.append("asks to wait 1 s" in str(attempts.exhausted(error, {}, sdk_retries=False)))
    assert told == [True, False]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
def test_a_status_that_may_pass_is_tried_again(status: int) -> None:
    assert steady().wait_after(1, FailedError(status), 1) == 1.0
    assert Retries().wait_after(1, FailedError(status), 1) is None, "left to the SDK unless the caller says a number"


@pytest.mark.parametrize(
    ("members", "may_pass"),
    [
        ({"status_code": 200, "body": {"type": "error", "error": {"type": "overloaded_error"}}}, True),
        ({"status_code": 200, "body": {"type": "error", "error": {"type": "invalid_request_error"}}}, False),
        ({"code": "429", "type": None, "body": {"code": 429}}, True),
        ({"code": "400"}, False),
        ({"code": "rate_limit_exceeded"}, True),
        ({"code": "insufficient_quota", "type": "insufficient_quota"}, False),
        ({"code": "insufficient_quota", "type": "rate_limit_error"}, False),
        ({"code": None, "type": "server_error"}, True),
        ({"response": {"Error": {"Code": "throttlingException"}}}, True),
        ({"response": {"Error": {"Code": "validationException"}}}, False),
    ],
    ids=str,
)
def test_a_fault_within_a_stream_counts_by_the_providers_word_for_it(members: dict[str, Any], may_pass: bool) -> None:
    error = Exception("overloaded")
    vars(error).update(members)
    assert steady().wait_after(1, error, 1) == (1.0 if may_pass else None)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_status_that_stays_ends_the_call(status: int) -> None:
    assert steady().wait_after(1, FailedError(status), 1) is None


def test_a_provider_that_says_whether_to_retry_is_believed() -> None:
    assert steady().wait_after(1, FailedError(500, x_should_retry="false"), 1) is None
    assert steady().wait_after(1, FailedError(400, x_should_retry="true"), 1) == 1.0
    spent = FailedError(429)
    spent.code = "insufficient_quota"  # type: ignore[attr-defined]
    assert steady().wait_after(1, spent, 1) is None


def test_waits_double_up_to_the_longest_and_chance_shortens_them() -> None:
    policy = steady(longest_wait=5.0)
    assert [policy.wait_after(9, FailedError(500), failed) for failed in (1, 2, 3, 4, 9)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert steady(jitter=lambda: 1.0).wait_after(1, FailedError(500), 1) == 0.75


def test_the_provider_says_how_long_to_wait() -> None:
    assert steady().wait_after(1, FailedError(429, Retry_After="7"), 1) == 7.0
    assert steady().wait_after(4, FailedError(429, Retry_After="2"), 4) == 8.0, "never sooner than our own wait"
    assert steady().wait_after(1, FailedError(429, retry_after_ms="1500"), 1) == 1.5
    assert steady().wait_after(1, FailedError(429, Retry_After="61"), 1) is None, "a minute is the longest"
    for garbage in ("soon", "", "-1", "nan", "inf"):
        assert steady().wait_after(1, FailedError(429, Retry_After=garbage), 1) == 1.0


def test_retry_after_may_be_a_date() -> None:
    now = 1_445_412_480.0  # 21 October 2015, 07:28:00 UTC
    assert seconds_asked(FailedError(503, Retry_After="Wed, 21 Oct 2015 07:28:30 GMT"), now) == 30.0
    assert seconds_asked(FailedError(503, Retry_After="Wed, 21 Oct 2015 07:00:00 GMT"), now) == 0.0
    hour_behind = {"Retry_After": "Wed, 21 Oct 2015 08:28:30 GMT", "date": "Wed, 21 Oct 2015 08:28:00 GMT"}
    assert seconds_asked(FailedError(503, **hour_behind), now) == 30.0


def test_a_request_that_is_too_large_for_any_minute_is_not_sent_again() -> None:
    error = FailedError(429)
    error.args = ("Request too large for gpt-5 on tokens per min (TPM): Limit 30000, Requested 60001.",)
    assert steady().wait_after(1, error, 1) is None


@pytest.mark.parametrize("holder", ["details", "body"], ids=["google", "openai"])
def test_google_says_in_the_body_how_long_to_wait(holder: str) -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    error = FailedError(429)
    setattr(
        error, holder, [{"error": {"code": 429, "details": [{"@type": "type.googleapis.com/google.rpc.Help"}, retry]}}]
    )
    assert steady().wait_after(1, error, 1) == 34.5
    said = FailedError(429, Retry_After="7")
    setattr(said, holder, {"details": [retry]})
    assert steady().wait_after(1, said, 1) == 7.0, "a header is nearer to the point"
    setattr(error, holder, {"details": [{"retryDelay": 3}, {"retryDelay": "soon"}]})
    assert steady().wait_after(1, error, 1) == 1.0


@pytest.mark.parametrize(
    "wrong", [{"answers": -1}, {"answers": True}, {"requests": 1.5}, {"wait": -1}, {"shown_failures": 0}]
)
def test_numbers_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))} is"):
        Retries(**wrong)


def test_a_bounded_call_sends_failed_requests_again_itself() -> None:
    assert within_budget(make_retry_policy(3)) == Retries(3, requests=2)
    own = Retries(requests=0)
    assert within_budget(own) is own


def test_a_flow_rests_and_sends_the_same_request_once_more() -> None:
    steps = Steps(answer(make_call(max_retries=steady(), key=None)))
    first = steps.effect
    assert isinstance(first, Send)
    assert first.limit == Limit(), "the SDK must not retry as well"
    assert steps.fail(FailedError(429, Retry_After="7")) == Sleep(7.0)
    assert steps.give() == first
    steps.give(completion({"name": "Ann"}))
    assert steps.value.name == "Ann"


def test_all_attempts_are_in_the_error_of_the_last() -> None:
    steps = Steps(answer(make_call(max_retries=steady(answers=1, requests=1, wait=0.0), key=None)))
    steps.fail(FailedError(500))
    steps.give(completion({"age": 1}))
    with pytest.raises(InstructorRetryException, match="asked 3 times") as caught:
        steps.give(completion({"age": 1}))
    assert [type(failed.exception).__name__ for failed in caught.value.failed_attempts] == [
        "FailedError",
        *["ValidationError"] * 2,
    ]
    assert "https://errors.pydantic.dev" not in str(caught.value)


def test_time_that_is_over_ends_the_call_before_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instructor.engine.ask.time", SimpleNamespace(monotonic=lambda: 100.0, perf_counter=lambda: 0))
    call = make_call(max_retries=steady(), key=None, deadline=105.0, max_seconds=30.0)
    steps = Steps(answer(call))
    assert isinstance(steps.effect, Send)
    assert steps.effect.limit == Limit(5.0), "no request may take longer than what is left"
    with pytest.raises(InstructorRetryException, match="max_seconds=30; m was asked once") as caught:
        steps.fail(FailedError(429, Retry_After="5"))
    assert isinstance(caught.value.__cause__, FailedError)
    with pytest.raises(InstructorRetryException, match="not at all"):
        Steps(answer(call._replace(deadline=100.0)))


@pytest.mark.parametrize(("shown", "messages"), [(1, [1, 3, 3, 3]), (2, [1, 3, 5, 5])])
def test_the_model_is_shown_its_last_failures_only(shown: int, messages: list[int]) -> None:
    steps = Steps(answer(make_call(max_retries=Retries(shown_failures=shown), key=None)))
    sent: list[Any] = []
    with pytest.raises(InstructorRetryException):
        for number in range(4):
            assert isinstance(steps.effect, Send)
            sent.append(steps.effect.request["messages"])
            steps.give(completion({"age": f"wrong {number}"}))
    assert [len(said) for said in sent] == messages
    assert "wrong 2" in str(sent[-1])
    assert "wrong 0" not in str(sent[-1])


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (FailedError(429, Retry_After="99.5"), r"asks to wait 100 s\. .*Retries\(requests=2, longest_wait=100\)"),
        (FailedError(429), ""),
        (FailedError(400, Retry_After="100"), ""),
        (FailedError(429, Retry_After="1e300"), ""),
    ],
)
def test_a_wait_that_the_provider_asks_for_is_told(error: FailedError, advice: str) -> None:
    told = advise(error, ())
    assert re.search(advice, told) if advice else told == ""
    assert advise(error, (), was_sent_again=True) == ""


def test_a_404_says_where_the_request_went_in_a_sentence_of_its_own() -> None:
    where = " Check the model, and base_url=: the request went to http://server/v1."
    assert advise(FailedError(404), (), "http://server/v1") == f".{where}"
    whole = FailedError(404)
    whole.args = ("There is no such model.",)
    assert advise(whole, (), "http://server/v1") == where


@pytest.mark.parametrize(
    ("mistake", "advice"),
    [
        (Retries, r"max_retries is the class Retries\. Pass a number, Retries\(\.\.\.\)"),
        ("3", r"max_retries is a str\. Pass a number"),
        (-1, r"max_retries is -1\. Pass 0 or more"),
    ],
)
def test_what_is_no_policy_is_answered_with_what_to_write(mistake: object, advice: str) -> None:
    with pytest.raises(ArgumentError, match=advice):
        make_retry_policy(mistake)
