"""The one conversation with the cache: look, claim, wait, look again, ask, keep.

Read `through_cache` from the top down. The client and the decorator each bring a small `Question`; nothing else knows
when a store is read or written, who may serve an answer, and what may be stored.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from instructor.cache.entry import Entry
from instructor.cache.flight import Flight, Landed, Lease
from instructor.engine.call import Live, Policy
from instructor.engine.effects import Claim, Emit, Flow, Wait
from instructor.engine.path import EXPIRED, CachePath, Report, Tier, Unserved, judge_failure
from instructor.engine.tagging import check_tagged, mark, note_generation
from instructor.exceptions import CacheError
from instructor.hooks import HookName

T = TypeVar("T")


class Question(Protocol[T]):
    """What is looked up, and asked if need be."""

    def read(self, entry: Entry) -> T:
        """Make the caller's own value of a stored answer, by the same path as of a live one."""
        ...

    def ask(self) -> Flow[Live[T]]:
        """Ask for an answer until one is valid."""
        ...

    def write(self, live: Live[T], expires: float | None) -> Entry | None:
        """Describe a live answer; None if other callers can't read it back."""
        ...

    def share(self, live: Live[T], entry: Entry | None) -> Live[T]:
        """Make of an own answer what waiters may copy, before the caller gets the answer and may change it."""
        ...

    def copy(self, live: Live[Any], entry: Entry | None) -> T:
        """Make this caller's own value of an answer that another call has just received."""
        ...

    @property
    def awaits(self) -> bool:
        """Whether asynchronous validators judge an answer as well."""
        ...

    def confirm(self) -> Flow[None]:
        """Let them judge what `read` or `copy` has just made, and raise if they refuse it."""
        ...

    def value_of(self, live: Live[T]) -> Any:
        """The value of a live answer, for ``cache_tags``."""
        ...

    def warn(self, subject: str, message: str) -> None:
        """Log what keeps answers from being stored, once for each subject."""
        ...

    def event(self, name: HookName, entry: Entry | None = None, reason: str | None = None) -> Emit | None:
        """Count something that happened between the call and its cache; return the flow that calls handlers, if any."""
        ...


class Served(NamedTuple, Generic[T]):
    """An answer that may be served without asking.

    Attributes:
        value: The caller's own value.
        entry: What it was read from; None for one that another call shared and that can't be written down.
    """

    value: T
    entry: Entry | None


class Answer(NamedTuple, Generic[T]):
    """What a leader hands to its waiters.

    Attributes:
        live: The answer.
        entry: The answer as others may read it; None if it can't be written down.
        is_kept: Whether the leader stores it, so that no waiter has to.
    """

    live: Live[T]
    entry: Entry | None
    is_kept: bool


def through_cache(
    path: CachePath, key: str, question: Question[T], policy: Policy, unserved: Unserved | None = None
) -> Flow[T]:
    """Answer a question: from a store, from an identical call under way, or by asking.

    `unserved` is what the fast path has found out about the first tier already.
    """
    landed_before: int | None = path.flights.landed
    if unserved is None:
        found = yield from look_up(path, key, question, policy)
    else:
        landed_before = unserved.landed
        found = yield from look_on(path, key, question, policy, unserved)
    if not isinstance(found, str):
        return found.value
    lease = yield from take_turn(path, key, question, policy)
    if lease is not None and not isinstance(lease, Lease):
        return lease.value
    if landed_before is not None and path.flights.landed != landed_before:
        # Another flight landed since the store was read, so its answer may be there by now.
        again = yield from look_up(path, key, question, policy)
        if not isinstance(again, str):
            if lease is not None:
                lease.offer(Answer(Live(again.value), again.entry, is_kept=True))
            return again.value
    path.count_miss()
    missed = question.event(HookName.CACHE_MISS, None, found)
    if missed is not None:
        yield missed
    generation = yield from note_generation(path, policy.tags, reporter(question, path))
    live = yield from question.ask()
    expires = None if policy.ttl is None else policy.clock() + policy.ttl
    entry = question.write(live, expires)
    reason = why_not_stored(live, entry, policy)
    if entry is not None and policy.tags is not None:
        entry, flaw = mark(entry, policy.tags, generation, lambda: question.value_of(live), question.warn)
        reason = reason or flaw
    if lease is not None:
        lease.offer(Answer(question.share(live, entry), entry, is_kept=reason is None))
    yield from keep(path, question, policy, entry, reason)
    return live.value


