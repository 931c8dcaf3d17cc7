"""The names of 1.x for the providers' batch APIs: `BatchJob` is here; the others say what to use when they are used."""

from __future__ import annotations

from typing import Any

from instructor.batches.batch_job import AsyncBatchJob, BatchJob, BatchStatus
from instructor.exceptions import ConfigurationError

__all__ = ["AsyncBatchJob", "BatchJob", "BatchProcessor", "BatchRequest", "BatchStatus"]


class _Replaced(type):
    """The class of a name that can be imported, and not used."""

    def __call__(cls, *args: object, **keywords: object) -> Any:
        del args, keywords
        raise ConfigurationError(
            f"{cls.__name__}: use client.batch(rows, response_model, messages), with a client that has cache=DiskCache(). "
            "It writes and submits the requests, and its results() are validated rows."
        )

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{cls.__name__} has no attribute {name!r}.", name=name)
        return cls


class BatchProcessor(metaclass=_Replaced):
    """Sends a batch, and reads its answers."""


class BatchRequest(metaclass=_Replaced):
    """One request of a batch."""
