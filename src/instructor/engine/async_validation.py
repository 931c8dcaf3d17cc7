"""Asynchronous validators: how a model declares them, and how they judge an answer after its synchronous validation."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, cast
from weakref import WeakKeyDictionary

import typing_extensions
from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from instructor.exceptions import AsyncValidationError, ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__instructor_async_validator__"
_INVALID = (ValueError, AssertionError, PydanticCustomError)
"""What a validator raises for a value that isn't valid, as in pydantic; any other error ends the call."""


class AsyncValidationInfo(NamedTuple):
    """What an asynchronous validator with a parameter ``info`` gets.

    Attributes:
        context: The ``context=`` of the call.
        field_name: The field to validate; None for a validator of the whole model.
        data: The values of the model's fields.
    """

    context: Mapping[str, object] | None
    field_name: str | None
    data: Mapping[str, object]


class Method(Protocol):
    """A function or a class method, as a class holds it."""

    def __get__(self, owner: object, kind: type[object], /) -> Callable[..., Awaitable[object]]: ...


class _Mark(NamedTuple):
    fields: tuple[str, ...]
    takes_info: bool


def async_field_validator(field: str, *fields: str) -> Callable[[F], F]:
    """Declare an ``async def`` method that validates fields once the answer is valid for pydantic.

    It's called with the model instance, the value, and, if it has a parameter ``info``, an `AsyncValidationInfo`. It
    returns the value to keep, or raises ValueError: then the model is asked again. Validators of different fields and
    items run at the same time. They judge answers from the cache too.

    Args:
        field: The name of a field.
        *fields: Further names.

    Raises:
        ConfigurationError: The method isn't ``async def``.

    Example:
        >>> from pydantic import BaseModel
        >>> class Ticket(BaseModel):
        ...     title: str
        ...     @instructor.async_field_validator("title")
        ...     async def has_words(self, title: str) -> str:
        ...         if not title.strip():
        ...             raise ValueError("write a title")
        ...         return title.strip()
        >>> client = instructor.from_provider("offline/demo")
        >>> client.create(Ticket, [{"role": "user", "content": "The title is Broken."}]).title
        'The title is Broken.'
    """

    def mark(method: F) -> F:
        return _mark(method, (field, *fields), least=2)

    return mark


def async_model_validator() -> Callable[[F], F]:
    """Declare an ``async def`` method that validates a whole model, after the validators of its fields.

    It's called with the model instance, and, if it has a parameter ``info``, an `AsyncValidationInfo`. It raises
    ValueError, or changes the instance; what it returns is not used.

    Raises:
        ConfigurationError: The method isn't ``async def``.

    Example:
        >>> from pydantic import BaseModel
        >>> class Range(BaseModel):
        ...     low: int
        ...     high: int
        ...     @instructor.async_model_validator()
        ...     async def is_ordered(self) -> None:
        ...         if self.low > self.high:
        ...             raise ValueError("low must not be greater than high")
        >>> client = instructor.from_provider("offline/demo")
        >>> client.create(Range, [{"role": "user", "content": "The low is 1, the high is 2."}])
        Range(low=1, high=2)
    """

    def mark(method: F) -> F:
        return _mark(method, (), least=1)

    return mark


def _mark(method: F, fields: tuple[str, ...], least: int) -> F:
    function = getattr(method, "__func__", method)
    name = getattr(function, "__qualname__", repr(function))
    if not inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"{name} is not `async def`. Use pydantic's own validators for plain functions.")
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) not in (least, least + 1) or (len(parameters) > least and parameters[least] != "info"):
        wanted = "self, value" if fields else "self"
        raise ConfigurationError(f"{name} takes ({', '.join(parameters)}). Write ({wanted}) or ({wanted}, info).")
    setattr(method, _MARK, _Mark(fields, len(parameters) > least))
    return method


