"""A cached function's question to its cache: how an entry becomes a result, and a result an entry."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from instructor.engine.call import Live
from instructor.engine.effects import Emit, Flow, Send

if TYPE_CHECKING:
    from instructor.cache.entry import Entry
    from instructor.cache.misses import Cause
    from instructor.engine.path import CachePath
    from instructor.engine.tier_lookup import Served
    from instructor.function.codec import FunctionCodec
    from instructor.hooks import HookName
    from instructor.messages import Request


@dataclass(frozen=True, slots=True)
class Function:
    """One decorated function, and where its results are kept. To the drivers it is the sender."""

    codec: FunctionCodec
    path: CachePath

    def prepare(self) -> None:
        """A function needs no preparation."""

    def send(self, operation: str, request: Request) -> object:  # noqa: ARG002 - a function has one operation: to be called
        """Call the function with a request's ``args`` and ``kwargs``; an awaitable if it is ``async``."""
        return self.codec.function(*request["args"], **request["kwargs"])


@dataclass(frozen=True, slots=True)
class FunctionQuestion:
    """A `Question` whose answer is the result of one call; the request is the call's ``args`` and ``kwargs``."""

    function: Function
    key: str
    request: Request

    def read(self, entry: Entry) -> object:
        """Read a stored result through the return type."""
        return self.function.codec.read(entry)

    def ask(self) -> Flow[Live[object]]:
        """Run the function.

        The function gets the caller's own arguments. If one of them was changed while the store was read or the
        function ran, the result answers another question than the key's, so it is neither stored nor shared.
        """
        flaw = self._flaw("while the store was read")
        started = time.perf_counter()
        result = yield from Send("call", self.request)
        seconds = time.perf_counter() - started
        flaw = flaw or self._flaw("while the function ran")
        if flaw:
            self.function.codec.warn_of(flaw)
        return Live(result, completion=result, seconds=seconds, flaw=flaw)

    def enter(self, live: Live[object], tags: tuple[str, ...] | None) -> None:
        """Enter the time that the function took. What it spent otherwise is its own affair."""
        origin = self.function.codec.origin
        self.function.path.books.note("kept", origin, tags or (), live.usage, live.seconds)

    def write(self, live: Live[object], expires: float | None) -> Entry | None:
        """Put a result in writing; None if it is no result of this key, or could not be read back as it is."""
        return None if live.flaw else self.function.codec.write(self.key, live.value, expires, live.seconds)

    def prepare(self, entry: Entry) -> Entry:
        """Nothing: results carry nothing."""
        return entry

    def share(self, live: Live[object], entry: Entry | None) -> Live[object]:
        """Copy a result that isn't in writing: a waiter may wake only after the caller has changed its own."""
        if entry is not None or live.flaw:
            return live
        try:
            return Live(copy.deepcopy(live.value), seconds=live.seconds)
        except Exception as error:  # noqa: BLE001 - to copy an object may run code of the user's
            return Live(None, flaw=f"the result cannot be copied: {type(error).__name__}")

    def copy(self, live: Live[object], entry: Entry | None) -> object:
        """Make an own copy of another call's result.

        Raises if the result can't be copied, or isn't one of this key: it can't be shared.
        """
        if live.flaw:
            raise ValueError(live.flaw)
        return copy.deepcopy(live.value) if entry is None else self.read(entry)

    @property
    def awaits(self) -> bool:
        """Never: a function's result was validated by nobody."""
        return False

    def confirm(self) -> Flow[None]:
        """Judge nothing."""
        yield from ()

    def sketch(self) -> None:
        """Nothing: a function's calls aren't compared."""

    @property
    def examines(self) -> bool:
        """Never: a function has no prompt."""
        return False

    def examine(self) -> None:
        """Nothing."""

    def wants(self, name: HookName) -> bool:  # noqa: ARG002 - as other questions do
        """Nobody does."""
        return False

    def value_of(self, live: Live[object]) -> object:
        """The result."""
        return live.value

    def warn(self, subject: str, message: str) -> None:
        """Log it, unless the function has done so."""
        self.function.codec.warn(subject, message)

    def may_fall_back(self, error: Exception) -> bool:  # noqa: ARG002 - as other questions do
        """Never: what the function raises is its own."""
        return False

    def again(self) -> None:
        """Nothing is stale."""

    def describe(self) -> str:
        """Name the function."""
        return f"a result of {self.function.codec.name}"

    def event(
        self,
        name: HookName,
        entry: Entry | None = None,
        reason: Cause | str | None = None,
        served: Served[object] | None = None,
    ) -> Emit | None:
        """Tell nobody: a function has no hooks, and its store counts for itself."""
        del name, entry, reason, served
        return None

    def _flaw(self, when: str) -> str | None:
        """What keeps a result from being one of this key, if the arguments aren't those of the key any more."""
        is_unchanged = self.function.codec.key_of(self.request["args"], self.request["kwargs"]) == self.key
        return None if is_unchanged else f"an argument was changed {when}"
