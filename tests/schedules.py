"""Identical calls under a scheduler that decides every step: no thread, no event loop, no clock but its own.

The flows, the flights and the way from an entry to a value are the real ones. A schedule performs one effect at a time,
of whichever caller it chooses, so any order of events that threads or tasks could come to can be tried.
"""

from __future__ import annotations

import atexit
import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationInfo, field_validator

from instructor.cache.books import Posting
from instructor.cache.entry import Entry, Origin, encode_entry, pack_completion
from instructor.cache.flight import Flight, Landed, Lease
from instructor.cache.lease import Ending, HeldLease, Leased
from instructor.cache.memory import AutoCache
from instructor.cache.sqlite_layout import _add_leases
from instructor.cache.sqlite_leases import SqliteLeases, end_with_answer
from instructor.engine.call import Call, Policy
from instructor.engine.drive import end, note
from instructor.engine.effects import AwaitLease, Claim, Effect, Flow, Read, Send, TakeLease, Wait, Write
from instructor.engine.path import CachePath
from instructor.engine.question import answer
from instructor.exceptions import InstructorRetryException
from instructor.messages import Part
from steps import HandHandle, completion, make_call, make_path

Choose = Callable[[int], int]
"""Chooses one of a number of possibilities."""


class Answer(BaseModel):
    """An answer that says which question it answers, and which caller paid for it."""

    name: str

    @field_validator("name")
    @classmethod
    def check(cls, name: str, info: ValidationInfo) -> str:
        own = (info.context or {}).get("accepts_only")
        if own is not None and name != own:
            raise ValueError("another caller's answer")
        return name


@dataclass(frozen=True)
class Caller:
    """What one caller asks, and what becomes of it.

    Attributes:
        question: What it asks. Callers with one question have one key.
        fails: Whether its own request fails.
        source: Whose errors it shares.
        refuses: Whether its validators refuse whatever another caller paid for.
        patience: For how many steps it waits for others; None for as long as they need.
        ttl: As ``cache_ttl``.
        end: What may happen to it at any moment: ``"cancelled"``, or ``"dead"``, if its event loop is stopped. Or
            ``"exited"``: its own request ends its thread, as ``SystemExit`` does. Or ``"frozen"``: its process stands
            still for longer than a lease, and goes on.
        process: Which process it is in. All share the store, and each has flights of its own.
    """

    question: str = "a"
    fails: bool = False
    source: str = "one client"
    refuses: bool = False
    patience: float | None = None
    ttl: float | None = None
    end: str = ""
    process: int = 0


KINDS = {
    "answered": Caller(),
    "of another client": Caller(source="another client"),
    "failing": Caller(fails=True),
    "failing, of another client": Caller(fails=True, source="another client"),
    "refusing": Caller(refuses=True),
    "impatient": Caller(patience=2),
    "storing nothing": Caller(ttl=0),
    "cancelled": Caller(end="cancelled"),
    "dying": Caller(end="dead"),
    "exiting": Caller(end="exited"),
}

FROZEN = Caller(end="frozen")


class Loop:
    """An event loop that can be stopped."""

    def __init__(self) -> None:
        self.running = True

    def is_running(self) -> bool:
        return self.running


@dataclass
class Run:
    """One caller's call under way, and what is seen of it.

    Attributes:
        result: The value, the error, or how it was ended.
        waits: How each of its waits ended: "answer", "error", "handed over" or "over".
        joined: The flights that it waited for.
        waited: For how many steps it could do nothing but wait.
        requests: How many requests it made.
    """

    number: int
    caller: Caller
    flow: Flow[Any]
    effect: Effect | None = None
    begun: bool = False
    performed: bool = False
    pending: Any = None
    leases: list[Lease[Any]] = field(default_factory=list)
    loop: Loop = field(default_factory=Loop)
    result: Any = None
    waits: list[str] = field(default_factory=list)
    joined: list[Flight[Any]] = field(default_factory=list)
    waited: int = 0
    waits_since: int = 0
    requests: int = 0
    frozen: bool = False

    @property
    def name(self) -> str:
        return f"{self.caller.question}:{self.number}"


