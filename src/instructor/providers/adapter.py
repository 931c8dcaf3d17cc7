"""What an adapter to a provider must do. This is all that the engine knows of providers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from instructor.exceptions import ConfigurationError, MissingClientError
from instructor.messages import Request
from instructor.mode import Mode
from instructor.wires.capabilities import Capabilities


class Adapter(Protocol):
    """The connection to one endpoint of one provider.

    Making an adapter imports no SDK, opens no connection and needs no key. The first `send` does.
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
    def key_variables(self) -> Sequence[str]:
        """The environment variables that may hold the key, for messages."""
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
        """The SDK's client, made on first use; one for each event loop if it is asynchronous and we made it.

        Raises:
            ConfigurationError: The SDK is not installed, or it needs a key and there is none.
        """
        ...

    def capabilities(self, model: str) -> Capabilities:
        """What to write a request to a model for: the table's row, as corrected by `remember`."""
        ...

    def published(self, model: str) -> Capabilities:
        """The table's row of a model. `remember` does not change it, so the cache key is made of it."""
        ...

    def learn(self, model: str, mode: Mode, error: Exception, sent: Capabilities | None = None) -> Capabilities | None:
        """Find what to try next after an error that the provider answered with. Remembers nothing.

        Args:
            model: The model that was asked.
            mode: The mode that the request used.
            error: What `send` raised.
            sent: The capabilities that the request was written for.

        Returns:
            What to write the next request for; None if the error is about something else, or nothing is left to try.
        """
        ...

    def remember(self, model: str, proved: Capabilities) -> None:
        """Note for later requests that one which was written for `proved` was not refused."""
        ...

    @property
    def ready(self) -> bool:
        """Whether `prepare` has nothing left to do."""
        ...

    def prepare(self) -> Any:
        """Import the SDK and make its client, so that the request to come measures the provider alone.

        Returns:
            None, or an awaitable if `asynchronous`.
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
            The SDK's completion, or an awaitable of it if `asynchronous`.
        """
        ...

    def send_once(self, operation: str, request: Request, seconds: float | None) -> Any:
        """As `send`, without retries of the SDK's own.

        Args:
            operation: As for `send`.
            request: As for `send`.
            seconds: The longest timeout that the request may have; None for what it has.
        """
        ...

    def is_unreadable(self, outcome: object) -> bool:
        """Whether what `send` raised, or the text that it returned, says that the SDK could not read the answer.

        That is a failed attempt. Other errors of Python's or pydantic's own say that the SDK refused the request.
        """
        ...

    def dump(self, completion: Any) -> str:
        """Write a completion as one line of JSON from which `load` makes an equal one. It holds no credential."""
        ...

    def load(self, text: str) -> Any:
        """Make the SDK's own class again; a ``SimpleNamespace`` if the SDK is not installed."""
        ...

    def assemble(self, kind: str, body: dict[str, Any]) -> Any:
        """Make a completion of the data of a streamed answer.

        Args:
            kind: The name of the SDK's class, such as ``"ChatCompletion"``.
            body: Its data, as the API would have sent it in one piece.
        """
        ...


class FixedCapabilities:
    """The part of an `Adapter` that concerns models, for one whose models all do the same.

    Inherit from it and set `fixed` if the defaults of `Capabilities` do not fit.

    Attributes:
        fixed: What every model can do, the preferred mode first.
    """

    fixed: Capabilities = Capabilities()

    def capabilities(self, model: str) -> Capabilities:
        """The same for every model."""
        del model
        return self.fixed

    def published(self, model: str) -> Capabilities:
        """The same as `capabilities`."""
        return self.capabilities(model)

    def learn(self, model: str, mode: Mode, error: Exception, sent: Capabilities | None = None) -> Capabilities | None:
        """Learn nothing."""
        del model, mode, error, sent
        return None

    def remember(self, model: str, proved: Capabilities) -> None:
        """Remember nothing."""
        del model, proved


class _Sends(Protocol):
    def send(self, operation: str, request: Request) -> Any: ...


class NoClient:
    """The part of an `Adapter` that concerns the SDK, for one that has none: nothing to prepare, close or decode."""

    asynchronous: bool
    key_variables: Sequence[str] = ()

    def send_once(self: _Sends, operation: str, request: Request, seconds: float | None) -> Any:
        """Send as ever: what has no SDK retries nothing. Its own timeout, if it has one, is its affair."""
        del seconds
        return self.send(operation, request)

    @property
    def ready(self) -> bool:
        """Always."""
        return True

    def prepare(self) -> Any:
        """Prepare nothing."""
        return _nothing() if self.asynchronous else None

    def close(self) -> None:
        """Close nothing."""

    async def aclose(self) -> None:
        """Close nothing."""

    def is_unreadable(self, outcome: object) -> bool:  # noqa: ARG002 - whatever it is
        """Never."""
        return False


class SimpleAdapter(NoClient, FixedCapabilities):
    """Both parts, for an adapter without an SDK whose models all do the same."""


async def _nothing() -> None:
    return None


def sdk_client(adapter: Adapter) -> Any:
    """The SDK's client.

    Raises:
        MissingClientError: It can't be made.
    """
    try:
        return adapter.client
    except ConfigurationError as error:
        raise MissingClientError(str(error)) from error


def sdk_attribute(adapter: Adapter, owner: object, name: str) -> Any:
    """Read an attribute of the SDK's client, for a name that our client, the `owner`, does not have itself.

    Raises:
        AttributeError: The SDK's client lacks it too, or can't be made. The message names a method of ours like it.
    """
    try:
        return getattr(adapter.client, name)
    except (ConfigurationError, AttributeError) as error:
        kind = type(owner).__name__
        import difflib  # for an error alone

        close = difflib.get_close_matches(name, [known for known in dir(owner) if known[0] != "_"], 1, cutoff=0.75)
        hint = f" Did you mean {close[0]}?" if close else ""
        text = f"{kind} has no attribute {name!r}, and neither has the client of the SDK for {adapter.provider}.{hint}"
        if isinstance(error, ConfigurationError):
            text = (
                f"{kind} has no attribute {name!r}.{hint} The SDK's client, which may have it, can't be made: {error}"
            )
        raise AttributeError(text, name=name, obj=owner) from error
