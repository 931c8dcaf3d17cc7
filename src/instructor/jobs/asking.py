"""What is the same for every row of a job: how its messages are made, how a hit is found, what an answer costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast

from instructor.engine.fast_path import MISSING, Asker, Lookup, Pending, Place, Reading, make_lookup, settle
from instructor.engine.path import Unserved
from instructor.engine.question import serve
from instructor.engine.reply import find_cost
from instructor.engine.tier_lookup import Source
from instructor.exceptions import ClientError, ConfigurationError, ModeError
from instructor.failures import is_about_the_account
from instructor.messages import Conversation, ResponseModel, Value, copy_value
from instructor.row import NO_USAGE, Row

if TYPE_CHECKING:
    from instructor.cache.entry import Entry
    from instructor.cache.kept import Kept
    from instructor.engine.call import Call
    from instructor.engine.effects import Flow
    from instructor.jobs.order import Foresight, Order
    from instructor.jobs.prompts import Writer

T = TypeVar("T")

_SETUP_ERRORS = (ConfigurationError, ClientError, ModeError)
"""Errors that every row would meet. They end a job."""


class Unread:
    """Stands for a store that wasn't read yet."""


UNREAD: Final = Unread()


@dataclass(frozen=True, slots=True)
class Miss:
    """A row that isn't answered yet.

    Attributes:
        messages: A copy: a source may use one object for all its rows.
        found: What was found in place of an answer, for the flow; or what has to be awaited first.
    """

    index: int
    input: Any
    messages: Conversation
    found: Unserved | Reading | Pending | Unread | None = None


