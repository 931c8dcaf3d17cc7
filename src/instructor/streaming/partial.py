"""Partial types: what is shown of a response model while its answer is written.

``PartialUser`` is a subclass of ``User`` in which every field may be None, whatever its default in ``User``: a field
that hasn't come has no value yet. Its objects are made without validators, because those judge whole answers.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeAlias, TypeVar, cast

import typing_extensions
from pydantic import AliasChoices, BaseModel, ConfigDict, RootModel, TypeAdapter, computed_field, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from instructor.messages import ResponseModel, Value
from instructor.streaming.rules import Rule
from instructor.streaming.shapes import ABSENT, Closed, Field, List, Object, Shape, Text

LISTS = (list, collections.abc.Sequence, collections.abc.Iterable)
"""Types whose values show as lists while they come."""
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_PARTIAL, _SHAPE, _WHOLE = "__instructor_partial__", "__instructor_shape__", "__instructor_whole__"
"""Attributes of a user's class, so that what is made for it lives as long as it does."""


def partial_of(model: type[BaseModel]) -> type[BaseModel]:
    """Return the partial type of a pydantic model, making it on first use.

    Example:
        >>> class User(BaseModel):
        ...     name: str
        ...     age: int = 18
        >>> partial_of(User)()
        PartialUser(name=None, age=None)
    """
    found = model.__dict__.get(_PARTIAL)
    if found is None:
        found = _make_partial(model)
        setattr(model, _PARTIAL, found)
    return cast("type[BaseModel]", found)


def whole_of(model: ResponseModel) -> ResponseModel:
    """Return the model of a partial type; anything else as it is."""
    return model.__dict__.get(_WHOLE, model) if isinstance(model, type) else model


T = TypeVar("T")


if TYPE_CHECKING:
    Partial: TypeAlias = Annotated[T, "partial"]  # a type checker sees the fields of the model itself
else:

    class Partial(Generic[T]):
        """``Partial[User]`` is the type of what `create_partial` shows before the answer is whole.

        It is a subclass of ``User`` whose fields may all be None. Use it in annotations, and where programs written for 1.x
        pass it as a response model.

        Example:
            >>> class User(BaseModel):
            ...     name: str
            >>> Partial[User]()
            PartialUser(name=None)
        """

        @classmethod
        def __class_getitem__(cls, model: ResponseModel) -> Any:
            """Return the partial type of a pydantic model; of a type variable, as any generic does."""
            if isinstance(model, type) and issubclass(model, BaseModel):
                return partial_of(model)
            return super().__class_getitem__(model)


def shape_of(annotation: ResponseModel) -> Shape:
    """Return the shape of a type."""
    plain, nullable = _strip(annotation)
    if plain is str:
        return Text(nullable)
    if _is_model(plain):
        return _share(_shape_of_model(plain), nullable)
    if typing_extensions.is_typeddict(plain) or (isinstance(plain, type) and dataclasses.is_dataclass(plain)):
        return _share(_shape_of_record(plain), nullable)
    origin: Any = typing.get_origin(plain)
    arguments = typing.get_args(plain)
    if origin in LISTS and arguments:
        return List(shape_of(arguments[0]), nullable)
    if origin is dict and arguments[0] is str:
        return Object({}, _keep, shape_of(arguments[1]), nullable)
    return Closed(_converter(plain, nullable))


def _is_model(plain: ResponseModel) -> bool:
    """Whether a type is a pydantic model whose fields can be shown one by one."""
    return isinstance(plain, type) and issubclass(plain, BaseModel) and not issubclass(plain, cast("type", RootModel))


def _share(shape: Object, nullable: bool) -> Object:
    return dataclasses.replace(shape, nullable=True) if nullable and not shape.nullable else shape


def _keep(values: dict[str, Value]) -> Value:
    return values


def _strip(annotation: ResponseModel) -> tuple[ResponseModel, bool]:
    """Take ``Annotated``, aliases and ``None`` off an annotation; return what is left, and whether None was there."""
    nullable = False
    while True:
        origin: Any = typing.get_origin(annotation)
        if origin in (typing.Annotated, typing_extensions.Annotated, typing_extensions.Required, typing.Required,
                      typing.NotRequired, typing_extensions.NotRequired):  # fmt: skip
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing_extensions.TypeAliasType):
            annotation = annotation.__value__
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif origin in (typing.Union, types.UnionType):
            members = [member for member in typing.get_args(annotation) if member is not types.NoneType]
            nullable = nullable or len(members) < len(typing.get_args(annotation))
            if len(members) != 1:
                return annotation, nullable
            annotation = members[0]
        else:
            return annotation, nullable


# Objects


