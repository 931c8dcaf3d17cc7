"""What an adapter for one official SDK must do; all that the engine knows of providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from instructor.exceptions import InstructorError
from instructor.messages import Request
from instructor.mode import Mode
from instructor.wires.capabilities import Capabilities


class Adapter(Protocol):
    """The way to one endpoint of one provider.

    Making a adapter imports no SDK, opens no connection and needs no key: `send` does, the first time.
    """

    @property
    def provider(self) -> str:
        """The vendor's name, such as ``"groq"``."""
        ...

    @property
    def asynchronous(self) -> bool:
        """Whether `send` returns an awaitable."""
        ...

    @property
    def endpoint(self) -> Mapping[str, Any]:
        """Where the answers come from, for the cache key.

        Base URL, API version, organisation, project, region, and the default headers and query that are neither
        credentials nor tracing. Members that are not set are left out.
        """
        ...

    @property
    def client(self) -> Any:
        """The SDK's client, made on first use; one for each event loop where it is asynchronous and ours.

        Raises:
            ConfigurationError: The SDK is not installed, or a key is needed and none was given.
        """
        ...

    @property
    def ready(self) -> bool:
        """Whether `prepare` has nothing left to do, so that the next request measures the provider alone."""
        ...

    def prepare(self) -> Any:
        """Import the SDK and make its client. Returns None, or an awaitable where `asynchronous`."""
        ...

    def capabilities(self, model: str) -> Capabilities:
        """What a model can do, as far as it is known: from a table, and from what the provider refused before."""
        ...

    def learn(self, model: str, mode: Mode, error: Exception) -> Capabilities | None:
        """Correct what is known of a model by an error of the provider.

        Returns:
            The corrected capabilities if the error says that the model doesn't support what was asked in `mode`;
            None for any other error, and where nothing is left to try.
        """
        ...

    def close(self) -> None:
        """Close the SDK's client, if it was made here and is synchronous."""
        ...

    async def aclose(self) -> None:
        """Close the SDK's client of the running event loop, if it was made here."""
        ...

    def send(self, operation: str, request: Request) -> Any:
        """Call the SDK method at the path `operation` with `request` as keywords.

        Returns:
            The SDK's completion, or an awaitable of it where `asynchronous`.
        """
        ...

    def dump(self, completion: Any) -> str:
        """Write a completion as one line of JSON from which `load` makes an equal one. No credential is in it."""
        ...

    def load(self, text: str) -> Any:
        """Make the SDK's own class again; a ``SimpleNamespace`` where the SDK is not installed."""
        ...


class PlainAdapter:
    """What an adapter needs that has no SDK behind it: nothing to prepare, to learn or to close."""

    asynchronous: bool
    ready = True

    def prepare(self) -> Any:
        """Nothing to prepare."""
        return _nothing() if self.asynchronous else None

    def capabilities(self, model: str) -> Capabilities:
        """Every model can do everything, best by tools."""
        del model
        return Capabilities()

    def learn(self, model: str, mode: Mode, error: Exception) -> Capabilities | None:
        """Nothing to learn."""
        del model, mode, error
        return None

    def close(self) -> None:
        """Nothing to close."""

    async def aclose(self) -> None:
        """Nothing to close."""


async def _nothing() -> None:
    return None


def sdk_attribute(adapter: Adapter, name: str) -> Any:
    """Read an attribute of the SDK's client, for names that a client of ours does not have itself.

    Raises:
        AttributeError: The SDK's client lacks it too, or cannot be made.
    """
    try:
        client = adapter.client
    except InstructorError as error:
        raise AttributeError(
            f"{name!r} is no attribute of this client, and the SDK's cannot be made: {error}"
        ) from error
    return getattr(client, name)
