"""How the provider is asked: the only file that knows sending, retries, and asking again in another way."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from instructor.cache.carried import keep_completion
from instructor.credentials import mask_error
from instructor.engine.admission import TurnTooLateError, in_turn
from instructor.engine.attempts import Attempts, read_usage
from instructor.engine.call import Live
from instructor.engine.effects import Emit, Flow, Limit, Next, Open, Prepare, Send, Show, Sleep
from instructor.engine.first_request import current, fetch_media, write_request
from instructor.engine.judging import UnderWay, confirm, judge_async
from instructor.engine.open_stream import END, OpenStream
from instructor.engine.parsing import parse_with
from instructor.engine.spending import Spending, tell_ended
from instructor.exceptions import (
    ConfigurationError,
    IncompleteOutputException,
    InstructorError,
    ProviderError,
    RefusalError,
    ResponseParsingError,
    ToolCallsError,
)
from instructor.failures import describe_body, find_mistake, is_invalid_answer
from instructor.hooks import AdaptedEvent, HookName
from instructor.messages import Completion, Part, Request, Value, copy_values, replace_surrogates
from instructor.mode import Mode
from instructor.options import advise_on_refusal
from instructor.received import Received, data_of, object_of
from instructor.wires.folding import TEXT, Delta
from instructor.wires.text import parse_json
from instructor.wires.turns import find_own_calls
from instructor.wires.wire import find_answering_model, is_paused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from instructor.engine.call import Call, Prompt
    from instructor.engine.showing import Showing
    from instructor.wires.folding import Streaming


T = TypeVar("T")

_LEAST_SECONDS = 0.001
"""SDKs refuse a timeout of 0."""


def ask(call: Call[T]) -> Flow[Live[T]]:  # noqa: C901, PLR0912 - each `if` saves most calls a generator
    """Ask the provider until an answer is valid or the retry policy ends it. Never reads the store."""
    prompt = current(call, call.load_prompt())
    if prompt.media_policy is not None:
        prompt = yield from fetch_media(call, prompt)
    request = write_request(call, prompt)
    tried: list[Request] = []
    if prompt.arguments or prompt.left_out:
        yield from tell_left_out(call, prompt)
    attempts = Attempts(call.adapter, call.model)
    reasking = Reasking(request)
    if not call.adapter.ready:
        yield from Prepare()
    while True:
        if call.deadline is not None and call.max_seconds is not None and time.monotonic() >= call.deadline:
            raise attempts.out_of_time(call.max_seconds, request)
        attempts.begin()
        spending, completion = Spending(call, attempts), None
        try:
            with spending:
                completion = yield from in_turn(call, request, attempts, send(call, prompt, request, attempts))
                if tried:
                    call.adapter.remember(call.model, prompt.capabilities)
                parts = as_shown(read_parts(call, prompt, completion), attempts.shown)
                with UnderWay(call, attempts):
                    value = make_value(call, parts, completion, attempts)
                if call.plan.awaits:
                    value = yield from confirm(call, value, attempts)
        except ToolCallsError as error:
            error.total_usage = attempts.spent
            raise
        except Exception as error:  # noqa: BLE001 - `fail` raises what is not retried
            completion = object_of(completion)
            yield from tell_ended(call, prompt, attempts, (request, completion), error)
            sent = [*tried, as_sent(call, prompt, request)]
            corrected = None if attempts.answered else (yield from correct(call, prompt, sent, error))
            if corrected is not None:
                tried = sent
                attempts.number -= 1  # the request was refused as it stood; the model has not been asked yet
                prompt, request = corrected
                reasking = Reasking(request)
                continue
            seconds = yield from fail(call, attempts, request, find_mistake(error) or error, completion)
            if seconds > 0:
                yield from Sleep(seconds)
            if attempts.answered and is_invalid_answer(error):
                request = reasking.ask_again(call, prompt, completion, error)
            continue
        if call.hooks.has_handlers(HookName.COMPLETION_REQUEST):
            yield from tell_ended(call, prompt, attempts, (request, completion), None, parts)
        return make_live(call, prompt, attempts, (value, parts, completion))


def make_live(
    call: Call[T], prompt: Prompt, attempts: Attempts, answer: tuple[Value, tuple[Part, ...], Completion]
) -> Live[T]:
    """Put together a valid answer and what it took to get it."""
    value, parts, completion = answer
    flaw = find_flaw(call, prompt, completion)
    answered_by = find_answering_model(prompt.wire, data_of(completion))
    own: T = (value, completion) if call.with_completion else value  # type: ignore[assignment] # as the caller asked
    spent, cost = attempts.spent, (attempts.latest or attempts.spent, attempts.latest_seconds)
    return Live(own, parts, completion, spent, attempts.seconds, attempts.number, flaw, answered_by, cost)


class Reasking:
    """What the model has been shown of its invalid answers, after its first request: the last ones, so that it doesn't grow."""

    def __init__(self, first: Request) -> None:
        self._first = first
        self._failures: list[tuple[Completion, Exception]] = []

    def ask_again(self, call: Call[Any], prompt: Prompt, completion: Completion, error: Exception) -> Request:
        """Write the request that shows the model its last answers and what was wrong with each."""
        self._failures = [*self._failures, (completion, error)][-call.retries.shown_failures :]
        specs = call.plan.type.specs if call.plan.type else ()
        names = [spec.name for spec in specs]
        request = self._first
        for answer, problem in self._failures:
            request = prompt.wire.reask(request, answer, problem, prompt.mode, names, specs)
        if is_paused(prompt.wire, completion):  # the model goes on from there, so that turn has to stay
            self._first, self._failures = request, []
        asked: Request = replace_surrogates(request)
        return asked