class _Validators(NamedTuple):
    """A class's asynchronous validators: the names of methods by field, and of those of the whole."""

    of_fields: Mapping[str, tuple[tuple[str, bool], ...]]
    of_model: tuple[tuple[str, bool], ...]


_KNOWN: WeakKeyDictionary[type, _Validators | None] = WeakKeyDictionary()
"""The validators of classes that were looked at. No class is kept alive by it: methods, which may hold theirs, are names."""


def _validators_of(kind: type) -> _Validators | None:
    """The validators of a class, looked for once."""
    try:
        return _KNOWN[kind]
    except KeyError:
        return _KNOWN.setdefault(kind, _find_validators(kind))


def _find_validators(kind: type) -> _Validators | None:
    """Find them, its bases' first; a method that a subclass defines anew replaces the base's."""
    found: dict[str, Method] = {}
    for base in reversed(kind.__mro__):
        found.update((name, member) for name, member in vars(base).items())
    marked = [(name, cast("_Mark", getattr(member, _MARK))) for name, member in found.items() if _is_marked(member)]
    if not marked:
        return None
    of_fields: dict[str, tuple[tuple[str, bool], ...]] = {}
    for name, mark in marked:
        for field in mark.fields:
            if field not in _fields_of(kind):
                raise ConfigurationError(f"{kind.__name__} has no field {field!r} for its async_field_validator.")
            of_fields[field] = (*of_fields.get(field, ()), (name, mark.takes_info))
    return _Validators(of_fields, tuple((name, mark.takes_info) for name, mark in marked if not mark.fields))


def _is_marked(member: object) -> bool:
    return inspect.iscoroutinefunction(getattr(member, "__func__", member)) and hasattr(member, _MARK)


def _fields_of(kind: type[object]) -> Iterable[str]:
    if issubclass(kind, BaseModel):
        return kind.model_fields
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def has_async_validators(response_model: object) -> bool:
    """Whether a response model, or any model in it, has asynchronous validators.

    One that is declared with pydantic's decorators, which never await it, is refused with a `ConfigurationError`.
    """
    found = False
    seen: set[int] = set()
    waiting: list[object] = [response_model]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        _refuse_never_awaited(part)
        waiting.extend(typing.get_args(part))
        if not isinstance(part, type):
            continue
        kind = cast("type[object]", part)
        found = _validators_of(part) is not None or found
        waiting.extend(_parts_of(kind))
    return found


def _parts_of(kind: type[object]) -> list[object]:
    """What the fields of a class are declared as."""
    if issubclass(kind, BaseModel):
        return [part for field in kind.model_fields.values() for part in (field.annotation, *field.metadata)]
    if not dataclasses.is_dataclass(kind) and not typing_extensions.is_typeddict(kind):
        return []
    try:
        return list(typing_extensions.get_type_hints(kind, include_extras=True).values())
    except (NameError, TypeError):  # a name that only pydantic can resolve
        return []


def _refuse_never_awaited(part: object) -> None:
    """Raise if pydantic would take a coroutine for the value: of a validator in an annotation, or of a class's own."""
    functions = [getattr(part, "func", None)]
    decorators = getattr(part, "__pydantic_decorators__", None) if isinstance(part, type) else None
    for name in ("validators", "field_validators", "root_validators", "model_validators"):
        functions += [getattr(known, "func", None) for known in getattr(decorators, name, {}).values()]
    for function in functions:
        plain = getattr(function, "__func__", function)
        if inspect.iscoroutinefunction(plain):
            raise ConfigurationError(
                f"{plain.__qualname__} is `async def`, and pydantic never awaits its validators. Declare it with "
                "instructor.async_field_validator or instructor.async_model_validator."
            )


class _Found(NamedTuple):
    """An object in an answer that has asynchronous validators, and where it is."""

    value: object
    place: tuple[str | int, ...]
    validators: _Validators


