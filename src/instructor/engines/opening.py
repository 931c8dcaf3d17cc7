"""What `Instructor.map` takes as ``engine=``, and how work is handed to each. Nothing of an engine is imported before it is named."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeVar

from instructor.describing import describe_value
from instructor.exceptions import ArgumentError, ConfigurationError

Sdk = Any
"""An object of an engine's package, or what its workers are to do with."""

R_co = TypeVar("R_co", covariant=True)


class Pending(Protocol[R_co]):
    """What comes back for work that was handed over: the part that the futures of all engines have in common."""

    def add_done_callback(self, function: Callable[[Sdk], Sdk]) -> object: ...  # noqa: D102
    def result(self) -> R_co: ...  # noqa: D102
    def cancel(self) -> object: ...  # noqa: D102


class Engine(NamedTuple):
    """An engine that is open.

    Attributes:
        submit: Hands over a function and its arguments.
        count_slots: How many groups its workers do at once, now.
        close: Ends what was begun for this job alone.
        tells_begun: Whether what a worker has begun says so, by returning False when it is cancelled.
    """

    submit: Callable[..., Pending[Sdk]]
    count_slots: Callable[[], int]
    close: Callable[[], object] = lambda: None
    tells_begun: bool = False


def find_engine(engine: object) -> Callable[[], Engine]:
    """Return what opens the engine that a user named or handed over; raise ArgumentError for what is none."""
    if isinstance(engine, str):
        if engine not in NAMED:
            raise _refuse(engine)
        return NAMED[engine]
    for fits, use in _KINDS:
        if fits(engine):
            return partial(use, engine)
    raise _refuse(engine)


def _refuse(engine: object) -> ArgumentError:
    shown = repr(engine) if isinstance(engine, str) else describe_value(engine)
    names = " or ".join(f'"{name}"' for name in NAMED)
    return ArgumentError(
        f"engine= is {names}, a dask.distributed.Client, the module ray or a concurrent.futures.Executor, not {shown}."
    )


def _import(name: str, extra: str) -> Sdk:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ConfigurationError(
            f'engine="{extra}" needs a package that isn\'t installed. Run `pip install "instructor[{extra}]"`.'
        ) from error


class _Task(NamedTuple):
    """A task of Ray: a `Pending`. Its future would say that it's cancelled, and the task would be done nevertheless."""

    add_done_callback: Callable[..., object]
    result: Callable[[], Sdk]
    cancel: Callable[[], object]


def _begin_dask() -> Engine:
    """The client that this program uses already; else one of the scheduler that Dask's settings name, or of this machine."""
    distributed = _import("distributed", "dask")
    try:
        return _use_dask(distributed.get_client())
    except ValueError:
        client = distributed.Client(set_as_default=False)
        return _use_dask(client)._replace(close=client.close)


def _use_dask(client: Sdk) -> Engine:
    if client.asynchronous:
        raise ArgumentError(
            "engine= is an asynchronous dask.distributed.Client. Pass one that was made outside of the event loop; "
            "AsyncInstructor.map doesn't block while it waits for it."
        )

    def submit(function: Callable[..., Sdk], *arguments: Sdk) -> Sdk:
        return client.submit(function, *arguments, pure=False, key=None)

    return Engine(submit, lambda: sum(client.nthreads().values()))


def _begin_ray() -> Engine:
    ray = _import("ray", "ray")
    if not ray.is_initialized():
        ray.init()
    return _use_ray(ray)


def _use_ray(ray: Sdk) -> Engine:
    task = ray.remote(_call)  # which takes functions alone, and no other callable

    def submit(*arguments: Sdk) -> Sdk:
        reference = task.remote(*arguments)
        future = reference.future()
        return _Task(future.add_done_callback, future.result, partial(ray.cancel, reference))

    return Engine(submit, lambda: int(ray.cluster_resources().get("CPU", 0)))


def _call(function: Callable[..., Sdk], *arguments: Sdk) -> Sdk:
    return function(*arguments)


def _use_executor(executor: Sdk) -> Engine:
    return Engine(executor.submit, lambda: getattr(executor, "_max_workers", 1), tells_begun=True)


NAMED: dict[str, Callable[[], Engine]] = {"dask": _begin_dask, "ray": _begin_ray}
_KINDS: tuple[tuple[Callable[[object], bool], Callable[[Sdk], Engine]], ...] = (
    (lambda engine: isinstance(engine, Executor), _use_executor),
    (lambda engine: isinstance(engine, ModuleType) and engine.__name__ == "ray", _use_ray),
    (lambda engine: type(engine).__module__.startswith("distributed.") and hasattr(engine, "nthreads"), _use_dask),
)
"""How an engine that is handed over is recognised. Looked through in this order."""
