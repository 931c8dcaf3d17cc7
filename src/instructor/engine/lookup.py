"""The one conversation with the cache: look, claim, wait, look again, ask, keep.

Read `through_cache` from the top down. The client and the decorator each bring a small `Question`; nothing else knows
when a store is read or written, who may serve an answer, and what may be stored. How the tiers are looked through
stands in ``engine/tier_lookup.py``.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from instructor.cache.entry import Entry
from instructor.cache.flight import Flight, Landed, Lease
from instructor.cache.misses import NEW, Cause
from instructor.engine.call import Live, Policy
from instructor.engine.effects import Claim, Flow, Post, Spawn, Wait
from instructor.engine.freshness import Verdict, weigh
from instructor.engine.path import CachePath, Report, Unserved
from instructor.engine.tagging import check_tagged, mark, note_generation
from instructor.engine.tier_lookup import (
    Found,
    Missed,
    Question,
    Served,
    Source,
    announce,
    confirm,
    emit_event,
    find_newer,
    look_on,
    look_up,
    newer,
    read_entry,
    reporter,
)
from instructor.exceptions import BudgetExceeded, CacheMiss
from instructor.hooks import HookName

if TYPE_CHECKING:
    from instructor.cache.lease import HeldLease
    from instructor.engine.leasing import Look

T = TypeVar("T")


class Answer(NamedTuple, Generic[T]):
    """What a leader hands to its waiters.

    Attributes:
        live: The answer.
        entry: The answer as others may read it; None if it can't be written down.
        is_kept: Whether the leader stores it, so that no waiter has to.
        is_live: Whether it was just asked for; otherwise the leader has found it in a store meanwhile.
        error: Why the leader could not ask; then the answer is a stale one, which not every waiter wants.
    """

    live: Live[T]
    entry: Entry | None
    is_kept: bool
    is_live: bool = True
    error: Exception | None = None


def through_cache(
    path: CachePath, key: str, question: Question[T], policy: Policy, unserved: Unserved | None = None
) -> Flow[Served[T]]:
    """Answer a question: from a store, from an identical call under way, or by asking.

    `unserved` is what the fast path has found out about the first tier already.
    """
    landed_before = path.flights.landed if unserved is None else unserved.landed
    found = yield from look(path, key, question, policy, unserved)
    if isinstance(found, Served):
        if found.verdict is not Verdict.FRESH and found.entry is not None:
            yield from refresh(path, key, question, policy, found.entry)
        return found
    lease = yield from take_turn(path, key, question, policy, look_again(path, key, question, policy, found))
    if isinstance(lease, Served):
        return lease
    if policy.mode.looks and landed_before is not None and path.flights.has_landed(key, landed_before):
        # An identical call ended since the store was read, so its answer may be there by now.
        again = yield from look_up(path, key, question, policy)
        if isinstance(again, Served):
            offer_stored(lease, again)
            return again
    path.count_miss()
    from instructor.engine.diagnosis import diagnose

    diagnosis = yield from diagnose(path, key, question, policy, found.cause, reporter(question, path))
    yield from emit_event(question, HookName.CACHE_MISS, None, diagnosis.cause)
    if policy.mode.sends:
        if question.examines and diagnosis.cause.reason in NEW:
            question.examine()
        return (yield from ask_and_keep(path, question, policy, lease, found.fallback))
    served = yield from fall_back(path, question, found.fallback, "cache_mode is replay")
    if served is None:
        reason, known = diagnosis.cause.reason, str(diagnosis) or None
        raise CacheMiss(question.describe(), key=key, reason=reason, store=path.name, explanation=known)
    return served


def look(
    path: CachePath, key: str, question: Question[T], policy: Policy, unserved: Unserved | None
) -> Flow[Served[T] | Missed]:
    """Look for an answer under the call's own key, and then under that which it shares with earlier response models."""
    if not policy.mode.looks:
        return Missed(Cause("not_looked_up", f"cache_mode is {policy.mode.name}"))
    if unserved is None:
        found = yield from look_up(path, key, question, policy)
    else:
        found = yield from look_on(path, key, question, policy, unserved)
    if isinstance(found, Served) or not policy.compatible:
        return found
    from instructor.engine.versions import find_version

    place, served, fallback = yield from find_version(path, question, policy, found.cause, reporter(question, path))
    if place is not None and served is not None:
        return (yield from announce(question, path.tiers[place.depth], served))
    return found._replace(fallback=newer(found.fallback, fallback))


