"""Handlers are given what their signatures name, in order, and never disturb the call."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from instructor.exceptions import ConfigurationError
from instructor.hooks import AdaptedEvent, CacheEvent, HookName, Hooks


def test_a_handler_receives_only_the_keywords_that_it_names() -> None:
    hooks, told = Hooks(), []
    hooks.on("completion:error", lambda error: told.append((error,)))
    hooks.on("completion:error", lambda error, attempt_number: told.append((error, attempt_number)))
    hooks.on("completion:error", lambda *args, **details: told.append((args, details)))
    hooks.emit(HookName.COMPLETION_ERROR, "boom", attempt_number=1, max_attempts=2)
    assert told == [("boom",), ("boom", 1), (("boom",), {"attempt_number": 1, "max_attempts": 2})]


@pytest.mark.parametrize("raises", ["plain", "coroutine"])
async def test_a_handler_that_raises_is_logged_and_the_next_one_runs(raises: str, caplog: Any) -> None:
    hooks, told = Hooks(), []

    def plain(_: Any) -> None:
        raise RuntimeError("boom")

    async def coroutine(_: Any) -> None:
        raise RuntimeError("boom")

    hooks.on("cache:hit", plain if raises == "plain" else coroutine)
    hooks.on("cache:hit", told.append)
    with caplog.at_level(logging.WARNING, "instructor.hooks"):
        await hooks.emit_async(HookName.CACHE_HIT, "event")
    assert told == ["event"]
    assert "boom" in caplog.text


def test_a_coroutine_handler_of_the_synchronous_client_is_reported(caplog: Any) -> None:
    hooks = Hooks()

    async def handler(_: Any) -> None:
        raise AssertionError("never run")

    hooks.on("cache:hit", handler)
    with caplog.at_level(logging.WARNING, "instructor.hooks"):
        hooks.emit(HookName.CACHE_HIT, "event")
    assert "AsyncInstructor" in caplog.text


def test_handlers_can_be_removed_and_combined() -> None:
    one, other, told = Hooks(), Hooks(), []
    one.on("cache:hit", told.append)
    other.on(HookName.CACHE_HIT, lambda event: told.append(f"{event}!"))
    (one + other).emit(HookName.CACHE_HIT, "a")
    assert told == ["a", "a!"]
    copy = one.copy()
    one.off("cache:hit", told.append)
    assert not one.has_handlers(HookName.CACHE_HIT)
    assert copy.has_handlers(HookName.CACHE_HIT)
    one += other
    assert one.has_handlers(HookName.CACHE_HIT)
    one.clear("cache:hit")
    copy.clear()
    assert not one.has_handlers(HookName.CACHE_HIT)
    assert not copy.has_handlers(HookName.CACHE_HIT)


def test_an_unknown_event_or_handler_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cache:hit"):
        Hooks().on("cache:hits", print)
    with pytest.raises(ConfigurationError, match="Pass a function"):
        Hooks().on("cache:hit", "print")  # type: ignore[arg-type]  # what a user may do


@pytest.mark.parametrize("hook_name", ["cache:hits", 5, None])
def test_a_wrong_event_is_a_value_error_as_upstream_has_it(hook_name: Any) -> None:
    with pytest.raises(ValueError, match="completion:adapted"):
        Hooks().on(hook_name, print)


def test_a_set_of_hooks_shows_which_events_have_handlers() -> None:
    hooks = Hooks()
    assert repr(hooks) == "<Hooks without handlers>"
    hooks.on("cache:hit", print)
    hooks.on("cache:hit", repr)
    hooks.on("parse:error", print)
    assert repr(hooks) == "<Hooks cache:hit (2), parse:error (1)>"


def test_a_cache_event_is_a_record_that_cannot_be_changed() -> None:
    event = CacheEvent(HookName.CACHE_HIT, "AutoCache", "openai", "m", int, key="k", seconds_saved=1.5)
    assert (event.name, event.seconds_saved, event.usage) == (HookName.CACHE_HIT, 1.5, None)
    assert repr(event).startswith("CacheEvent(name=<HookName.CACHE_HIT: 'cache:hit'>, store='AutoCache', provider=")
    with pytest.raises(AttributeError):
        event.model = "other"  # type: ignore[misc]  # what a user may do


def test_the_event_of_an_adapted_request_has_the_change_and_why() -> None:
    hooks, events = Hooks(), []
    hooks.on("completion:adapted", events.append)
    event = AdaptedEvent("openai", "o5", "temperature is not supported", "left out temperature")
    hooks.emit(HookName.COMPLETION_ADAPTED, event)
    assert events == [event]
    assert event.change == "left out temperature"


def test_an_event_can_be_emitted_under_its_name_of_1_x():
    hooks, seen = Hooks(), []
    hooks.on("completion:kwargs", lambda **request: seen.append(request))
    hooks.emit_completion_arguments(model="m")
    assert seen == [{"model": "m"}]
