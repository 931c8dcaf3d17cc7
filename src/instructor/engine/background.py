"""What a client does after its caller has gone on: it asks for answers that will soon be wanted again."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from instructor.engine.drive import Sender, drive, drive_async

if TYPE_CHECKING:
    import asyncio

    from instructor.engine.effects import Flow

Done = Callable[[bool], None]
"""Called at the end, however it comes, with whether all went well."""


class Background:
    """Runs flows that nobody waits for: in threads, or in tasks that are cancelled when the client is closed.

    A thread can't be cancelled. It ends with its request, or with the program.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, flow: Flow[None], sender: Sender, done: Done) -> None:
        """Run a flow in a thread of its own, which sees what its caller's context holds."""
        arguments = (_run, flow, sender, done)
        context = contextvars.copy_context()
        try:
            threading.Thread(target=context.run, args=arguments, name="instructor-refresh", daemon=True).start()
        except RuntimeError:  # the program ends, or there are too many threads
            flow.close()
            done(False)

    def start_async(self, flow: Flow[None], sender: Sender, done: Done) -> None:
        """Run a flow in a task."""
        import asyncio

        task = asyncio.get_running_loop().create_task(drive_async(flow, sender))
        self._tasks.add(task)
        task.add_done_callback(partial(self._finish, done))

    async def aclose(self) -> None:
        """Cancel the tasks: those of this event loop end before it returns."""
        if not self._tasks:
            return
        import asyncio

        here, own = asyncio.get_running_loop(), list(self._tasks)
        for task in own:
            loop = task.get_loop()
            with contextlib.suppress(RuntimeError):  # its loop is closed
                task.cancel() if loop is here else loop.call_soon_threadsafe(task.cancel)
        await asyncio.gather(*(task for task in own if task.get_loop() is here), return_exceptions=True)

    def _finish(self, done: Done, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        _note(error)
        done(error is None and not task.cancelled())


def _run(flow: Flow[None], sender: Sender, done: Done) -> None:
    error: BaseException | None = None
    try:
        drive(flow, sender)
    except BaseException as raised:  # noqa: BLE001 - it has nobody to be raised to
        error = raised
    _note(error)
    done(error is None)


def _note(error: BaseException | None) -> None:
    if error is not None:  # by its class alone: its text may quote an answer
        logging.getLogger("instructor.cache").warning(
            "A stored answer could not be replaced in the background: %s.", type(error).__name__
        )
