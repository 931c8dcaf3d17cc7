"""Validators that ask: a language model whether a text fits a rule, or OpenAI's moderation whether it is harmful."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pydantic import BaseModel, Field

from instructor.client import Instructor
from instructor.exceptions import ConfigurationError


class Validator(BaseModel):
    """What a model says about a text: whether it fits, and if not, why and what it should be.

    Attributes:
        is_valid: Whether the text fits.
        reason: Why it doesn't.
        fixed_value: What it should be.
    """

    is_valid: bool = Field(default=True, description="Whether the value fits the rule")
    reason: str | None = Field(default=None, description="Why the value does not fit, if it does not")
    fixed_value: str | None = Field(default=None, description="The value as it should be, if it can be corrected")


_SYSTEM = "You check values against a rule. Say whether the value fits, and if it does not, why, and how to correct it."


def llm_validator(
    statement: str,
    client: Instructor,
    allow_override: bool = False,
    model: str | None = None,
    temperature: float | None = 0,
) -> Callable[[str], str]:
    """Make a validator that asks a model whether a text fits a rule, for ``Annotated[str, AfterValidator(...)]``.

    Its calls are calls of the client like any other. Give that client a cache: a value that was judged once is then
    not judged again when an answer comes from the cache.

    Args:
        statement: The rule, such as ``"it is polite"``.
        client: Whom to ask. Field validators of pydantic are plain functions, so it is a synchronous one.
        allow_override: Whether a value that doesn't fit is replaced by the corrected one, where there is one.
        model: The model to ask. Default: the client's, which it needs then.
        temperature: As for `Instructor.create`; None to leave it out, for models that take none. Default 0.

    Returns:
        A function that returns its text, or the corrected one.

    Raises:
        ConfigurationError: The client is not a synchronous one, or there is no model to ask.

    Example:
        >>> from typing import Annotated
        >>> from pydantic import AfterValidator
        >>> client = instructor.from_provider("offline/demo")
        >>> Polite = Annotated[str, AfterValidator(llm_validator("it is polite", client))]
    """
    if not isinstance(client, Instructor) or type(client).create is not Instructor.create:
        raise ConfigurationError(
            "llm_validator needs a synchronous client, because pydantic does not await validators. Pass one from "
            "from_provider(...) without async_client=True."
        )
    if not (model or client.default_model):
        raise ConfigurationError(
            "llm_validator has no model to ask: its client has none of its own. Pass model=, or make the client with "
            'from_provider("vendor/model").'
        )
    options: dict[str, Any] = {"model": model, "temperature": temperature}
    chosen = {name: value for name, value in options.items() if value is not None}

    def validate(value: str) -> str:
        messages = [
            {"role": "system", "content": _SYSTEM},
            {"role": "user", "content": f"Does the value fit the rule?\n\nRule: {statement}\n\nValue: {value}"},
        ]
        verdict = cast("Validator", client.create(Validator, messages, **chosen))  # for all that is known, a stream
        if verdict.is_valid:
            return value
        if allow_override and verdict.fixed_value is not None:
            return verdict.fixed_value
        raise ValueError(verdict.reason or f"the value does not fit the rule: {statement}")

    return validate


def openai_moderation(client: Any) -> Callable[[str], str]:
    """Make a validator that refuses texts which OpenAI's moderation endpoint flags.

    Args:
        client: An ``openai.OpenAI``, or one of our clients over it.

    Returns:
        A function that returns its text.

    Example:
        >>> import openai
        >>> check = openai_moderation(openai.OpenAI(api_key="sk-..."))
    """

    def validate(value: str) -> str:
        [result] = client.moderations.create(input=value).results
        if not result.flagged:
            return value
        flagged = [name for name, is_hit in result.categories.model_dump().items() if is_hit]
        raise ValueError(f"`{value}` was flagged for {', '.join(flagged)}")

    return validate