def look_on(
    path: CachePath, key: str, question: Question[T], policy: Policy, unserved: Unserved
) -> Flow[Served[T] | str]:
    """Go on where the fast path left off: report what its store raised, and look through the other tiers."""
    if unserved.error is not None:
        yield from judge_failure(path.tiers[0].handle, unserved.error, reporter(question, path))
    elif unserved.landed is None:
        path.count_error(path.tiers[0])  # today's validators refuse the entry
    return (yield from look_up(path, key, question, policy, 1, unserved.reason))


def look_up(
    path: CachePath, key: str, question: Question[T], policy: Policy, first: int = 0, reason: str = "absent"
) -> Flow[Served[T] | str]:
    """Look through the tiers, from the first one that was not looked into yet.

    Returns what may be served, or why nothing may.
    """
    report = reporter(question, path)
    for depth, tier in enumerate(path.tiers[first:], first):
        entry = yield from tier.find(key, report)
        if entry is None:
            continue
        if isinstance(entry, Entry) and entry.tagged is not None:
            entry = (yield from check_tagged(path, entry.tagged, report)) or entry
        judged = entry if isinstance(entry, str) else judge(entry, policy.clock(), question.read)
        if question.awaits and not isinstance(judged, str):
            judged = yield from confirm(question, judged)
        if isinstance(entry, str) or isinstance(judged, str):
            if not isinstance(entry, str) and judged != EXPIRED:
                path.count_error(tier)
            reason = str(judged)
            continue
        tier.hits.hit(entry)
        yield from fill(path.tiers[:depth], entry, policy, report)
        yield from emit_event(question, HookName.CACHE_HIT, entry)
        return judged
    return reason


def fill(tiers: Sequence[Tier], entry: Entry, policy: Policy, report: Report) -> Flow[None]:
    """Copy an entry into faster tiers, for as long as it may still be served."""
    seconds = remaining(entry, policy)
    if seconds == 0:
        return
    for tier in tiers:
        try:
            stored = yield from tier.keep(entry, seconds, report)
        except ValueError:  # it was stored without a completion, by somebody else
            return
        tier.handle.count(misses=1, writes=int(stored))


def take_turn(path: CachePath, key: str, question: Question[T], policy: Policy) -> Flow[Served[T] | Lease[Any] | None]:
    """Join the identical call that is under way, or lead.

    Nobody waits longer than it would have asked alone, but for the flights that it joined in good faith: a call goes
    on alone, at once and beside others in its place, when its leader failed for a reason that it doesn't share, when
    its own timeout is over, and when it has refused two answers.

    Returns another call's answer, a lease for the leader, or None to go on alone. Raises the leader's error where this
    call shares it.
    """
    refusals = 0
    started = policy.clock()
    past: Flight[Any] | None = None
    while True:
        turn = yield from Claim(path.flights, key, policy.source, past)
        if not isinstance(turn, Flight):
            return turn
        patience = None if policy.patience is None else policy.patience - (policy.clock() - started)
        landed = yield from Wait(turn, patience)
        if landed is None:
            return None
        if landed.error is not None:
            # Only an `Exception` is about the question; what ends the leader's program or thread is its own affair.
            if not isinstance(landed.error, Exception) or landed.source != policy.source:
                return None
            raise own_copy(landed.error)
        if landed.answer is not None:
            served = yield from share(path, question, policy, landed)
            refusals += 1
            if served is not None or refusals > 1:
                return served
        # Handed over by a cancelled leader, or refused once: one of those who waited leads next, even while the
        # leader before it is still storing its answer.
        past = turn


