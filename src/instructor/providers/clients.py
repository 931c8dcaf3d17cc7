"""When an SDK's client is made, on which thread, and how long it lives.

A synchronous client is made once and shared. An asynchronous one keeps connections that belong to the event loop which
opened them, so there is one for each loop:

1. It is made in a thread (`_Loader`), because importing an SDK would block the loop for half a second.
2. It is closed when its loop ends (`_LoopClient`). A loop tells nobody that it ends, except its asynchronous
   generators, which ``asyncio.run`` shuts down before it closes the loop. So each client has a generator that does
   nothing but close it.
3. If the adapter is dropped while the loop runs on, the client is closed soon after.
4. If the loop was closed without shutting down its generators, the client is marked as closed when the next one is
   made, and its connections go with the loop.

A forked child makes its own synchronous client: over a connection that two processes share, each of them would read
answers to the other's questions.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import suppress
from operator import methodcaller
from types import coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

from instructor.event_loop import running_loop
from instructor.exceptions import ConfigurationError
from instructor.locks import make_lock, reset_after_fork

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future, Task

Make = Callable[[], Any]
"""Makes a client; raises `ConfigurationError` if it cannot."""

Close = Callable[[Any], Awaitable[None]]
"""Closes a client on the event loop that it was used on."""

_Outcome = tuple[Any, BaseException | None]


_inherited: list[Any] = []
"""Clients that a forked child has from its parent. They are kept, since one that is collected closes its connections."""


class SharedClient:
    """One client for every thread and every event loop of a process, made when it is first needed."""

    def __init__(self, make: Make, client: Any = None, end: Callable[[Any], None] = methodcaller("close")) -> None:
        self._make = make
        self._end = end
        self._client = client
        self._is_callers = client is not None
        self._is_used = False
        self._lock = make_lock()
        self._loader = _Loader()
        reset_after_fork(self)

    def find(self) -> Any:
        """The client, or None if it has not been made yet."""
        return self._client

    def use(self) -> Any:
        """The client, to send a request with it on this thread, over connections that no forked child may share."""
        self._is_used = True
        return self.get()

    def reset(self) -> None:
        """Forget the parent's client in a forked child, where `get` makes another one, if it was made here."""
        if self._client is None or (self._is_callers and not self._is_used):
            return
        _inherited.append(self._client)
        self._client, self._is_used = None, False
        if self._is_callers:
            self._make = _refuse_inherited

    def get(self) -> Any:
        """The client, which is made once, however many threads ask for it."""
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._make()
        return self._client

    def close(self) -> None:
        """Close the client if it was made here. The next request makes another one."""
        with self._lock:
            client, self._client = (None, self._client) if self._is_callers else (self._client, None)
        if client is not None:
            self._end(client)

    async def aclose(self) -> None:
        """Nothing to close: an asynchronous client that all loops share uses connections of the caller's."""

    async def prepare(self) -> Any:
        """The client, made in a thread so that the event loop is not blocked."""
        return self.get() if running_loop() is None else await self._loader.run(self.get)


def _refuse_inherited() -> Any:
    raise ConfigurationError(
        "This client of the provider's SDK was used before the process forked, so its connections are also the "
        "parent's, and a request may read the answer to another process's question. Make the client in the child, "
        'or use from_provider("vendor/model"), which makes one for each process.'
    )


