"""The scanner: reads JSON once, while it arrives, and shows what is complete of it at any moment.

Each character is looked at once, whatever the sizes of the chunks, so that reading takes time in proportion to the
length of the answer. A snapshot costs as much as the containers that are still open hold. So one is due only when the
text has grown by 1/256 since the last: then all snapshots together are in proportion to the length too.

The text is JSON as RFC 8259 has it, with what models write around it: reasoning in tags, prose, a code fence. Control
characters within strings are taken as they are. Text that can't be read in this way ends the showing, and no more than
that: the complete answer is read by ``wires/reader.py``, as any other.
"""

from __future__ import annotations

import json
import re

from instructor.messages import Value
from instructor.streaming.shapes import ABSENT, Closed, Field, List, Object, Shape, Text

_BLANKS = " \t\r\n"
_BLANK = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r'[^"\\]*')
_IN_STRING = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4})')
_CUT_ESCAPE = re.compile(
    r"\\(?:u[0-9a-fA-F]{0,3})?\Z|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?\Z"
)
"""An escape that isn't complete, or the first of a pair of escapes for one character."""
_REST_OF_NAME = re.compile(r'([^"\\]*")[ \t\r\n]*:[ \t\r\n]*')
"""What is left of a member's name, up to its value. A name that is cut, or has escapes, is taken piece by piece."""
_MEMBER = re.compile(r'[ \t\r\n]*"([^"\\]*)"[ \t\r\n]*:[ \t\r\n]*("[^"\\]*"|[^"\[\]{},\s]+)(?=[ \t\r\n]*[,}])')
"""A member that has come whole, if its value isn't in brackets, and neither that nor its name has escapes."""
_SCALAR = re.compile(r"[^,\]}\s]*")
_STRUCTURE = re.compile(r'["\[\]{}]')
_OPENING = re.compile(r"[{\[]|<(?:think|thinking|thought|reasoning)>")
_CLOSING = re.compile(r"</(?:think|thinking|thought|reasoning)>")
_LONGEST_TAG = 12
_SHOWN_PER_LENGTH = 256

MOST_LEVELS = 64
"""Containers within containers that are shown while they are open. What is deeper shows with the last object."""

_WAIT = -1
"""A reading method returns it where it needs more text."""

_PASSED_OVER = Closed(lambda _: ABSENT)


class _Frame:
    """A container that is still open, and the member of it that is being read."""

    __slots__ = ("field", "is_list", "shape", "values")

    def __init__(self, shape: Object | List) -> None:
        self.shape = shape
        self.is_list = isinstance(shape, List)
        self.values: Value = [] if isinstance(shape, List) else {}
        self.field: Field | None = None


