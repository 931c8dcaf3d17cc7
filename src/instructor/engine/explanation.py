"""What `Instructor.explain` returns: what the cache would do with a call, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from instructor.cache.differing import Difference, find_difference, find_nearest
from instructor.cache.misses import COLD, MISS_REASONS, Cause, Diagnosis, MissReason
from instructor.cache.redaction import Redactor
from instructor.engine.call import describe_call
from instructor.engine.client_stats import ClientStats
from instructor.engine.diagnosis import diagnose
from instructor.engine.key_memo import NOT_KEYED
from instructor.engine.path import name_of
from instructor.engine.question import CallQuestion
from instructor.engine.tier_lookup import Found, Missed, Served, assess
from instructor.engine.versions import find_version
from instructor.hooks import Hooks
from instructor.tables import as_table

if TYPE_CHECKING:
    from instructor.cache.entry import Entry
    from instructor.engine.call import Call
    from instructor.engine.effects import Flow
    from instructor.engine.key_memo import KeyMemo
    from instructor.engine.path import CachePath
    from instructor.exceptions import CacheError

_MOST_COMPARED = 500
"""Calls whose whole texts are compared to find the nearest one."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the cache would do with a call. Returned by `Instructor.explain`; nothing was sent or stored, and no hit or miss counted.

    Attributes:
        looked_for: The response model, and whom it would be asked of.
        hit: Whether it would be answered from the cache.
        store: The class names of the stores; empty for a call without a cache.
        key: Its key; None where it has none.
        uncacheable: Why it has none, such as which value has no canonical form; None where it has one.
        reason: Why it would miss: a row of `instructor.cache.misses.MISS_REASONS`; None for a hit.
        detail: What is known beyond the reason.
        nearest: Where the nearest stored call is, in words.
        difference: Where that differs first, both values cut short and without secrets; None where it isn't known.
        tier: The class name of the store that has the answer.
        age: Seconds since it was asked for.
        expires_in: Seconds for which it's fresh; negative for a stale one, None for ever.
        stale: Whether it isn't fresh any more, and would be served all the same.
        compatible: Whether it was stored for another schema of the response model; see ``schema_match``.
        tags: Its tags.
        answered_by: The model that answered.
        advice: What to do, in words.

    Example:
        >>> client = instructor.from_provider("offline/demo", cache=instructor.AutoCache())
        >>> client.create(response_model=int, messages=[{"role": "user", "content": "Anna is 25."}])
        25
        >>> explanation = client.explain(response_model=int, messages=[{"role": "user", "content": "Anna is 26."}])
        >>> explanation.hit, explanation.reason
        (False, 'prompt_changed')
        >>> str(explanation.difference)
        "messages[0].content, character 9: stored 'Anna is 25.', asked 'Anna is 26.'"
    """

    looked_for: str
    hit: bool = False
    store: str = ""
    key: str | None = None
    uncacheable: str | None = None
    reason: MissReason | None = None
    detail: str | None = None
    nearest: str = ""
    difference: Difference | None = None
    tier: str | None = None
    age: float | None = None
    expires_in: float | None = None
    stale: bool = False
    compatible: bool = False
    tags: tuple[str, ...] = ()
    answered_by: str = ""
    advice: str = ""

    @property
    def verdict(self) -> str:
        """``"hit"``, ``"miss"`` or ``"not cached"``."""
        return "not cached" if self.uncacheable is not None else "hit" if self.hit else "miss"

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {self.looked_for}"]
        lines += [f"  {name}: {value}" for name, value in self.__rich_repr__() if name not in ("call", "verdict")]
        return "\n".join(lines)

    def __rich_repr__(self) -> Iterator[tuple[str, object]]:
        """What `str`, the library ``rich`` and notebooks show."""
        yield "verdict", self.verdict
        yield "call", self.looked_for
        meaning = None if self.reason is None else f"{self.reason} ({MISS_REASONS[self.reason]})"
        named = "uncacheable reason detail nearest difference tier age expires_in stale compatible tags answered_by"
        shown = {
            **{name: getattr(self, name) for name in f"{named} store key advice".split()},
            "reason": meaning,
            "detail": None if self.detail == str(self.difference) else self.detail,
            "tags": ", ".join(self.tags),
            "age": None if self.age is None else f"{self.age:.1f} s",
            "expires_in": None if self.expires_in is None else f"{self.expires_in:.1f} s",
        }
        yield from ((name, value) for name, value in shown.items() if value not in (None, "", False))

    def _repr_html_(self) -> str:
        """A table, for notebooks."""
        return as_table((name, str(value)) for name, value in self.__rich_repr__())


class Asked(NamedTuple):
    """What the caller passed, and where the client remembers what it passed before."""

    memo: KeyMemo
    messages: object
    keywords: Mapping[str, Any]


def explain(call: Call[Any], asked: Asked) -> Flow[Explanation]:
    """Say what the cache would do with a call."""
    path, key, looked_for = call.path, call.key, describe_call(call)
    if path is None or key is None:
        return Explanation(looked_for, uncacheable=call.bypass or "the call has no cache")
    question = CallQuestion(call._replace(hooks=Hooks(), stats=ClientStats(), showing=None))
    known = Explanation(looked_for, store=path.name, key=key)
    if not call.policy.mode.looks:
        return _miss(known, Diagnosis(Cause("not_looked_up", f"cache_mode is {call.policy.mode.name}")))
    found = yield from _look(path, key, question, call)
    if not isinstance(found, Cause):
        return _hit(known, found, call.policy.clock())
    policy = call.policy._replace(mode=call.policy.mode._replace(sends=False), explains=True)
    diagnosis = yield from diagnose(path, key, question, policy, found, _ignore)
    return _miss(known, _compare(path, diagnosis, question, asked))


def _look(path: CachePath, key: str, question: CallQuestion[Any], call: Call[Any]) -> Flow[Served[Any] | Cause]:
    """Look through the tiers as a call does, but copy, count and report nothing."""
    cause = COLD
    for depth, tier in enumerate(path.tiers):
        held = yield from tier.find(key, _ignore)
        if isinstance(held, Cause):
            cause = held
        elif held is not None:
            judged: Served[Any] | Missed = yield from assess(path, question, call.policy, Found(held, depth))
            if isinstance(judged, Served):
                return judged._replace(tier=name_of(tier))
            cause = judged.cause
    found, served, _ = yield from find_version(path, question, call.policy, cause, _ignore)
    if found is None or served is None:
        return cause
    return served._replace(tier=name_of(path.tiers[found.depth]))


def _ignore(error: CacheError) -> Flow[None]:
    del error
    yield from ()


def _hit(known: Explanation, served: Served[Any], now: float) -> Explanation:
    entry: Entry | None = served.entry
    assert entry is not None, "a store holds entries"
    return replace(
        known,
        hit=True,
        tier=served.tier,
        age=max(0.0, now - entry.created),
        expires_in=None if entry.expires is None else entry.expires - now,
        stale=served.is_stale,
        compatible=entry.key != known.key,
        tags=entry.tags,
        answered_by=entry.origin.answered_by or entry.origin.model,
    )


def _miss(known: Explanation, diagnosis: Diagnosis) -> Explanation:
    (reason, detail), _, where, difference, advice = diagnosis
    return replace(known, reason=reason, detail=detail, nearest=where, difference=difference, advice=advice)


def _compare(path: CachePath, diagnosis: Diagnosis, question: CallQuestion[Any], asked: Asked) -> Diagnosis:
    """Find the first difference in the texts of calls that this client remembers, where their members don't show it."""
    sketch = question.sketch()
    if diagnosis.nearest is None or diagnosis.difference is not None or sketch is None:
        return diagnosis
    keys = path.notes.with_settings(sketch) if diagnosis.cause.reason == "prompt_changed" else [diagnosis.nearest]
    calls = asked.memo.recall(keys[:_MOST_COMPARED])
    redact = Redactor()
    keywords = {name: value for name, value in asked.keywords.items() if name not in NOT_KEYED}
    own: dict[str, Any] = redact({"messages": asked.messages, **keywords})
    if diagnosis.cause.reason == "namespace":
        own = {name: own[name] for name in own if name == "cache_namespace"}
        calls = {key: {name: call[name] for name in call if name == "cache_namespace"} for key, call in calls.items()}
    nearest = find_nearest(own, [((key, one), one) for key, known in calls.items() for one in [redact(known)]])
    if nearest is None:
        return diagnosis
    key, stored = nearest
    return diagnosis._replace(nearest=key, where=f"under the key {key[:12]}", difference=find_difference(stored, own))
