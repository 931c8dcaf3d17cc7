"""Attributes that clients had in 1.x, for programs that read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from instructor.messages import Request, Value


class OldAttributes:
    """What `BaseClient` inherits. New programs need none of these."""

    _defaults: Request
    _model: str | None

    @property
    def kwargs(self) -> Request:
        """The keywords for every call, the model among them. A copy."""
        return {**({} if self._model is None else {"model": self._model}), **self._defaults}

    @property
    def default_model(self) -> str | None:
        """The model that is asked unless a call names another."""
        return self._model

    @property
    def create_fn(self) -> Callable[..., Value]:
        """The method `create`."""
        client: Any = self
        return cast("Callable[..., Value]", client.create)

    def handle_kwargs(self, kwargs: Mapping[str, object]) -> Request:
        """Return a call's keywords with those for every call beneath them."""
        return {**self.kwargs, **kwargs}