class Answering(Protocol[T]):
    """How a job answers a row."""

    def make_order(self) -> Order[T] | None:
        """Make the order in which rows are asked about; None for that of the input."""
        ...

    def answer_now(self, index: int, source: Value) -> Row[T] | Miss:
        """Answer it in this thread, without waiting; or say what is to be asked."""
        ...

    def answer(self, miss: Miss) -> Row[T]:
        """Ask about it, by blocking."""
        ...

    async def answer_later(self, miss: Miss) -> Row[T]:
        """Ask about it, by awaiting."""
        ...


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What a job asks of each row.

    Attributes:
        asked: The vendor and the model that are asked.
        ask: Answers a miss by the whole flow, with what was found; or makes an awaitable of its row.
        keywords: The keywords of every call that its encoding holds.
        load: Makes the completion of an entry, for a job without a response model.
        reads_apart: Whether a thread of the job's reads the store: who reads the rows would wait for each.
        foresight: Knows what rows will begin with; None where that changes nothing.
    """

    asked: tuple[str, str]
    model: ResponseModel
    write: Writer
    lookup: Lookup
    keywords: Mapping[str, Value]
    load: Callable[[Kept | Entry], Any]
    ask: Callable[[Miss, Unserved | None], Any]
    reads_apart: bool = False
    foresight: Foresight | None = None

    def make_order(self) -> Order[T] | None:
        """Make the order in which rows are asked about; None for that of the input."""
        if self.foresight is None:
            return None
        from instructor.jobs.order import Order

        return Order(self.foresight.planner, self.foresight.foresee)

    def answer_now(self, index: int, source: Value) -> Row[T] | Miss:
        """Answer a row from memory, in this thread; or say what is to be asked."""
        try:
            messages = self.write(source)
        except Exception as error:  # noqa: BLE001 - a function of the user's may raise anything about a row
            if ends_job(error):
                note_row(error, index)
            return make_failure(index, source, error, *self.asked)
        if self.reads_apart:
            return Miss(index, source, copy_value(messages), UNREAD)
        found: Value = self.lookup(self.model, messages, self.keywords, True)
        if type(found) is tuple:
            return self._make_hit(index, source, cast("Any", found))
        return Miss(index, source, copy_value(messages), None if found is MISSING else found)

    def answer(self, miss: Miss) -> Row[T]:
        """Ask about a row, by blocking."""
        try:
            found: Value = miss.found
            if found is UNREAD:
                found = self.lookup(self.model, miss.messages, self.keywords, True)
                if type(found) is tuple:
                    return self._make_hit(miss.index, miss.input, cast("Any", found))
            return cast("Row[T]", self.ask(miss, None if found is MISSING else found))
        except Exception as error:  # noqa: BLE001 - whatever a row meets is the job's to judge
            return make_failure(miss.index, miss.input, error, *self.asked)

    async def answer_later(self, miss: Miss) -> Row[T]:
        """Ask about a row, by awaiting."""
        try:
            found: Value = miss.found
            if type(found) is Reading:
                read = await found.find(found.key)
                found = self.lookup(self.model, miss.messages, self.keywords, True, read, found.encoding)
            if type(found) is Pending:
                await found.hooks.emit_async(found.event.name, found.event)
                found = found.value
            if type(found) is tuple:
                return self._make_hit(miss.index, miss.input, cast("Any", found))
            return cast("Row[T]", await self.ask(miss, None if found is MISSING else found))
        except Exception as error:  # noqa: BLE001 - as above
            return make_failure(miss.index, miss.input, error, *self.asked)

    def _make_hit(self, index: int, source: Value, found: Value) -> Row[T]:
        value, entry = cast("tuple[Any, Kept | Entry]", found)
        value = value if value is not entry else self.load(entry)
        origin, cost = entry.origin, (entry.attempts, entry.seconds)
        return Row(
            index, source, value, None, True, False, False, entry.usage, origin.provider, origin.model, entry.key, *cost
        )


def make_question(
    asker: Asker,
    place: Place | None,
    model: ResponseModel,
    keywords: dict[str, Value],
    write: Writer,
    ask: Callable[[Miss, Unserved | None], Any],
    *,
    reads_apart: bool,
    foresight: Foresight | None,
) -> Question[Any]:
    """Settle once what a single call settles for itself.

    The job's own fast path returns an entry where a call gets its completion: a row shows what its answer has cost.
    """
    place, keyed, context, strict, hooks = settle(asker, place, keywords) if keywords else (place, {}, None, True, None)
    own = asker._replace(load=_keep)
    if keywords and hooks is not None:
        own = own._replace(context=context, strict=strict, hooks=hooks)
    asked = asker.provider, str(keywords.get("model") or asker.model or "")
    return Question(asked, model, write, make_lookup(own, place), keyed, asker.load, ask, reads_apart, foresight)


def make_failure(index: int, source: Value, error: BaseException, provider: str = "", model: str = "") -> Row[Any]:
    """Make the row of one that has no answer, with what its requests took nevertheless."""
    cause: Any = error
    usage, attempts = getattr(cause, "total_usage", None) or NO_USAGE, getattr(cause, "n_attempts", 0)
    return Row(index, source, None, cause, usage=usage, provider=provider, model=model, attempts=attempts)


def ends_job(error: BaseException) -> bool:
    """Whether every other row would meet the same error, or it isn't about a row at all, as a cancellation."""
    return isinstance(error, _SETUP_ERRORS) or not isinstance(error, Exception) or is_about_the_account(error)


def note_row(error: BaseException, index: int) -> None:
    """Say on an error which row it is about."""
    error.add_note(f"This is about row {index} of the job, counted from 0.")


def _keep(entry: Kept | Entry) -> Kept | Entry:
    return entry


def answer_row(call: Call[T], miss: Miss) -> Flow[Row[T]]:
    """Answer the call of a row as any other."""
    served = yield from serve(call)
    source, cost = served.source, find_cost(served)
    row = (miss.index, miss.input, served.value, None, source is not Source.LIVE, source is Source.SHARED, False)
    asked = (call.adapter.provider, call.model, call.key)  # in the order of its members: by name it takes longer
    return Row(*row, cost.usage, *asked, cost.attempts, cost.seconds)
