"""What a streamed call hands out: partial objects, or the items of a list, live or from the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol, cast

from pydantic_core import from_json

from instructor.exceptions import ResponseParsingError
from instructor.failures import find_mistake
from instructor.messages import Completion, Part, Value
from instructor.streaming.scanner import Scanner
from instructor.streaming.shapes import ABSENT, Absent, Closed, Field, List, Object, Shape
from instructor.usage import Usage
from instructor.wires.folding import Delta
from instructor.wires.reader import mend, read_arguments
from instructor.wires.text import get_path, parse_json

if TYPE_CHECKING:
    from instructor.engine.partial_validation import Judge
    from instructor.wires.spec import ToolSpec

CONTENT = "content"

OnInvalid = Literal["raise", "skip", "collect"]


class InvalidItem(NamedTuple):
    """An item of a stream that didn't validate.

    Attributes:
        text: Its JSON.
        error: What the validators raised.
    """

    text: str
    error: Exception


class Outcome:
    """What is known of a stream once it is over.

    Attributes:
        usage: Tokens that the answer cost; zero for one from the cache.
        is_cached: Whether it came from the cache, or was shared with an identical call.
        is_stale: Whether it is served though it isn't fresh any more.
        invalid: Items that were left out.
    """

    def __init__(self) -> None:
        self.usage = Usage()
        self.is_cached = self.is_stale = False
        self.invalid: list[InvalidItem] = []
        self.load: Callable[[], Completion] = lambda: None


class Pace:
    """When the values of a stream came: the pauses before them, without the time that the caller took.

    Attributes:
        pauses: Seconds before each value.
    """

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._since = now()

    def note(self) -> None:
        """A value is there."""
        self.pauses.append(now() - self._since)

    def go_on(self) -> None:
        """The caller asks for the next one."""
        self._since = now()

    def write(self) -> str:
        """The pauses in milliseconds, for the entry."""
        return _PACE + ",".join(str(round(1000 * seconds)) for seconds in self.pauses)

    def read(self, steps: str) -> None:
        """Take the pauses of an entry, if they were recorded."""
        written = steps.partition(_PACE)[2]
        self.pauses = [int(pause) / 1000 for pause in written.split(",")] if written else []


_PACE = ";"
"""Stands before the pauses in the steps of an entry."""


def now() -> float:
    """Seconds by a clock that is never set."""
    return time.monotonic()


class Showing(Protocol):
    """Turns the pieces of one answer into values to hand out.

    Attributes:
        has_shown: Whether the caller has seen a part of the answer, so that another attempt can't begin anew.
        flaw: Why the answer must not be stored; None where it may.
        outcome: What the caller can look at afterwards.
        judges_each: Whether each value is whole, so that asynchronous validators judge it before it's handed out.
        pace: Notes when values were handed out, or hands them out at that pace again; None to do neither.
        takes_all: Whether each call of our tools is part of the answer, and not the first alone.
    """

    judges_each: ClassVar[bool]
    has_shown: bool
    flaw: str | None
    outcome: Outcome
    pace: Pace | None
    takes_all: ClassVar[bool]

    def begin(self) -> Iterable[Value]:
        """Begin an attempt, at its first chunk."""
        ...

    def add(self, delta: Delta) -> Iterable[Value]:
        """Take the next piece of the answer's JSON; return what there is to show now.

        That is a tuple of values, which is mostly empty, or an iterator that makes them, and runs their validators.
        """
        ...

    def finish(self, parts: tuple[Part, ...], parse: Callable[[tuple[Part, ...]], Value], text: str) -> Iterable[Value]:
        """Take the complete answer, and all text that was added; return what is left to hand out.

        Raises whatever is wrong with the answer, and ResponseParsingError where what was handed out isn't of it.
        """
        ...

    def refuse(self, error: Exception) -> None:
        """Leave out the value that came last from `add`, which its asynchronous validators refuse, or raise the error."""
        ...

    @property
    def steps(self) -> str:
        """Where the answer's text stood at each value that was handed out, for the entry."""
        ...

    def replay(self, value: Value, parts: tuple[Part, ...], steps: str) -> Iterable[Value]:
        """Hand out a stored answer: its value, its parts, and what `steps` was when it was live.

        `steps` is empty where the answer came in one piece.
        """
        ...


