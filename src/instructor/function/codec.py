"""How one decorated function's calls are keyed, and its results written and read."""

from __future__ import annotations

import enum
import functools
import inspect
import time
import types
import typing
import uuid
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

import orjson
import pydantic
from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from instructor.cache.entry import Entry, pack_completion
from instructor.cache.key import canonical_text, digest, schema_of
from instructor.exceptions import ConfigurationError
from instructor.messages import Part


class _Missing(enum.Enum):
    """No usable result; None is a result like any other."""

    MISSING = enum.auto()


MISSING: Final = _Missing.MISSING

_HAS_NAMES = tuple(int(part) for part in pydantic.VERSION.split(".")[:2]) >= (2, 11)
"""Since pydantic 2.11 a value can be read by field names, whatever its aliases."""

_WAYS: list[tuple[str, dict[str, Any]]] = [
    *([("name", {"exclude_unset": True}), ("name", {})] if _HAS_NAMES else []),
    ("alias", {"exclude_unset": True, "by_alias": True}),
    ("alias", {"by_alias": True}),
]
"""How a result may be written, best first. Without unset fields, ``model_fields_set`` survives; but a default made
by a factory does not, nor does every alias. The first way that gives an equal value is taken."""

_READERS: dict[str, dict[str, Any]] = {"name": {"by_name": True, "by_alias": False}, "alias": {}}


@runtime_checkable
class KeyedObject(Protocol):
    """An object that says itself what it contributes to a key."""

    def __cache_key__(self) -> Any:
        """Return plain data that are the same in every process, and differ if the object answers differently."""
        ...


