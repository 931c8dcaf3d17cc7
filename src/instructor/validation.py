"""Validators that ask a model, under the path that upstream's users import them from."""

from __future__ import annotations

from instructor.dsl.validators import Validator, llm_validator, openai_moderation
from instructor.exceptions import AsyncValidationError

__all__ = ["AsyncValidationError", "Validator", "llm_validator", "openai_moderation"]