class Partials:
    """Hands out an object whenever more of it is complete, and the validated one in the end."""

    judges_each: ClassVar[bool] = False
    takes_all: ClassVar[bool] = False

    def __init__(self, shape: Shape, *, is_wrapped: bool, judge: Judge | None = None) -> None:
        self._shape = _wrap(shape) if is_wrapped else shape
        self._judge = judge
        self._pieces: list[str] = []  # what there is to judge
        self._marks: list[int] = []
        self.has_shown = False
        self.flaw: str | None = None
        self.outcome = Outcome()
        self.pace: Pace | None = None
        self._has_begun = False
        self._scanner = Scanner(self._shape)
        self._lengths: list[int] = []
        self._is_replayable = True

    def begin(self) -> Iterable[Value]:
        """Show an object in which nothing has come yet."""
        self._pieces, self._marks = [], []
        self._scanner = Scanner(self._shape, self._marks if self._judge else None)
        self._lengths, self._is_replayable = [], True
        shape = self._shape
        blank = shape.make({}) if isinstance(shape, Object) and not self._has_begun else ABSENT
        self._has_begun = True
        return () if blank is ABSENT else (blank,)

    def add(self, delta: Delta) -> Iterable[Value]:
        """Show the object again if enough has come."""
        if self._judge is None:
            return self._show() if self._scanner.take(delta.text) else ()
        self._scanner.feed(delta.text)  # at once, because validators are to refuse a field as soon as it is complete
        return self._show_judged(self._judge, delta.text)

    def _show_judged(self, judge: Judge, text: str) -> Iterator[Value]:
        """Judge the fields that are complete now, and show them. A generator, so that validators know of the attempt."""
        self._pieces.append(text)
        if self._marks:
            come = "".join(self._pieces)
            self._pieces = [come]
            begin = self._scanner.begin
            complete = come[begin : begin + self._marks[-1] - 1]
            self._marks.clear()
            judge(complete + "}")
        if self._scanner.is_due:
            yield from self._show()

    def _show(self) -> Iterable[Value]:
        scanner = self._scanner
        value = scanner.snapshot() if scanner.has_come else ABSENT
        if value is ABSENT:
            return ()
        self.has_shown = True
        self._lengths.append(scanner.length)
        return (value,)

    def refuse(self, error: Exception) -> None:
        """Raise: no object of a partial type has asynchronous validators."""
        raise error

    def finish(self, parts: tuple[Part, ...], parse: Callable[[tuple[Part, ...]], Value], text: str) -> Iterable[Value]:
        """Show the validated object."""
        if not text.startswith(parts[0].text, self._scanner.begin):
            self._is_replayable = False  # the answer was read in another way than it was shown
        return (parse(parts),)

    @property
    def steps(self) -> str:
        """The lengths of the text, each as the difference to the one before; 0 where nothing of it was shown."""
        if not self._lengths:
            return "0"
        if not self._is_replayable:
            return ""
        return ",".join(str(after - before) for before, after in pairwise((0, *self._lengths)))

    def replay(self, value: Value, parts: tuple[Part, ...], steps: str) -> Iterator[Value]:
        """Show the steps of the live answer; one for each field where it wasn't streamed."""
        text = parts[0].text
        differences = steps.partition(_PACE)[0]
        lengths = list(accumulate(map(int, differences.split(",")))) if differences else self._find_fields(text)
        yield from self.begin()
        scanner, before = self._scanner, 0
        for length in lengths:
            scanner.feed(text[before:length])
            before = length
            shown = scanner.snapshot()
            if shown is not ABSENT and scanner.has_come:
                yield shown
        yield value

    def _find_fields(self, text: str) -> list[int]:
        marks: list[int] = []
        Scanner(self._shape, marks).feed(text)
        return marks