class LoopClients:
    """One client for each event loop, because a connection belongs to the loop that opened it.

    See the module's docstring for when each client is made and closed.
    """

    def __init__(self, make: Make, close: Close) -> None:
        self._make = make
        self._close = close
        self._outside = SharedClient(make)
        self._kept: weakref.WeakKeyDictionary[AbstractEventLoop, _LoopClient] = weakref.WeakKeyDictionary()
        self._lock = make_lock()
        self._loader = _Loader()
        weakref.finalize(self, _release, self._kept).atexit = False

    def find(self) -> Any:
        """The running loop's client; None if it has none yet, and outside a loop."""
        loop = running_loop()
        return None if loop is None else self._look(loop)

    def get(self) -> Any:
        """The running loop's client; outside a loop, one that no loop uses."""
        loop = running_loop()
        if loop is None:
            return self._outside.get()
        client = self._look(loop)
        return self._keep(loop, self._make()) if client is None else client

    async def prepare(self) -> Any:
        """The running loop's client, made in a thread so that the loop is not blocked."""
        loop = running_loop()
        return self._outside.get() if loop is None else self._keep(loop, await self._loader.run(self._make))

    def close(self) -> None:
        """Nothing to close outside an event loop; each loop closes its own client."""

    async def aclose(self) -> None:
        """Close the running loop's client. The next request makes another one."""
        loop = running_loop()
        with self._lock:
            kept = None if loop is None else self._kept.get(loop)
        if kept is not None:
            await kept.end()

    def forget(self, loop: AbstractEventLoop) -> None:
        """Drop a loop's client, which has been closed; if the loop runs on, it gets a new one at its next request."""
        with self._lock:
            self._kept.pop(loop, None)

    def _look(self, loop: AbstractEventLoop) -> Any:
        with self._lock:
            kept = self._kept.get(loop)
        return None if kept is None else kept.client

    def _keep(self, loop: AbstractEventLoop, client: Any) -> Any:
        # Called by the loop's own thread only, but another task of the loop may have kept a client meanwhile.
        first = self._look(loop)
        if first is not None:
            return first
        _abandon_closed_loops()
        kept = _LoopClient(loop, client, self._close, weakref.ref(self))
        kept.start()
        with self._lock:
            self._kept[loop] = kept
        return client


class Copies:
    """Copies of clients with other options. One is made anew only if its client was changed since, such as its key.

    To make one takes openai's SDK, with the resources that hang on it, as long as an eighth of a request.
    """

    def __init__(self) -> None:
        self._made: weakref.WeakKeyDictionary[Any, _Copy] = weakref.WeakKeyDictionary()

    def find(self, client: Any, options: Mapping[str, Any]) -> Any:
        """Return the copy of a client, always with the same options."""
        made = self._made.get(client)
        if made is None or _read(client, made.names) != made.settings:
            made = self._made[client] = _copy(client, options)
        return made.client


class _Copy(NamedTuple):
    """A copy, and the settings that its client had then."""

    client: Any
    names: tuple[str, ...]
    settings: list[Any]


def _copy(client: Any, options: Mapping[str, Any]) -> _Copy:
    copied = client.with_options(**options)
    # A new copy has nothing but settings yet. What hangs on its client beside them leads to the client, and isn't held.
    names = tuple(_state(copied))
    settings: list[Any] = [copy.copy(one) if _is_dict(one) else one for one in _read(client, names)]
    platform = _state(client).get("_platform")
    if platform is not None:  # see `settle_platform`; a copy begins without it
        copied._platform = platform  # noqa: SLF001 - the SDK has no public way
    return _Copy(copied, names, settings)


def _read(client: Any, names: tuple[str, ...]) -> list[Any]:
    state = _state(client)
    return [state.get(name) for name in names]


def _is_dict(value: Any) -> bool:
    return type(value) is dict


def _state(client: Any) -> dict[str, Any]:
    return getattr(client, "__dict__", {})


_all_kept: set[_LoopClient] = set()
"""Clients that are not closed yet. This set keeps them alive: a loop holds its generators weakly, and the adapter may be
collected before the loop ends."""


