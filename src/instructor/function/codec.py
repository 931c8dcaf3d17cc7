"""How the calls of one decorated function are keyed, and how its results are written and read."""

from __future__ import annotations

import enum
import functools
import inspect
import time
import types
import typing
from typing import Any, Final, TypeAlias, cast

import orjson
import pydantic
from pydantic import TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from instructor.cache.canonical import ignore, write_json
from instructor.cache.entry import Entry, Origin, make_origin, pack_completion
from instructor.cache.fingerprint import (
    Note,
    closed_over_by,
    code_of,
    describe,
    describe_annotation,
    describe_closure,
    name_of,
)
from instructor.cache.json_schema import StableJsonSchema
from instructor.cache.key import FORMAT, digest
from instructor.describing import name_model
from instructor.exceptions import ConfigurationError, NoCanonicalFormError
from instructor.function.comparison import is_same
from instructor.messages import Part

PydanticOptions: TypeAlias = dict[str, Any]
"""Keywords of pydantic's methods that write and read."""


class _Missing(enum.Enum):
    """Stands for "no value", because None is a value."""

    MISSING = enum.auto()


MISSING: Final = _Missing.MISSING

_HAS_NAMES = tuple(int(part) for part in pydantic.VERSION.split(".")[:2]) >= (2, 11)
"""Since pydantic 2.11 a value can be read by field names, whatever its aliases."""

_WAYS: list[tuple[str, PydanticOptions]] = [
    *([("name", {"exclude_unset": True}), ("name", {})] if _HAS_NAMES else []),
    ("alias", {"exclude_unset": True, "by_alias": True}),
    ("alias", {"by_alias": True}),
]
"""How a result may be written, best first: the first way that gives the same value when it is read is taken. Leaving
unset fields out keeps ``model_fields_set``; not every alias that can be read is also written."""

_READERS: dict[str, PydanticOptions] = {"name": {"by_name": True, "by_alias": False}, "alias": {}}


