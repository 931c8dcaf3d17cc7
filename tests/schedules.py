"""Identical calls under a scheduler that decides every step: no thread, no event loop, no clock but its own.

The flows, the flights and the way from an entry to a value are the real ones. A schedule performs one effect at a time,
of whichever caller it chooses, so any order of events that threads or tasks could come to can be tried.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationInfo, field_validator

from instructor.cache.entry import Entry, Origin, encode_entry, pack_completion
from instructor.cache.flight import Flight, Landed, Lease
from instructor.cache.memory import AutoCache
from instructor.engine.call import Call, Policy
from instructor.engine.drive import end, note
from instructor.engine.effects import Claim, Effect, Flow, Read, Send, Wait, Write
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
            ``"exited"``: its own request ends its thread, as ``SystemExit`` does.
    """

    question: str = "a"
    fails: bool = False
    source: str = "one client"
    refuses: bool = False
    patience: float | None = None
    ttl: float | None = None
    end: str = ""


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
        self.handle: Any = HandHandle()
        self.clock = 0
        self.memory = AutoCache() if memory else None
        self.data: dict[str, Any] = {}
        self.path = make_path(self.handle, self.memory)
        self._choose = choose
        for question in stored:
            self._store(make_entry(question))
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

    def _ask(self, number: int, caller: Caller) -> Flow[Any]:
        context = {"accepts_only": f"{caller.question}:{number}"} if caller.refuses else None
        policy = Policy(caller.ttl, caller.patience, caller.source, lambda: self.clock)
        call = base_call()._replace(path=self.path, key=make_key(caller.question), policy=policy, context=context)
        return answer(call)

    def _store(self, entry: Entry) -> None:
        if self.memory is not None:
            self.memory.keep(entry)
        else:
            self.data[entry.key] = encode_entry(entry)

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

    def _must_wait(self, run: Run) -> bool:
        effect = run.effect
        if not isinstance(effect, Wait):
            return False
        is_over = effect.seconds is not None and self.clock >= run.waits_since + effect.seconds
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
            if isinstance(run.effect, Wait) and run.effect.seconds is not None
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

    def _perform(self, run: Run) -> Any:
        match run.effect:
            case Read(_, key):
                return self.data.get(key)
            case Write(_, key, text, _):
                self.data[key] = text
                return True
            case Claim(flights, key, source, past):
                claimed = note(flights.claim(key, source, past), run.leases)
                if run.leases:
                    run.leases[0].flight._loop = run.loop
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
        elif all(run.caller == Caller(question, source=run.caller.source) for run in asked):
            assert requests == 1, "callers who agree make one request"
    left = schedule.handle.flights._flights
    dead = {make_key(run.caller.question) for run in schedule.runs if run.result == "dead"}
    assert left.keys() <= dead, "no flight is left behind, but where an event loop ended"


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
        assert caller.ttl == 0 or dead or schedule.holds(caller.question), "a paid answer is stored"
        return
    assert isinstance(result, InstructorRetryException), result
    question, _, payer = str(result.__cause__).partition(":")
    assert question == caller.question, "an error of another question"
    assert schedule.runs[int(payer)].caller.source == caller.source, "an error that the caller doesn't share"


def check_waits(run: Run) -> None:
    """Nobody waits longer than it would have alone, but for flights that it joined in good faith."""
    caller, waits = run.caller, run.waits
    assert not {"over", "error"} & set(waits[:-1]), "after a failure or its own timeout a caller never waits again"
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
    schedule = Schedule(callers, chance.randrange, stored, memory=chance.random() < 0.4)
    schedule.finish()
    check(schedule, stored)


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
        end=chance.choice(["cancelled", "dead", "exited"]) if peculiar[6] else "",
    )