class _LoopClient:
    """One loop's client, and the generator through which the loop closes it when the loop ends."""

    def __init__(self, loop: AbstractEventLoop, client: Any, close: Close, owner: weakref.ref[LoopClients]) -> None:
        self.loop = loop
        self.client = client
        self._close = close
        self._owner = owner
        self._ending: Task[Any] | None = None
        self._task: Task[None] | None = None
        self._handle = self._wait_for_end()

    def start(self) -> None:
        """Register the generator with the running loop.

        A loop learns of an asynchronous generator when it is first iterated. This one stops at its ``yield`` without
        awaiting anything, so a plain function can take the step.
        """
        with suppress(StopIteration):
            self._handle.__anext__().send(None)
        _all_kept.add(self)

    def release(self) -> None:
        """Close the client soon, because its adapter was collected. Any thread may call this."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._start_end)

    def abandon(self) -> None:
        """Mark a client as closed whose loop is closed already.

        Closing begins by marking the client, and then fails because its loop is gone. An unmarked client would try to
        close itself when it is collected, on whichever loop runs then; that error would reach no caller.
        """
        self._forget()
        steps = self._close(self.client).__await__()
        with suppress(Exception):
            next(steps, None)
        with suppress(Exception):
            steps.close()

    async def _wait_for_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.end()

    def _start_end(self) -> None:
        # If the loop ends before this task begins, the task is cancelled and the generator closes the client.
        self._task = self.loop.create_task(self.end())

    async def end(self) -> None:
        """Close the client, once, whoever asks for it."""
        from asyncio import current_task, wait

        if self._ending is not None:
            await wait({self._ending})
            return
        self._ending = current_task()
        self._forget()
        # Errors on closing are ignored: no caller is waiting.
        with suppress(Exception):
            await _await_uncancelled(self._close(self.client))

    def _forget(self) -> None:
        _all_kept.discard(self)
        owner = self._owner()
        if owner is not None:
            owner.forget(self.loop)


def _release(kept: weakref.WeakKeyDictionary[AbstractEventLoop, _LoopClient]) -> None:
    for each in list(kept.values()):
        each.release()


def _abandon_closed_loops() -> None:
    for kept in list(_all_kept):
        if kept.loop.is_closed():
            kept.abandon()


@coroutine
def _await_uncancelled(closing: Awaitable[None]) -> Generator[Any, None, None]:
    """Await something to its end, ignoring cancellation.

    A loop that ends cancels the tasks that still run on it, which would leave connections open. ``asyncio.shield``
    does not help: the shielded task would be cancelled too. So each cancellation is swallowed at the step where it
    arrives, and the next step is taken. It is written as a generator because ``async`` code cannot step an awaitable.
    """
    from asyncio import CancelledError

    steps = closing.__await__()
    for wanted in steps:
        with suppress(CancelledError):
            yield wanted


class _Loader:
    """Makes a client in a new thread, once for all tasks of a loop that wait for it.

    Importing an SDK would block the loop for half a second. The loop's default executor is not used, because all of
    its threads may be waiting for this very client, and then it would never be made.
    """

    def __init__(self) -> None:
        self._pending: dict[AbstractEventLoop, Future[_Outcome]] = {}

    async def run(self, make: Make) -> Any:
        from asyncio import get_running_loop, shield

        loop = get_running_loop()
        future = self._pending.get(loop)
        if future is None:
            future = loop.create_future()
            arguments = (loop, future, make)
            threading.Thread(target=self._make, args=arguments, name="instructor-sdk", daemon=True).start()
            self._pending[loop] = future
        # Shielded, because a task that is cancelled must not cancel the future that others wait for.
        client, error = await shield(future)
        if error is not None:
            raise error
        return client

    def _make(self, loop: AbstractEventLoop, future: Future[_Outcome], make: Make) -> None:
        outcome: _Outcome
        try:
            outcome = make(), None
        except BaseException as error:  # noqa: BLE001 - it is raised again in the tasks that wait
            outcome = None, error
        try:
            loop.call_soon_threadsafe(self._finish, loop, future, outcome)
        except RuntimeError:  # the loop was closed meanwhile, so no task waits
            self._pending.pop(loop, None)

    def _finish(
        self,
        loop: AbstractEventLoop,
        future: Future[_Outcome],
        outcome: _Outcome,
    ) -> None:
        self._pending.pop(loop, None)
        if not future.done():
            future.set_result(outcome)