def make_value(call: Call[Any], parts: tuple[Part, ...], completion: Completion, attempts: Attempts) -> Value:
    """Make of an answer what the caller gets; of a streamed one, what is left to hand out."""
    made_by = call.plan.type
    if made_by is None:
        return completion
    carried = keep_completion(completion, attempts.spent)
    if call.showing is None:
        return parse_with(made_by, carried, call.strict, call.context, parts)
    parse = partial(parse_with, made_by, carried, call.strict, call.context)
    return call.showing.finish(parts, parse, "".join(attempts.shown))


def read_parts(call: Call[Any], prompt: Prompt, completion: Completion) -> tuple[Part, ...]:
    """Read the answer out of a completion, unless it calls the caller's own tools, which the caller allows."""
    if call.plan.type is None:
        return ()
    specs = call.plan.type.specs
    names = [spec.name for spec in specs]
    if type(completion) is Received:
        with suppress(Exception):  # what is wrong with it shows again, with the SDK's object in the error
            return prompt.wire.read(completion.data, prompt.mode, names, specs)
        completion = completion.make()
    try:
        return prompt.wire.read(completion, prompt.mode, names, specs)
    except ResponseParsingError:
        calls = find_own_calls(prompt.arguments, completion, names)
        if not calls:
            raise
        called = ", ".join(call.name for call in calls)
        raise ToolCallsError(
            f"The model wants tools of yours called: {called}. Call them, and ask again with "
            "continue_messages(error.messages, error.last_completion, results).",
            calls=calls,
            last_completion=completion,
            messages=prompt.messages,
        ) from None


def as_shown(parts: tuple[Part, ...], pieces: Sequence[str]) -> tuple[Part, ...]:
    """Take an answer as it was streamed, character by character, where an SDK keeps the data of a call and not its text.

    What was shown can be shown again from the cache only at the same places of the same text.
    """
    if not pieces or len(parts) != 1:
        return parts
    text = "".join(pieces)
    if not text or text == parts[0].text:
        return parts
    value = parse_json(text)
    return (Part(parts[0].tool, text),) if value is not None and value == parse_json(parts[0].text) else parts