class Schedule:
    """Runs callers until all have an answer, an error, or an end.

    Args:
        callers: The callers.
        choose: Decides each step.
        stored: Questions whose answer is in the store from the beginning.
        memory: Whether the store is memory of this process, which is read and written at once.
    """

    def __init__(self, callers: Sequence[Caller], choose: Choose, stored: str = "", *, memory: bool = False) -> None:
        self.clock = 0
        self.memory = AutoCache() if memory else None
        self.data: dict[str, Any] = {}
        self.store = LeasedStore(self.data) if any(caller.process for caller in callers) else None
        self.paths = [self._make_path() for _ in range(1 + max(caller.process for caller in callers))]
        self._choose = choose
        for question in stored:
            self._store(make_entry(question))
        self.published = self.refused = 0
        self.runs = [Run(number, caller, self._ask(number, caller)) for number, caller in enumerate(callers)]

    def finish(self) -> None:
        """Choose and perform steps until nobody is left."""
        while any(run.result is None for run in self.runs):
            steps = list(self._possible_steps())
            if not steps:
                self._pass_time()
                continue
            step = steps[self._choose(len(steps)) if len(steps) > 1 else 0]
            self._count_waiting()
            self.clock += 1
            step()

    def holds(self, question: str) -> bool:
        """Whether an answer to a question is stored."""
        key = make_key(question)
        return self.memory.find(key) is not None if self.memory is not None else key in self.data

    def _make_path(self) -> CachePath:
        path = make_path(HandHandle(), self.memory)
        return path if self.store is None else replace(path, lender=path.tiers[0])

    def _ask(self, number: int, caller: Caller) -> Flow[Any]:
        context = {"accepts_only": f"{caller.question}:{number}"} if caller.refuses else None
        policy = Policy(caller.ttl, caller.patience, caller.source, lambda: self.clock)
        path = self.paths[caller.process]
        call = base_call()._replace(path=path, key=make_key(caller.question), policy=policy, context=context)
        return answer(call)

    def _store(self, entry: Entry) -> None:
        if self.memory is not None:
            self.memory.keep(entry)
        else:
            self._put(entry.key, encode_entry(entry))

    def _put(self, key: str, text: str) -> None:
        self.data[key] = text
        if self.store is not None:
            self.store.put(key, text)

    def _possible_steps(self) -> Iterator[Callable[[], None]]:
        for run in self.runs:
            if run.result is not None:
                continue
            if not self._must_wait(run):
                yield lambda run=run: self._step(run)
            if run.begun and run.caller.end == "cancelled":
                yield lambda run=run: self._cancel(run)
            if run.begun and run.caller.end == "dead":
                yield lambda run=run: self._die(run)
            if run.leases and run.leases[0].held is not None and run.caller.end == "frozen" and not run.frozen:
                yield lambda run=run: self._freeze(run)

    def _must_wait(self, run: Run) -> bool:
        effect = run.effect
        if not isinstance(effect, Wait | AwaitLease):
            return False
        is_over = effect.seconds is not None and self.clock >= run.waits_since + effect.seconds
        if isinstance(effect, AwaitLease):
            return self._look(effect) is None and not is_over
        return effect.flight._landed is None and not effect.flight.is_abandoned() and not is_over

    def _count_waiting(self) -> None:
        for run in self.runs:
            run.waited += run.result is None and self._must_wait(run)

    def _pass_time(self) -> None:
        """Go to the moment at which the first caller loses patience. If nobody has any, the callers are stuck."""
        waiting = [run for run in self.runs if run.result is None]
        ends = [
            run.waits_since + run.effect.seconds
            for run in waiting
            if isinstance(run.effect, Wait | AwaitLease) and run.effect.seconds is not None
        ]
        assert ends, f"callers wait for ever: {[run.number for run in waiting]}"
        for run in waiting:
            run.waited += int(min(ends)) - self.clock
        self.clock = int(min(ends))

    def _step(self, run: Run) -> None:
        """Begin a call; perform its effect; or, for the store, let the caller learn of what was performed before."""
        if not run.begun:
            run.begun = True
            self._advance(run, lambda: next(run.flow))
        elif isinstance(run.effect, Read | Write) and not run.performed:
            run.pending, run.performed = self._perform(run), True
        elif isinstance(run.effect, Read | Write):
            self._advance(run, lambda: run.flow.send(run.pending))
        elif isinstance(run.effect, Send) and run.caller.fails:
            run.requests += 1
            self._advance(run, lambda: run.flow.throw(ConnectionError(run.name)))
        elif isinstance(run.effect, Send) and run.caller.end == "exited":
            run.requests += 1
            self._end(run, SystemExit(run.name))
        else:
            result = self._perform(run)
            self._advance(run, lambda: run.flow.send(result))

    def _perform(self, run: Run) -> Any:  # noqa: PLR0911 - one for each effect
        match run.effect:
            case Read(_, key):
                return self.data.get(key)
            case Write(_, key, text, _, held):
                if held is None or self.store is None:
                    self._put(key, text)
                    return True
                is_stored = self.store.table.publish(key, text, None, held.token)
                held.is_lost = not is_stored
                self.published += is_stored
                self.refused += not is_stored
                return is_stored
            case TakeLease(_, key, flight):
                assert self.store is not None
                return self.store.take(key, f"{run.number}.{self.clock}", flight)
            case AwaitLease() as effect:
                run.waits.append("over" if (ending := self._look(effect)) is None else ending.name)
                return ending
            case Claim(flights, key, source, past):
                claimed = note(flights.claim(key, source, past), run.leases)
                if run.leases:
                    run.leases[0].flight._loop = run.loop
                    run.leases[0].flight.is_nested = False  # the callers have one context here, and lead nothing else
                else:
                    assert claimed._loop.is_running(), "nobody joins a flight whose event loop is gone"
                return claimed
            case Wait(flight, _):
                return self._end_wait(run, flight)
            case Send():
                run.requests += 1
                return make_completion(run.name)
            case effect:
                raise AssertionError(f"nobody performs {effect}")

    def _look(self, effect: AwaitLease) -> Ending | None:
        assert self.store is not None
        return self.store.table.look([(effect.key, effect.holder)])[0]

    def _end_wait(self, run: Run, flight: Flight[Any]) -> Landed[Any] | None:
        run.joined.append(flight)
        landed = flight._landed or (Landed() if flight.is_abandoned() else None)
        if landed is None:
            run.waits.append("over")
        else:
            run.waits.append("answer" if landed.answer else "error" if landed.error else "handed over")
        return landed

    def _advance(self, run: Run, resume: Callable[[], Effect]) -> None:
        """Let a flow go on to its next effect, as the drivers do."""
        run.performed = False
        run.waits_since = self.clock
        try:
            run.effect = resume()
        except StopIteration as stop:
            run.result = stop.value
            end(run.leases)
        except Exception as error:  # noqa: BLE001 - whatever a call raises is its result
            run.result = error
            end(run.leases, error)

    def _cancel(self, run: Run) -> None:
        if isinstance(run.effect, Write) and not run.performed:
            self._perform(run)  # the handle of a store finishes a write that has begun: the answer is paid for
        self._end(run)

    def _end(self, run: Run, error: BaseException | None = None) -> None:
        """Leave a flow where it is, as the drivers do when its thread or task ends."""
        end(run.leases, error)
        run.flow.close()
        run.result = run.caller.end

    def _die(self, run: Run) -> None:
        run.loop.running = False
        run.result = "dead"
        self._lose(run)

    def _freeze(self, run: Run) -> None:
        run.frozen = True
        self._lose(run)

    def _lose(self, run: Run) -> None:
        """Let the time of a call's lease be over."""
        for lease in run.leases:
            if lease.held is not None and self.store is not None:
                self.store.table.release(lease.held.key, lease.held.token, Ending.FREE)