def _shape_of_model(model: type[BaseModel]) -> Object:
    found = model.__dict__.get(_SHAPE)
    if found is not None:
        return cast("Object", found)
    if not model.__pydantic_complete__:
        model.model_rebuild()
    fields: dict[str, Field] = {}
    shape = Object(fields, _keep)
    setattr(model, _SHAPE, shape)  # before its fields, because a model may hold itself
    try:
        needed = tuple(name for name, field in model.model_fields.items() if Rule.NOT_NULL in field.metadata)
        shape.make = _maker(partial_of(model), needed)
        for name, info in model.model_fields.items():
            shape_of_field = _shape_of_field(info, model.model_config)
            field = Field(name, shape_of_field, Rule.DONE in info.metadata)
            fields.update(dict.fromkeys(_names_in_json(model, name, info), field))
        if model.model_config.get("extra") == "allow":
            shape.others = Closed(_read_anything)
            # A field that has an alias isn't filled by its own name, nor shown by it.
            fields.update(dict.fromkeys(model.model_fields.keys() - fields.keys(), _UNSHOWN))
    except BaseException:
        delattr(model, _SHAPE)
        raise
    return shape


_UNSHOWN = Field("", Closed(lambda _: ABSENT))
_CHANGES_TEXT = ("strip_whitespace", "to_lower", "to_upper")


def _shape_of_field(info: FieldInfo, config: ConfigDict) -> Shape:
    """The shape of a model's field. A text that its type changes, such as to lower case, shows once it is complete."""
    shape = shape_of(info.annotation)
    changes = [item for item in info.metadata if any(getattr(item, name, None) for name in _CHANGES_TEXT)]
    own = {name: value for name, value in config.items() if name in _READS_OTHERWISE and value}
    if isinstance(shape, Text) and (changes or any(name.startswith("str_") for name in own)):
        annotation: Any = Annotated[(info.annotation, *changes)] if changes else info.annotation
        return Closed(_make_converter(annotation, own))
    if isinstance(shape, Closed) and own:
        return Closed(_make_converter(info.annotation, own))
    return shape


_READS_OTHERWISE = {
    *("str_strip_whitespace", "str_to_lower", "str_to_upper", "use_enum_values", "val_json_bytes", "val_temporal_unit"),
}
"""Settings of a model by which a field's value differs from what its type alone makes."""


