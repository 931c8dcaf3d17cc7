"""The clients under the path that upstream's users import them from."""

from __future__ import annotations

from instructor.client import AsyncInstructor, Instructor
from instructor.factory import from_openai
from instructor.patching import from_litellm

__all__ = ["AsyncInstructor", "Instructor", "from_litellm", "from_openai"]
