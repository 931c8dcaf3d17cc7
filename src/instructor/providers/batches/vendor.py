"""What a vendor's batch API must do, and the table of those that have one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from instructor.credentials import mask_error
from instructor.exceptions import ConfigurationError, InstructorError, ProviderError
from instructor.failures import advise
from instructor.messages import Request
from instructor.providers.batches.steps import Out, Steps

if TYPE_CHECKING:
    from instructor.providers.adapter import Adapter

MODULES: Final = {
    "openai": "instructor.providers.batches.openai",
    "anthropic": "instructor.providers.batches.anthropic",
    "google": "instructor.providers.batches.google",
}
"""Where each vendor's API is spoken."""


@dataclass(frozen=True, slots=True)
class Intent:
    """One batch of a vendor, as it stands in the store. It is written there before anything is submitted.

    Attributes:
        id: Our name of it, by which it is found at the vendor.
        job: The job that it is part of.
        provider: The vendor.
        model: The model that is asked.
        operation: The SDK method that a live call would use.
        size: How many rows it has.
        created: When it was written, in Unix seconds.
        headers: What is sent beside the rows, for all of them.
        after: The newest batch that the vendor had before this one; empty where that isn't known.
        vendor_id: The vendor's name of it; empty as long as it isn't known to be submitted.
        closed: Whether nothing is to be read of it any more.
        excluded: Batches of the vendor that looked like this one, and were another.
    """

    id: str
    job: str
    provider: str
    model: str
    operation: str
    size: int
    created: float
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    after: str = ""
    vendor_id: str = ""
    closed: bool = False
    excluded: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is.

    Attributes:
        ended: Whether its results can be read.
        done: Rows that have an answer.
        failed: Rows that have none and won't.
        error: Why nothing of it is asked again: the whole batch failed, or somebody cancelled it. Empty if neither.
        is_refused: Whether it failed because the vendor had no room for it, so that nothing of it was asked.
    """

    ended: bool
    done: int = 0
    failed: int = 0
    error: str = ""
    is_refused: bool = False


CANCELLED = "The batch was cancelled."
"""The `Progress.error` of a batch that somebody cancelled."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a row has no answer; `again` says whether asking once more may help."""

    message: str
    code: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One row of a vendor's results: the SDK's completion, or why there is none."""

    key: str
    completion: Any = None
    failure: Failure | None = None


class Line(Protocol):
    """Writes a row: what is submitted of it, its size in bytes, and the headers that it needs."""

    def __call__(self, key: str, operation: str, request: Request) -> tuple[Any, int, Mapping[str, str]]:
        """Write it."""
        ...


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's batch API.

    Attributes:
        operations: The SDK methods whose requests it takes.
        most_rows: The most rows of one batch.
        most_bytes: The most bytes of one batch.
        source: Where these numbers stand, and when they were read.
        write: Writes a row. Raises `ConfigurationError` for one that a batch can't express.
        upload: What comes before the submission: returns what `create` takes in place of the rows.
        create: Submits a batch, once, and returns its id.
        listing: Shows the vendor's batches.
        newest_first: Whether it shows the newest first.
        name: The vendor's name of one of them.
        resembles: Whether one of them may be that of an intent.
        keeps_names: Whether it keeps our name of a batch, so that no other one is taken for it.
        poll: Asks how far a batch is.
        results: Shows a `Found` for each row, in any order.
        cancel: Asks the vendor to stop.
    """

    operations: frozenset[str]
    most_rows: int
    most_bytes: int
    source: str
    write: Line
    upload: Callable[[Adapter, Intent, list[Any]], Steps[Any]]
    create: Callable[[Adapter, Intent, Any], Steps[str]]
    listing: Callable[[Adapter], Steps[None]]
    newest_first: bool
    name: Callable[[Any], str]
    resembles: Callable[[Any, Intent], bool]
    keeps_names: bool
    poll: Callable[[Adapter, Intent], Steps[Progress]]
    results: Callable[[Adapter, Intent], Steps[None]]
    cancel: Callable[[Adapter, Intent], Steps[None]]


def find_vendor(provider: str) -> Vendor:
    """The batch API of a vendor."""
    if provider not in MODULES:
        raise ConfigurationError(
            f"{provider} has no batch API that this package speaks; {', '.join(MODULES)} have. Ask live."
        )
    vendor = cast("Vendor", import_module(MODULES[provider]).VENDOR)
    translated: dict[str, Any] = {name: _in_our_words(getattr(vendor, name)) for name in _ASKING}
    return replace(vendor, **translated)


_ASKING = ("upload", "create", "listing", "poll", "results", "cancel")


def _in_our_words(conversation: Callable[..., Steps[Any]]) -> Callable[..., Steps[Any]]:
    """A part of the conversation that raises a ProviderError, which says what to do, in place of an SDK's error."""

    def converse(adapter: Adapter, *arguments: Any) -> Steps[Any]:
        try:
            return (yield from conversation(adapter, *arguments))
        except InstructorError:
            raise
        except Exception as error:
            mask_error(error)
            advice = advise(error, adapter.key_variables, str(adapter.endpoint.get("base_url") or ""))
            raise ProviderError(adapter.provider, f"{type(error).__name__}: {error}{advice}") from error

    return converse


def upload_nothing(adapter: Adapter, intent: Intent, lines: list[Any]) -> Steps[Any]:
    """For a vendor that takes the rows with the submission itself."""
    del adapter, intent
    yield from ()
    return lines


def list_pages(step: Callable[[], object]) -> Steps[None]:
    """Show what stands on the pages of a listing, as the SDKs of OpenAI and Anthropic have them."""
    page: Any = yield step
    while True:
        for batch in page.data:
            yield Out(batch)
        if not page.data or not page.has_next_page():
            return
        page = yield page.get_next_page


def write_body(request: Request) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Take the keywords of an SDK's method apart: the JSON that it would send, and headers."""
    others = ("extra_headers", "extra_query", "extra_body", "timeout")
    body = {name: value for name, value in request.items() if name not in others}
    if request.get("extra_query"):
        raise ConfigurationError(
            "A row of a batch has no query of its own. Leave out extra_query, or ask with create()."
        )
    headers: Mapping[str, str] = request.get("extra_headers") or {}
    return {**body, **(request.get("extra_body") or {})}, headers


def describe_error(error: Any) -> tuple[str, str]:
    """The message and the code of an error in a vendor's results, however it is wrapped."""
    if not isinstance(error, dict):
        return str(error), ""
    members = cast("dict[str, Any]", error)
    if isinstance(members.get("error"), dict):
        return describe_error(members["error"])
    return str(members.get("message") or members), str(members.get("code") or members.get("type") or "")


def found(key: str, completion: Any) -> Out[Found]:
    """A row with an answer."""
    return Out(Found(key, completion))


def failed(key: str, message: str, code: str = "", *, again: bool) -> Out[Found]:
    """A row without one."""
    return Out(Found(key, failure=Failure(message, code, again)))