def send(call: Call[Any], prompt: Prompt, request: Request, attempts: Attempts) -> Flow[Any]:
    """Send one request and count what it cost."""
    hooks = call.hooks
    limit = limit_of(call, attempts)
    plan = call.prompt_plan
    watch = None if plan is None else plan.watch(call, prompt, request)
    if hooks.has_handlers(HookName.COMPLETION_KWARGS):
        # A copy: a handler that edits it must not change the request after its key was made.
        yield from Emit(hooks, HookName.COMPLETION_KWARGS, (), copy_values(request))
    if call.showing is None:
        # Whoever sees the completion in any case gets the one that the SDK itself makes.
        for_data = not (
            call.plan.type is None or call.with_completion or hooks.has_handlers(HookName.COMPLETION_RESPONSE)
        )
        sending = Send(prompt.wire.operation, request, limit, for_data)
        completion = yield from exchange(call, prompt, attempts, sending)
    else:
        completion = yield from receive(call, call.showing, prompt, request, attempts, limit)
    attempts.answered = True
    usage = read_usage(prompt.wire, completion)
    attempts.spend(usage)
    if plan is not None and watch is not None:
        plan.settle(watch, usage, data_of(completion))
    if hooks.has_handlers(HookName.COMPLETION_RESPONSE):
        yield from Emit(hooks, HookName.COMPLETION_RESPONSE, (object_of(completion),), {})
    if hooks.has_handlers(HookName.COMPLETION_USAGE):
        details = {"attempt_number": attempts.number}
        yield from Emit(hooks, HookName.COMPLETION_USAGE, (attempts.spent,), details)
    return completion


def exchange(call: Call[Any], prompt: Prompt, attempts: Attempts, effect: Send | Open) -> Flow[Any]:
    """Send a request, and count the time."""
    started = time.perf_counter()
    try:
        answer = yield effect
    except Exception as error:
        judge_failure(call, prompt, attempts, error)
        raise
    finally:
        attempts.seconds += time.perf_counter() - started
    if type(answer) is str and call.adapter.is_unreadable(answer):
        raise unreadable(call, attempts, answer)
    return answer


def judge_failure(call: Call[Any], prompt: Prompt, attempts: Attempts, error: Exception) -> None:
    """Raise an error of ours in place of one of a request, where it says more."""
    mask_error(error)
    if call.adapter.is_unreadable(error):
        raise unreadable(call, attempts, getattr(error, "doc", None), error) from error
    # The SDKs check their arguments with Python's and with pydantic's own errors; no retry can mend those.
    if attempts.answered or (not isinstance(error, TypeError) and not is_invalid_answer(error)):
        return
    raise ConfigurationError(
        f"The SDK for {call.adapter.provider} did not accept the request ({prompt.wire.operation}): {error}. "
        f"{advise_on_refusal(error)}"
    ) from error


def unreadable(call: Call[Any], attempts: Attempts, body: str | None, error: Exception | None = None) -> ProviderError:
    """The error of a response in which the SDK found no answer."""
    attempts.answered = True  # the provider's fault, and perhaps paid for
    url, kind = str(call.adapter.endpoint.get("base_url") or ""), attempts.headers.get("content-type", "")
    code, words = describe_body(body, kind, url, error)
    return ProviderError(call.adapter.provider, words, code=code)


def limit_of(call: Call[Any], attempts: Attempts) -> Limit | None:
    """How a request is to be sent, where the call bounds its time, sends failed requests again itself, or has limits."""
    note = None if call.throttle is None else attempts.headers.update
    if call.deadline is not None:
        return Limit(max(_LEAST_SECONDS, call.deadline - time.monotonic()), note)
    return Limit(None, note) if call.retries.sends_again or note is not None else None


def as_sent(call: Call[Any], prompt: Prompt, request: Request) -> Request:
    """The request as the provider sees it: a stream is asked for beside it, and not in what `reask` goes on with."""
    streaming: Streaming | None = getattr(prompt.wire, "streaming", None)
    if call.showing is None or streaming is None:
        return request
    names = [spec.name for spec in call.plan.type.specs] if call.plan.type else []
    return streaming.write(request, names, prompt.capabilities.refused)


