"""Response models that the worker processes of a cluster import, too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationInfo, field_validator


class Person(BaseModel):
    """Who is asked for."""

    name: str
    age: int


class Fragile(Person):
    """A person whose answer ends the process that reads it, once: the context names a file that says whether it has."""

    @field_validator("age")
    @classmethod
    def end_process(cls, age: int, info: ValidationInfo) -> int:
        """End the worker in the middle of a group."""
        context: Any = info.context
        mark = Path(context["mark"])
        if age == context["age"] and not mark.exists():
            mark.touch()
            os._exit(1)
        return age


def sign_and_ask(row: dict[str, Any]) -> str:
    """Leave this process's mark in the row's folder, and ask."""
    (Path(row["folder"]) / str(os.getpid())).touch()
    return str(row["text"])