class FunctionCodec:
    """How the calls of one decorated function are keyed, and how its results are written and read.

    `shared` says whether other functions may use the same store. Only then do the variables of enclosing functions
    count.
    """

    def __init__(self, function: object, *, shared: bool) -> None:
        self.function = function = _check_function(function)
        self.asynchronous = inspect.iscoroutinefunction(function)
        self.name = f"{function.__module__}.{function.__qualname__}"
        self._signature = inspect.signature(function)
        self._warned: set[str] = set()
        self._shared = shared
        self._code = code_of(function)
        self._type = _resolve_return(function)
        if self._type is not MISSING:
            self.adapter  # noqa: B018 - refuses what can't be cached now, not at the first call

    @property
    def origin(self) -> Origin:
        """Where its results come from, for entries and the ledger."""
        return make_origin("function", self.name, "", "", name_model(self._type))

    @functools.cached_property
    def adapter(self) -> TypeAdapter[object]:
        """What validates and writes the results."""
        if self._type is MISSING:
            self._type = _resolve_return(self.function)
        if self._type is MISSING:
            raise ConfigurationError(
                f"The return type of {self.name} names something that is not defined in its module. "
                "Define it at the top of the module, or annotate with the class itself instead of its name in quotes."
            )
        try:
            return TypeAdapter(cast("type[object]", self._type))
        except PydanticUndefinedAnnotation as error:
            raise ConfigurationError(f"The return type of {self.name} is not complete: {error}") from error
        except PydanticUserError as error:
            raise ConfigurationError(
                f"instructor_cache cannot keep what {self.name} returns: {error.message} "
                "Annotate it with a pydantic model or any other type that pydantic validates."
            ) from error

    def key_of(self, args: tuple[object, ...], kwargs: dict[str, object], note: Note = ignore) -> str | None:
        """Make the key of a call; None if the call is not to be cached."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError:
            return None  # the function itself raises the better error
        bound.apply_defaults()
        self.adapter  # noqa: B018 - a mistake in the return type is the user's to mend, not a reason for a bypass
        try:
            texts = dict(self._fixed_texts)
            for name, value in bound.arguments.items():
                texts[f"argument {name}"] = write_json(describe(value, f"argument {name}", (), note))
        except Exception as error:  # noqa: BLE001 - to describe a value may run code of the user's
            reason = str(error) if isinstance(error, NoCanonicalFormError) else f"{type(error).__name__} was raised"
            self.warn(reason.partition(" is a ")[0], f"A call of {self.name} is not cached: {reason}")
            return None
        return f"function:{digest(texts)}"

    def write(self, key: str, result: object, expires: float | None, seconds: float) -> Entry | None:
        """Write a result as an entry; None if what is read back would not be the same (see `is_same`)."""
        for way, options in _WAYS:
            answer = self._try_way(way, options, result)
            if answer is not None:
                return Entry(
                    key=key,
                    parts=(Part("", answer),),
                    completion_data=pack_completion(orjson.dumps(way).decode()),
                    origin=self.origin,
                    created=time.time(),
                    expires=expires,
                    seconds=seconds,
                )
        if result is None:
            self.warn(
                "None",
                f"A result of {self.name} is not cached: the function returned None, which its return type does not "
                "allow. Return an answer, or write `-> ... | None` to keep None too.",
            )
            return None
        self.warn(
            "return",
            f"A result of {self.name} is not cached: written as JSON and read back it would be another value. Common "
            "reasons are a result that is not of the return type, secret, excluded or NaN fields, a member whose class "
            "the return type does not name, and a default_factory that returns another value each time.",
        )
        return None

    def read(self, entry: Entry) -> object:
        """Read what `write` wrote.

        Raises whatever validators raise where the return type no longer accepts it.
        """
        return self._validate(orjson.loads(entry.completion), entry.answer)

    def warn_of_tags(self, store: str) -> None:
        """Log that results with tags can't be kept in a store."""
        advice = "Use AutoCache, DiskCache or RedisCache, or leave tags= out."
        self.warn("tags", f"Calls of {self.name} are not cached: {store} can't invalidate tags. {advice}")

    def warn_of(self, flaw: str) -> None:
        """Log why a result is not one of its key."""
        self.warn(flaw, f"A result of {self.name} is not cached: {flaw}. Change a copy of it instead.")

    @functools.cached_property
    def _fixed_texts(self) -> dict[str, str]:
        """The members of the key that are the same for every call, written at the first one.

        Not before, because a function may use variables and types that are defined below it.
        """
        try:
            schema: object = self.adapter.json_schema(schema_generator=StableJsonSchema)
        except PydanticUserError:
            # Pydantic validates the type, but can't write its schema: it may have a custom validator.
            schema = describe_annotation(self._type, "the return type")
        members = {
            "format": FORMAT,
            "function": [name_of(self.function), self._code],
            "schema": schema,
            "closure": describe_closure(self.function) if self._shared else None,
        }
        return {name: write_json(value) for name, value in members.items()}

    def _validate(self, way: str, answer: str) -> object:
        return self.adapter.validate_json(answer, **_READERS[way])

    def _try_way(self, way: str, options: PydanticOptions, result: object) -> str | None:
        try:
            answer = self.adapter.dump_json(result, round_trip=True, warnings=False, **options).decode()
            return answer if is_same(result, self._validate(way, answer)) else None
        except Exception:  # noqa: BLE001 - serializers and validators are the user's code; a failure means "not this way"
            return None

    def warn(self, subject: str, message: str) -> None:
        """Log a warning, once for each subject."""
        if subject in self._warned:
            return
        self._warned.add(subject)
        import logging

        logging.getLogger("instructor.cache").warning(message)


def _check_function(function: object) -> types.FunctionType:
    if not inspect.isfunction(function):
        raise ConfigurationError(
            f"instructor_cache decorates a function or a method; got {function!r}. "
            "Give its options by name: @instructor_cache(cache=...)."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"instructor_cache cannot cache the generator {function.__qualname__}; return a list.")
    return function


def _resolve_return(function: types.FunctionType) -> object:
    """The return type, evaluated if it is in quotes; `MISSING` if it names something that is not defined yet."""
    source = inspect.unwrap(function)
    try:
        annotations: dict[str, object] = source.__annotations__
    except NameError:  # Python 3.14 evaluates annotations when they are asked for
        return MISSING
    if "return" not in annotations:
        raise ConfigurationError(
            f"instructor_cache cannot cache {function.__qualname__}, because it has no return annotation to read stored "
            f"answers by. Add one: def {function.__name__}(...) -> User."
        )

    def probe() -> None: ...

    probe.__annotations__ = {"return": annotations["return"]}
    names = {**_names_in_class_of(source), **closed_over_by(source)}
    try:
        found: object = typing.get_type_hints(probe, source.__globals__, names, include_extras=True)["return"]
    except NameError:
        return MISSING
    if found is type(None):
        raise ConfigurationError(
            f"instructor_cache cannot cache {function.__qualname__}, because its return annotation is None: there is "
            "nothing to keep. Return the answer, and annotate the function with its type."
        )
    return found


def _names_in_class_of(function: types.FunctionType) -> dict[str, object]:
    """What is defined in the class of a method, if its module has that class by now."""
    names = function.__globals__
    for part in function.__qualname__.split(".")[:-1]:
        found = names.get(part)
        if not isinstance(found, type):
            return {}
        names = dict(vars(found))
    return {} if names is function.__globals__ else names