def look_again(path: CachePath, key: str, question: Question[T], policy: Policy, missed: Missed) -> Look[T]:
    """Look through the tiers once more, because another process may have stored an answer since."""

    def look(asked: bool) -> Flow[Served[T] | None]:
        if not policy.mode.looks or (missed.is_flawed and not asked):
            return None
        found = yield from look_up(path, key, question, policy)
        return found if isinstance(found, Served) else None

    return look


def value_through_cache(path: CachePath, key: str, question: Question[T], policy: Policy) -> Flow[T]:
    """As `through_cache`, for callers that only want the value."""
    return (yield from through_cache(path, key, question, policy)).value


def ask_and_keep(
    path: CachePath,
    question: Question[T],
    policy: Policy,
    lease: Lease[Any] | None,
    fallback: Found | None = None,
) -> Flow[Served[T]]:
    """Ask for an answer, hand it to those who wait for it, and store it. If the provider fails, serve the fallback."""
    generation: int | None = None
    if policy.tags is not None:
        generation = yield from note_generation(path, reporter(question, path))
    try:
        live = yield from question.ask()
    except Exception as error:
        yield from post(path)
        served = None
        if question.may_fall_back(error):
            served = yield from fall_back(path, question, fallback, f"the provider failed: {type(error).__name__}")
        if served is None:
            raise
        offer_stored(lease, served, error)
        return served
    ttl, flaw = lifetime(question, policy, live)
    entry = question.write(live, None if ttl is None else policy.clock() + ttl)
    reason = flaw or why_not_stored(live, entry, policy, ttl)
    if entry is not None and policy.tags is not None:
        entry, flaw = mark(entry, policy.tags, generation, lambda: question.value_of(live), question.warn)
        entry, reason = question.prepare(entry), reason or flaw
    question.enter(live, entry.tags if entry is not None and entry.tagged is not None else None)
    if lease is not None:
        lease.offer(Answer(question.share(live, entry), entry, is_kept=reason is None))
    yield from keep(path, question, policy, entry, reason, ttl, None if lease is None else lease.held)
    yield from post(path)
    return Served(live.value, entry, source=Source.LIVE, live=live)


def post(path: CachePath) -> Flow[None]:
    """Enter what was spent and saved by now into the store that keeps the path's ledger."""
    handle = path.posts
    if handle is not None:
        yield from Post(handle)


def fall_back(path: CachePath, question: Question[T], fallback: Found | None, reason: str) -> Flow[Served[T] | None]:
    """Serve a stale answer in place of a new one; None if there is none, or today's validators refuse it."""
    if fallback is None:
        return None
    tier = path.tiers[fallback.depth]
    served = read_entry(fallback.entry, question.read, Verdict.FALLBACK)
    if question.awaits and isinstance(served, Served):
        served = yield from confirm(question, served)
    if isinstance(served, Cause):
        path.count_error(tier)
        return None
    return (yield from announce(question, tier, served, reason))


def offer_stored(lease: Lease[Any] | None, served: Served[Any], error: Exception | None = None) -> None:
    """Hand an answer from a store to those who wait for a new one."""
    if lease is not None and served.entry is not None:
        live = Live(served.value, served.entry.parts)
        lease.offer(Answer(live, served.entry, is_kept=True, is_live=False, error=error))


