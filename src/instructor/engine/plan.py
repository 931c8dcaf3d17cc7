"""Plans: what is known of a response model once, for one client, so that no call works it out again."""

from __future__ import annotations

import hashlib
import itertools
import json
import typing
import weakref
from typing import Any

from instructor.cache.key import canonical_text
from instructor.locks import make_lock
from instructor.mode import Mode
from instructor.wires.spec import Binding, ToolSpec
from instructor.wires.wire import Wire

if typing.TYPE_CHECKING:
    from instructor.engine.response_type import ResponseType

MOST_ANNOTATIONS = 256
"""Plans kept that keep their response model alive, such as that of ``list[User]``; more than a program writes down."""


class Plan:
    """A response model, on a wire, in a mode.

    Attributes:
        number: Tells the plan apart from all others of its client.
        type: How answers become values; None for ``response_model=None``.
        wire: The wire to ask over.
        mode: The mode to ask in.
        direct: Whether `type` does no more than ask the response model's own validator, so that the way of a hit from
            memory may do so without it.
        schema_text: The response model's schema in canonical form, for the key.
        shape_text: What else of it a request shows: the function's name and description, and the order of the schema,
            which the canonical form does not keep though a model writes its answer in that order.
    """

    __slots__ = ("_bindings", "direct", "mode", "number", "schema_text", "shape_text", "type", "wire")

    def __init__(self, number: int, kind: ResponseType | None, wire: Wire, mode: Mode) -> None:
        self.number = number
        self.type = kind
        self.direct = kind is not None and not kind.holds_model
        self.wire = wire
        self.mode = mode
        self.schema_text = canonical_text(kind.schema, "schema") if kind else "null"
        self.shape_text = _describe(kind.specs) if kind else "null"
        self._bindings: dict[bool, Binding | None] = {}

    def binding(self, strict: bool) -> Binding | None:
        """The part of every request that the response model decides, made on first use."""
        if strict not in self._bindings:
            self._bindings[strict] = self.wire.bind(self.type.specs[0], self.mode, strict) if self.type else None
        return self._bindings[strict]


def _describe(specs: tuple[ToolSpec, ...]) -> str:
    shape = [
        (spec.name, spec.description, hashlib.sha256(json.dumps(spec.schema).encode()).hexdigest()) for spec in specs
    ]
    return canonical_text(shape, "shape")


class Plans:
    """The plans of one client, found by response model.

    A pydantic model is known by its address and held weakly, so that a program which makes models on the fly does
    not collect them here. An annotation such as ``list[User]`` is a new object each time, so it is known by its parts.
    """

    def __init__(self, wire: Wire, mode: Mode) -> None:
        self.by_class: dict[int, Plan] = {}
        self._by_annotation: dict[Any, tuple[Plan, Any]] = {}
        self._references: dict[int, weakref.ref[type]] = {}
        self._wire = wire
        self._mode = mode
        self._lock = make_lock()
        self._numbers = itertools.count()

    def find(self, model: Any) -> Plan | None:
        """The plan of a response model, if there is one. Takes no lock: this is on the way of every hit."""
        plan = self.by_class.get(id(model))
        if plan is None and (held := self._by_annotation.get(identify(model))):
            plan = held[0]
        return plan

    def make(self, model: Any) -> Plan:
        """The plan of a response model, made if need be.

        Raises:
            ConfigurationError: The response model is nothing that an answer can be validated against.
        """
        # Compiled outside the lock, because a schema runs code of the user's; a plan made twice is harmless.
        compiled = self._compile(model)
        with self._lock:
            plan = self.find(model)
            if plan is None:
                plan = compiled
                self._keep(model, plan)
            return plan

    def _compile(self, model: Any) -> Plan:
        kind = None
        if model is not None:
            from instructor.engine.response_type import make_response_type

            kind = make_response_type(model)
        return Plan(next(self._numbers), kind, self._wire, self._mode)

    def _keep(self, model: Any, plan: Plan) -> None:
        if plan.type is None or not plan.type.holds_model:
            address = id(model)
            if model is not None:
                self._references[address] = weakref.ref(model, lambda _: self._drop(address))
            self.by_class[address] = plan
            return
        if len(self._by_annotation) >= MOST_ANNOTATIONS:
            self._by_annotation.pop(next(iter(self._by_annotation)))
        # With the annotation, because what it is known by may be the address of something in it.
        self._by_annotation[identify(model)] = plan, model

    def _drop(self, address: int) -> None:
        # Called when a class is freed, in whatever thread frees it; the lock could be held by that very thread.
        self.by_class.pop(address, None)
        self._references.pop(address, None)


def identify(annotation: Any) -> Any:
    """Make a dict key that differs between annotations with different schemas, although Python calls them equal.

    ``A | B`` equals ``B | A``, and `Literal[1]` holds what equals the value of `Literal[True]`.

    Args:
        annotation: Anything that can be used as a type, such as ``list[User]`` or ``Literal[1]``.

    Returns:
        The key. It may hold the addresses of objects, so the annotation must be kept with the plan.
    """
    arguments = getattr(annotation, "__args__", None)
    if not arguments:
        return annotation if isinstance(annotation, type) else (type(annotation), _known_by(annotation))
    metadata = getattr(annotation, "__metadata__", ())
    parts = (identify(argument) for argument in arguments)
    return (typing.get_origin(annotation), *parts, *((type(item), _known_by(item)) for item in metadata))


_WELL_KNOWN = ("annotated_types", "builtins", "pydantic", "typing", "typing_extensions")
"""Packages in which objects with equal values and equal reprs mean the same."""


def _known_by(value: Any) -> Any:
    if type(value) in (str, int, bool):
        return value
    if type(value).__module__.partition(".")[0] not in _WELL_KNOWN:
        return id(value)
    try:
        hash(value)
    except TypeError:
        return repr(value)
    # Equal objects may hold other types: `WithJsonSchema({"const": 1})` equals the one with True, which prints otherwise.
    return value, repr(value)
