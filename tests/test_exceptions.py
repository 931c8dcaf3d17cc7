"""Errors survive copies, pickles and process pools, and hold no credential."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import openai
import pydantic
import pytest

import instructor.exceptions
from instructor import from_provider
from instructor.exceptions import (
    ArgumentError,
    ConfigurationError,
    FailedAttempt,
    ForeignError,
    InstructorError,
    InstructorRetryException,
    ModeError,
    ProviderError,
    RefusalError,
    TokenBudgetExceeded,
)
from instructor.usage import Usage
from replies import Reply, ReplyServer

SPAWN = multiprocessing.get_context("spawn")
MESSAGES = [{"role": "user", "content": "Jason is 25"}]
FORBIDDEN = Reply({"error": {"message": "slow down", "type": "x", "code": 429}}, status=429)
SDKS = {"openai": "openai/gpt-4.1-mini", "anthropic": "anthropic/claude-opus-5-5", "google": "google/gemini-2.5-flash"}


def fail(vendor: str, url: str) -> None:
    """Ask a provider that answers 429 to everything."""
    options: dict[str, Any] = {} if vendor == "google" else {"max_retries": 0}
    # Closed, because the error's traceback keeps it: its connections would go with whichever test collects them.
    with from_provider(SDKS[vendor], base_url=url, api_key="sk-secret", **options) as client:
        client.create(int, MESSAGES, max_retries=0, extra_headers={"x-gateway": "Bearer secret-token"}, max_tokens=9)


def catch(function: Callable[..., Any], *arguments: Any) -> InstructorRetryException:
    with pytest.raises(InstructorRetryException) as caught:
        function(*arguments)
    return caught.value


@pytest.fixture
def failing(reply_server: ReplyServer, monkeypatch: pytest.MonkeyPatch) -> ReplyServer:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    reply_server.script(FORBIDDEN)
    return reply_server


@pytest.fixture
def error(failing: ReplyServer) -> InstructorRetryException:
    """The error of a real SDK."""
    return catch(fail, "openai", failing.url)


@pytest.mark.parametrize("vendor", SDKS)
def test_an_error_of_an_sdk_comes_back_from_a_pickle_as_its_name_and_text(failing: ReplyServer, vendor: str):
    error = catch(fail, vendor, failing.url)
    assert type(error.__cause__).__module__.split(".")[0] in {"openai", "anthropic", "google"}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        loaded = pickle.loads(pickle.dumps(error, protocol))
        assert type(loaded) is InstructorRetryException
        assert (str(loaded), loaded.n_attempts, loaded.messages) == (str(error), error.n_attempts, error.messages)
        foreign = loaded.failed_attempts[0].exception
        assert isinstance(foreign, ForeignError)
        assert foreign.type_name.endswith(type(error.__cause__).__name__)
        assert "slow down" in str(foreign)
        assert isinstance(loaded.__cause__, ForeignError)
    assert b"secret" not in pickle.dumps(error)


def test_a_failed_call_in_a_process_pool_fails_alone(failing: ReplyServer):
    with ProcessPoolExecutor(1, SPAWN) as pool:
        error = catch(pool.submit(fail, "openai", failing.url).result, 60)
        assert pool.submit(abs, -1).result(60) == 1, "the pool goes on"
    assert error.failed_attempts[0].exception.status_code == 429


def test_a_failed_call_in_a_multiprocessing_pool_is_raised(failing: ReplyServer):
    with SPAWN.Pool(1) as pool:
        error = catch(pool.apply_async(fail, ("openai", failing.url)).get, 60)
    assert "slow down" in str(error)


def test_a_copy_within_the_process_keeps_the_error_of_the_sdk(error: InstructorRetryException):
    copied = copy.copy(error)
    assert copied is not error
    assert (type(copied), str(copied)) == (type(error), str(error))
    assert copied.__cause__ is error.__cause__
    assert isinstance(copied.failed_attempts[0].exception, openai.RateLimitError)
    assert str(copy.deepcopy(error)) == str(error)


def test_an_error_that_is_among_its_own_attempts_is_pickled():
    error = RefusalError("no")
    error.failed_attempts = [FailedAttempt(1, error, lambda: None)]
    loaded = pickle.loads(pickle.dumps(error))
    assert loaded.failed_attempts[0].exception is loaded
    assert "can't be pickled" in loaded.failed_attempts[0].completion


@pytest.mark.parametrize(
    "error",
    [
        ModeError("X", "openai", ["TOOLS"]),
        ProviderError("openai", "no"),
        ProviderError("openai", "no", failed_attempts=[FailedAttempt(1, KeyError("x"))]),
        TokenBudgetExceeded("over", budget=7, total_usage=Usage(3, 4)),
        ForeignError("a.B", "text", 500),
        *(
            getattr(instructor.exceptions, name)("a message")
            for name in ("CacheError", "ArgumentError", "MultimodalError")
        ),
        InstructorError("a", 1, failed_attempts=[FailedAttempt(1, KeyError("x"))]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_comes_back_as_it_was(error: InstructorError):
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert (again.args, str(again)) == (error.args, str(error))
        assert repr(vars(again)) == repr(vars(error))


def test_an_invalid_answer_is_pickled_with_its_validation_error():
    with pytest.raises(pydantic.ValidationError) as caught:
        pydantic.TypeAdapter(int).validate_python("x")
    error = InstructorRetryException("no", failed_attempts=[FailedAttempt(1, caught.value)])
    loaded = pickle.loads(pickle.dumps(error)).failed_attempts[0].exception
    assert isinstance(loaded, pydantic.ValidationError)
    assert loaded.errors() == caught.value.errors()


def test_the_request_in_an_error_holds_no_credential(error: InstructorRetryException):
    assert error.create_kwargs is not None
    assert error.create_kwargs["extra_headers"] == {"x-gateway": "***"}
    assert error.create_kwargs["max_tokens"] == 9
    assert error.create_kwargs["messages"] == MESSAGES
    google = InstructorRetryException(
        create_kwargs={"config": {"http_options": {"headers": {"x": "secret"}}}, "api_key": "k"}
    )
    assert google.create_kwargs == {"config": {"http_options": {"headers": {"x": "***"}}}, "api_key": "***"}


def test_a_wrong_value_is_a_value_error_but_a_missing_key_is_not():
    assert issubclass(ArgumentError, ValueError)
    assert issubclass(ArgumentError, ConfigurationError)
    assert not issubclass(ConfigurationError, ValueError), "a validator's missing key must not look like a wrong answer"
