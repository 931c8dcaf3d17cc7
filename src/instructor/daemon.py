"""Threads that may be left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def start_daemon(operation: Callable[[], T]) -> Future[T]:
    """Run an operation in a daemon thread of its own. One that hangs keeps neither an event loop nor the program from ending.

    A thread of an executor would do both, and an event loop's executor has few, which all that use the loop share.
    """
    result: Future[T] = Future()
    result.set_running_or_notify_cancel()  # so that who stops waiting doesn't end it under the thread's hands

    def run() -> None:
        try:
            result.set_result(operation())
        except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result
