"""The client's question to its cache: how an entry becomes a value, and a live answer an entry."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from instructor.cache.carried import Carried, keep_completion
from instructor.cache.entry import Entry, make_carried, make_origin, pack_completion
from instructor.cache.misses import Cause
from instructor.engine.call import Call, Live, describe_call, never_sent
from instructor.engine.effects import Emit, Flow, Show, Sleep
from instructor.engine.lookup import through_cache
from instructor.engine.parsing import parse_with
from instructor.engine.tier_lookup import Question, Served, Source
from instructor.exceptions import (
    IncompleteOutputException,
    InstructorRetryException,
    ProviderError,
    RefusalError,
)
from instructor.hooks import CacheEvent, HookName
from instructor.messages import Completion, Part, Value
from instructor.received import object_of

if TYPE_CHECKING:
    from instructor.cache.call_notes import Sketch
    from instructor.cache.volatile import Span
    from instructor.engine.background import Background
    from instructor.engine.showing import Showing

T = TypeVar("T")


def answer(call: Call[T]) -> Flow[T]:
    """Answer a call, with the value alone."""
    return (yield from serve(call)).value


def serve(call: Call[T]) -> Flow[Served[T]]:
    """Answer a call: from its cache, from an identical call under way, or from the provider."""
    question: CallQuestion[T] = CallQuestion(call) if call.showing is None else StreamQuestion(call)
    if call.path is None or call.key is None:
        if call.bypass is not None:
            event = question.event(HookName.CACHE_BYPASS, reason=call.bypass)
            if event is not None:
                yield event
        if not call.policy.mode.sends:
            raise never_sent(call)
        live = yield from question.ask()
        question.enter(live, None)
        return Served(live.value, None, source=Source.LIVE, live=live)
    return (yield from through_cache(call.path, call.key, question, call.policy, call.unserved))


_FAILURES = (InstructorRetryException, IncompleteOutputException, ProviderError)
"""What a provider's failure is raised as, after all attempts."""


def answer_raw(call: Call[Any]) -> Flow[Any]:
    """Ask for the SDK's own stream, which no cache sees."""
    if not call.policy.mode.sends:
        raise never_sent(call)
    from instructor.engine.ask import open_raw

    return (yield from open_raw(call))