class Items:
    """Hands out the items of a list, each once it is complete and valid."""

    judges_each: ClassVar[bool] = True
    takes_all: ClassVar[bool] = False

    def __init__(self, validate: Callable[[Part], Value], on_invalid: OnInvalid = "raise") -> None:
        self._validate = validate
        self._on_invalid = on_invalid
        self.has_shown = False
        self.flaw: str | None = None
        self.outcome = Outcome()
        self.pace: Pace | None = None
        self.steps = ""
        self._refused: Exception | None = None
        self._texts: list[str] = []
        self._scanner = self._make_scanner()

    def _make_scanner(self) -> Scanner:
        return Scanner(_wrap(List(Closed(self._keep))))

    def _keep(self, text: str) -> Absent:
        """Keep the text of an item until it is handed out, and nothing in its place."""
        self._texts.append(text)
        return ABSENT

    def begin(self) -> Iterable[Value]:
        """Show nothing yet."""
        self._texts.clear()
        self._scanner = self._make_scanner()
        self._count = 0
        return ()

    def add(self, delta: Delta) -> Iterable[Value]:
        """Show the items that are complete now."""
        self._scanner.feed(delta.text)
        if not self._texts:
            return ()
        texts, self._texts = self._texts, []
        return (value for item in texts for value in self._show(Part("", item)))

    def _show(self, part: Part) -> Iterator[Value]:
        self._count += 1
        try:
            value = self._make(part)
        except Exception as error:  # noqa: BLE001 - raised again unless invalid items are left out
            self._leave_out(part.text, error)
            return
        self._refused = None
        yield value
        refused = self._find_refusal()
        if refused is not None:
            self._leave_out(part.text, refused)
            return
        self.has_shown = True

    def _make(self, part: Part) -> Value:
        try:
            return self._validate(part)
        except Exception:
            mended = mend(part.text)  # as an answer in one piece is, such as with a line break within a text
            if mended == part.text:
                raise
            return self._validate(part._replace(text=mended))

    def _find_refusal(self) -> Exception | None:
        return self._refused

    def refuse(self, error: Exception) -> None:
        """Leave the last item out, or raise."""
        if self._on_invalid == "raise" or find_mistake(error) is not None:
            raise error
        self._refused = error

    def _leave_out(self, text: str, error: Exception) -> None:
        if self._on_invalid == "raise" or find_mistake(error) is not None:
            raise error
        self.flaw = "an item of the stream was not valid"
        if self._on_invalid == "collect":
            self.outcome.invalid.append(InvalidItem(text, error))

    def finish(self, parts: tuple[Part, ...], parse: Callable[[tuple[Part, ...]], Value], text: str) -> Iterable[Value]:
        """Show what couldn't be read while it came, such as a list that the model wrote below another name."""
        is_whole = self._scanner.is_over and self._scanner.cut(text) == parts[0].text
        if is_whole and self.flaw:
            return ()
        whole = _read_list(parts[0].text) if self._count else None
        if whole is not None:
            if not is_whole:
                self._make_scanner().feed(text)
                shown, self._texts = self._texts[: self._count], []
                check_shown([parse_json(mend(item)) for item in shown], whole[: self._count])
            if len(whole) == self._count:
                return ()
        values: list[Value] = parse(parts)
        return values[self._count :]

    def replay(self, value: Value, parts: tuple[Part, ...], steps: str) -> Iterable[Value]:
        """Show the same items in the same order."""
        del parts, steps
        items: list[Value] = value
        return items


class _OpenCall:
    """A call of which a part has come."""

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.texts: list[str] = []
        self._scanner = Scanner(Closed(self._keep))

    def _keep(self, text: str) -> Absent:
        self.texts.append(text)
        return ABSENT

    def feed(self, text: str) -> None:
        self._scanner.feed(text)


class Calls(Items):
    """Hands out the calls of several tools, each once its arguments are complete and valid, in the order of the calls.

    A call that is complete before an earlier one waits for it, so that a replay from the cache has the same order.
    """

    takes_all: ClassVar[bool] = True

    def __init__(
        self, validate: Callable[[Part], Value], specs: Sequence[ToolSpec], on_invalid: OnInvalid = "raise"
    ) -> None:
        super().__init__(validate, on_invalid)
        self._specs = {spec.name: spec for spec in specs}

    def begin(self) -> Iterable[Value]:
        """Show nothing yet."""
        self._open: dict[int, _OpenCall] = {}
        return super().begin()

    def add(self, delta: Delta) -> Iterable[Value]:
        """Show the calls that are complete now."""
        call = self._open.get(delta.number) or self._open.setdefault(delta.number, _OpenCall(delta.tool))
        call.feed(delta.text)
        return self._show_complete() if call.texts else ()

    def _show_complete(self) -> Iterator[Value]:
        while waiting := list(self._open.values())[self._count : self._count + 1]:
            if not waiting[0].texts:
                return
            yield from self._show(self._read(waiting[0]))

    def _read(self, call: _OpenCall) -> Part:
        return Part(call.tool, read_arguments(call.texts[0], self._specs.get(call.tool)))

    def finish(self, parts: tuple[Part, ...], parse: Callable[[tuple[Part, ...]], Value], text: str) -> Iterable[Value]:
        """Show the calls that couldn't be read while they came, such as those without arguments."""
        del text  # each call has its own
        if self._count:
            shown = [self._read(call) for call in [*self._open.values()][: self._count]]
            check_shown(*([parse_json(part.text) for part in some] for some in (shown, parts[: self._count])))
        rest = parts[self._count :]
        values: list[Value] = parse(rest) if rest else []
        return values


def _read_list(text: str) -> list[Value] | None:
    """The items in an answer, as pydantic reads JSON; None where it reads none."""
    try:
        value = get_path(from_json(text), CONTENT)
    except ValueError:
        return None
    return cast("list[Value]", value) if isinstance(value, list) else None


def check_shown(shown: list[Value], whole: list[Value]) -> None:
    """Raise where what was handed out isn't what the whole answer begins with, such as the model's first draft."""
    if shown != whole:
        raise ResponseParsingError(
            "What was handed out isn't part of the whole answer, which the model wrote after it. Ask again, without a "
            "stream if it does so often."
        )


def _wrap(shape: Shape) -> Object:
    """The shape of an object that holds a value as its only property, see `WrappedType`."""
    is_list = isinstance(shape, List)
    return Object({CONTENT: Field(CONTENT, shape)}, lambda values: values.get(CONTENT, [] if is_list else ABSENT))
