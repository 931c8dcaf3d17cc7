"""Response models: what each kind asks of a model, and how an answer becomes a value."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import re
import types
import typing
import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, Protocol

import typing_extensions
from pydantic import BaseModel, PydanticUserError, RootModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation
from pydantic_core import SchemaError

from instructor.cache.carried import ListResponse
from instructor.cache.json_schema import StableJsonSchema
from instructor.describing import describe_value
from instructor.exceptions import ConfigurationError
from instructor.messages import Part, ResponseModel, Value
from instructor.wires.references import expand_root
from instructor.wires.spec import ToolSpec

_ROOT_MODEL: type = RootModel

CONTENT = "content"
"""The name of the property that holds an answer which is not an object itself."""


_UNREADABLE = (
    AttributeError,
    NameError,
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    SchemaError,
    TypeError,
)
"""What pydantic raises for a type that it cannot read; for a bare ``Union`` or `BaseModel` itself, Python's own errors."""


class ResponseType(Protocol):
    """One response model, ready to use.

    Attributes:
        holds_model: Whether this object keeps the response model alive.
    """

    holds_model: ClassVar[bool]

    @property
    def schema(self) -> dict[str, Any]:
        """The response model's own JSON Schema, which enters the cache key."""
        ...

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools, or forms of an answer, that the model may choose from."""
        ...

    def parse(self, parts: tuple[Part, ...], strict: bool, context: object) -> Value:
        """Make a value of the parts of an answer, live or stored: both are parsed and validated alike.

        So a field that the answer leaves out gets its default anew on each hit. With a ``default_factory`` such as
        ``uuid4`` its value differs between the live answer and its hits, as it does between two answers.
        """
        ...


class ModelType:
    """A pydantic model whose answer is an object. The class is held weakly, so that a plan does not keep it alive."""

    holds_model: ClassVar[bool] = False

    def __init__(self, model: type[BaseModel]) -> None:
        complete_model(model)
        self._model = weakref.ref(model)
        self.schema = model.model_json_schema(schema_generator=StableJsonSchema)
        self.specs = (tool_spec_of(self.schema, model.__name__, model.__doc__),)

    def parse(self, parts: tuple[Part, ...], strict: bool, context: object) -> Value:
        """Validate with the class's own validator, which `model_rebuild` may have replaced since."""
        model = self._model()
        assert model is not None, "a call holds the class that it parses into"
        return model.__pydantic_validator__.validate_json(parts[0].text, strict=strict, context=context)


class AdapterType:
    """A TypedDict or a dataclass: its answer is an object too."""

    holds_model: ClassVar[bool] = True

    def __init__(self, model: ResponseModel) -> None:
        adapter: TypeAdapter[Value] = TypeAdapter(model)
        self.schema = adapter.json_schema(schema_generator=StableJsonSchema)
        self.specs = (tool_spec_of(self.schema, model.__name__, _written_docstring(model)),)
        self._validator = adapter.validator

    def parse(self, parts: tuple[Part, ...], strict: bool, context: object) -> Value:
        """Validate the object."""
        return self._validator.validate_json(parts[0].text, strict=strict, context=context)


class WrappedType:
    """Any other type, such as ``int`` or ``list[User]``: the only property of an object, because tools take objects."""

    holds_model: ClassVar[bool] = True

    def __init__(self, model: ResponseModel, name: str = "Response") -> None:
        wrapper: ResponseModel = typing_extensions.TypedDict(name, {CONTENT: model})  # type: ignore[misc]  # pyright: ignore - name and type are only known here
        adapter: TypeAdapter[Value] = TypeAdapter(wrapper)
        self.schema = TypeAdapter(model).json_schema(schema_generator=StableJsonSchema)
        self.specs = (tool_spec_of(adapter.json_schema(schema_generator=StableJsonSchema), name, None),)
        self._validator = adapter.validator
        self._model = model

    @functools.cached_property
    def item_validator(self) -> Callable[[str, bool, object], Value]:
        """What validates one item of a list by itself: a function of its JSON, strictness, and context."""
        return _make_item_validator(typing.get_args(self._model)[0])

    def parse(self, parts: tuple[Part, ...], strict: bool, context: object) -> Value:
        """Validate the object and take its property."""
        return self._validator.validate_json(parts[0].text, strict=strict, context=context)[CONTENT]