class LeasedStore:
    """The leases of a `DiskCache` in memory, as the table that all processes share, and what keeps one process's."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data
        self._raw = open_memory()
        self._raw.execute("DELETE FROM lease")
        self._raw.execute("DELETE FROM entry")

        def run(operation: Any, **_: Any) -> Any:
            return operation(self._raw)

        self.table = SqliteLeases(run, run, self._write, 30.0)

    def take(self, key: str, token: str, flight: Flight[Any]) -> Leased:
        taken = self.table.take(key, token)
        held = HeldLease(self, key, token, flight) if taken.holder == token else None  # type: ignore[arg-type]
        return Leased(held, taken.holder, taken.found)

    def end(self, held: HeldLease, ending: Ending) -> None:
        self.table.release(held.key, held.token, ending)

    def _write(self, key: str, text: str, _: int | None, token: str, posting: Posting | None) -> bool:
        end_with_answer(self._raw, key, token)
        self.put(key, text)
        return True

    def put(self, key: str, text: str) -> None:
        self._raw.execute("INSERT OR REPLACE INTO entry VALUES (?)", (key,))
        self._data[key] = text


@cache
def open_memory() -> sqlite3.Connection:
    raw = sqlite3.connect(":memory:", isolation_level=None)
    raw.text_factory = bytes
    _add_leases(raw)
    raw.execute("CREATE TABLE entry (key TEXT PRIMARY KEY)")
    atexit.register(raw.close)
    return raw


@cache
def base_call() -> Call[Any]:
    """A call that shows the callers' flows how to read an answer."""
    return make_call(response_model=Answer, max_retries=0)