def receive(
    call: Call[Any], showing: Showing, prompt: Prompt, request: Request, attempts: Attempts, limit: Limit | None
) -> Flow[Any]:
    """Send a request, hand out what is complete of its answer while it comes, and put the completion together."""
    streaming = streaming_of(call, prompt)
    specs = call.plan.type.specs if call.plan.type else ()
    names = [spec.name for spec in specs]
    opening = Open(streaming.operation, as_sent(call, prompt, request), limit)
    stream: OpenStream = yield from exchange(call, prompt, attempts, opening)
    fold, ours = streaming.fold(request, specs), None
    clock, following, takes_all = time.perf_counter, Next(stream), showing.takes_all
    while True:
        started = clock()
        try:  # as in `exchange`, which would make a generator for each chunk
            chunk = yield following
        except Exception as error:
            judge_failure(call, prompt, attempts, error)
            raise
        finally:
            attempts.seconds += clock() - started
        if chunk is END:
            break
        if call.deadline is not None and time.monotonic() >= call.deadline:
            raise TimeoutError(f"The answer was not complete after max_seconds={call.max_seconds:g}.")
        if not attempts.answered:
            attempts.answered = True
            yield from show(call, showing, attempts, showing.begin())
        for delta in fold.add(chunk):
            if (ours is None or takes_all) and _is_answer(delta, names, prompt.mode):
                ours = delta.number
            if delta.number == ours and (delta.text or takes_all):
                attempts.shown.append(delta.text)
                values = showing.add(delta)
                if values:  # most chunks make nothing new to show
                    yield from show(call, showing, attempts, values)
    attempts.answered = True  # also by a stream without a chunk, which is an attempt that failed
    return call.adapter.assemble(*fold.finish())


_CALLS_TOOLS = {Mode.TOOLS, Mode.RESPONSES_TOOLS}


def _is_answer(delta: Delta, names: list[str], mode: Mode) -> bool:
    return mode not in _CALLS_TOOLS if delta.number == TEXT else delta.tool in names


def show(call: Call[Any], showing: Showing, attempts: Attempts, values: Iterable[Value]) -> Flow[None]:
    """Hand values out, each once its asynchronous validators have judged it."""
    pace = showing.pace
    # A tuple holds values that are made; any other iterable makes them, and so may run validators.
    for value in values if isinstance(values, tuple) else make_each(values, UnderWay(call, attempts)):
        if call.plan.awaits and showing.judges_each:
            try:
                yield from judge_async(call, value, attempts)
            except Exception as error:  # noqa: BLE001 - raised again unless invalid items are left out
                showing.refuse(error)
                continue
        if pace is not None:
            pace.note()
        yield Show(value)  # without the generator that `yield from` makes: this runs for most chunks
        if pace is not None:
            pace.go_on()


def make_each(values: Iterable[Value], judged: UnderWay) -> Iterator[Value]:
    """Make values whose validators see the attempt, while each is made and no longer."""
    remaining = iter(values)
    while True:
        with judged:
            value = next(remaining, END)
        if value is END:
            return
        yield value


def open_raw(call: Call[Any]) -> Flow[Any]:
    """Ask for the SDK's own stream, which the caller reads."""
    prompt = current(call, call.load_prompt())
    streaming = streaming_of(call, prompt)
    # No more than the switch: with `stream_options` the last chunk has no choices, which readers don't expect.
    switch = {name: value for name, value in streaming.arguments.items() if name == "stream"}
    request = {**write_request(call, prompt), **switch}
    if not call.adapter.ready:
        yield from Prepare()
    if call.hooks.has_handlers(HookName.COMPLETION_KWARGS):
        yield from Emit(call.hooks, HookName.COMPLETION_KWARGS, (), copy_values(request))
    attempts = Attempts(call.adapter, call.model)
    # Nobody else sends it again, so the SDK may.
    limit = None if call.deadline is None and call.throttle is None else limit_of(call, attempts)
    sending = exchange(call, prompt, attempts, Send(streaming.operation, request, limit))
    return (yield from in_turn(call, request, attempts, sending))


def streaming_of(call: Call[Any], prompt: Prompt) -> Streaming:
    """How the wire streams."""
    streaming: Streaming | None = getattr(prompt.wire, "streaming", None)
    if streaming is None:
        raise ConfigurationError(f"Answers of {call.adapter.provider} can't be streamed. Use create() without stream.")
    return streaming


