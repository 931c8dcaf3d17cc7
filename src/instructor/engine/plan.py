"""Plans: what is known of a response model once, for one client, so that no call works it out again."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import typing
import weakref
from collections.abc import Iterable
from typing import Any, cast

from instructor.cache.canonical import canonical_text
from instructor.describing import name_model
from instructor.engine.call import Common
from instructor.locks import make_lock
from instructor.messages import ResponseModel, Value
from instructor.mode import Mode
from instructor.wires.capabilities import Capabilities
from instructor.wires.spec import Binding, ToolSpec, join_bindings
from instructor.wires.wire import Wire

if typing.TYPE_CHECKING:
    from instructor.engine.response_type import ResponseType

MOST_ANNOTATIONS = 256
"""Plans kept that keep their response model alive, such as that of ``list[User]``; more than a program writes down."""


class Plan:
    """A response model, compiled: all that is known of it before a call says how and whom to ask.

    Attributes:
        name: The response model's name, for entries.
        number: Tells the plan apart from all others of its client.
        type: How answers become values; None for ``response_model=None``.
        awaits: Whether asynchronous validators judge the value that `type` makes. Then the fast path doesn't serve it.
        direct: Whether `type` does no more than ask the response model's own validator, so that the fast path may do
            so without it, and each instance has the place for a `Carried`, which a `RootModel` hides.
        carries: Whether the fast path may write a `Carried` to each instance of the response model.
        common: What all calls without keywords have in common, once there was one; the client's to set.
        ttl: The response model's ``__cache_ttl__``; None where it has none. Asking pydantic for it takes as long as a hit.
        schema_text: The response model's schema in canonical form, for the key.
        shape_text: What else of it a request shows: the function's name and description, and the order of the schema,
            which the canonical form does not keep though a model writes its answer in that order.
    """

    __slots__ = (
        "_bindings",
        "awaits",
        "carries",
        "common",
        "direct",
        "name",
        "number",
        "schema_text",
        "shape_text",
        "ttl",
        "type",
    )

    def __init__(
        self,
        number: int,
        response_type: ResponseType | None,
        *,
        awaits: bool = False,
        direct: bool = False,
        carries: bool = False,
        ttl: object = None,
        name: str = "",
    ) -> None:
        self.number = number
        self.type = response_type
        self.awaits = awaits
        self.carries = carries
        self.ttl = ttl
        self.name = name
        self.direct = direct
        self.schema_text = canonical_text(response_type.schema, "schema") if response_type else "null"
        self.shape_text = _describe(response_type.specs) if response_type else "null"
        self.common = Common()
        self._bindings: dict[tuple[str, Mode, bool, Capabilities], Binding] = {}

    def binding(self, wire: Wire, mode: Mode, strict: bool, capabilities: Capabilities) -> Binding | None:
        """The part of every request that the response model decides, made once for each way of asking."""
        if self.type is None:
            return None
        way = (wire.name, mode, strict, capabilities)
        binding = self._bindings.get(way)
        if binding is None:
            bindings = [wire.bind(spec, mode, strict, capabilities) for spec in self.type.specs]
            binding = self._bindings[way] = join_bindings(bindings)
        return binding


def _describe(specs: tuple[ToolSpec, ...]) -> str:
    shape = [
        (spec.name, spec.description, hashlib.sha256(json.dumps(spec.schema).encode()).hexdigest()) for spec in specs
    ]
    return canonical_text(shape, "shape")


class Plans:
    """The plans of one client, found by response model; `parallel` where each member of a list is a tool of its own.

    A pydantic model is known by its address and held weakly, so that a program which makes models on the fly does
    not collect them here. An annotation such as ``list[User]`` may be a new object each time, so it is known by its
    parts as well.

    Attributes:
        by_class: Plans by the address of the class, or of an annotation that is held here. Those that await validators
            are kept apart, so that the fast path, which can't await, never finds them and pays nothing for it.
    """

    def __init__(self, *, parallel: bool = False) -> None:
        self._parallel = parallel
        self.by_class: dict[int, Plan] = {}
        self._awaiting: dict[int, Plan] = {}
        self._by_parts: dict[Any, Plan] = {}
        self._by_annotation: dict[Any, tuple[Plan, Any]] = {}
        self._references: dict[int, weakref.ref[type]] = {}
        self._lock = make_lock()
        self._numbers = itertools.count()

    def find(self, model: ResponseModel) -> Plan | None:
        """The plan of a response model, if there is one. It takes no lock: the fast path calls it."""
        plan = self.by_class.get(id(model)) or self._awaiting.get(id(model))
        if plan is None and model is not None:
            try:
                plan = self._by_parts.get(_parts_of(model))
            except TypeError:  # a part that has no hash
                plan = None
            if plan is None and (held := self._by_annotation.get(identify(model))):
                plan = held[0]
        return plan

    def find_served(self, model: ResponseModel) -> Plan | None:
        """As `find`, for the fast path: None for a plan with asynchronous validators."""
        plan = self.find(model)
        return None if plan is None or plan.awaits else plan

    def make(self, model: ResponseModel) -> Plan:
        """The plan of a response model, made if need be."""
        # Compiled outside the lock, because a schema runs code of the user's; a plan made twice is harmless.
        compiled = self._compile(model)
        with self._lock:
            plan = self.find(model)
            if plan is None:
                plan = compiled
                self._keep(model, plan)
            return plan

    def _compile(self, model: ResponseModel) -> Plan:
        if model is not None:
            from instructor.engine.async_validation import has_async_validators
            from instructor.engine.response_type import make_parallel_type, make_response_type

            make = make_parallel_type if self._parallel else make_response_type
            response_type = make(model)
            return Plan(
                next(self._numbers),
                response_type,
                awaits=has_async_validators(model),
                direct=not response_type.holds_model and not getattr(model, "__pydantic_root_model__", False),
                carries=_can_carry(model),
                ttl=getattr(model, "__cache_ttl__", None),
                name=name_model(model),
            )
        return Plan(next(self._numbers), None)

    def _keep(self, model: ResponseModel, plan: Plan) -> None:
        address = id(model)
        if plan.type is None or not plan.type.holds_model:
            if model is not None:
                self._references[address] = weakref.ref(model, lambda _: self._drop(address))
            self._known(plan)[address] = plan
            return
        if len(self._by_annotation) >= MOST_ANNOTATIONS:
            self._forget_annotation()
        # With the annotation, because what it is known by may be the address of something in it, or its own.
        self._by_annotation[identify(model)] = plan, model
        self._known(plan)[address] = plan
        if _is_of_classes(model):
            self._by_parts[_parts_of(model)] = plan

    def _known(self, plan: Plan) -> dict[int, Plan]:
        return self._awaiting if plan.awaits else self.by_class

    def _forget_annotation(self) -> None:
        plan, model = self._by_annotation.pop(next(iter(self._by_annotation)))
        for known in (self.by_class, self._awaiting, self._by_parts):
            for name in [name for name, other in known.items() if other is plan]:
                del known[name]
        del model  # it lived as long as its address was known

    def _drop(self, address: int) -> None:
        # Called when a class is freed, in whatever thread frees it; the lock could be held by that very thread.
        self.by_class.pop(address, None)
        self._awaiting.pop(address, None)
        self._references.pop(address, None)


def _can_carry(model: ResponseModel) -> bool:
    """Whether a response model has no use of its own for the place of extra fields."""
    config: dict[str, object] = getattr(model, "model_config", {})
    return config.get("extra") != "allow"


def _is_of_classes(annotation: ResponseModel) -> bool:
    """Whether an annotation is made of classes alone, such as ``list[User]`` or ``A | B``.

    Classes are equal only if they are one class, so the parts of such an annotation tell it apart from any other.
    """
    parts = getattr(annotation, "__args__", ())
    return (
        bool(parts) and not hasattr(annotation, "__metadata__") and all(issubclass(type(part), type) for part in parts)
    )


def _parts_of(annotation: ResponseModel) -> Any:
    return type(annotation), getattr(annotation, "__origin__", None), getattr(annotation, "__args__", None)


def identify(annotation: ResponseModel) -> Any:
    """Make a dict key that differs between annotations with different schemas, although Python calls them equal.

    ``A | B`` equals ``B | A``, and `Literal[1]` holds what equals the value of `Literal[True]`.

    The key may hold the addresses of objects, so the annotation must be kept with the plan.
    """
    arguments = getattr(annotation, "__args__", None)
    if not arguments:
        return annotation if isinstance(annotation, type) else (type(annotation), _known_by(annotation))
    metadata = getattr(annotation, "__metadata__", ())
    parts = (identify(argument) for argument in arguments)
    return (typing.get_origin(annotation), *parts, *map(_typed, metadata))


_WELL_KNOWN = ("annotated_types", "builtins", "pydantic", "typing", "typing_extensions")
"""Packages in which objects with equal values and equal reprs mean the same."""


def _known_by(value: Value) -> object:
    if type(value) in (str, int, bool):
        return value
    if type(value).__module__.partition(".")[0] not in _WELL_KNOWN:
        return id(value)
    held = _held_by(value)
    if held is not None:
        return tuple(map(_typed, held))
    try:
        hash(value)
    except TypeError:
        return repr(value)
    # Equal objects may hold other types: `WithJsonSchema({"const": 1})` equals the one with True, which prints otherwise.
    return value, repr(value)


def _held_by(value: Value) -> Iterable[Value] | None:
    """What an object is made of, if it is equal only where that is.

    An ``AfterValidator`` may hold a user's object that counts as equal to another and validates otherwise.
    """
    if isinstance(value, dict):
        return itertools.chain.from_iterable(cast("dict[Value, Value]", value).items())
    if isinstance(value, list):
        return cast("list[Value]", value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    if type(value).__name__ == "FieldInfo":
        return [getattr(value, name) for name in ("_attributes_set", "metadata")]  # nothing else says what was set
    return None


def _typed(value: Value) -> object:
    return cast("object", type(value)), _known_by(value)
