"""The names of the providers' batch APIs. They come in a later version; each says so when it is used."""

from __future__ import annotations

from typing import Any

from instructor.exceptions import ConfigurationError


class _NotYet(type):
    """The class of a name that can be imported, and not used."""

    def __call__(cls, *args: object, **keywords: object) -> Any:
        del args, keywords
        raise ConfigurationError(
            f"{cls.__name__}: the providers' batch APIs come in a later version. Until then use create() in threads "
            "or tasks with cache=DiskCache(), or the command `instructor extract`: both go on where they were stopped."
        )

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{cls.__name__} has no attribute {name!r}.", name=name)
        return cls


class BatchJob(metaclass=_NotYet):
    """Answers of a batch, read from a file."""


class BatchProcessor(metaclass=_NotYet):
    """Sends a batch, and reads its answers."""


class BatchRequest(metaclass=_NotYet):
    """One request of a batch."""
