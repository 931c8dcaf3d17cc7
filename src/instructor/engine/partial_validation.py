"""Validation of an answer that is still coming: each field of an object is judged once it is complete.

The fields that have come are validated as an object of their own, by the response model itself. So a validator sees what
it sees in the end: the values of the fields before its own. What is wrong only because the rest is missing doesn't count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError, from_json

from instructor.failures import find_mistake
from instructor.messages import ResponseModel, Value

if TYPE_CHECKING:
    from instructor.streaming.shapes import Object

Location = tuple[int | str, ...]
Judge = Callable[[str], None]
"""Takes the JSON of an object of which a member has just been completed; raises what is wrong with it."""


def make_judge(model: ResponseModel, shape: Object, validate: Callable[[str], Value]) -> Judge | None:
    """Make what judges the fields of a response model one after another; None where it has to see them all."""
    if isinstance(model, type) and issubclass(model, BaseModel) and _sees_all_first(model):
        return None
    order = list(dict.fromkeys(field.name for field in shape.fields.values()))

    def judge(text: str) -> None:
        try:
            validate(text)
        except ValidationError as error:
            if find_mistake(error) is not None:
                return  # raised in the end, when the whole is judged
            complete = _complete_names(order, shape, cast("dict[str, Value]", from_json(text)))
            found = error.errors(include_url=False, include_context=False)
            problems = [problem for problem in found if _name_of(problem, shape) in complete]
            if problems:
                raise restate(error.title, ((problem, problem["loc"]) for problem in problems)) from None
        except Exception:  # noqa: BLE001 - a validator that can't do without the rest, and is asked again in the end
            return

    return judge


def restate(title: str, problems: Iterable[tuple[ErrorDetails, Location]]) -> ValidationError:
    """Make an error of some of the problems of others, each with the place where it is."""
    details: list[InitErrorDetails] = [
        {
            "type": PydanticCustomError(cast("Any", problem["type"]), cast("Any", problem["msg"])),
            "loc": location,
            "input": problem["input"],
        }
        for problem, location in problems
    ]
    return ValidationError.from_exception_data(title, details, input_type="json")


def _sees_all_first(model: type[BaseModel]) -> bool:
    """Whether a validator of the model itself may change the data before its fields are validated."""
    validators = model.__pydantic_decorators__.model_validators.values()
    return any(validator.info.mode != "after" for validator in validators)


def _name_of(problem: ErrorDetails, shape: Object) -> str | None:
    """The field that a problem is in; None for one of the whole object."""
    field = shape.fields.get(str(problem["loc"][0])) if problem["loc"] else None
    return None if field is None else field.name


def _complete_names(order: Iterable[str], shape: Object, members: Iterable[str]) -> set[str]:
    """The fields that have come together with all fields before them, whose values their validators may ask for."""
    come = {shape.fields[member].name for member in members if member in shape.fields}
    complete: set[str] = set()
    for name in order:
        if name not in come:
            break
        complete.add(name)
    return complete