class ListType(WrappedType):
    """``Iterable[...]`` or a list of models: answered with a `ListResponse`, as in 1.x."""

    def parse(self, parts: tuple[Part, ...], strict: bool, context: object) -> Value:
        """Validate the list."""
        return ListResponse(self._validator.validate_json(parts[0].text, strict=strict, context=context)[CONTENT])


class ParallelType:
    """A list whose items are calls: each member of ``A | B`` is a tool, called any number of times."""

    holds_model: ClassVar[bool] = True

    def __init__(self, item: ResponseModel, make_list: Callable[[list[Any]], list[Any]] = list) -> None:
        self._make_list = make_list
        self.schema = TypeAdapter(list[item]).json_schema(schema_generator=StableJsonSchema)  # pyright: ignore - known only here
        self._members: dict[str, ResponseType] = {}
        specs: list[ToolSpec] = []
        for member in _members_of(item):
            response_type = make_response_type(member)
            [spec] = response_type.specs
            name = _find_free_name(spec.name, self._members)
            self._members[name] = response_type
            specs.append(dataclasses.replace(spec, name=name, repeats=True))
        self.specs = tuple(specs)
        self._text: TypeAdapter[Value] = TypeAdapter(item | list[item])  # pyright: ignore - known only here

    def parse(self, parts: tuple[Part, ...], strict: bool, context: object) -> Value:
        """Validate each call, and report the problems of all of them together, with the number of each call."""
        values: list[Value] = []
        problems: dict[int, ValidationError] = {}
        for number, part in enumerate(parts):
            try:
                values += self.parse_call(part, strict, context)
            except ValidationError as error:
                problems[number] = error
        if problems:
            from instructor.failures import find_mistake

            mistakes = filter(None, map(find_mistake, problems.values()))
            raise next(mistakes, None) or _number_problems(problems)
        return self._make_list(values)

    def parse_call(self, part: Part, strict: bool, context: object) -> list[Value]:
        """Validate one call; or what a model wrote as text, which may be all items."""
        if part.tool:
            return [self._members[part.tool].parse((part,), strict, context)]
        value = self._text.validator.validate_json(part.text, strict=strict, context=context)
        return value if isinstance(value, list) else [value]  # pyright: ignore - what the validator made


def _members_of(item: ResponseModel) -> list[ResponseModel]:
    """The members of ``A | B``, also where it is annotated or has a name."""
    if isinstance(item, typing_extensions.TypeAliasType):
        return _members_of(item.__value__)
    origin: ResponseModel = typing.get_origin(item)
    arguments = typing.get_args(item)
    if origin in (typing.Union, types.UnionType):
        return [member for argument in arguments for member in _members_of(argument)]
    return _members_of(arguments[0]) if origin is typing.Annotated and len(_members_of(arguments[0])) > 1 else [item]


def _find_free_name(name: str, taken: Collection[str]) -> str:
    """Number the second of two tools with one name: classes of two modules may share theirs."""
    names = (name, *(f"{name[:60]}_{number}" for number in range(2, len(taken) + 2)))
    return next(free for free in names if free not in taken)


def _number_problems(problems: Mapping[int, ValidationError]) -> ValidationError:
    from instructor.engine.partial_validation import restate

    return restate(
        "calls",
        (
            (problem, (number, *problem["loc"]))
            for number, error in problems.items()
            for problem in error.errors(include_url=False, include_context=False)
        ),
    )


def make_parallel_type(response_model: ResponseModel) -> ResponseType:
    """Prepare a response model of `Mode.PARALLEL_TOOLS`: a list, whose members are tools."""
    make_response_type(response_model)  # says what is wrong with it in any mode
    model: ResponseModel = _readable(response_model)
    origin: Any = typing.get_origin(model)
    if origin is not list:
        raise ConfigurationError(
            f"In Mode.PARALLEL_TOOLS the answer is any number of calls, so response_model is a list such as "
            f"list[{getattr(response_model, '__name__', 'User')}] or list[A | B], not {response_model!r}. Pass a list, or "
            "choose another mode."
        )
    written: Any = typing.get_origin(response_model)
    return ParallelType(typing.get_args(model)[0], list if written is list else ListResponse)


