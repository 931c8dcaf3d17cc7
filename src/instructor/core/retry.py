"""Asking again until an answer is valid, as one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from instructor.mode import Mode
from instructor.patching import patch


def retry_sync(
    func: Callable[..., Any],
    response_model: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    mode: Mode | str | None = None,
    provider: Any = None,
    **options: Any,
) -> Any:
    """Call a function in the shape of ``chat.completions.create`` until its answer is valid.

    Args:
        func: The function.
        response_model: The type of the answer.
        args: Not used; the function takes keywords.
        kwargs: The request: ``messages``, ``model`` ...
        mode: As for `patch`.
        provider: As for `patch`.
        **options: ``max_retries``, ``context``, ``strict``, ``hooks``, ``token_budget``.

    Returns:
        The answer; for a coroutine function, an awaitable of it.
    """
    del args
    return patch(create=func, mode=mode, provider=provider)(response_model, **{**(kwargs or {}), **options})


retry_async = retry_sync