class FunctionCodec:
    """One function: what its calls are called, and how its results are kept.

    Args:
        function: The function.
        names: The names known where it is decorated, for return types in quotes.
        shared: Whether other functions may use the same store.

    Attributes:
        asynchronous: Whether the function is ``async``.

    Raises:
        ConfigurationError: It cannot be cached; the message says why.
    """

    def __init__(self, function: Any, names: Mapping[str, Any], *, shared: bool) -> None:
        _check_function(function)
        self.function: Callable[..., Any] = function
        self.asynchronous = inspect.iscoroutinefunction(function)
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._signature = inspect.signature(function)
        self._receiver = _find_receiver(function, self._signature)
        self._told: set[str] = set()
        self._closure = self._write_closure(function) if shared else "null"
        self._type = _resolve_return(function, names)
        if self._type is not MISSING:
            self.adapter  # noqa: B018 - what cannot be cached is refused here, not at the first call

    @functools.cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """What validates and writes the results."""
        returned = self._type
        if returned is MISSING:
            returned = _resolve_return(self.function, {})
        if returned is MISSING:
            raise ConfigurationError(f"The return type of {self._name} names something that is not defined.")
        try:
            return TypeAdapter(returned)
        except PydanticUndefinedAnnotation as error:
            raise ConfigurationError(f"The return type of {self._name} is not complete: {error}") from error
        except PydanticUserError as error:
            raise ConfigurationError(
                f"instructor_cache cannot keep what {self._name} returns: {error.message} "
                "Annotate it with a pydantic model or any other type that pydantic validates."
            ) from error

    def key_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """Make the key of a call; None if it cannot be cached."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError:
            return None  # the function itself says it best
        bound.apply_defaults()
        texts = dict(self._fixed_texts)
        for name, value in bound.arguments.items():
            text = self._write_receiver(value) if name == self._receiver else self._write_argument(name, value)
            if text is None:
                return None
            texts[f"argument {name}"] = text
        return f"function:{digest(texts)}"

    def write(self, key: str, result: Any, expires: float | None, seconds: float) -> Entry | None:
        """Put a result in writing; None if it could not be read back as it is."""
        for way, options in _WAYS:
            answer = self._try_way(way, options, result)
            if answer is not None:
                return Entry(
                    key=key,
                    parts=(Part("", answer),),
                    completion_data=pack_completion(orjson.dumps(way).decode()),
                    provider="function",
                    model=self._name,
                    created=time.time(),
                    expires=expires,
                    seconds=seconds,
                )
        self._tell(
            "return",
            f"A result of {self._name} is not cached: written as JSON and read back it would be another value. "
            "Secret, excluded and NaN fields are common reasons.",
        )
        return None

    def read(self, entry: Entry) -> Any:
        """Read what `write` wrote.

        Raises:
            Exception: The return type no longer accepts it; validators may raise anything.
        """
        return self._validate(orjson.loads(entry.completion), entry.answer)

    @functools.cached_property
    def _fixed_texts(self) -> dict[str, str]:
        try:
            schema: Any = self.adapter.json_schema()
        except PydanticUserError:
            # A type that pydantic validates but JSON Schema cannot tell, such as one with a custom validator.
            schema = repr(self._type)
        return {"function": _text(self._name), "schema": _text(schema), "closure": self._closure}

    def _validate(self, way: str, answer: str) -> Any:
        return self.adapter.validate_json(answer, **_READERS[way])

    def _try_way(self, way: str, options: dict[str, Any], result: Any) -> str | None:
        try:
            answer = self.adapter.dump_json(result, round_trip=True, warnings=False, **options).decode()
            again = self._validate(way, answer)
            return answer if type(again) is type(result) and bool(again == result) else None
        except Exception:  # noqa: BLE001 - serializers, validators and __eq__ are the user's; any failure means no
            return None

    def _write_closure(self, function: types.FunctionType) -> str:
        """What tells the functions apart that one function makes: what they close over when they are decorated."""
        texts: dict[str, str] = {}
        for name, value in _closed_over(function):
            text, lasting = _write_object(value)
            if not lasting:
                self._tell(
                    name,
                    f"{self._name} closes over {name!r}, which has no form that is the same in every process, so that "
                    "its results are found by this process only. Make it a global variable or an argument, or give "
                    "its class a __cache_key__ method.",
                )
            texts[name] = text or _text(uuid.uuid4().hex)
        return _text(texts)

    def _write_argument(self, name: str, value: Any) -> str | None:
        try:
            return canonical_text(value, name)
        except Exception as error:  # noqa: BLE001 - properties of the value may raise anything
            self._tell(name, f"A call of {self._name} is not cached: argument {error}")
            return None

    def _write_receiver(self, value: Any) -> str | None:
        text, _ = _write_object(value)
        if text is None:
            self._tell("self", f"A call of {self._name} is not cached: its instance cannot be told from others.")
        return text

    def _tell(self, subject: str, message: str) -> None:
        """Log a warning, once for each subject."""
        if subject in self._told:
            return
        self._told.add(subject)
        import logging

        logging.getLogger("instructor.cache").warning(message)


def _check_function(function: Any) -> None:
    if not inspect.isfunction(function):
        raise ConfigurationError(
            f"instructor_cache decorates a function or a method; got {function!r}. "
            "Give its options by name: @instructor_cache(cache=...)."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"instructor_cache cannot cache the generator {function.__qualname__}; return a list.")


def _find_receiver(function: types.FunctionType, signature: inspect.Signature) -> str | None:
    """The name of the argument that is the instance or the class, if the function is a method."""
    owner = function.__qualname__.rpartition(".")[0]
    first = next(iter(signature.parameters), None)
    return first if owner and not owner.endswith("<locals>") and first in {"self", "cls"} else None


def _resolve_return(function: types.FunctionType | Any, names: Mapping[str, Any]) -> Any:
    """The return type, evaluated if it is in quotes; `MISSING` if it names something not defined yet."""
    source = inspect.unwrap(function)
    try:
        annotations: dict[str, Any] = source.__annotations__
    except NameError:  # Python 3.14 evaluates annotations when they are asked for
        return MISSING
    if "return" not in annotations:
        raise ConfigurationError(
            f"instructor_cache needs the return type of {function.__qualname__}: def {function.__name__}(...) -> User."
        )

    def probe() -> None: ...

    probe.__annotations__ = {"return": annotations["return"]}
    closed = dict(_closed_over(source))
    try:
        return typing.get_type_hints(probe, source.__globals__, {**names, **closed}, include_extras=True)["return"]
    except NameError:
        return MISSING


def _closed_over(function: Any) -> list[tuple[str, Any]]:
    """The variables of enclosing functions that a function uses, where they have a value yet."""
    found: list[tuple[str, Any]] = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:
            continue  # not assigned yet, so not used yet
    return found


def _text(value: Any) -> str:
    return canonical_text(value, "value")


def _write_object(value: Any, outer: tuple[Any, ...] = ()) -> tuple[str | None, bool]:
    """Emit an object from all others: by its name or data where these suffice, by a token that dies with it if not.

    Returns:
        The text, None if there is none; and whether another process would find the same.
    """
    try:
        if isinstance(value, types.ModuleType):
            return _text(value.__name__), True
        if isinstance(value, types.FunctionType):
            return _write_function(value, outer)
        if isinstance(value, type):
            return _write_class(value)
        data = value.__cache_key__() if isinstance(value, KeyedObject) else value
        return _text([type(value).__module__, type(value).__qualname__, data]), True
    except Exception:  # noqa: BLE001 - properties and methods of the value may raise anything
        return _token_of(value), False


def _write_function(function: types.FunctionType, outer: tuple[Any, ...]) -> tuple[str | None, bool]:
    """Functions made by one function share their name; what they close over tells them apart."""
    texts: dict[str, str | None] = {"function": _text([function.__module__, function.__qualname__])}
    all_last = True
    for name, value in _closed_over(function) if function not in outer else ():
        texts[f"closure {name}"], lasting = _write_object(value, (*outer, function))
        all_last = all_last and lasting
    return None if None in texts.values() else _text(texts), all_last


def _write_class(kind: type[Any]) -> tuple[str | None, bool]:
    """Classes made by one function share their name too; a model's schema tells it apart."""
    name = [kind.__module__, kind.__qualname__]
    if "<locals>" not in kind.__qualname__:
        return _text(name), True
    if issubclass(kind, BaseModel):
        return _text([*name, schema_of(kind)]), True
    return _token_of(kind), False


_tokens: dict[int, tuple[weakref.ref[Any], str]] = {}


def _token_of(value: Any) -> str | None:
    """A name for one object that no other object ever has, in any process; None if it cannot be watched."""
    number = id(value)
    known = _tokens.get(number)
    if known is not None:
        return known[1]
    try:
        # The name goes with the object, before another one can live at its address.
        reference = weakref.ref(value, lambda _: _tokens.pop(number, None))
    except TypeError:
        return None
    return _tokens.setdefault(number, (reference, _text(uuid.uuid4().hex)))[1]