async def validate_async(value: object, context: Mapping[str, object] | None) -> None:
    """Run the asynchronous validators of all objects in a value, which they may change.

    Inner objects come before the ones that hold them. Objects of one depth, and the fields of each, are validated at
    the same time. All their errors are raised together, in one `AsyncValidationError`.
    """
    import asyncio

    errors: list[ValidationError] = []
    levels: dict[int, list[_Found]] = {}
    for found in _find_objects(value):
        levels.setdefault(len(found.place), []).append(found)
    for _, level in sorted(levels.items(), reverse=True):
        for problems in await asyncio.gather(*(_validate_object(found, context) for found in level)):
            errors.extend(problems)
    if errors:
        described = "; ".join(_describe(error) for error in errors)
        raise AsyncValidationError(f"Asynchronous validators refused the answer: {described}", errors=errors)


def _find_objects(value: object) -> Iterator[_Found]:
    waiting: list[tuple[object, tuple[str | int, ...]]] = [(value, ())]
    while waiting:
        part, place = waiting.pop()
        members: Mapping[Any, object] = {}
        if isinstance(part, BaseModel) or (dataclasses.is_dataclass(part) and not isinstance(part, type)):
            members = vars(part) if hasattr(part, "__dict__") else {}
            validators = _validators_of(cast("type", type(part)))
            if validators is not None:
                yield _Found(part, place, validators)
        elif isinstance(part, Mapping):
            members = cast("Mapping[Any, object]", part)
        elif isinstance(part, (list, tuple, set, frozenset)):
            members = dict(enumerate(cast("list[object]", part)))
        waiting.extend((member, (*place, name)) for name, member in members.items())


async def _validate_object(found: _Found, context: Mapping[str, object] | None) -> list[ValidationError]:
    import asyncio

    of_fields = found.validators.of_fields
    outcomes = await asyncio.gather(*(_validate_field(found, name, context) for name in of_fields))
    errors = [error for error in outcomes if error is not None]
    if errors:
        return errors  # as in pydantic, the whole is judged once its fields are valid
    for method, takes_info in found.validators.of_model:
        info = AsyncValidationInfo(context, None, _values_of(found.value))
        error = await _judge(found, None, found.value, _call(found.value, method, (), takes_info, info))
        if isinstance(error, ValidationError):
            return [error]
    return []


async def _validate_field(found: _Found, name: str, context: Mapping[str, object] | None) -> ValidationError | None:
    owner = found.value
    for method, takes_info in found.validators.of_fields[name]:
        value = getattr(owner, name)
        info = AsyncValidationInfo(context, name, _values_of(owner))
        outcome = await _judge(found, name, value, _call(owner, method, (value,), takes_info, info))
        if isinstance(outcome, ValidationError):
            return outcome
        vars(owner)[name] = outcome  # the owner may be frozen
    return None


def _call(
    owner: object, name: str, arguments: tuple[object, ...], takes_info: bool, info: AsyncValidationInfo
) -> Awaitable[object]:
    method: Method = inspect.getattr_static(type(owner), name)  # an instance may have a value of that name
    bound = method.__get__(owner, type(owner))
    return bound(*arguments, info) if takes_info else bound(*arguments)


def _values_of(owner: object) -> dict[str, object]:
    return {**vars(owner)}


async def _judge(found: _Found, name: str | None, value: object, running: Awaitable[object]) -> object:
    """Return what a validator returns; for an invalid value the error, in pydantic's own form and with its place."""
    try:
        return await running
    except ValidationError as error:  # of another model, such as one that the validator made: its own places
        return error
    except _INVALID as error:
        custom = isinstance(error, PydanticCustomError)
        kind = "assertion_error" if isinstance(error, AssertionError) else "value_error"
        place = found.place if name is None else (*found.place, name)
        details = InitErrorDetails(type=cast("Any", error if custom else kind), loc=place, input=value)
        if not custom:
            details["ctx"] = {"error": error}
        return ValidationError.from_exception_data(type(found.value).__name__, [details])


def _describe(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or error.title}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    )
