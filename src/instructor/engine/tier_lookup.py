"""Looking through the tiers of a path: what may be served, what may be served in case of need, and why nothing may."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from instructor.cache.entry import Entry
from instructor.cache.misses import COLD, EXPIRED, Cause, refused
from instructor.engine.call import Live, Policy
from instructor.engine.effects import Emit, Flow
from instructor.engine.freshness import PLAIN, Freshness, Verdict, draw_chance, weigh
from instructor.engine.path import CachePath, Report, Tier, Unserved, name_of, report_failure
from instructor.engine.tagging import check_tagged
from instructor.exceptions import CacheError
from instructor.hooks import HookName

if TYPE_CHECKING:
    from instructor.cache.call_notes import Sketch
    from instructor.engine.background import Background

T = TypeVar("T")


class Question(Protocol[T]):
    """What is looked up, and asked if need be."""

    def read(self, entry: Entry) -> T:
        """Make the caller's own value of a stored answer, by the same path as of a live one."""
        ...

    def ask(self) -> Flow[Live[T]]:
        """Ask for an answer until one is valid."""
        ...

    def value_of(self, live: Live[Any]) -> object:
        """The whole value of an answer, for ``cache_tags`` and ``cache_ttl``."""
        ...

    def warn(self, subject: str, message: str) -> None:
        """Log what keeps answers from being stored, once for each subject."""
        ...

    def enter(self, live: Live[T], tags: tuple[str, ...] | None) -> None:
        """Enter into the books what the answer cost; `tags` are its own, None where they aren't known."""
        ...

    def sketch(self) -> Sketch | None:
        """What it is compared with others by, if it misses; None where it isn't compared."""
        ...

    @property
    def examines(self) -> bool:
        """Whether it is to be examined, if nothing like it is stored."""
        ...

    def examine(self) -> None:
        """Warn of what makes a question that missed new with each call."""
        ...

    def wants(self, name: HookName) -> bool:
        """Whether anybody wants an event."""
        ...

    def write(self, live: Live[T], expires: float | None) -> Entry | None:
        """Describe a live answer; None if other callers can't read it back."""
        ...

    def prepare(self, entry: Entry) -> Entry:
        """Make an entry that was read from text ready to be held in memory."""
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

    def may_fall_back(self, error: Exception) -> bool:
        """Whether a stale answer may stand in for an error: the provider failed, and the caller has seen nothing yet."""
        ...

    def again(self) -> tuple[Question[Any], Background] | None:
        """The same question without its caller, and what runs it; None if it can't be asked again."""
        ...

    def describe(self) -> str:
        """Say what is looked for, in words."""
        ...

    def event(
        self,
        name: HookName,
        entry: Entry | None = None,
        reason: Cause | str | None = None,
        served: Served[Any] | None = None,
    ) -> Emit | None:
        """Count something that happened between the call and its cache; return the flow that calls handlers, if any."""
        ...


class Source(enum.Enum):
    """Where an answer came from."""

    LIVE = "the provider"
    STORE = "a store"
    SHARED = "an identical call that was under way"


class Served(NamedTuple, Generic[T]):
    """An answer to a question.

    Attributes:
        value: The caller's own value.
        entry: The answer as others may read it; None for one that can't be written down.
        verdict: How fresh it was, where it was stored.
        tier: The class name of the store that had it; empty for one that no store had.
        live: What was asked for, or what the leader of a flight has shared; None for an answer from a store.
    """

    value: T
    entry: Entry | None
    verdict: Verdict = Verdict.FRESH
    tier: str = ""
    source: Source = Source.STORE
    live: Live[Any] | None = None

    @property
    def is_stale(self) -> bool:
        """Whether it is served though it isn't fresh any more."""
        return self.verdict in (Verdict.STALE, Verdict.FALLBACK)


class Found(NamedTuple):
    """What a tier holds, the number of the tier, and the moment before it was read (`CachePath.note`)."""

    entry: Entry
    depth: int
    since: int = 0


class Missed(NamedTuple):
    """Nothing may be served.

    Attributes:
        cause: Why.
        fallback: What may be served if the provider fails.
    """

    cause: Cause
    fallback: Found | None = None

    @property
    def is_flawed(self) -> bool:
        """Whether there is an entry that can't be used, which was counted and reported."""
        return self.cause.reason in ("refused_by_validator", "corrupt")


ABSENT = Missed(COLD)


def look_on(
    path: CachePath, key: str, question: Question[T], policy: Policy, unserved: Unserved
) -> Flow[Served[T] | Missed]:
    """Go on where the fast path left off: report what its store raised, and look through the other tiers."""
    missed = Missed(unserved.cause)
    if unserved.error is not None:
        yield from report_failure(path.tiers[0].handle, unserved.error, reporter(question, path))
    elif unserved.landed is None:
        path.count_error(path.tiers[0])  # today's validators refuse the entry
    elif unserved.entry is not None:
        judged = yield from consider(path, question, policy, Found(unserved.entry, 0))
        if isinstance(judged, Served):
            return judged
        missed = judged
    return (yield from look_up(path, key, question, policy, 1, missed))


def look_up(
    path: CachePath, key: str, question: Question[T], policy: Policy, first: int = 0, missed: Missed = ABSENT
) -> Flow[Served[T] | Missed]:
    """Look through the tiers, from the first one that was not looked into yet."""
    report, since = reporter(question, path), path.note()
    for depth, tier in enumerate(path.tiers[first:], first):
        entry = yield from tier.find(key, report)
        if isinstance(entry, Cause):
            missed = missed._replace(cause=entry)
        elif entry is not None:
            judged = yield from consider(path, question, policy, Found(entry, depth, since))
            if isinstance(judged, Served):
                return judged
            missed = Missed(judged.cause, newer(missed.fallback, judged.fallback))
    return missed