@cache
def make_completion(name: str) -> Any:
    return completion({"name": name}, Answer)


def make_key(question: str) -> str:
    return question * 64


def make_entry(question: str) -> Entry:
    """The answer that is stored from the beginning."""
    parts = (Part("Answer", f'{{"name": "{question}:stored"}}'),)
    return Entry(make_key(question), parts, pack_completion("{}"), Origin("scripted", "m"), 0.0)


def check(schedule: Schedule, stored: str = "") -> None:
    """Check everything that holds for any callers in any order."""
    for run in schedule.runs:
        check_result(schedule, run)
        check_waits(run)
        gone = sum(other.result in ("cancelled", "dead") for other in schedule.runs)
        assert run.waits.count("handed over") <= gone, "a caller that ends by itself hands its place to nobody"
        assert run.requests <= 1, "without retries a caller asks once"
    for question in {run.caller.question for run in schedule.runs}:
        asked = [run for run in schedule.runs if run.caller.question == question]
        requests = sum(run.requests for run in asked)
        if question in stored:
            assert requests == 0 or any(run.caller.refuses for run in asked), "a stored answer is served"
        elif all(replace(run.caller, process=0) == Caller(question, source=run.caller.source) for run in asked):
            assert requests == 1, "callers who agree make one request"
    if schedule.store and all(replace(run.caller, process=0) in (Caller(), FROZEN) for run in schedule.runs):
        requests = sum(run.requests for run in schedule.runs)
        assert requests <= 1 + sum(run.frozen for run in schedule.runs), "one asks in the place of each that is frozen"
        assert schedule.published == (not stored), "a late answer is refused"
    left = {key for path in schedule.paths for key in path.flights._flights}
    dead = {make_key(run.caller.question) for run in schedule.runs if run.result == "dead"}
    assert left <= dead, "no flight is left behind, but where an event loop ended"


