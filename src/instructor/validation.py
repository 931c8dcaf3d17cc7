"""Validators that ask a model, and asynchronous ones, under the path that upstream's users import them from."""

from __future__ import annotations

from instructor.dsl.validators import Validator, llm_validator, openai_moderation
from instructor.engine.async_validation import async_field_validator, async_model_validator
from instructor.exceptions import AsyncValidationError

__all__ = [
    "AsyncValidationError",
    "Validator",
    "async_field_validator",
    "async_model_validator",
    "llm_validator",
    "openai_moderation",
]