class CallQuestion(Generic[T]):
    """A `Question` about one call."""

    __slots__ = ("_call", "_made", "_sketch")

    def __init__(self, call: Call[T]) -> None:
        self._call = call
        self._made: Value = None
        self._sketch: Sketch | None = None

    @property
    def awaits(self) -> bool:
        """Whether the response model has asynchronous validators."""
        return self._call.plan.awaits

    def confirm(self) -> Flow[None]:
        """Let them judge the value that was made last."""
        from instructor.engine.judging import judge_async

        return judge_async(self._call, self._made)

    def sketch(self) -> Sketch | None:
        """What the call is compared with others by."""
        if self._sketch is None and self._call.sketch is not None:
            self._sketch = self._call.sketch()
        return self._sketch

    @property
    def examines(self) -> bool:
        """Whether this is one of the client's first misses. The prompts of a job's rows are meant to differ."""
        return self._call.stats.spans.is_open and not self._call.is_row

    def examine(self) -> None:
        """Warn, once for each kind, of a span that keeps a prompt from ever being found."""
        sketch = self.sketch()
        if sketch is None:
            return
        for span in self._call.stats.spans.examine(sketch.settings, sketch.messages):
            self.warn(f"volatile prompt: {span.kind.name}", describe_span(span, describe_call(self._call)))

    def wants(self, name: HookName) -> bool:
        """Whether there is a handler, or the debug log is on."""
        return self._call.hooks.has_handlers(name)

    def read(self, entry: Entry) -> T:
        """Validate a stored answer, and make the completion again where the caller wants it."""
        call = self._call
        if call.plan.type is None or call.with_completion:
            return self._value(entry.parts, call.adapter.load(entry.completion), self._carried_of(entry))
        return self._value(entry.parts, None, self._carried_of(entry))

    def prepare(self, entry: Entry) -> Entry:
        """Add what answers carry, so that no hit in memory has to make it."""
        return replace(entry, carried=self._carried_of(entry))

    def _carried_of(self, entry: Entry) -> Carried:
        return make_carried(self._call.adapter.load, entry) if entry.carried is None else entry.carried

    def ask(self) -> Flow[Live[T]]:
        """Ask the provider."""
        from instructor.engine.ask import ask  # a hit needs none of it

        return ask(self._call)

    def enter(self, live: Live[T], tags: tuple[str, ...] | None) -> None:
        """Enter the request whose answer is used. Those that were lost are entered when that shows."""
        from instructor.engine.spending import enter

        usage, seconds = live.cost or (live.usage, live.seconds)
        kind = self._call.kind if live.attempts == 1 else "kept"
        enter(self._call, kind, usage, seconds, tags, live.answered_by)

    def write(self, live: Live[T], expires: float | None) -> Entry | None:
        """Describe a live answer; None if its completion can't be written as text."""
        call = self._call
        try:
            completion = call.adapter.dump(live.completion)
        except Exception:  # noqa: BLE001 - whatever is wrong with a completion, the answer is paid for and returned
            return None
        entry = Entry(
            key=call.key or "",
            parts=live.parts,
            completion_data=pack_completion(completion, live.parts),
            origin=make_origin(
                call.adapter.provider,
                call.model,
                live.answered_by,
                call.policy.namespace or "",
                call.plan.name,
            ),
            created=call.policy.clock(),
            expires=expires,
            seconds=live.seconds,
            usage=live.usage,
            attempts=live.attempts,
            steps="" if call.showing is None else describe_steps(call.showing),
        )
        entry.carried = self._carried_of(entry)  # as `prepare`; nobody else has this entry yet
        return entry

    def share(self, live: Live[T], entry: Entry | None) -> Live[T]:  # noqa: ARG002 - as other questions do
        """Share an answer as it is: every caller reads its own value from the parts, which nobody changes."""
        return live

    def copy(self, live: Live[Any], entry: Entry | None) -> T:
        """Make an own value; only a completion that can't be written down is shared as it is."""
        if entry is not None:
            return self.read(entry)
        return self._value(live.parts, object_of(live.completion), keep_completion(live.completion, live.usage))

    def value_of(self, live: Live[T]) -> Value:
        """The value of a live answer. That of a stream is made once more, because the caller takes it bit by bit."""
        call, value = self._call, live.value
        if call.showing is not None and call.plan.type is not None:
            return call.plan.type.parse(live.parts, call.strict, call.context)
        return value[0] if call.with_completion else value  # type: ignore[index] # a pair then

    def warn(self, subject: str, message: str) -> None:
        """Log it, unless the client has done so."""
        if self._call.stats.is_news(subject):
            import logging

            logging.getLogger("instructor.cache").warning(message)

    def may_fall_back(self, error: Exception) -> bool:
        """Whether the provider failed. A refusal is an answer of its own, and a wrong setting is the caller's to mend."""
        return isinstance(error, _FAILURES) and not isinstance(error, RefusalError)

    def again(self) -> tuple[Question[Any], Background] | None:
        """The plain call, with its time beginning anew."""
        call = self._call
        if call.background is None:
            return None
        deadline = None if call.max_seconds is None else time.monotonic() + call.max_seconds
        plain = call._replace(showing=None, with_completion=False, unserved=None, deadline=deadline)
        return CallQuestion(plain), call.background

    def describe(self) -> str:
        """Name the response model, and whom it is asked of."""
        return describe_call(self._call)

    def event(
        self,
        name: HookName,
        entry: Entry | None = None,
        reason: Cause | str | None = None,
        served: Served[Any] | None = None,
    ) -> Emit | None:
        """Count an event; return the flow that calls handlers, if any."""
        call = self._call
        call.stats.count(name, entry)
        if name is HookName.CACHE_COALESCED and entry is not None:
            from instructor.engine.spending import enter

            enter(call, "shared", entry.usage, 0.0, entry.tags, entry.origin.answered_by)
        if not self.wants(name):
            return None
        return Emit(call.hooks, name, (self._event(name, entry, reason, served),), {})

    def _value(self, parts: tuple[Part, ...], completion: Completion, carried: Carried) -> T:
        call = self._call
        made, plan = completion, call.plan
        if plan.type is not None:
            made = parse_with(plan.type, carried, call.strict, call.context, parts)
        self._made = made
        return (made, completion) if call.with_completion else made  # type: ignore[return-value] # T is what the caller asked for

    def _event(
        self, name: HookName, entry: Entry | None, reason: Cause | str | None, answered: Served[Any] | None
    ) -> CacheEvent:
        call = self._call
        served = name in (HookName.CACHE_HIT, HookName.CACHE_COALESCED)
        return CacheEvent(
            name=name,
            store=call.path.name if call.path is not None else "",
            provider=call.adapter.provider,
            model=call.model,
            response_model=call.response_model,
            key=call.key,
            age=max(0.0, call.policy.clock() - entry.created) if entry and name is HookName.CACHE_HIT else None,
            seconds_saved=entry.seconds if entry and name is HookName.CACHE_HIT else 0.0,
            tokens_saved=entry.usage.total_tokens if entry and served else 0,
            usage=entry.usage if entry else None,
            reason=reason.reason if isinstance(reason, Cause) else reason,
            detail=reason.detail if isinstance(reason, Cause) else None,
            tier=(answered.tier or None) if answered else None,
            stale=answered is not None and answered.is_stale,
            compatible=served and entry is not None and entry.key != call.key,
        )


