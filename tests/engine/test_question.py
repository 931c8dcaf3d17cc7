"""The order of events in a call, stepped by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError, field_validator

from instructor.cache.entry import Entry, Origin, decode_entry, encode_entry, pack_completion
from instructor.cache.flight import Landed
from instructor.cache.memory import AutoCache
from instructor.engine.call import Live
from instructor.engine.effects import Claim, Emit, Prepare, Read, Send, Sleep, Wait, Write
from instructor.engine.lookup import Answer
from instructor.engine.question import answer
from instructor.exceptions import (
    CacheError,
    ConfigurationError,
    IncompleteOutputException,
    InstructorRetryException,
    RefusalError,
    ResponseParsingError,
    TokenBudgetExceeded,
    TokenUsageUnavailableError,
)
from instructor.hooks import HookName
from instructor.messages import Part
from instructor.testing.scripted import ScriptedAdapter
from instructor.usage import Usage
from steps import KEY, HandHandle, Steps, User, completion, every_hook, lease, make_call, make_path, offered

ENTRY = Entry(
    key=KEY,
    parts=(Part("", '{"name": "Jason", "age": 25}'),),
    completion_data=pack_completion('{"id": "c"}'),
    origin=Origin("scripted", "m"),
    created=900.0,
    seconds=2.0,
    usage=Usage(10, 5),
)
JASON = {"name": "Jason", "age": 25}


def names(call: Any, *results: Any) -> tuple[list[str], Steps]:
    """Run a flow with given results; return the kinds of effects it asked for."""
    steps = Steps(answer(call))
    seen = []
    for result in results:
        assert steps.effect is not None, f"the flow ended after {seen}"
        seen.append(type(steps.effect).__name__)
        if isinstance(result, BaseException):
            steps.fail(result)
        else:
            steps.give(result)
    return seen, steps


def flight() -> Any:
    """Another call's flight."""
    return lease().flight


def handle_of(call: Any) -> Any:
    return call.path.tiers[0].handle


def test_a_hit_asks_for_nothing_but_the_store() -> None:
    call = make_call()
    seen, steps = names(call, encode_entry(ENTRY))
    assert seen == ["Read"]
    assert steps.value == User(name="Jason", age=25)
    assert call.stats.stats().hits == 1
    assert call.stats.stats().tokens_saved == 15
    assert handle_of(call).counted == {}


def test_a_hit_in_memory_asks_for_nothing_at_all() -> None:
    local = AutoCache()
    local.keep(ENTRY)
    with pytest.raises(StopIteration) as stop:
        next(answer(make_call(path=make_path(memory=local))))
    assert stop.value.value == User(name="Jason", age=25)


def test_a_miss_reads_claims_sends_and_writes_in_this_order() -> None:
    held = lease()
    call = make_call(ttl=60.0)
    seen, steps = names(call, None, held, completion(JASON))
    assert seen == ["Read", "Claim", "Send"]
    write = steps.effect
    assert isinstance(write, Write)
    assert (write.key, write.ttl) == (KEY, 60.0)
    assert offered(held) is not None, "the waiters get the answer even if the leader is cancelled while it writes"
    assert steps.give(True) is None
    assert steps.value == User(name="Jason", age=25)
    entry = decode_entry(write.text, KEY)
    assert (entry.created, entry.expires) == (1000.0, 1060.0)
    assert entry == offered(held).entry
    assert call.stats.stats().misses == call.stats.stats().writes == 1
    assert handle_of(call).counted == {"misses": 1, "writes": 1}


def test_every_event_is_emitted_once_and_in_order() -> None:
    call = make_call(hooks=every_hook())
    steps = Steps(answer(call))
    answers = {Read: None, Claim: lease(), Send: completion(JASON), Write: True, Emit: None}
    told = []
    while steps.effect is not None:
        told.append(steps.effect.name.value if isinstance(steps.effect, Emit) else type(steps.effect).__name__)
        steps.give(answers[type(steps.effect)])
    assert told == [
        "Read",
        "Claim",
        "cache:miss",
        "completion:kwargs",
        "Send",
        "completion:response",
        "completion:usage",
        "completion:request",
        "Write",
        "cache:write",
    ]


