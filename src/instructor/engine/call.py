"""One call of the client: its messages and keywords, frozen, and how its answer is read, asked for and written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from instructor.cache_modes import USE, CacheMode
from instructor.engine.freshness import PLAIN, Freshness, draw_chance
from instructor.engine.retry import TenacityRetries
from instructor.exceptions import CacheMiss
from instructor.messages import Completion, Messages, Part
from instructor.mode import Mode
from instructor.usage import Usage
from instructor.wires.capabilities import OUTPUT_LIMITS, Capabilities, adapt_arguments
from instructor.wires.content import drop_empty_turns
from instructor.wires.wire import Wire, lacks_of

if TYPE_CHECKING:
    from instructor.budget import Budget
    from instructor.cache.books import Kind
    from instructor.cache.call_notes import Sketch
    from instructor.cache.key import KeyMembers
    from instructor.cache.listing import TagSource
    from instructor.engine.background import Background
    from instructor.engine.client_stats import ClientStats
    from instructor.engine.path import CachePath, Unserved
    from instructor.engine.plan import Plan
    from instructor.engine.prompt_plan import PromptPlan
    from instructor.engine.retry import RetryPolicy
    from instructor.engine.showing import Showing
    from instructor.hooks import Hooks
    from instructor.limits.registry import Throttle
    from instructor.media.policy import FetchPolicy
    from instructor.providers.adapter import Adapter

T = TypeVar("T")


def unix_time() -> float:
    """Seconds since 1970, by whatever ``time.time`` is by now: tests replace it."""
    return time.time()


class Prompt(NamedTuple):
    """What is asked, and in which way. It is made of a copy of what the caller passed, which nobody changes.

    Attributes:
        messages: The conversation, its templates filled.
        arguments: What else the caller wants sent, in the SDK's keywords.
        mode: How the model is made to answer in JSON.
        wires: The wires of the modes that may be used; one, where the caller named the mode.
        left_out: The caller's arguments that the model refuses, which are not among `arguments`.
        varies: Whether a template draws by chance, so that the same call may ask something else the next time.
        media_policy: What may be fetched of the media in the messages; None where there are none.
    """

    messages: Messages
    arguments: Mapping[str, Any]
    wire: Wire
    mode: Mode
    capabilities: Capabilities
    wires: Mapping[Mode, Wire]
    left_out: tuple[str, ...] = ()
    varies: bool = False
    media_policy: FetchPolicy | None = None

    def fill(self, messages: Messages, *, varies: bool = False) -> Prompt:
        """Ask a conversation in this way. No wire sends empty turns, so no key may show them."""
        return Prompt(
            drop_empty_turns(messages),
            self.arguments,
            self.wire,
            self.mode,
            self.capabilities,
            self.wires,
            self.left_out,
            varies,
            self.media_policy,
        )

    def adapt(self, capabilities: Capabilities) -> Prompt:
        """Ask the same as a model with other capabilities takes it. A mode that the caller named stays."""
        mode = next((mode for mode in capabilities.modes if mode in self.wires), self.mode)
        arguments = adapt_arguments(self.arguments, capabilities)
        return self._replace(arguments=arguments, wire=self.wires[mode], mode=mode, capabilities=capabilities)

    @property
    def lacking(self) -> tuple[str, ...]:
        """The caller's arguments that the API itself doesn't have, so that its wire leaves them out."""
        lacks = lacks_of(self.wire)
        return tuple(sorted(lacks.intersection(self.arguments))) if lacks else ()

    @property
    def shown(self) -> Mapping[str, Any]:
        """The arguments that the request shows, for the cache key."""
        lacking = self.lacking if self.arguments else ()
        if not lacking:
            return self.arguments
        return {name: value for name, value in self.arguments.items() if name not in lacking}

    def describe_change(self, after: Prompt) -> str:
        """Say what another way of asking changes, such as ``"mode TOOLS -> JSON_SCHEMA, without temperature"``."""
        was, becomes = self.capabilities, after.capabilities
        changes = ["the developer's messages as the system's"] if was.developer != becomes.developer else []
        if after.mode is not self.mode:
            changes.append(f"mode {self.mode.name} -> {after.mode.name}")
        if was.tool_choice != becomes.tool_choice:
            changes.append(f"tool choice {was.tool_choice} -> {becomes.tool_choice}")
        limits = [next((name for name in OUTPUT_LIMITS if name in way.arguments), None) for way in (self, after)]
        if limits[0] != limits[1]:
            changes.append(" -> ".join(map(str, limits)))
        dropped = becomes.refused - was.refused  # a stream may have added one of these itself
        if left_out := sorted((self.shown.keys() - after.shown.keys() | dropped) - {*OUTPUT_LIMITS}):
            changes.append(f"without {', '.join(left_out)}")
        return ", ".join(changes) or "other details of the request"


class Terms(NamedTuple):
    """What decides about a call's key and prompt beside its messages and keywords.

    Attributes:
        plan: The response model, compiled.
        model: The model's name.
        context: For templates and validators.
        strict: Whether validation is strict.
        namespace: The partition of the store.
        salt: What makes another key of the same call.
        is_cached: Whether there is a store, so that a key is needed.
        media_policy: What may be fetched, where there are media in the messages.
        name_call: Makes the key of a call of what is in its usual one, for a store that records; None for others.
        way: The prompt without its messages, where calls have that in common; None for others.
    """

    plan: Plan
    model: str
    context: Mapping[str, Any] | None
    strict: bool
    namespace: str | None
    salt: str | None
    is_cached: bool
    media_policy: FetchPolicy | None = None
    name_call: Callable[[Mapping[str, str]], str] | None = None
    way: Prompt | None = None

    def members(self, prompt: Prompt, note: Callable[[object], None]) -> KeyMembers:
        """What a call's key is made of, as `KeyBuilder` takes it."""
        return (
            self.plan.schema_text,
            self.plan.shape_text,
            self.model,
            prompt.messages,
            self.context,
            self.strict,
            self.namespace,
            prompt.shown,
            note,
            self.salt,
        )