def make_response_type(response_model: ResponseModel) -> ResponseType:
    """Prepare a response model."""
    try:
        model: ResponseModel = _readable(response_model)
        if isinstance(model, type) and issubclass(model, BaseModel) and not issubclass(model, _ROOT_MODEL):
            return ModelType(model)
        if _is_record(model):
            return AdapterType(model)
        return ListType(model) if _is_list_of_models(response_model) else WrappedType(model)
    except _UNREADABLE as error:
        reason = error.message if isinstance(error, PydanticUserError) else error  # without a link to pydantic's pages
        raise ConfigurationError(
            f"response_model {response_model!r} cannot be used: {reason}. Pass a pydantic model, a dataclass, a TypedDict, or "
            "a type such as list[Model], Model | None, Literal, int or str."
        ) from error


def _make_item_validator(item: ResponseModel) -> Callable[[str, bool, object], Value]:
    model: ResponseModel = _readable(item)
    if isinstance(model, type) and issubclass(model, BaseModel):  # with its own, as `ModelType` does
        return lambda text, strict, context: model.__pydantic_validator__.validate_json(
            text, strict=strict, context=context
        )
    adapter: TypeAdapter[Value] = TypeAdapter(model)  # pyright: ignore - the type is known only here
    validator = adapter.validator
    return lambda text, strict, context: validator.validate_json(text, strict=strict, context=context)


def _is_list_of_models(model: ResponseModel) -> bool:
    origin: Any = typing.get_origin(model)
    if origin is not list:
        return origin is collections.abc.Iterable
    return all(isinstance(member, type) and issubclass(member, BaseModel) for member in _members_of(model.__args__[0]))


def _is_record(model: ResponseModel) -> bool:
    return typing_extensions.is_typeddict(model) or (isinstance(model, type) and dataclasses.is_dataclass(model))


def _written_docstring(model: ResponseModel) -> str | None:
    """The docstring that a person wrote. Python gives a dataclass its signature otherwise, which describes nothing."""
    text: str | None = model.__doc__
    return None if text is not None and text.startswith(f"{model.__name__}(") else text


def complete_model(model: type[BaseModel]) -> None:
    """Resolve forward references that were left open when the class was made."""
    if not model.__pydantic_complete__:
        model.model_rebuild()


def _readable(model: ResponseModel) -> ResponseModel:
    """Replace what pydantic can't read: an Iterable by a list, typing's TypedDict by that of typing_extensions."""
    if not isinstance(model, type) and (isinstance(model, (str, bytes, int, float)) or not _is_annotation(model)):
        raise ConfigurationError(
            f"response_model is {describe_value(model)}, which is not a type. Pass the class itself, such as User or "
            "list[User]."
        )
    if model is BaseModel:
        raise ConfigurationError(
            "response_model is BaseModel itself, which has no fields. Pass a subclass with fields."
        )
    if typing_extensions.is_typeddict(model):
        return _readable_typed_dict(model)
    origin, arguments = typing.get_origin(model), typing.get_args(model)
    if origin in (collections.abc.Iterable, collections.abc.Sequence, list) and arguments:
        return list[_readable(arguments[0])]  # type: ignore[misc]  # pyright: ignore - the item's type is only known here
    return model


def _is_annotation(model: ResponseModel) -> bool:
    if isinstance(model, (types.UnionType, types.GenericAlias)) or typing.get_origin(model) is not None:
        return True
    return type(model).__module__ in ("typing", "typing_extensions")


def _readable_typed_dict(model: ResponseModel) -> ResponseModel:
    """Before Python 3.12 pydantic reads only the TypedDict of typing_extensions. Values are plain dicts either way."""
    if type(model).__module__ == "typing_extensions" or typing_extensions.TypedDict is getattr(typing, "TypedDict", 0):
        return model
    hints = typing_extensions.get_type_hints(model, include_extras=True)
    fields = {
        name: hint if name in model.__required_keys__ else typing_extensions.NotRequired[hint]
        for name, hint in hints.items()
    }
    twin: ResponseModel = typing_extensions.TypedDict(model.__name__, fields)  # type: ignore[misc]  # pyright: ignore - made at run time
    twin.__doc__ = model.__doc__
    return twin


def tool_spec_of(schema: dict[str, Any], name: str, description: str | None) -> ToolSpec:
    """Describe a tool whose arguments are an object.

    Providers refuse the ``$ref`` at the top of a recursive model's schema.
    """
    top = expand_root(schema)
    text = str(top.get("description") or description or "")
    purpose = " ".join(text.split()) or f"The answer, as a correct {name}."
    return ToolSpec(re.sub(r"[^a-zA-Z0-9_-]+", "_", name).strip("_")[:64] or "Response", purpose, top)