def _names_in_json(model: type[BaseModel], name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias if field.validation_alias is not None else field.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    names = [choice for choice in choices if isinstance(choice, str)]
    config = model.model_config
    if alias is None or config.get("populate_by_name") or config.get("validate_by_name"):
        names.append(name)
    return names


def _maker(partial: type[BaseModel], needed: tuple[str, ...]) -> Callable[[dict[str, Any]], Any]:
    """Make what makes objects of a partial type: as ``model_construct`` does, without validators."""
    blank: dict[str, Any] = dict.fromkeys(partial.model_fields)
    keeps_extra = partial.model_config.get("extra") == "allow"
    private = {
        name: attribute
        for name, attribute in partial.__private_attributes__.items()
        if attribute.default is not PydanticUndefined or attribute.default_factory is not None
    }
    has_private = bool(partial.__private_attributes__)
    new, put = partial.__new__, object.__setattr__

    def own_private() -> dict[str, Any]:
        factories = {name: attribute.default_factory or attribute.get_default for name, attribute in private.items()}
        return {name: cast("Callable[[], Any]", factory)() for name, factory in factories.items()}

    def make(values: dict[str, Any]) -> Any:
        for name in needed:
            if values.get(name) is None:
                return ABSENT
        extra = {name: values.pop(name) for name in values.keys() - blank.keys()} if keeps_extra else None
        made = new(partial)
        put(made, "__dict__", {**blank, **values})
        put(made, "__pydantic_fields_set__", set(values))
        put(made, "__pydantic_extra__", extra)
        put(made, "__pydantic_private__", own_private() if has_private else None)
        return made

    return make


def _make_partial(model: type[BaseModel]) -> type[BaseModel]:
    name = f"Partial{model.__name__}"
    setattr(model, _PARTIAL, model)  # while it is made: a model may hold itself
    try:
        fields = {name: (_partial_annotation(field.annotation) | None, _optional(field))
                  for name, field in model.model_fields.items()}  # fmt: skip
        made = create_model(
            name,
            __base__=model,
            __doc__=model.__doc__,  # because a base class of the user's may insist on one
            __module__=model.__module__,
            __validators__=cast("dict[str, Any]", _forgiving_properties(model)),  # what stands in the class's body
            **cast("dict[str, Any]", fields),
        )
    finally:
        delattr(model, _PARTIAL)
    setattr(made, _WHOLE, model)
    return made


def _forgiving_properties(model: type[BaseModel]) -> dict[str, object]:
    """Computed fields that are None where they can't be computed yet: printing or dumping a partial object asks for them."""

    def forgive(computed: Any) -> property:
        def get(self: BaseModel) -> Any:
            try:
                return computed.__get__(self)
            except Exception:  # noqa: BLE001 - whatever the user's code makes of a value that is missing
                return None

        return property(get)

    return {
        name: computed_field(return_type=Any, alias=info.alias, repr=info.repr)(forgive(info.wrapped_property))
        for name, info in model.model_computed_fields.items()
    }


def _optional(field: FieldInfo) -> FieldInfo:
    own = copy(field)
    own.default, own.default_factory = None, None
    own.metadata = [item for item in field.metadata if not isinstance(item, Rule)]
    return own


def _partial_annotation(annotation: ResponseModel) -> ResponseModel:
    """Put partial types in place of models, where a model may be shown in part."""
    plain, _ = _strip(annotation)
    if _is_model(plain):
        return Any if plain.__dict__.get(_PARTIAL) is plain else partial_of(plain)
    origin: Any = typing.get_origin(plain)
    arguments = typing.get_args(plain)
    if origin in LISTS and arguments:
        return list[_partial_annotation(arguments[0])]  # type: ignore[misc]  # pyright: ignore - known only here
    if origin is dict and arguments[0] is str:
        return dict[str, _partial_annotation(arguments[1])]  # type: ignore[misc]  # pyright: ignore - as above
    return annotation


def _shape_of_record(record: ResponseModel) -> Object:
    """The shape of a dataclass, or of a TypedDict, which shows as a plain dict of what has come."""
    found = record.__dict__.get(_SHAPE)
    if found is not None:
        return cast("Object", found)
    fields: dict[str, Field] = {}
    shape = Object(fields, _keep)
    setattr(record, _SHAPE, shape)  # before its fields, because a record may hold itself
    try:
        hints = typing_extensions.get_type_hints(record, include_extras=True)
        rules = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
        shape.make = _record_maker(record, tuple(name for name in hints if Rule.NOT_NULL in rules[name]))
        fields.update({name: Field(name, shape_of(hint), Rule.DONE in rules[name]) for name, hint in hints.items()})
    except BaseException:
        delattr(record, _SHAPE)
        raise
    return shape


def _record_maker(record: ResponseModel, needed: tuple[str, ...]) -> Callable[[dict[str, Value]], Value]:
    """Make what makes a TypedDict, or objects of a dataclass's partial type, without running the dataclass's code."""
    if typing_extensions.is_typeddict(record):
        return lambda values: ABSENT if any(values.get(name) is None for name in needed) else values
    partial: Any = cast("type", type(f"Partial{record.__name__}", (record,), {"__module__": record.__module__}))
    blank: dict[str, Value] = {field.name: None for field in dataclasses.fields(record)}

    def make(values: dict[str, Value]) -> Value:
        if any(values.get(name) is None for name in needed):
            return ABSENT
        made: object = object.__new__(partial)
        for name, value in {**blank, **values}.items():
            object.__setattr__(made, name, value)
        return made

    return make


# Values that show once they are complete


def _converter(annotation: ResponseModel, nullable: bool) -> Callable[[str], Value]:
    convert = _PLAIN.get(annotation) if isinstance(annotation, type) else None
    convert = convert or _make_converter(annotation)
    return lambda raw: (None if nullable else ABSENT) if raw == "null" else convert(raw)


def _read_int(raw: str) -> Value:
    found = _NUMBER.fullmatch(raw)
    try:
        return int(raw) if found and not found[1] and not found[2] else ABSENT
    except ValueError:  # more digits than Python converts
        return ABSENT


def _read_float(raw: str) -> Value:
    return float(raw) if _NUMBER.fullmatch(raw) else ABSENT


def _read_anything(raw: str) -> Value:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return ABSENT


_PLAIN: Mapping[type, Callable[[str], Value]] = {
    int: _read_int,
    float: _read_float,
    bool: lambda raw: {"true": True, "false": False}.get(raw, ABSENT),
}


def _make_converter(annotation: Any, config: Mapping[str, Any] | None = None) -> Callable[[str], Any]:
    """Let pydantic read the value. It is compiled at the first one, which most streams come to late."""
    made: list[TypeAdapter[Value]] = []

    def convert(raw: str) -> Value:
        try:
            if not made:
                made.append(
                    TypeAdapter(annotation, config=cast("ConfigDict", config)) if config else TypeAdapter(annotation)
                )
            return made[0].validate_json(raw)
        except Exception:  # noqa: BLE001 - whatever a type raises; the complete answer is judged later
            return ABSENT

    return convert