def refresh(path: CachePath, key: str, question: Question[Any], policy: Policy, old: Entry) -> Flow[None]:
    """Have an answer replaced in the background, once, however many callers are served the stale one."""
    again = question.again() if policy.mode.sends and policy.mode.stores else None
    refreshes = path.flights.refreshes
    if again is None or not refreshes.begin(key, policy.clock()):
        return
    asker, background = again

    def done(well: bool) -> None:
        refreshes.end(key, policy.clock(), well=well)

    yield Spawn(background, replace(path, key, asker, policy, old), done)


def replace(path: CachePath, key: str, question: Question[Any], policy: Policy, old: Entry) -> Flow[None]:
    """Replace a stored answer: by what a later tier has meanwhile, or by a new one."""
    if (yield from find_newer(path, key, question, policy, old)):
        return

    def look(asked: bool) -> Flow[Served[Any] | None]:  # noqa: ARG001 - a newer answer is what it is for
        is_there = yield from find_newer(path, key, question, policy, old, first=0)
        return Served(None, None) if is_there else None

    lease = yield from take_turn(path, key, question, policy, look)
    if not isinstance(lease, Served):
        yield from ask_and_keep(path, question, policy, lease)


def take_turn(
    path: CachePath, key: str, question: Question[T], policy: Policy, look: Look[T]
) -> Flow[Served[T] | Lease[Any] | None]:
    """Join the identical call that is under way, or lead.

    Nobody waits longer than it would have asked alone, but for the flights that it joined in good faith: a call goes
    on alone, at once and beside others in its place, when its leader failed for a reason that it doesn't share, except
    for a budget, when its own timeout is over, and when it has refused two answers.

    Returns another call's answer, a lease for the leader, or None to go on alone. Raises the leader's error where this
    call shares it.
    """
    if not policy.mode.joins:
        return None
    from instructor.engine.leasing import lead_all

    refusals = 0
    started = policy.clock()
    past: Flight[Any] | None = None
    while True:
        turn = yield from Claim(path.flights, key, policy.source, past)
        if not isinstance(turn, Flight):
            found = yield from lead_all(path, key, policy, turn, look, reporter(question, path), started)
            if found is not None:
                offer_stored(turn, found)
            return found or turn
        patience = None if policy.patience is None else policy.patience - (policy.clock() - started)
        landed = yield from Wait(turn, patience)
        if landed is None:
            return None
        if landed.error is not None:
            judge_error(landed, policy)
            if not isinstance(landed.error, BudgetExceeded):
                return None
        elif landed.answer is not None:
            served = yield from share(path, question, policy, landed)
            refusals += 1
            if served is not None or refusals > 1:
                return served
        # Handed over by a leader that was cancelled or has no money left, or refused once: one of those who waited leads
        # next, even while the leader before it is still storing its answer.
        past = turn


def judge_error(landed: Landed[Any], policy: Policy) -> None:
    """Raise the leader's error where this call shares it."""
    # Only an `Exception` is about the question; what ends the leader's program or thread is its own affair.
    if isinstance(landed.error, Exception) and landed.source == policy.source:
        raise own_copy(landed.error)


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
    verdict = Verdict.FRESH
    if not answer.is_live:
        verdict = Verdict.EXPIRED if entry is None else weigh(entry, policy.clock(), policy.freshness, policy.draw)
        if not policy.mode.looks or verdict is Verdict.EXPIRED:
            if answer.error is not None and landed.source == policy.source:
                raise own_copy(answer.error)
            return None
    try:
        value = question.copy(live, entry)
        if question.awaits:
            yield from question.confirm()
    except Exception:  # noqa: BLE001 - whatever today's validators raise, asking again judges anew
        return None
    served = Served(value, entry, verdict, source=Source.SHARED, live=live)
    yield from emit_event(question, HookName.CACHE_COALESCED, entry, served=served)
    untagged = entry is None or (policy.tags is not None and entry.tagged is None)
    if entry is not None and not untagged and not answer.is_kept:
        # The leader stores nothing, as its `cache_ttl` or its mode asks, but this call has another one.
        ttl, flaw = lifetime(question, policy, live)
        own = dataclasses.replace(entry, expires=None if ttl is None else policy.clock() + ttl)
        yield from keep(path, question, policy, own, flaw or why_not_stored(live, own, policy, ttl), ttl)
    return served


