"""What a wire format must do. One file beside this one for each format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from instructor.exceptions import ModeError
from instructor.messages import Messages, Part, Request
from instructor.mode import Mode
from instructor.usage import Usage
from instructor.wires.capabilities import DEFAULT_CAPABILITIES, Capabilities
from instructor.wires.spec import Arguments, Binding, Completion, ToolSpec

if TYPE_CHECKING:
    from instructor.wires.folding import Streaming


class Wire(Protocol):
    """One provider's format of requests and answers, as pure functions without state.

    A wire may also have an attribute ``lacks``, a frozenset of names: the chat API's arguments that its own API doesn't
    have. `write` leaves them out, and an event reports it.

    A completion is the SDK's own object, read by attribute, so a wire works without the SDK.
    A wire never changes its arguments: not the caller's messages, not a request, not a schema.
    """

    @property
    def name(self) -> str:
        """The file's name, such as ``"openai_chat"``; part of every cache key."""
        ...

    @property
    def operation(self) -> str:
        """The SDK method that sends a request, as a path from the client: ``"chat.completions.create"``."""
        ...

    @property
    def streaming(self) -> Streaming | None:
        """How answers are streamed; None for a format that can't be. A wire without this attribute can't either."""
        ...

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that this wire speaks, its default first."""
        ...

    def bind(
        self, spec: ToolSpec, mode: Mode, strict: bool, capabilities: Capabilities = DEFAULT_CAPABILITIES
    ) -> Binding:
        """Make the part of a request that the response model decides.

        Args:
            spec: What the answer must look like.
            mode: One of `modes`.
            strict: Whether the caller wants the model held to the schema, as far as the provider can do that.
            capabilities: What the model can do; here, what it takes of JSON Schema.
        """
        ...

    def write(
        self,
        messages: Messages,
        binding: Binding | None,
        model: str,
        arguments: Arguments,
        capabilities: Capabilities = DEFAULT_CAPABILITIES,
    ) -> Request:
        """Write a request. Without a binding it asks for a plain completion (``response_model=None``).

        Args:
            messages: The conversation in OpenAI's chat form, or in the provider's own.
            binding: What `bind` made.
            model: The model's name without the vendor's prefix.
            arguments: The caller's other arguments, under the SDK's own keywords.
            capabilities: What the model can do; here, how a tool call can be asked for, and whether it thinks.
        """
        ...

    def check(self, completion: Completion) -> None:
        """Make sure that a completion is whole and sound, whatever it says: text, calls of any function, or both.

        Without a response model the completion itself is the answer, and this is all that judges it; with one, `read`
        judges in the same way first.

        Args:
            completion: What the SDK returned; None where the provider sent ``null``.

        Raises:
            IncompleteOutputException: The provider cut the answer off.
            RefusalError: The model or the provider's filter refused.
            ProviderError: It is an error, or the provider says that it failed.
            ResponseParsingError: There is nothing in it, or it is not finished.
        """
        ...

    def read(
        self, completion: Completion, mode: Mode, names: Sequence[str], specs: Sequence[ToolSpec] = ()
    ) -> tuple[Part, ...]:
        """Take the answer out of a completion: each call of our tools, in order, or the JSON in its text.

        Args:
            completion: What the SDK returned.
            mode: The mode in which the answer was asked for.
            names: The names of the tools that we offered (`ToolSpec.name`). The caller may have offered tools of
                their own, and the arguments of those are not the answer.
            specs: What those tools take. Without it an answer below the tool's own name stays there, and property
                names that were changed for the provider stay as they are.

        Returns:
            At least one part. In a text mode, and where the model wrote JSON instead of calling a tool, it is a
            single part whose ``tool`` is empty.

        Raises:
            IncompleteOutputException: As for `check`.
            RefusalError: As for `check`.
            ProviderError: As for `check`.
            ResponseParsingError: As for `check`, or there is no answer in it, or only calls of other functions.
        """
        ...

    def reask(
        self,
        request: Request,
        completion: Completion,
        error: Exception,
        mode: Mode,
        names: Sequence[str] = (),
        specs: Sequence[ToolSpec] = (),
    ) -> Request:
        """Write a new request that shows the model its answer and what was wrong with it. Every call is answered.

        Args:
            request: The one that was sent.
            completion: What came back; None where the provider sent ``null``.
            error: What was wrong with it.
            mode: The mode in which the answer was asked for.
            names: The names of the tools that we offered; where empty, the request's last tool is ours.
            specs: What those tools take, as for `read`.
        """
        ...

    def usage(self, completion: Completion) -> Usage:
        """Count the tokens that a completion cost; zeros where the provider does not say."""
        ...


def is_paused(wire: Wire, completion: Completion) -> bool:
    """Whether a completion is a turn that the model has paused, and goes on with when it gets it back."""
    paused: Callable[[Completion], bool] | None = getattr(wire, "is_paused", None)
    return paused is not None and paused(completion)


def find_answering_model(wire: Wire, completion: Completion) -> str:
    """Find the model that answered, in the provider's words; empty if the completion doesn't say."""
    from instructor.wires.text import get_path

    model = get_path(completion, getattr(wire, "model_member", "model"))
    return model if isinstance(model, str) else ""


def lacks_of(wire: Wire) -> frozenset[str]:
    """Find the names of the arguments that a wire leaves out of each request."""
    lacks: frozenset[str] = getattr(wire, "lacks", frozenset())
    return lacks


_CALLING = (Mode.TOOLS, Mode.RESPONSES_TOOLS)


def choose_wires(mode: Mode | None, wires: Mapping[Mode, Wire], provider: str) -> Mapping[Mode, Wire]:
    """The wires that serve a mode. Parallel tools are called in any mode of a wire in which tools are.

    Args:
        mode: The mode that the caller chose; None for any.
        wires: The provider's wires, by mode.
        provider: The provider's name, for the error.

    Raises:
        ModeError: There is no such wire.
    """
    calling = {name: wire for name, wire in wires.items() if name in _CALLING}
    chosen = wires if mode is None else {name: wire for name, wire in wires.items() if name is mode}
    if mode is Mode.PARALLEL_TOOLS:
        chosen = calling
    if mode is not None and not chosen:
        known = [*wires, Mode.PARALLEL_TOOLS] if calling else [*wires]
        raise ModeError(mode.name, provider, [each.name for each in known])
    return chosen