class Keyed(NamedTuple):
    """A call's messages and keywords, frozen, and its key; as the members of `Call` with these names, and `owners` of its `Policy`."""

    load_prompt: Callable[[], Prompt]
    key: str | None = None
    bypass: str | None = None
    owners: Sequence[object] = ()


class Same:
    """Equal to nothing but what stands for the very same object, which it keeps alive."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other._value is self._value

    def __hash__(self) -> int:
        return id(self._value)


class Policy(NamedTuple):
    """How a call uses its cache.

    Attributes:
        ttl: Seconds for which the answer is fresh, None for ever, 0 to store nothing; or a function of the value that
            returns them.
        patience: Seconds to wait for an identical call under way; None for as long as that can end.
        source: Whose errors this call shares; see `Lease.source`.
        clock: Unix time in seconds.
        mode: Whether it looks, stores, sends and joins.
        freshness: How old an answer may be.
        draw: A random number above 0, at most 1.
        namespace: The partition of the cache, for entries; it is in the key already.
        tags: By what the answer can be invalidated, or what makes that of its value; None for nothing.
        explains: Whether what is asked is kept beside its answer, to explain other calls' misses.
        compatible: Whether an answer for another schema of the response model is served, if it is valid for this one.
    """

    ttl: float | Callable[[object], float | None] | None = None
    patience: float | None = None
    source: object = None
    clock: Callable[[], float] = unix_time
    mode: CacheMode = USE
    freshness: Freshness = PLAIN
    draw: Callable[[], float] = draw_chance
    namespace: str | None = None
    tags: TagSource | None = None
    compatible: bool = False
    explains: bool = False

    def owned_by(self, objects: Sequence[object]) -> Policy:
        """The same for a call whose errors depend on objects that are its own, and of which a key shows too little.

        Another object with the same ``__cache_key__`` may have other credentials, or a connection that isn't broken.
        """
        return self._replace(source=(self.source, *map(Same, objects))) if objects else self


class Settled(NamedTuple):
    """All about a call that its messages don't decide. Calls with the same keywords have it in common; see `Common`.

    The members are those of `Call` with these names, and:

    Attributes:
        arguments: What else the caller wants sent, in the SDK's keywords.
        detects: Whether texts may stand for media.
        samples: How many answers to such a call are kept.
    """

    terms: Terms
    path: CachePath | None
    policy: Policy
    hooks: Hooks
    retries: RetryPolicy
    token_budget: int | None
    budgets: tuple[Budget, ...]
    max_seconds: float | None
    arguments: dict[str, Any]
    detects: bool
    throttle: Throttle | None
    samples: int
    bypass: str | None
    prompt_plan: PromptPlan | None


class Common:
    """Remembers what is settled for calls without keywords of one response model, or for the rows of a job."""

    __slots__ = ("settled",)

    def __init__(self) -> None:
        self.settled: Settled | None = None

    def keep(self, settled: Settled) -> None:
        """Remember it, unless it is about one call alone: a tenacity object notes something in it."""
        if not isinstance(settled.retries, TenacityRetries):
            self.settled = settled


class Live(NamedTuple, Generic[T]):
    """An answer that was just asked for, and is valid.

    Attributes:
        value: What the caller gets.
        parts: The answer as the wire read it; empty for a raw completion.
        completion: The SDK's completion, or a `Received` in its place; or what a decorated function returned.
        usage: Tokens spent, all attempts together.
        seconds: How long the requests took, without imports, waits between attempts, and validation.
        attempts: How many requests it took.
        flaw: Why the answer must not be stored; None where it may.
        answered_by: The model that answered, in the provider's words.
        cost: Tokens and seconds of the request whose answer is used; None where no other was made.
    """

    value: T
    parts: tuple[Part, ...] = ()
    completion: Completion = None
    usage: Usage = Usage()
    seconds: float = 0.0
    attempts: int = 1
    flaw: str | None = None
    answered_by: str = ""
    cost: tuple[Usage, float] | None = None


class Call(NamedTuple, Generic[T]):
    """One call, with everything that the caller's keywords and the client's settings decide.

    A tuple, because one is made for each hit that isn't in memory, and a frozen dataclass of this size takes four
    times as long to make.

    Attributes:
        load_prompt: Makes the prompt from the frozen copy of messages and keywords. A hit never calls it.
        response_model: What the caller passed, for events.
        with_completion: Whether the caller gets the SDK's completion beside the value.
        retries: When to ask again.
        hooks: The client's handlers and the call's.
        context: For validators: the caller's own object.
        strict: Whether validation is strict.
        token_budget: The most tokens that may be spent before another attempt; None for no limit.
        deadline: When the call must be over, by ``time.monotonic``; None for no limit.
        max_seconds: How long that is from its start, for messages.
        budgets: What its requests must fit into.
        path: Where answers are kept; None for a call without a cache.
        key: The key; None where the call can't be cached.
        bypass: Why it can't, where there is a cache.
        unserved: What the fast path has found out about the store; then it isn't read again.
        background: What runs after the caller has gone on; None where nothing does.
        showing: What hands out the answer bit by bit; None for a call that waits for all of it.
        throttle: What its requests wait for; None for a call without limits.
        sketch: Makes what the call is compared with others by; None where it isn't compared.
        kind: As what its first request counts in the books, if its answer is used.
        is_row: Whether it is about a row of a job, whose prompts are meant to differ.
        prompt_plan: How requests use the provider's own prompt cache; None where they are left as they are.
    """

    plan: Plan
    adapter: Adapter
    model: str
    load_prompt: Callable[[], Prompt]
    response_model: object
    with_completion: bool
    retries: RetryPolicy
    hooks: Hooks
    stats: ClientStats
    context: Mapping[str, Any] | None = None
    strict: bool = True
    token_budget: int | None = None
    deadline: float | None = None
    max_seconds: float | None = None
    budgets: tuple[Budget, ...] = ()
    path: CachePath | None = None
    key: str | None = None
    bypass: str | None = None
    policy: Policy = Policy()
    unserved: Unserved | None = None
    background: Background | None = None
    showing: Showing | None = None
    throttle: Throttle | None = None
    sketch: Callable[[], Sketch] | None = None
    kind: Kind = "kept"
    is_row: bool = False
    prompt_plan: PromptPlan | None = None


def describe_call(call: Call[Any]) -> str:
    """Name the response model, and whom it is asked of."""
    model = getattr(call.response_model, "__name__", None) or str(call.response_model)
    return f"{model} from {call.adapter.provider}/{call.model}"


def never_sent(call: Call[Any]) -> CacheMiss:
    """The error for a call that isn't cached, in a mode that sends nothing."""
    return CacheMiss(describe_call(call), reason=call.bypass or "the call has no cache")