def keep(
    path: CachePath,
    question: Question[T],
    policy: Policy,
    entry: Entry | None,
    reason: str | None,
    ttl: float | None,
    held: HeldLease | None = None,
) -> Flow[None]:
    """Store an answer in every tier, or report why not. A store's failure loses nothing: the answer is returned.

    With a lease, the store that it is of comes first. If that refuses the answer, because another process has asked
    meanwhile, no tier keeps it: all processes are to serve the same.
    """
    if entry is None or reason is not None:
        if reason and reason != NOT_WANTED and policy.mode.stores:
            yield from emit_event(question, HookName.CACHE_BYPASS, reason=reason)
        return
    report = reporter(question, path)
    written, seconds = False, None if ttl is None else ttl + policy.freshness.grace
    try:
        for tier in path.tiers if held is None else sorted(path.tiers, key=lambda tier: tier is not path.lender):
            stored = yield from tier.keep(entry, seconds, report, held if tier is path.lender else None)
            if held is not None and held.is_lost:
                return
            if stored:
                tier.handle.count(writes=1)
            written = written or stored
    except ValueError as error:
        yield from emit_event(question, HookName.CACHE_BYPASS, reason=str(error))
        return
    finally:
        path.forget(entry.key)
    if written:
        path.count_together(writes=1)
        path.notes.note(entry.key, entry.expires, question.sketch)
        if policy.compatible or policy.explains:
            yield from keep_rows(path, question, policy, entry, seconds, report)
        yield from emit_event(question, HookName.CACHE_WRITE, entry)


def keep_rows(
    path: CachePath, question: Question[Any], policy: Policy, entry: Entry, ttl: float | None, report: Report
) -> Flow[None]:
    """Store beside an answer what leads other versions of its response model to it, and explains other calls' misses."""
    sketch = question.sketch()
    if sketch is None:
        return
    from instructor.cache.rows import make_rows

    members = sketch.describe()
    for row in make_rows(entry, members, sketch.response_model, compatible=policy.compatible, explains=policy.explains):
        for tier in path.tiers:
            yield from tier.keep_row(row, ttl, report)


NOT_WANTED = "cache_ttl is 0, or the mode stores nothing"


def lifetime(question: Question[Any], policy: Policy, live: Live[Any]) -> tuple[float | None, str | None]:
    """Seconds for which an answer is fresh, None for ever; and why that isn't known, where the user's function fails."""
    if not callable(policy.ttl):
        return policy.ttl, None
    try:
        return policy.ttl(question.value_of(live)), None
    except Exception as error:  # noqa: BLE001 - the answer is paid for, and is returned whatever the function does
        return None, f"cache_ttl failed with {type(error).__name__}: {error}"


def why_not_stored(live: Live[Any], entry: Entry | None, policy: Policy, ttl: float | None) -> str | None:
    """Decide whether a valid answer may be stored; None if it may, else the reason."""
    if ttl == 0 or not policy.mode.stores:
        return NOT_WANTED
    if live.flaw is not None:
        return live.flaw
    if entry is None:
        return "the answer cannot be written as text"
    return None


def own_copy(error: Exception) -> Exception:
    """Copy an error for one more caller, because raising it adds to its traceback; itself if it can't be copied."""
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 - an SDK's error may need arguments that a copy doesn't pass
        return error
    if type(own) is not type(error) or str(own) != str(error):
        return error
    if hasattr(error, "__notes__"):
        own.__notes__ = [*error.__notes__]  # a copy has the same list, to which the caller may add
    own.__cause__ = error.__cause__
    return own.with_traceback(None)