def test_the_event_of_a_hit_has_what_it_saves() -> None:
    steps = Steps(answer(make_call(hooks=every_hook())))
    tell = steps.give(encode_entry(ENTRY))
    assert isinstance(tell, Emit)
    (event,) = tell.arguments
    assert event._asdict() == {
        "name": HookName.CACHE_HIT,
        "store": "DeafCache",
        "provider": "scripted",
        "model": "m",
        "response_model": User,
        "key": KEY,
        "age": 100.0,
        "seconds_saved": 2.0,
        "tokens_saved": 15,
        "usage": Usage(10, 5),
        "reason": None,
        "tier": "DeafCache",
        "stale": False,
        "detail": None,
        "compatible": False,
    }
    with pytest.raises(AttributeError):
        event.key = "other"


def test_the_time_of_an_answer_is_that_of_its_requests_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store, the import of the SDK and the rest before a retry take time that a hit doesn't save by."""
    import tenacity

    class Unready(ScriptedAdapter):
        ready = False

    took = {Read: 1.0, Claim: 2.0, Prepare: 4.0, Send: 8.0, Sleep: 16.0}
    clock = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    policy = tenacity.Retrying(stop=tenacity.stop_after_attempt(2), wait=tenacity.wait_fixed(7))
    steps = Steps(answer(make_call(adapter=Unready([]), max_retries=policy)))
    results = iter([None, lease(), None, ConnectionError("dropped"), None, completion(JASON)])
    seen = []
    for result in results:
        seen.append(type(steps.effect))
        clock[0] += took[seen[-1]]
        steps.fail(result) if isinstance(result, Exception) else steps.give(result)
    assert seen == [Read, Claim, Prepare, Send, Sleep, Send]
    assert isinstance(steps.effect, Write)
    assert decode_entry(steps.effect.text, KEY).seconds == 16.0


def test_handlers_receive_a_copy_of_the_request() -> None:
    steps = Steps(answer(make_call(hooks=every_hook(), key=None)))
    assert isinstance(steps.effect, Emit)
    steps.effect.details["messages"][0]["content"] = "edited"
    send = steps.give()
    assert isinstance(send, Send)
    assert send.request["messages"] == [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (None, "cold"),
        ("garbage", "corrupt"),
        (encode_entry(replace(ENTRY, key="b" * 64)), "corrupt"),
        (encode_entry(replace(ENTRY, expires=1000.0)), "expired"),
        (encode_entry(replace(ENTRY, parts=(Part("", '{"age": 1}'),))), "refused_by_validator"),
        (encode_entry(replace(ENTRY, parts=())), "refused_by_validator"),
        (CacheError("down"), "unavailable"),
    ],
)
def test_whatever_cannot_be_served_is_a_miss_that_says_why_and_is_overwritten(stored: Any, reason: str) -> None:
    call = make_call(hooks=every_hook())
    steps = Steps(answer(call))
    steps.fail(stored) if isinstance(stored, CacheError) else steps.give(stored)
    reasons = []
    while not isinstance(steps.effect, Write):
        if isinstance(steps.effect, Emit) and steps.effect.name is HookName.CACHE_MISS:
            reasons.append(steps.effect.arguments[0].reason)
        steps.give({Claim: lease(), Send: completion(JASON)}.get(type(steps.effect)))
    assert reasons == [reason]


def test_an_entry_that_expires_in_the_future_is_served() -> None:
    _, steps = names(make_call(), encode_entry(replace(ENTRY, expires=1000.1)))
    assert steps.value.name == "Jason"