class Scanner:
    """Reads one JSON value of a known shape, chunk by chunk.

    Attributes:
        is_over: Whether the value is complete.
        begin: Where the JSON begins, after what stands before it.
        is_broken: Whether the text turned out not to be JSON. What was shown stays, and no more is shown.

    Example:
        >>> scanner = Scanner(List(Text()))
        >>> scanner.feed('["on')
        >>> scanner.snapshot()
        ['on']
        >>> scanner.feed('e", "tw')
        >>> scanner.snapshot()
        ['one', 'tw']
    """

    def __init__(self, shape: Shape, marks: list[int] | None = None) -> None:
        self.is_over = self.is_broken = False
        self._read = self._find_start
        self._target: Shape = shape  # of the value that comes next
        self._stack: list[_Frame] = []
        self._value: Value = ABSENT
        self._is_object, self._has_member = isinstance(shape, Object), False
        self._rest = ""  # text that can't be read before more has come
        self._pieces: list[str] = []  # of the value that is being read
        self._depth = 0  # of brackets in a value that is taken whole
        self._marks = marks
        self._base = 0  # where the text that is being read begins, from the first character of all
        self.begin = 0
        self._end: int | None = None  # where it ends
        self._at = 0  # where reading has come to
        self._version = self._shown_version = 0
        self._shown_at = -1
        self._waiting: list[str] = []
        self._come = 0  # all characters that have come, those that wait included

    @property
    def length(self) -> int:
        """How many characters of JSON have come. What stands around it doesn't count."""
        return (self._at if self._end is None else self._end) - self.begin

    def cut(self, text: str) -> str:
        """Cut what was read as JSON out of all the text that was fed."""
        return text[self.begin : self.begin + self.length]

    def feed(self, chunk: str) -> None:
        """Read the next chunk."""
        text = self._rest + chunk
        self._base, self._rest = self._at, ""
        at, size = 0, len(text)
        while at < size:
            after = self._read(text, at)
            if after < 0:
                self._rest = text[at:]
                break
            at = after
        self._at = self._base + at

    def take(self, chunk: str) -> bool:
        """Take the next chunk, and return whether a snapshot is due. Use either this or `feed`.

        Chunks wait until a snapshot may be due, because to read many at once takes half the time.
        """
        self._waiting.append(chunk)
        self._come += len(chunk)
        if (self._come - self._shown_at) * _SHOWN_PER_LENGTH < self._come - self.begin:
            return False
        self.feed("".join(self._waiting))
        self._waiting.clear()
        return self.is_due

    @property
    def has_come(self) -> bool:
        """Whether any value, or a part of a text, has come."""
        is_text = self._read == self._read_text and any(
            self._pieces
        )  # otherwise they are of a name, or of half a number
        return self._has_member or is_text or (self.is_over and not self._is_object)

    @property
    def is_due(self) -> bool:
        """Whether enough has come since the last snapshot for another one."""
        new = self._at - self._shown_at
        return self._version != self._shown_version and new * _SHOWN_PER_LENGTH >= self._at - self.begin

    def snapshot(self) -> Value:
        """What there is to show, in containers that nobody else holds; `ABSENT` if there is nothing yet.

        Values that are complete are shared by the snapshots of one scanner.
        """
        self._shown_version, self._shown_at = self._version, self._at
        value = self._value
        if self._read == self._read_text:
            value = "".join(self._pieces)
            self._pieces = [value]
        for frame in reversed(self._stack):
            values = frame.values.copy()
            if isinstance(frame.shape, List):
                if value is not ABSENT:
                    values.append(value)
                value = values
                continue
            field = frame.field
            if value is not ABSENT and field is not None and not field.waits:
                values[field.name] = value
            value = frame.shape.make(values)
        return value

    # Each method below reads what it can of `text` from `at` on, decides which of them is next, and returns how far it
    # came.

    def _find_start(self, text: str, at: int) -> int:
        """Pass over prose and the beginning of a code fence."""
        found = _OPENING.search(text, at)
        if found is None:
            # The end may be the first part of a tag.
            cut = text.rfind("<", max(at, len(text) - _LONGEST_TAG))
            return len(text) if cut < 0 else cut if cut > at else _WAIT
        if found[0] not in "{[":
            self._read = self._skip_reasoning
            return found.end()
        self.begin = self._base + found.start()
        return self._read_value(text, found.start())

    def _skip_reasoning(self, text: str, at: int) -> int:
        found = _CLOSING.search(text, at)
        if found is not None:
            self._read = self._find_start
            return found.end()
        cut = text.rfind("<", max(at, len(text) - _LONGEST_TAG))
        return len(text) if cut < 0 else cut if cut > at else _WAIT

    def _read_value(self, text: str, at: int) -> int:
        if text[at] in _BLANKS:
            return _pass_blanks(text, at)
        first, shape, self._pieces = text[at], self._target, []
        if first == '"':
            return self._begin_string(at)
        if first == "]" and self._stack and self._stack[-1].is_list and not self._stack[-1].values:
            return self._close(at + 1)
        if first not in "{[":
            self._read = self._take_scalar
            return self._take_scalar(text, at)
        if isinstance(shape, Object if first == "{" else List) and len(self._stack) < MOST_LEVELS:
            return self._open(shape, at)
        self._depth, self._read = 0, self._take_nested
        return at

    def _begin_string(self, at: int) -> int:
        if isinstance(self._target, Text):
            self._read = self._read_text
            self._version += 1
        else:
            self._pieces.append('"')
            self._read = self._take_string
        return at + 1

    def _open(self, shape: Object | List, at: int) -> int:
        frame = _Frame(shape)
        self._stack.append(frame)
        self._version += 1
        if isinstance(shape, List):
            self._target, self._read = shape.item, self._read_value
        else:
            self._read = self._read_name
        return at + 1

    def _read_name(self, text: str, at: int) -> int:
        """Read a member at once, or up to its name, or the end of its object."""
        found = _MEMBER.match(text, at)
        if found is not None:
            return self._take_member(text, found)
        if text[at] in _BLANKS:
            return _pass_blanks(text, at)
        if text[at] == '"':
            self._pieces, self._read = ['"'], self._take_name
            return at + 1
        return self._close(at + 1) if text[at] == "}" else self._break(text)

    def _take_member(self, text: str, found: re.Match[str]) -> int:
        raw = found[2]
        end = self._begin_member(found[1], text, found.end())
        if self.is_broken:
            return end
        if raw[0] == '"' and isinstance(self._target, Text):
            return self._complete(raw[1:-1], end)
        self._pieces = [raw]
        return self._convert(text, end)

    def _take_name(self, text: str, at: int) -> int:
        found = _REST_OF_NAME.match(text, at)
        if found is not None:
            self._pieces.append(found[1])
            self._read = self._read_value
            return self._begin_member(_loads("".join(self._pieces)), text, found.end())
        end = self._take(text, at)
        if text[at] != '"':
            return end
        self._read = self._read_colon
        return self._begin_member(_loads("".join(self._pieces)), text, end)

    def _begin_member(self, name: Value, text: str, at: int) -> int:
        """Know by its name, which is complete, what a member is."""
        frame = self._stack[-1]
        assert isinstance(frame.shape, Object), "only objects have names"
        field = frame.shape.fields.get(name)
        if field is None and frame.shape.others is not None and isinstance(name, str):
            field = Field(name, frame.shape.others)
        if field is not None and field.name in frame.values:
            return self._break(text)  # a member that comes twice would change what was shown
        frame.field, self._target = field, _PASSED_OVER if field is None else field.shape
        return at

    def _read_colon(self, text: str, at: int) -> int:
        if text[at] in _BLANKS:
            return _pass_blanks(text, at)
        self._read = self._read_value
        return at + 1 if text[at] == ":" else self._break(text)

    def _read_text(self, text: str, at: int) -> int:
        """Read a string that grows."""
        end = _PLAIN.match(text, at).end()  # type: ignore[union-attr]  # pyright: ignore - as above
        if end > at:
            self._pieces.append(text[at:end])
            self._version += 1
            if end == len(text) or text[end] != '"':
                return end
            at = end
        if text[at] == '"':
            return self._complete("".join(self._pieces), at + 1)
        if _CUT_ESCAPE.match(text, at):
            return _WAIT
        found = _ESCAPE.match(text, at)
        if found is None:
            return self._break(text)
        character: str = json.loads(f'"{found[0]}"')
        if "\ud800" <= character <= "\udfff":
            return self._break(text)  # half of a pair
        self._pieces.append(character)
        self._version += 1
        return found.end()

    def _take(self, text: str, at: int) -> int:
        """Take what is left of a string as it is written; its closing quote is a piece of its own."""
        end = _IN_STRING.match(text, at).end()  # type: ignore[union-attr]  # pyright: ignore - as above
        if end > at:
            self._pieces.append(text[at:end])
            return end
        if text[at] != '"':
            return _WAIT  # a backslash at the end
        self._pieces.append('"')
        return at + 1

    def _take_string(self, text: str, at: int) -> int:
        end = self._take(text, at)
        return end if text[at] != '"' else self._convert(text, end)

    def _take_scalar(self, text: str, at: int) -> int:
        end = _SCALAR.match(text, at).end()  # type: ignore[union-attr]  # pyright: ignore - as above
        if end > at:
            self._pieces.append(text[at:end])
        return end if end == len(text) else self._convert(text, end)

    def _take_nested(self, text: str, at: int) -> int:
        """Take a value in brackets as it is written."""
        found = _STRUCTURE.search(text, at)
        if found is None:
            self._pieces.append(text[at:])
            return len(text)
        end = found.end()
        self._pieces.append(text[at:end])
        if found[0] == '"':
            self._read = self._take_nested_string
            return end
        self._depth += 1 if found[0] in "[{" else -1
        return end if self._depth else self._convert(text, end)

    def _take_nested_string(self, text: str, at: int) -> int:
        if text[at] == '"':
            self._read = self._take_nested
        return self._take(text, at)

    def _convert(self, text: str, at: int) -> int:
        """Make the value of a text that was taken whole."""
        raw, shape = "".join(self._pieces), self._target
        if not raw:
            return self._break(text)
        if isinstance(shape, Closed):
            return self._complete(shape.convert(raw), at)
        return self._complete(None if raw == "null" and shape.nullable else ABSENT, at)

    def _complete(self, value: Value, at: int) -> int:
        """Put a value that is complete where it belongs."""
        if not self._stack:
            self._value, self.is_over, self._read = value, True, self._pass_over
            self._end = self._base + at
            self._version += 1
            return at
        frame = self._stack[-1]
        if value is not ABSENT:
            self._version += 1
            self._has_member = True
            if isinstance(frame.shape, List):
                frame.values.append(value)
            elif frame.field is not None:
                frame.values[frame.field.name] = value
        frame.field = None
        self._read = self._read_end
        return at

    def _read_end(self, text: str, at: int) -> int:
        """Read the comma after a value, or the end of its container."""
        if text[at] in _BLANKS:
            return _pass_blanks(text, at)
        frame = self._stack[-1]
        if self._marks is not None and len(self._stack) == 1:
            self._marks.append(self._base + at + 1 - self.begin)
        if text[at] == ",":
            self._read = self._read_value if frame.is_list else self._read_name
            if isinstance(frame.shape, List):
                self._target = frame.shape.item
            return at + 1
        return self._close(at + 1) if text[at] == ("]" if frame.is_list else "}") else self._break(text)

    def _close(self, at: int) -> int:
        frame = self._stack.pop()
        return self._complete(frame.values if isinstance(frame.shape, List) else frame.shape.make(frame.values), at)

    def _pass_over(self, text: str, at: int) -> int:
        """Pass over what follows the value."""
        del at
        return len(text)

    def _break(self, text: str) -> int:
        self.is_broken, self._read = True, self._pass_over
        return len(text)


def _pass_blanks(text: str, at: int) -> int:
    """Pass over blanks. What was to be read is read next, where they end."""
    return _BLANK.match(text, at).end()  # type: ignore[union-attr]  # pyright: ignore - it matches nothing too


def _loads(text: str) -> Value:
    if "\\" not in text:
        return text[1:-1]
    try:
        return json.loads(text, strict=False)
    except ValueError:
        return None