def consider(path: CachePath, question: Question[T], policy: Policy, found: Found) -> Flow[Served[T] | Missed]:
    """Serve what a tier holds, if it may be served."""
    entry, depth, since = found
    tier = path.tiers[depth]
    judged = yield from assess(path, question, policy, found)
    if isinstance(judged, Missed):
        if judged.cause.reason == "refused_by_validator":
            path.count_error(tier)
        return judged
    if depth:
        yield from fill(path.tiers[:depth], question.prepare(entry), policy, reporter(question, path), since)
    path.notes.note(entry.key, entry.expires, question.sketch)
    return (yield from announce(question, tier, judged))


def assess(path: CachePath, question: Question[T], policy: Policy, found: Found) -> Flow[Served[T] | Missed]:
    """Decide whether what a tier holds may be served, and change nothing."""
    entry = found.entry
    if entry.tagged is not None:
        invalid = yield from check_tagged(path, entry.tagged, reporter(question, path))
        if invalid is not None:
            return Missed(invalid)
    judged = judge(entry, policy.clock(), question.read, policy.freshness, policy.draw)
    if isinstance(judged, Verdict):
        return Missed(EXPIRED, found if judged is Verdict.FALLBACK else None)
    if question.awaits and isinstance(judged, Served):
        judged = yield from confirm(question, judged)
    return Missed(judged) if isinstance(judged, Cause) else judged


def announce(question: Question[T], tier: Tier, served: Served[T], reason: str | None = None) -> Flow[Served[T]]:
    """Count and report that an answer of a tier is served."""
    entry = served.entry
    served = Served(served.value, entry, served.verdict, name_of(tier), served.source, served.live)
    assert entry is not None, "a tier holds entries"
    tier.hits.hit(entry)
    yield from emit_event(question, HookName.CACHE_HIT, entry, reason, served)
    return served


def judge(
    entry: Entry,
    now: float,
    read: Callable[[Entry], T],
    freshness: Freshness = PLAIN,
    draw: Callable[[], float] = draw_chance,
) -> Served[T] | Verdict | Cause:
    """Decide whether an entry may be served. The fast path is this function, written out for entries that are fresh.

    Returns the caller's own value; else the verdict that forbids it, or why today's validators refuse it.
    """
    verdict = weigh(entry, now, freshness, draw)
    if verdict in (Verdict.EXPIRED, Verdict.FALLBACK):
        return verdict
    return read_entry(entry, read, verdict)


def read_entry(entry: Entry, read: Callable[[Entry], T], verdict: Verdict) -> Served[T] | Cause:
    """Make the caller's value of an entry; or say why it is refused."""
    try:
        return Served(read(entry), entry, verdict)
    except Exception as error:  # noqa: BLE001 - whatever today's validators raise: a live answer is judged by them too
        return refused(error)


def confirm(question: Question[T], served: Served[T]) -> Flow[Served[T] | Cause]:
    """Let the asynchronous validators judge an answer that may be served otherwise."""
    try:
        yield from question.confirm()
    except Exception as error:  # noqa: BLE001 - as in `read_entry`
        return refused(error)
    return served


def fill(tiers: Sequence[Tier], entry: Entry, policy: Policy, report: Report, since: int) -> Flow[None]:
    """Copy an entry into faster tiers, for as long as it may still be of use."""
    seconds = shelf_life(entry, policy)
    if seconds == 0 or not policy.mode.stores:
        return
    for tier in tiers:
        try:
            stored = yield from tier.fill(entry, seconds, report, since)
        except ValueError:  # it was stored without a completion, by somebody else
            return
        tier.handle.count(misses=1, writes=int(stored))


def find_newer(
    path: CachePath, key: str, question: Question[Any], policy: Policy, old: Entry, first: int = 1
) -> Flow[bool]:
    """Copy a newer answer upward from a later tier, where another process has put it; return whether there was one."""
    report, since = reporter(question, path), path.note()
    own = policy.freshness._replace(stale_while_revalidate=0.0, stale_if_error=0.0, refresh_early=0.0)
    for depth, tier in enumerate(path.tiers[first:], first):
        entry = yield from tier.find(key, report)
        if not isinstance(entry, Entry) or entry.created <= old.created:
            continue
        if entry.tagged is not None and (yield from check_tagged(path, entry.tagged, report)) is not None:
            continue
        if isinstance(judge(entry, policy.clock(), question.read, own), Served):
            yield from fill(path.tiers[:depth], question.prepare(entry), policy, report, since)
            return True
    return False


def shelf_life(entry: Entry, policy: Policy) -> float | None:
    """Seconds for which a store keeps an entry: for as long as it is fresh, and then may be served as stale."""
    if entry.expires is None:
        return None
    return max(0.0, entry.expires - policy.clock() + policy.freshness.grace)


def emit_event(
    question: Question[Any],
    name: HookName,
    entry: Entry | None = None,
    reason: Cause | str | None = None,
    served: Served[Any] | None = None,
) -> Flow[None]:
    """Count an event, and call its handlers."""
    event = question.event(name, entry, reason, served)
    if event is not None:
        yield event


def reporter(question: Question[Any], path: CachePath) -> Report:
    """What tiers report failures of their stores to."""

    def report(error: CacheError) -> Flow[None]:
        path.count_together(errors=1)
        yield from emit_event(question, HookName.CACHE_ERROR, reason=str(error))

    return report


def newer(one: Found | None, other: Found | None) -> Found | None:
    """The fallback whose answer came later."""
    return max(filter(None, (one, other)), key=lambda found: found.entry.created, default=None)
