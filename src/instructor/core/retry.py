"""Asking again until an answer is valid, as one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from instructor.messages import Completion, ResponseModel, Value
from instructor.mode import Mode
from instructor.patching import patch


def retry_sync(
    func: Callable[..., Completion],
    response_model: ResponseModel,
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
    *,
    mode: Mode | str | None = None,
    provider: object = None,
    **options: object,
) -> Value:
    """Call a function in the shape of ``chat.completions.create`` until its answer is valid, and return that.

    `kwargs` is the request (``messages``, ``model`` ...); `args` isn't used, because the function takes keywords. `mode`
    and `provider` are as for `patch`. Options are ``max_retries``, ``context``, ``strict``, ``hooks`` and
    ``token_budget``. A coroutine function's answer is an awaitable.
    """
    del args
    return patch(create=func, mode=mode, provider=provider)(response_model, **{**(kwargs or {}), **options})


retry_async = retry_sync
