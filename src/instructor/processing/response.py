"""What a client does before and after a request, as functions: how programs of 1.x send requests themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instructor.dsl.schema import read_completion, response_schema
from instructor.engine.response_type import make_response_type
from instructor.exceptions import ModeError
from instructor.messages import Completion, Request, ResponseModel, Value
from instructor.mode import Mode, resolve_mode
from instructor.providers.sdks import find_wires
from instructor.providers.table import find_vendor


def handle_response_model(
    response_model: ResponseModel, mode: Mode | str = Mode.TOOLS, provider: str = "openai", **kwargs: Any
) -> tuple[ResponseModel, Request]:
    """Write the keywords of a request for an answer of a type.

    Args:
        response_model: The type of the answer; None leaves the keywords as they are.
        mode: How the model is asked for it.
        provider: The vendor's name, or a `Provider`.
        **kwargs: The request so far: ``messages``, ``model``, ``temperature`` ...

    Returns:
        The response model, with `from_response` where it is a pydantic model; and the keywords for the SDK's method.

    Raises:
        ModeError: The vendor doesn't offer the mode.

    Example:
        >>> _, request = handle_response_model(int, messages=[{"role": "user", "content": "Anna is 25."}])
        >>> sorted(request)
        ['messages', 'tool_choice', 'tools']
    """
    if response_model is None:
        return None, kwargs
    asked, vendor = resolve_mode(mode), find_vendor(provider)
    wires = find_wires(vendor)
    if asked not in wires:
        raise ModeError(asked.name, vendor.name, [known.name for known in wires])
    [spec, *_] = make_response_type(response_model).specs
    named = kwargs.pop("model", None)
    binding = wires[asked].bind(spec, asked, strict=False)
    request = dict(wires[asked].write(kwargs.pop("messages", []), binding, named or "", kwargs))
    if named is None:
        request.pop("model", None)
    is_model = isinstance(response_model, type) and hasattr(response_model, "model_fields")
    return response_schema(response_model) if is_model else response_model, request


def process_response(
    response: Completion,
    *,
    response_model: ResponseModel = None,
    stream: bool = False,
    validation_context: Mapping[str, object] | None = None,
    strict: bool | None = None,
    mode: Mode | str = Mode.TOOLS,
    provider: object = None,
) -> Value:
    """Read the answer out of an SDK's completion, and validate it; without a response model, return the completion.

    `mode` is the one in which the answer was asked for, and `validation_context` what validators find as
    ``info.context``. The completion itself tells the provider. A stream can't be read here: use `create_partial` or
    `create_iterable`. An answer that isn't valid raises ``pydantic.ValidationError``; one that is cut off or refused,
    an `InstructorError`.
    """
    del provider, stream
    if response_model is None:
        return response
    return read_completion(response_model, response, mode, strict=bool(strict), context=validation_context)


async def process_response_async(response: Completion, **keywords: Any) -> Value:
    """`process_response`, awaited."""
    return process_response(response, **keywords)
