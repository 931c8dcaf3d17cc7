"""What goes to the workers of an engine: how to make the client there, and what to ask. And what comes back."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from typing import NamedTuple, cast

from instructor.cache.books import Amounts, Line
from instructor.cache.loop_thread import LoopThread
from instructor.cache.store import BaseCache
from instructor.exceptions import ArgumentError, ConfigurationError, InstructorError, make_portable
from instructor.jobs.pace import Pace
from instructor.jobs.shares import Grant, Share, Spent
from instructor.locks import make_lock
from instructor.messages import Value
from instructor.row import Row

_MOST_KEPT = 8
"""How many jobs' clients a worker keeps, with their connections."""


class Assignment(NamedTuple):
    """A job as its workers know it.

    Attributes:
        recipe: Makes the client; None where that can't be done.
        asks: The vendor and the endpoint that the job's own client asks.
    """

    recipe: Callable[..., Value] | None
    asks: tuple[Value, ...]
    model: Value
    keywords: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Answered:
    """What a worker has done for a group.

    Attributes:
        rows: Without their inputs, which nobody has to send back.
        error: What ended the group early.
        requests: The requests that were made for it, where there is a budget.
        lines: What the worker's client has entered into its books since it was last asked.
        at_once: How many rows the worker asks for at once, as far as it has learned that.
    """

    rows: list[Row[Value]]
    error: Exception | None
    requests: list[Spent]
    lines: dict[Line, Amounts]
    at_once: int = 0


NOTHING = Answered([], None, [], {})


@dataclass(frozen=True, slots=True)
class Work:
    """A function of a group of rows that another process can load. It shows nothing of what it holds: a key, perhaps."""

    assignment: bytes = field(repr=False)

    def __call__(self, rows: Sequence[Value], grant: Grant | None = None) -> bytes:
        """Answer a group; the result is an `Answered`, pickled."""
        try:
            made = _find_made(self.assignment)
        except Exception as failure:  # noqa: BLE001 - loading a user's modules may raise anything
            return dump(replace(NOTHING, error=_explain(failure)))
        share = None if grant is None else Share(grant)
        done, error = made.answer(rows, share)
        requests = [] if share is None else share.requests
        answered = Answered([_strip(row) for row in done], _detach(error), requests, made.take_lines(), made.at_once)
        try:
            return dump(answered)
        except Exception:  # noqa: BLE001 - a value may raise anything when it is pickled
            return dump(replace(answered, rows=[_make_sendable(row) for row in answered.rows]))


def make_work(assignment: Assignment, cache: BaseCache) -> Work:
    """Write down what the workers need.

    Raises ArgumentError for a client that can't be made again, and for what another process can't load.
    """
    if assignment.recipe is None:
        raise ArgumentError(
            "engine= needs a client that workers can make for themselves: one of from_provider(). This one was made "
            "over a client of the SDK, whose connections can't leave this process."
        )
    try:
        return Work(dump(assignment._replace(recipe=partial(assignment.recipe, cache=cache))))
    except ConfigurationError:
        raise
    except Exception as error:
        raise ArgumentError(
            f"The job can't be sent to workers: {error}. Pass nothing that holds a connection or a lock: for a store its "
            "URL in place of a client, and options of the SDK as plain values."
        ) from error


def dump(value: object) -> bytes:
    """Pickle; functions and classes of a script or a notebook, too, where the engine has brought what that takes."""
    try:
        cloudpickle: Value = import_module("cloudpickle")
    except ImportError:
        return pickle.dumps(value)
    data: bytes = cloudpickle.dumps(value)
    return data


def load(data: bytes) -> Value:
    """Load what `dump` wrote, in this process or in a worker of the same job."""
    return pickle.loads(data)  # noqa: S301 - it comes from the user's own program, over the engine's own connection


class _Made:
    """A client that was made in a worker, and the job that it works on.

    What one group has learned of how many rows to ask for at once, the next one begins with.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._client: Value = assignment.recipe() if assignment.recipe is not None else None
        self._loop = LoopThread()
        self._pace: Pace | None = None
        asks = identify(self._client)
        if asks != assignment.asks:
            raise ConfigurationError(
                f"A worker's client asks {show(asks)}, and the job's own {show(assignment.asks)}. Set the same variables in "
                "the environment of the workers, such as the base URL's, or pass what differs to from_provider()."
            )

    @property
    def at_once(self) -> int:
        """How many rows it asks for at once; 0 as long as it has asked for none."""
        return 0 if self._pace is None else self._pace.limit

    def answer(self, rows: Sequence[Value], share: Share | None) -> tuple[list[Row[Value]], Exception | None]:
        """Answer rows, until an error that every other row would meet."""
        done: list[Row[Value]] = []
        keywords = self._assignment.keywords if share is None else {**self._assignment.keywords, "budget": share}
        try:
            job = self._client.map(rows, self._assignment.model, **keywords, on_error="collect")
            if self._pace is not None:
                job.pace.go_on_from(self._pace)
            self._pace = job.pace
            if hasattr(job, "__anext__"):
                self._loop.run(_collect(job, done))
            else:
                done.extend(job)
        except Exception as error:  # noqa: BLE001 - raised where the rows are taken
            return done, error
        return done, None

    def take_lines(self) -> dict[Line, Amounts]:
        """What the client spent and saved since this was last asked."""
        lines: dict[Line, Amounts] = self._client._stats.books.take()  # noqa: SLF001 - the client is this room's own
        return lines


def _explain(failure: Exception) -> Exception:
    if isinstance(failure, InstructorError):
        return failure
    return ConfigurationError(
        f"A worker can't load the job: {type(failure).__name__}: {failure}. Install the same packages there, and the "
        "modules of your program that the response model and the functions come from."
    )


async def _collect(job: Value, done: list[Row[Value]]) -> None:
    async for row in job:
        done.append(row)  # noqa: PERF401 - those before an error are kept


_made: OrderedDict[bytes, _Made] = OrderedDict()
_making = make_lock()


def _find_made(assignment: bytes) -> _Made:
    """The client of a job, made once in this process: its groups share connections and what is learned of limits."""
    with _making:
        if assignment not in _made:
            _made[assignment] = _Made(load(assignment))
        _made.move_to_end(assignment)
        if len(_made) > _MOST_KEPT:
            _made.popitem(last=False)
        return _made[assignment]


def identify(client: Value) -> tuple[Value, ...]:
    """What decides whom a client asks."""
    adapter = client._adapter  # noqa: SLF001 - as above
    return adapter.provider, dict(adapter.endpoint)


def show(asks: tuple[Value, ...]) -> str:
    """Name a vendor and its endpoint."""
    provider, endpoint = asks
    return f"{provider} at {endpoint}" if endpoint else str(provider)


def _strip(row: Row[Value]) -> Row[Value]:
    return replace(row, input=None, error=_detach(row.error))


def _detach(error: Exception | None) -> Exception | None:
    """An error as it leaves the worker: without its traceback and its cause, which Dask teaches pickle to follow.

    They are long where one error is raised for many rows, and an SDK's error has the request in it.
    """
    if error is not None:
        error.__traceback__ = error.__cause__ = error.__context__ = None
    return cast("Exception | None", make_portable(error))


def _make_sendable(row: Row[Value]) -> Row[Value]:
    """The row with an error in place of a value that can't leave the worker."""
    try:
        dump(row)
    except Exception as error:  # noqa: BLE001 - as above
        text = f"The answer can't be sent back: {error}. It is in the cache; use a response model that can be pickled."
        return replace(row, value=None, error=ConfigurationError(text))
    return row