def check_result(schedule: Schedule, run: Run) -> None:
    """Nobody gets a foreign answer or error, and what is paid for is stored."""
    caller, result = run.caller, run.result
    if isinstance(result, str):
        assert result == caller.end
        return
    if isinstance(result, Answer):
        question, _, payer = result.name.partition(":")
        assert question == caller.question, "an answer to another question"
        assert payer == str(run.number) or not caller.refuses, "an answer that the caller's validators refuse"
        dead = any(other.result == "dead" for other in schedule.runs)
        # Who stood still is refused because another process asked the same, which then ended without an answer.
        frozen = {str(other.number) for other in schedule.runs if other.caller.end == "frozen"}
        stood_still = payer in frozen and schedule.refused > 0
        others = (other for other in schedule.runs if other.caller.process != caller.process)
        asked = (other for other in others if other.caller.question == question)
        overtaken = stood_still and any(not isinstance(other.result, Answer) for other in asked)
        assert caller.ttl == 0 or dead or overtaken or schedule.holds(caller.question), "a paid answer is stored"
        return
    assert isinstance(result, InstructorRetryException), result
    question, _, payer = str(result.__cause__).partition(":")
    assert question == caller.question, "an error of another question"
    assert schedule.runs[int(payer)].caller.source == caller.source, "an error that the caller doesn't share"


def check_waits(run: Run) -> None:
    """Nobody waits longer than it would have alone, but for flights that it joined in good faith."""
    caller, waits = run.caller, run.waits
    assert not {"over", "error", "ENDED"} & set(waits[:-1]), (
        "after a failure or its own timeout a caller never waits again"
    )
    assert len(set(run.joined)) == len(run.joined), "nobody waits twice for one flight"
    assert waits.count("answer") <= 1 + caller.refuses, "only a refused answer leads to another wait, once"
    assert caller.patience is None or run.waited <= caller.patience, "its own timeout bounds all its waiting"


class Tape:
    """Makes every sequence of choices, one after the other, depth first."""

    def __init__(self) -> None:
        self._choices: list[tuple[int, int]] = []
        self._at = 0

    def __call__(self, possibilities: int) -> int:
        if self._at == len(self._choices):
            self._choices.append((0, possibilities))
        chosen, _ = self._choices[self._at]
        self._at += 1
        return chosen

    def advance(self) -> bool:
        """Go on to the next sequence; False if there is none."""
        self._at = 0
        while self._choices and self._choices[-1][0] + 1 == self._choices[-1][1]:
            self._choices.pop()
        if not self._choices:
            return False
        chosen, possibilities = self._choices[-1]
        self._choices[-1] = chosen + 1, possibilities
        return True


def run_all(callers: Sequence[Caller], stored: str = "", *, memory: bool = False) -> int:
    """Run callers in every order; return how many there are."""
    tape = Tape()
    for count in itertools.count(1):
        schedule = Schedule(callers, tape, stored, memory=memory)
        schedule.finish()
        check(schedule, stored)
        if not tape.advance():
            return count
    raise AssertionError("unreachable")


def run_random(seed: int) -> None:
    """Run random callers in a random order."""
    chance = random.Random(seed)
    callers = [make_caller(chance) for _ in range(chance.randint(2, 6))]
    stored = "a" if chance.random() < 0.2 else ""
    memory = chance.random() < 0.4
    if not memory and chance.random() < 0.5:
        callers = [replace(caller, process=chance.randrange(3)) for caller in callers]
    schedule = Schedule(callers, chance.randrange, stored, memory=memory)
    schedule.finish()
    check(schedule, stored)


def run_processes(seed: int) -> None:
    """Run callers who agree, in several processes, some of which may be frozen for a while, in a random order."""
    chance = random.Random(seed)
    kinds = [chance.choice([Caller(), Caller(), FROZEN]) for _ in range(chance.randint(2, 5))]
    callers = [replace(kind, process=number % 3) for number, kind in enumerate(kinds)]
    schedule = Schedule(callers, chance.randrange)
    schedule.finish()
    check(schedule)


def make_caller(chance: random.Random) -> Caller:
    """A caller, most of whom have one or two peculiarities."""
    peculiar = [chance.random() < 0.25 for _ in range(7)]
    return Caller(
        question="b" if peculiar[0] else "a",
        fails=peculiar[1],
        source="another client" if peculiar[2] else "one client",
        refuses=peculiar[3],
        patience=chance.randint(0, 6) if peculiar[4] else None,
        ttl=chance.choice([0, 60]) if peculiar[5] else None,
        end=chance.choice(["cancelled", "dead", "exited", "frozen"]) if peculiar[6] else "",
    )