def test_a_validator_that_crashes_on_a_stored_answer_is_a_miss() -> None:
    class Fussy(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def look_up(cls, name: str) -> str:
            return {"Anna": "Anna"}[name]

    seen, _ = names(make_call(response_model=Fussy), encode_entry(ENTRY), lease())
    assert seen == ["Read", "Claim"]


def test_a_failing_store_raises_where_the_user_wants_it() -> None:
    call = make_call()
    handle_of(call).store.on_error = "raise"
    with pytest.raises(CacheError, match="down"):
        Steps(answer(call)).fail(CacheError("down"))


def test_a_paused_store_is_not_read() -> None:
    call = make_call(path=make_path(HandHandle(is_paused=True)))
    assert isinstance(Steps(answer(call)).effect, Claim)


def test_a_failing_write_loses_nothing() -> None:
    call = make_call()
    handle_of(call).store.on_error = "raise"  # the answer is paid for by now
    seen, steps = names(call, None, lease(), completion(JASON), CacheError("full"))
    assert seen[-1] == "Write"
    assert steps.value.name == "Jason"
    assert (call.stats.stats().writes, call.stats.stats().errors) == (0, 1)


def test_a_write_that_the_guard_skips_is_not_counted() -> None:
    call = make_call()
    names(call, None, lease(), completion(JASON), False)
    assert call.stats.stats().writes == 0


def test_a_ttl_of_zero_stores_nothing() -> None:
    seen, steps = names(make_call(ttl=0.0), None, lease(), completion(JASON))
    assert seen == ["Read", "Claim", "Send"]
    assert steps.value.name == "Jason"


def test_the_store_is_looked_into_again_if_an_identical_call_ended_since() -> None:
    call = make_call()
    steps = Steps(answer(call))
    assert isinstance(steps.effect, Read)
    call.path.flights.claim(steps.effect.key).end()
    steps.give(None)
    held = lease()
    again = steps.give(held)
    assert isinstance(again, Read)
    assert steps.give(encode_entry(ENTRY)) is None
    assert steps.value.name == "Jason"
    assert offered(held).entry == ENTRY, "the waiters are not left to look one after the other"


def test_the_store_is_not_looked_into_again_for_other_calls_that_ended() -> None:
    call = make_call()
    steps = Steps(answer(call))
    call.path.flights.claim("other").end()
    steps.give(None)
    assert isinstance(steps.give(lease()), Send)


def land(call: Any, landed: Any) -> Steps:
    """Step a call to where it waits for another one, and tell it how that ended."""
    steps = Steps(answer(call))
    assert isinstance(steps.effect, Read)
    assert isinstance(steps.give(None), Claim)
    wait = steps.give(flight())
    assert isinstance(wait, Wait)
    steps.give(landed)
    return steps


def test_a_waiter_gets_a_copy_of_its_own() -> None:
    shared = User(name="Jason")
    call = make_call()
    steps = land(call, Landed(Answer(Live(shared), ENTRY, is_kept=True)))
    assert steps.value == User(name="Jason", age=25)
    assert steps.value is not shared
    assert call.stats.stats().coalesced == 1
    assert call.stats.stats().misses == 0


def test_a_shared_answer_saves_its_tokens_and_no_time() -> None:
    call = make_call(hooks=every_hook())
    steps = land(call, Landed(Answer(Live(User(name="Jason")), ENTRY, is_kept=True)))
    assert isinstance(steps.effect, Emit)
    (event,) = steps.effect.arguments
    assert (event.name, event.seconds_saved, event.tokens_saved) == (HookName.CACHE_COALESCED, 0.0, 15)
    assert (call.stats.stats().seconds_saved, call.stats.stats().tokens_saved) == (0.0, 15)


REFUSED = Landed(Answer(Live(None), replace(ENTRY, parts=(Part("", '{"age": 1}'),)), is_kept=True))


def test_a_waiter_that_refuses_two_answers_asks_alone() -> None:
    steps = land(make_call(), REFUSED)
    assert isinstance(steps.effect, Claim), "the first refusal joins those who refused as well"
    steps.give(flight())
    assert isinstance(steps.give(REFUSED), Send)


def test_a_flight_whose_answer_was_refused_is_not_joined_again() -> None:
    refused, entry = flight(), replace(ENTRY, parts=(Part("", '{"name": 5}'),))
    seen, steps = names(make_call(), None, refused, Landed(Answer(Live(None), entry, is_kept=True)))
    assert seen == ["Read", "Claim", "Wait"]
    assert isinstance(steps.effect, Claim)
    assert steps.effect.past is refused


def test_a_waiter_whose_leader_was_cancelled_leads_next() -> None:
    steps = land(make_call(), Landed())
    assert isinstance(steps.effect, Claim)
    assert isinstance(steps.give(lease()), Send)


def test_a_waiter_that_may_not_wait_asks_alone() -> None:
    assert isinstance(land(make_call(), None).effect, Send)


def test_a_leaders_error_reaches_the_waiters_that_share_it() -> None:
    with pytest.raises(RuntimeError, match="boom"):
        land(make_call(), Landed(error=RuntimeError("boom"), source="source"))


def test_a_waiter_that_does_not_share_its_leaders_error_asks_alone_at_once() -> None:
    assert isinstance(land(make_call(), Landed(error=RuntimeError("boom"), source="other")).effect, Send)


def test_a_waiter_stores_what_its_leader_does_not() -> None:
    steps = land(make_call(ttl=60.0), Landed(Answer(Live(None), ENTRY, is_kept=False)))
    assert isinstance(steps.effect, Write)
    assert decode_entry(steps.effect.text, KEY).expires == 1060.0
    steps.give(True)
    assert steps.value.name == "Jason"


def test_a_calls_own_timeout_bounds_its_wait() -> None:
    call = make_call()
    call = call._replace(policy=call.policy._replace(patience=3.0))
    steps = Steps(answer(call))
    steps.give(None)
    other = flight()
    assert steps.give(other) == Wait(other, 3.0)


def test_every_waiter_raises_a_copy_of_its_own() -> None:
    error = InstructorRetryException("boom", n_attempts=3, failed_attempts=[])
    error.__cause__ = KeyError("why")
    caught = []
    for _ in range(2):
        with pytest.raises(InstructorRetryException, match="boom") as raised:
            land(make_call(), Landed(error=error, source="source"))
        caught.append(raised.value)
    assert caught[0] is not caught[1]
    assert (caught[0].n_attempts, caught[0].__cause__) == (3, error.__cause__)


def test_a_raw_completion_that_is_no_whole_answer_is_returned_and_not_stored() -> None:
    for details in ({"finish_reason": "length"}, {"finish_reason": "content_filter"}, {"refusal": "No."}):
        call = make_call(response_model=None, hooks=every_hook())
        steps = Steps(answer(call))
        sent = completion("Hel", as_text=True, **details)
        told = []
        while steps.effect is not None:
            assert not isinstance(steps.effect, Write)
            told.append(
                steps.effect.arguments[0] if isinstance(steps.effect, Emit) and steps.effect.arguments else None
            )
            steps.give({Claim: lease(), Send: sent}.get(type(steps.effect)))
        assert steps.value is sent
        assert "not a whole answer" in told[-1].reason


def test_a_completion_of_nothing_is_asked_for_again() -> None:
    _, steps = names(make_call(key=None), None, completion(JASON))
    assert steps.value.name == "Jason"


def test_counts_that_are_no_numbers_lose_nothing() -> None:
    sent = completion(JASON)
    sent.usage.prompt_tokens = ["many"]
    _, steps = names(make_call(key=None), sent)
    assert steps.value.name == "Jason"


def test_an_entry_that_no_writer_holds_loses_nothing() -> None:
    call = make_call(model="half a character: \ud800")
    _, steps = names(call, None, lease(), completion(JASON))
    assert steps.value.name == "Jason"
    assert call.stats.stats().bypasses == 1


def test_without_a_store_there_is_only_the_provider() -> None:
    seen, steps = names(make_call(key=None), completion(JASON))
    assert (seen, steps.value.name) == (["Send"], "Jason")


def test_a_call_without_a_key_says_why_and_touches_no_store() -> None:
    call = make_call(key=None, bypass="context.now has no form", hooks=every_hook())
    steps = Steps(answer(call))
    assert isinstance(steps.effect, Emit)
    assert steps.effect.name is HookName.CACHE_BYPASS
    assert steps.effect.arguments[0].reason == "context.now has no form"
    assert call.stats.stats().bypasses == 1


def test_an_invalid_answer_is_shown_to_the_model_and_the_next_one_stored_under_the_first_key() -> None:
    call = make_call()
    steps = Steps(answer(call))
    steps.give(None)
    first = steps.give(lease())
    assert isinstance(first, Send)
    before = repr(first.request)
    second = steps.give(completion({"age": 1}, usage=Usage(10, 1)))
    assert isinstance(second, Send)
    assert repr(first.request) == before, "a request is never changed"
    assert len(second.request["messages"]) > len(first.request["messages"])
    assert "Field required" in repr(second.request["messages"])
    write = steps.give(completion(JASON, usage=Usage(20, 2)))
    assert isinstance(write, Write)
    assert write.key == KEY
    entry = decode_entry(write.text, KEY)
    assert (entry.usage, entry.attempts) == (Usage(30, 3), 2)


def test_attempts_end_with_an_error_that_knows_them_all() -> None:
    call = make_call(max_retries=2)
    steps = Steps(answer(call))
    steps.give(None)
    steps.give(lease())
    bad = completion({"age": 1}, usage=Usage(10, 1))
    steps.give(bad)
    steps.give(bad)
    with pytest.raises(InstructorRetryException, match="asked 3 times") as caught:
        steps.give(bad)
    error = caught.value
    assert (error.n_attempts, error.total_usage, error.last_completion) == (3, Usage(30, 3), bad)
    assert [attempt.attempt_number for attempt in error.failed_attempts] == [1, 2, 3]
    assert isinstance(error.__cause__, ValidationError)
    assert len(error.messages) > 1
    assert call.stats.stats().writes == 0


def test_no_retry_reads_the_store() -> None:
    call = make_call(max_retries=1)
    seen, _ = names(call, None, lease(), completion({"age": 1}), completion(JASON), True)
    assert seen == ["Read", "Claim", "Send", "Send", "Write"]


@pytest.mark.parametrize(
    ("details", "error"),
    [
        ({"finish_reason": "length"}, IncompleteOutputException),
        ({"finish_reason": "content_filter"}, RefusalError),
    ],
)
def test_a_cut_off_or_refused_answer_ends_at_once_and_is_never_stored(details: Any, error: Any) -> None:
    import tenacity

    call = make_call(max_retries=tenacity.Retrying())  # a policy that would go on for ever
    steps = Steps(answer(call))
    steps.give(None)
    steps.give(lease())
    sent = completion(JASON, **details)
    with pytest.raises(error) as caught:
        steps.give(sent)
    assert caught.value.last_completion is sent
    assert len(caught.value.failed_attempts) == 1
    assert call.stats.stats().writes == 0


def test_a_failed_request_ends_the_attempts_and_is_the_cause() -> None:
    call = make_call(max_retries=5)
    steps = Steps(answer(call))
    steps.give(None)
    steps.give(lease())
    boom = ConnectionError("dropped")
    with pytest.raises(InstructorRetryException, match="dropped") as caught:
        steps.fail(boom)
    assert caught.value.__cause__ is boom
    assert caught.value.n_attempts == 1


def test_an_error_of_ours_is_not_wrapped() -> None:
    steps = Steps(answer(make_call(key=None)))
    with pytest.raises(ConfigurationError, match="no key"):
        steps.fail(ConfigurationError("no key"))


def test_an_sdk_that_refuses_its_arguments_is_not_taken_for_an_invalid_answer() -> None:
    with pytest.raises(ValidationError) as invalid:
        User.model_validate({})
    for error in (invalid.value, TypeError("create() got an unexpected keyword argument 'temprature'")):
        steps = Steps(answer(make_call(key=None, max_retries=5)))
        with pytest.raises(ConfigurationError, match="did not accept the request") as caught:
            steps.fail(error)
        assert caught.value.__cause__ is error


def test_a_validators_own_crash_is_not_retried() -> None:
    class Fussy(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def crash(cls, name: str) -> str:
            raise KeyError(name)

    steps = Steps(answer(make_call(response_model=Fussy, key=None, max_retries=5)))
    with pytest.raises(InstructorRetryException, match="KeyError") as caught:
        steps.give(completion({"name": "x"}, Fussy))
    assert caught.value.n_attempts == 1


class Guess(BaseModel):
    """Any object at all is valid."""

    name: str = "nobody"


def test_the_call_of_a_callers_own_tool_is_neither_answer_nor_stored_but_asked_again() -> None:
    call = make_call(response_model=Guess)
    sent = [completion({"city": "Rome"}, name="weather"), completion({"name": "Ada"}, Guess)]
    seen, steps = names(call, None, lease(), *sent)
    assert seen == ["Read", "Claim", "Send", "Send"]
    assert isinstance(steps.effect, Write)
    assert "Ada" in steps.effect.text
    assert "weather" not in steps.effect.text
    steps.give(True)
    assert steps.value == Guess(name="Ada")


def test_an_answer_that_cannot_be_found_is_asked_for_again() -> None:
    _, steps = names(make_call(key=None), completion("prose", as_text=True), completion(JASON))
    assert steps.value.name == "Jason"


def test_the_error_hooks_receive_how_far_the_attempts_are() -> None:
    call = make_call(hooks=every_hook(), key=None, max_retries=1)
    steps = Steps(answer(call))
    told = []
    with pytest.raises(InstructorRetryException):
        while steps.effect is not None:
            if (
                isinstance(steps.effect, Emit) and "error" in steps.effect.name.value + steps.effect.name.name.lower()
            ) or (isinstance(steps.effect, Emit) and steps.effect.name is HookName.COMPLETION_LAST_ATTEMPT):
                told.append((steps.effect.name, steps.effect.details))
            steps.give(completion({"age": 1}) if isinstance(steps.effect, Send) else None)
    assert told == [
        (HookName.PARSE_ERROR, {"attempt_number": 1, "max_attempts": 2, "is_last_attempt": False}),
        (HookName.PARSE_ERROR, {"attempt_number": 2, "max_attempts": 2, "is_last_attempt": True}),
        (HookName.COMPLETION_LAST_ATTEMPT, {"attempt_number": 2, "max_attempts": 2, "is_last_attempt": True}),
    ]


def test_a_policy_that_waits_rests_before_the_next_request() -> None:
    import tenacity

    policy = tenacity.Retrying(stop=tenacity.stop_after_attempt(2), wait=tenacity.wait_fixed(7))
    seen, steps = names(make_call(max_retries=policy, key=None), ConnectionError("dropped"))
    assert seen == ["Send"]
    assert steps.effect == Sleep(7.0)
    assert isinstance(steps.give(), Send)


def test_a_token_budget_ends_the_attempts() -> None:
    steps = Steps(answer(make_call(token_budget=10, max_retries=5, key=None)))
    assert isinstance(steps.give(completion({"age": 1}, usage=Usage(5, 4))), Send)
    with pytest.raises(TokenBudgetExceeded) as caught:
        steps.give(completion({"age": 1}, usage=Usage(5, 4)))
    assert (caught.value.budget, caught.value.total_usage) == (10, Usage(10, 8))


def test_a_token_budget_needs_a_provider_that_counts() -> None:
    steps = Steps(answer(make_call(token_budget=10, key=None)))
    with pytest.raises(TokenUsageUnavailableError):
        steps.give(completion({"age": 1}, usage=Usage(0, 0)))


def test_a_valid_answer_over_the_budget_is_returned() -> None:
    _, steps = names(make_call(token_budget=1, key=None), completion(JASON, usage=Usage(50, 50)))
    assert steps.value.name == "Jason"


def test_without_a_response_model_the_completion_itself_is_the_answer_and_is_stored() -> None:
    sent = completion("Hello!", as_text=True)
    _, steps = names(make_call(response_model=None), None, lease(), sent)
    assert isinstance(steps.effect, Write)
    stored = steps.effect.text
    steps.give(True)
    assert steps.value is sent
    _, hit = names(make_call(response_model=None), stored)
    assert hit.value == sent
    assert type(hit.value) is type(sent)


def test_a_completion_that_cannot_be_written_down_is_returned_and_not_stored() -> None:
    call = make_call(hooks=every_hook())
    call.adapter.dump = lambda _: (_ for _ in ()).throw(TypeError("no text"))
    steps = Steps(answer(call))
    told = []
    while steps.effect is not None:
        assert not isinstance(steps.effect, Write)
        told.append(steps.effect.name if isinstance(steps.effect, Emit) else None)
        steps.give({Claim: lease(), Send: completion(JASON)}.get(type(steps.effect)))
    assert HookName.CACHE_BYPASS in told
    assert steps.value.name == "Jason"


@pytest.mark.parametrize("at", range(4))
def test_closing_a_flow_at_any_effect_stores_nothing(at: int) -> None:
    held = lease()
    call = make_call()
    steps = Steps(answer(call))
    for result in [None, held, completion(JASON)][:at]:
        steps.give(result)
    steps.flow.close()
    assert call.stats.stats().writes == 0
    assert (offered(held) is not None) == (at == 3)


def test_parsing_errors_are_retried_by_number() -> None:
    from instructor.retries import Retries

    assert Retries(1).wait_after(1, ResponseParsingError("nothing there")) == 0.0


def test_a_misspelt_argument_is_refused_with_the_one_that_is_meant() -> None:
    steps = Steps(answer(make_call(key=None)))
    with pytest.raises(ConfigurationError, match="Did you mean cache_ttl="):
        steps.fail(TypeError("Completions.create() got an unexpected keyword argument 'ttl'"))