def fail(
    call: Call[Any], attempts: Attempts, request: Request, error: Exception, completion: Completion
) -> Flow[float]:
    """Decide after an attempt that failed. Returns the seconds to wait before the next."""
    mask_error(error, getattr(call.adapter, "credentials", ()))
    if not attempts.answered and isinstance(error, InstructorError):
        raise error
    attempts.fail(error, completion)
    final = isinstance(error, (IncompleteOutputException, RefusalError))
    is_unsent = isinstance(error, TurnTooLateError)
    is_shown = call.showing is not None and call.showing.has_shown
    seconds = (
        None
        if final or is_unsent or is_shown
        else call.retries.wait_after(attempts.number, error, attempts.failed_requests)
    )
    is_late = seconds is not None and call.deadline is not None and time.monotonic() + seconds >= call.deadline
    seconds = None if is_late else seconds
    is_late = is_late or is_unsent
    details = {
        "attempt_number": attempts.number,
        "max_attempts": call.retries.limit,
        "is_last_attempt": seconds is None,
    }
    is_broken = call.showing is not None and completion is None and not is_invalid_answer(error)  # a stream that broke
    is_parsed = attempts.answered and not final and not is_broken
    name = HookName.PARSE_ERROR if is_parsed else HookName.COMPLETION_ERROR
    if call.hooks.has_handlers(name):
        yield from Emit(call.hooks, name, (error,), details)
    if seconds is not None:
        attempts.report_failures(error, call.stats)
        over = attempts.over_budget(call.token_budget, request) if call.token_budget is not None else None
        if over is None:
            return seconds
        raise over from error
    if call.hooks.has_handlers(HookName.COMPLETION_LAST_ATTEMPT):
        yield from Emit(call.hooks, HookName.COMPLETION_LAST_ATTEMPT, (error,), details)
    if isinstance(error, (IncompleteOutputException, RefusalError)):
        attempts.complete(error, request)
        raise error
    attempts.number -= is_unsent  # the model hasn't been asked
    if is_late and call.max_seconds is not None:
        raise attempts.out_of_time(call.max_seconds, request) from error
    raise attempts.exhausted(error, request, sdk_retries=limit_of(call, attempts) is None) from error


def correct(
    call: Call[Any], prompt: Prompt, tried: list[Request], error: Exception
) -> Flow[tuple[Prompt, Request] | None]:
    """Find the next best way to ask, if the provider refused this one as not supported. An event reports it.

    No request is sent twice: where the refused argument is the caller's own, the caller gets the error.
    """
    capabilities = call.adapter.learn(call.model, prompt.mode, error, prompt.capabilities)
    if capabilities is None:
        return None
    corrected = yield from fetch_media(call, prompt.adapt(capabilities))
    request = write_request(call, corrected)
    if as_sent(call, corrected, request) in tried:
        return None
    change = prompt.describe_change(corrected)
    if call.stats.is_news(call.model, change):
        yield from tell(call, _REFUSED, str(error), change)
    return corrected, request


def tell_left_out(call: Call[Any], prompt: Prompt) -> Flow[None]:
    """Tell the caller which of its arguments are not sent, once for each client, model and argument."""
    if not prompt.arguments and not prompt.left_out:
        return
    for names, reason in (
        (prompt.left_out, "the model refuses"),
        (prompt.lacking, f"{prompt.wire.operation} doesn't have"),
    ):
        news = [name for name in names if call.stats.is_news(call.model, reason, name)]
        if news:
            listed = ", ".join(news)
            yield from tell(call, _LEFT_OUT, f"{reason} {listed}", f"without {listed}")


def tell(call: Call[Any], message: str, reason: str, change: str) -> Flow[None]:
    """Log a warning and emit an event about a request that isn't what the caller asked for."""
    import logging

    event = AdaptedEvent(provider=call.adapter.provider, model=call.model, reason=reason, change=change)
    logging.getLogger("instructor").warning(message, *event)
    if call.hooks.has_handlers(HookName.COMPLETION_ADAPTED):
        yield from Emit(call.hooks, HookName.COMPLETION_ADAPTED, (event,), {})


def find_flaw(call: Call[Any], prompt: Prompt, completion: Completion) -> str | None:
    """Why an answer must not be stored, although the caller gets it.

    A raw completion may be cut off, refused, or not finished; with a response model nothing of the kind comes this
    far. Items of a stream may have been left out.
    """
    if call.plan.type is not None:
        return None if call.showing is None else call.showing.flaw
    try:
        prompt.wire.check(completion)
    except InstructorError as error:
        return f"the completion is not a whole answer: {error}"
    return None


_REFUSED = (
    "%s refused a request for %s: %s. It is asked in another way from now on: %s. Pass mode= to choose it yourself."
)
_LEFT_OUT = "A request to %s for %s was changed: %s. It is sent %s. Leave that out of the call, or choose another model or mode."