def share(
    path: CachePath, question: Question[T], policy: Policy, landed: Landed[Answer[Any]]
) -> Flow[Served[T] | None]:
    """Take an own copy of the answer that the leader brought; None if this call's validators refuse it."""
    answer = landed.answer
    if answer is None:
        return None
    live, entry = answer.live, answer.entry
    if entry is not None and entry.tagged is not None:
        stale = yield from check_tagged(path, entry.tagged, reporter(question, path))
        if stale is not None:
            return None
    try:
        value = question.copy(live, entry)
        if question.awaits:
            yield from question.confirm()
    except Exception:  # noqa: BLE001 - whatever today's validators raise, asking again judges anew
        return None
    yield from emit_event(question, HookName.CACHE_COALESCED, entry)
    untagged = entry is None or (policy.tags is not None and entry.tagged is None)
    if entry is not None and not untagged and not answer.is_kept and policy.ttl != 0:
        # The leader stores nothing, as its `cache_ttl` asks, but this call has another one.
        expires = None if policy.ttl is None else policy.clock() + policy.ttl
        own = entry._replace(expires=expires)
        yield from keep(path, question, policy, own, why_not_stored(live, own, policy))
    return Served(value, entry)


def keep(path: CachePath, question: Question[T], policy: Policy, entry: Entry | None, reason: str | None) -> Flow[None]:
    """Store an answer in every tier, or report why not. A store's failure loses nothing: the answer is returned."""
    if entry is None or reason is not None:
        if reason and reason != NOT_WANTED:
            yield from emit_event(question, HookName.CACHE_BYPASS, reason=reason)
        return
    report = reporter(question, path)
    written = False
    try:
        for tier in path.tiers:
            stored = yield from tier.keep(entry, policy.ttl, report)
            if stored:
                tier.handle.count(writes=1)
            written = written or stored
    except ValueError as error:
        yield from emit_event(question, HookName.CACHE_BYPASS, reason=str(error))
        return
    if written:
        path.count_together(writes=1)
        yield from emit_event(question, HookName.CACHE_WRITE, entry)


NOT_WANTED = "cache_ttl is 0"


def judge(entry: Entry, now: float, read: Callable[[Entry], T]) -> Served[T] | str:
    """Decide whether an entry may be served. The fast path is this function, written out for entries in memory.

    Returns the caller's own value, or why there is none.
    """
    if entry.expires is not None and entry.expires <= now:
        return EXPIRED
    try:
        return Served(read(entry), entry)
    except Exception as error:  # noqa: BLE001 - whatever today's validators raise: a live answer is judged by them too
        return f"refused: {type(error).__name__}"


def confirm(question: Question[T], served: Served[T]) -> Flow[Served[T] | str]:
    """Let the asynchronous validators judge an answer that may be served otherwise."""
    try:
        yield from question.confirm()
    except Exception as error:  # noqa: BLE001 - as in `judge`
        return f"refused: {type(error).__name__}"
    return served


def why_not_stored(live: Live[Any], entry: Entry | None, policy: Policy) -> str | None:
    """Decide whether a valid answer may be stored; None if it may, else the reason."""
    if policy.ttl == 0:
        return NOT_WANTED
    if live.flaw is not None:
        return live.flaw
    if entry is None:
        return "the answer cannot be written as text"
    return None


def remaining(entry: Entry, policy: Policy) -> float | None:
    """Seconds until an entry expires; None for never."""
    return None if entry.expires is None else max(0.0, entry.expires - policy.clock())


def emit_event(
    question: Question[Any], name: HookName, entry: Entry | None = None, reason: str | None = None
) -> Flow[None]:
    """Count an event, and call its handlers."""
    event = question.event(name, entry, reason)
    if event is not None:
        yield event


def reporter(question: Question[Any], path: CachePath) -> Report:
    """What tiers report failures of their stores to."""

    def report(error: CacheError) -> Flow[None]:
        path.count_together(errors=1)
        yield from emit_event(question, HookName.CACHE_ERROR, reason=str(error))

    return report


def own_copy(error: Exception) -> Exception:
    """Copy an error for one more caller, because raising it adds to its traceback; itself if it can't be copied."""
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 - an SDK's error may need arguments that a copy doesn't pass
        return error
    if type(own) is not type(error) or str(own) != str(error):
        return error
    own.__cause__ = error.__cause__
    return own.with_traceback(None)