class StreamQuestion(CallQuestion[T]):
    """A `Question` whose answer is handed out bit by bit: its value is an iterable of what is left to hand out."""

    __slots__ = ()

    def read(self, entry: Entry) -> T:
        """Validate a stored answer as a whole, and replay it."""
        return self._replay(
            entry.parts, entry.steps, partial(self._call.adapter.load, entry.completion), self._carried_of(entry)
        )

    def ask(self) -> Flow[Live[T]]:
        """Ask the provider, and hand out what comes."""
        live = yield from super().ask()
        outcome = self._showing.outcome
        outcome.usage, outcome.load = live.usage, partial(object_of, live.completion)
        return live

    def copy(self, live: Live[Any], entry: Entry | None) -> T:
        """Replay the answer of another call."""
        if entry is not None:
            return self.read(entry)
        return self._replay(
            live.parts, "", partial(object_of, live.completion), keep_completion(live.completion, live.usage)
        )

    def may_fall_back(self, error: Exception) -> bool:
        """As for a plain call, as long as nothing was shown."""
        return not self._showing.has_shown and super().may_fall_back(error)

    @property
    def _showing(self) -> Showing:
        assert self._call.showing is not None, "the question of a streamed call"
        return self._call.showing

    def _replay(self, parts: tuple[Part, ...], steps: str, load: Callable[[], Completion], carried: Carried) -> T:
        value: Value = self._value(parts, None, carried)
        outcome = self._showing.outcome
        outcome.is_cached, outcome.load = True, load
        if self._showing.pace is not None:
            self._showing.pace.read(steps)
        replayed: Any = self._showing.replay(value, parts, steps)
        return replayed  # type: ignore[no-any-return] # T is an iterable here


def stream_answer(call: Call[Iterable[Value]]) -> Flow[None]:
    """Answer a streamed call: hand out what the provider sends, or what the cache has."""
    served = yield from serve(call)
    rest, showing = served.value, call.showing
    if showing is not None:
        showing.outcome.is_stale = served.is_stale
    pace = showing.pace if showing is not None and showing.outcome.is_cached else None
    pauses = iter(pace.pauses if pace is not None else ())
    for value in rest:
        seconds = next(pauses, 0)
        if seconds > 0:
            yield from Sleep(seconds)
        yield Show(value)


def describe_span(span: Span, asked: str) -> str:
    """Say what keeps calls from being answered from the cache, and what to do about it."""
    from instructor.cache.redaction import Redactor  # one warning needs it

    redact = Redactor().text
    return (
        f"Calls for {asked} miss the cache though they differ in nothing but {span.kind.name}: "
        f"{redact(str(span))}. {span.kind.advice}. If the answer depends on it, leave it as it is."
    )


def describe_steps(showing: Showing) -> str:
    """What an entry keeps of how its answer came."""
    return showing.steps + (showing.pace.write() if showing.pace is not None else "")
