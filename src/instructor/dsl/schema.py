"""Response models that know their own tool schema and read completions: how programs of 1.x ask without a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from pydantic import BaseModel, create_model

from instructor.engine.response_type import make_response_type
from instructor.exceptions import ConfigurationError
from instructor.messages import Completion, ResponseModel, Value
from instructor.mode import Mode
from instructor.wires.anthropic import ANTHROPIC_MESSAGES
from instructor.wires.genai import GENAI
from instructor.wires.openai_chat import OPENAI_CHAT
from instructor.wires.openai_responses import OPENAI_RESPONSES
from instructor.wires.wire import Wire

T = TypeVar("T")


class classproperty(Generic[T]):  # noqa: N801 - it stands where ``property`` does
    """A property of a class.

    Example:
        >>> class User:
        ...     @classproperty
        ...     def title(cls):
        ...         return cls.__name__.lower()
        >>> User.title
        'user'
    """

    def __init__(self, method: Callable[[Any], T]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: object, owner: type) -> T:
        return self._method(owner)


def _tool_of(model: ResponseModel, wire: Wire) -> dict[str, Any]:
    [spec] = make_response_type(model).specs
    arguments = wire.bind(spec, wire.modes[0], strict=False).arguments
    return cast("dict[str, Any]", arguments["tools"][0])


def generate_openai_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The function that a response model is sent as, in the form of OpenAI's chat API.

    Example:
        >>> class User(BaseModel):
        ...     name: str
        >>> generate_openai_schema(User)["name"]
        'User'
    """
    return cast("dict[str, Any]", _tool_of(model, OPENAI_CHAT)["function"])


def generate_anthropic_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The tool that a response model is sent as, in Anthropic's form.

    Example:
        >>> class User(BaseModel):
        ...     name: str
        >>> generate_anthropic_schema(User)["input_schema"]["required"]
        ['name']
    """
    return _tool_of(model, ANTHROPIC_MESSAGES)


def generate_gemini_schema(model: type[BaseModel]) -> Any:
    """The function declaration that a response model is sent as, in Google's form.

    Example:
        >>> class User(BaseModel):
        ...     name: str
        >>> generate_gemini_schema(User)["name"]
        'User'
    """
    [spec] = make_response_type(model).specs
    config = GENAI.bind(spec, Mode.TOOLS, strict=False).arguments["config"]
    return config["tools"][0]["function_declarations"][0]


class ResponseSchema(BaseModel):
    """A pydantic model with its tool schema as an attribute, and `from_response`.

    New programs need neither: ``create(response_model=User)`` takes any pydantic model.

    Example:
        >>> class User(ResponseSchema):
        ...     name: str
        >>> User.openai_schema["parameters"]["required"]
        ['name']
    """

    openai_schema: ClassVar[Any] = classproperty(generate_openai_schema)
    anthropic_schema: ClassVar[Any] = classproperty(generate_anthropic_schema)
    gemini_schema: ClassVar[Any] = classproperty(generate_gemini_schema)

    @classmethod
    def from_response(
        cls,
        completion: Completion,
        validation_context: Mapping[str, object] | None = None,
        strict: bool | None = None,
        mode: Mode | str = Mode.TOOLS,
        provider: object = None,
    ) -> Self:
        """Read an instance out of an SDK's completion.

        Args:
            completion: What the SDK returned, of any vendor whose wire is built in.
            validation_context: What validators find as ``info.context``.
            strict: Whether the types of JSON must fit exactly. Default: not.
            mode: The mode in which the answer was asked for.
            provider: Not needed: the completion tells.

        Raises:
            pydantic.ValidationError: The answer is not valid.
            InstructorError: It is cut off, refused, or holds no answer.
        """
        del provider
        read: Self = read_completion(cls, completion, mode, strict=bool(strict), context=validation_context)
        return read


def read_completion(
    model: ResponseModel,
    completion: Completion,
    mode: Mode | str,
    *,
    strict: bool,
    context: Mapping[str, object] | None,
) -> Value:
    """Read an answer of a type out of an SDK's completion; see `ResponseSchema.from_response`."""
    wire, asked = _wire_of(completion), Mode(mode)
    response_type = make_response_type(model)
    parts = wire.read(completion, asked, [spec.name for spec in response_type.specs], response_type.specs)
    return response_type.parse(parts, strict, context)


OpenAISchema = ResponseSchema

_KINDS = {"ChatCompletion": OPENAI_CHAT, "ModelResponse": OPENAI_CHAT, "Response": OPENAI_RESPONSES,
          "Message": ANTHROPIC_MESSAGES, "BetaMessage": ANTHROPIC_MESSAGES, "GenerateContentResponse": GENAI}  # fmt: skip


def _wire_of(completion: Completion) -> Wire:
    wire = _KINDS.get(type(completion).__name__)
    if wire is None:
        raise ConfigurationError(
            f"from_response() reads completions of {', '.join(_KINDS)}, not a {type(completion).__name__}."
        )
    return wire


def response_schema(model: type[BaseModel]) -> type[ResponseSchema]:
    """Give a pydantic model the attributes and the method of `ResponseSchema`: a class decorator.

    Example:
        >>> @response_schema
        ... class User(BaseModel):
        ...     name: str
        >>> User.openai_schema["name"]
        'User'
    """
    made = create_model(model.__name__, __base__=(ResponseSchema, model), __module__=model.__module__)
    made.__doc__ = model.__doc__
    return cast("type[ResponseSchema]", made)


openai_schema = response_schema

__all__ = [
    "OpenAISchema",
    "ResponseSchema",
    "generate_anthropic_schema",
    "generate_gemini_schema",
    "generate_openai_schema",
    "openai_schema",
    "response_schema",
]
