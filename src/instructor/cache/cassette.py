"""The store for tests: recorded answers in a file that people read, review and keep with their tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from instructor.cache.cassette_file import Stamp, change_lines, read_lines, stamp_of
from instructor.cache.cassette_lines import (
    GENERATION,
    Line,
    Request,
    compare_answers,
    describe_answer,
    digest_members,
    key_of,
    make_entry,
    make_line,
    match_of,
    redact_json,
    request_of,
)
from instructor.cache.differing import find_difference, find_nearest
from instructor.cache.entry import Generations, decode_entry, encode_entry
from instructor.cache.listing import Listed
from instructor.cache.misses import COLD, Diagnosis, name_cause
from instructor.cache.redaction import Redactor
from instructor.cache.store import Ability, BaseCache, check_key, check_text
from instructor.describing import refuse
from instructor.exceptions import CacheEntryError
from instructor.locks import make_lock

if TYPE_CHECKING:
    import re

_MOST_MEMBERS = 256
"""Members of calls that come again and again, such as schemas, which are looked through for secrets once."""

_MOST_ASKED = 10_000
"""Calls under way whose requests are held until their answers come."""


_RECORD = "Record it with cache_mode='use', under pytest with --llm-record=new."


class CassetteCache(BaseCache):
    """A store for tests: one readable line of JSON for each answer, with its request, in a file that you commit.

    Lines are sorted, hold nothing that changes from run to run, and no secrets: keys, tokens, passwords and the names of
    home folders are replaced before a call is keyed, so a call has the same line with another key in it, or with none.
    An answer doesn't expire, and tags don't invalidate it. A call whose response model was changed is served the answer
    that was recorded for the earlier one, if it is still valid. Calls with this store are looked up by the flow, which
    takes longer than a hit elsewhere.

    With ``cache_mode="replay"`` nothing is sent, and what isn't recorded is a `CacheMiss` that names the nearest
    recorded call and the first difference. For pytest see ``docs/testing.md``.

    Args:
        path: The file, such as ``"tests/cassettes/users.jsonl"``. It is made with the first answer.
        redact: Regular expressions of your own secrets; each match is replaced.
        verify: Whether answers are compared with the recorded ones, and not written. Ask with
            ``cache_mode="refresh"``, then look at `differences`.

    Attributes:
        path: The file.
        differences: What `verify` has found, in words.

    Raises:
        ArgumentError: An argument is wrong.
        CacheError: By the calls: the file can't be read.

    Example:
        >>> from instructor import from_provider
        >>> cassette = CassetteCache("tests/cassettes/users.jsonl")
        >>> client = from_provider("offline/demo", cache=cassette)
        >>> client.create(response_model=int, messages=[{"role": "user", "content": "Anna is 25."}])
        25
        >>> cassette.path.read_text().count('"content": "Anna is 25."')
        1
    """

    abilities: frozenset[Ability] = frozenset({"bounded", "sized", "listing", "deleting", "tagging", "recording"})
    honours_ttl: ClassVar[bool] = False
    timeout = None
    on_error: Literal["ignore", "raise"] = "raise"

    def __init__(
        self, path: str | os.PathLike[str], *, redact: Iterable[str | re.Pattern[str]] = (), verify: bool = False
    ) -> None:
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            raise refuse("path", path, "the name of a file, such as 'tests/cassettes/users.jsonl'")
        self.path = Path(path).absolute()
        self.differences: list[str] = []
        here = Path.cwd()
        self._shown_path = str(self.path.relative_to(here) if self.path.is_relative_to(here) else self.path)
        self._redact = Redactor(redact)
        self._redact_member = lru_cache(_MOST_MEMBERS)(partial(redact_json, redact=self._redact))
        self._verify = verify
        self._lock = make_lock()
        self._lines: dict[str, Line] = {}
        self._matching: dict[str, list[Line]] | None = None
        self._stamp: Stamp = None
        self._read_at = time.time()
        self._asked: dict[str, Request] = {}
        self._used: set[str] = set()

    def name_call(self, members: Mapping[str, str], response_model: str) -> str:
        """Return the key of a call without its secrets, and remember the call until its answer comes.

        `members` are those of the client's own key, as canonical JSON.
        """
        redacted = {
            name: redact_json(text, self._redact) if name == "messages" else self._redact_member(text)
            for name, text in members.items()
        }
        request = {"response_model": response_model, **{name: value for name, (value, _) in redacted.items()}}
        return self._remember(digest_members({name: text for name, (_, text) in redacted.items()}), request)

    def name_sample(self, key: str, number: int) -> str:
        """Return the key of another answer to a call that `name_call` has named; `number` counts them from 0."""
        request = self._asked.get(key)
        if request is None or number == 0:
            return key
        sample = {**request, "sample": number}
        return self._remember(key_of(sample), sample)

    def _remember(self, key: str, request: Request) -> str:
        with self._lock:
            self._asked[key] = request
            if len(self._asked) > _MOST_ASKED:
                del self._asked[next(iter(self._asked))]
        return key

    def get(self, key: str) -> str | None:
        """Return the text of an answer: the one recorded for this very call, or for an earlier response model."""
        with self._lock:
            line = self._find(key)
            if line is None and self._reload():
                line = self._find(key)
            if line is None:
                return None
            self._used.add(line.key)
            return self._text_of(line, key)

    def _find(self, key: str) -> Line | None:
        line, request = self._lines.get(key), self._asked.get(key)
        if line is not None or request is None:
            return line
        if self._matching is None:
            self._matching = {}
            for each in self._lines.values():
                self._matching.setdefault(each.match, []).append(each)
        return find_nearest(request, [(each, each.request) for each in self._matching.get(match_of(request), ())])

    def _text_of(self, line: Line, key: str) -> str:
        if "value" in line.record:
            return str(line.record["value"])
        return encode_entry(make_entry(line, key, self._read_at))

    def set(self, key: str, value: str | bytes, ttl: int | None = None) -> None:  # noqa: ARG002 - nothing expires
        """Record an answer, without its secrets; `ttl` is ignored."""
        checked, text = check_key("CassetteCache", key), check_text("CassetteCache", value)
        text = text if isinstance(text, str) else text.decode()
        try:
            entry = decode_entry(text, checked)
            answer = describe_answer(entry, self._redact)
        except CacheEntryError:
            entry, answer = None, {"value": self._redact(text)}
        with self._lock:
            request = self._asked.pop(checked, None)
            if request is None:
                known = self._lines.get(checked)
                request = request_of(entry, checked) if known is None else known.request
            line = make_line(request, answer)
            if self._verify:
                self._compare(line)
            else:
                self._change(lambda lines: _put(lines, line))
            self._used.add(line.key)

    def _compare(self, line: Line) -> None:
        self._reload()
        known = self._find(line.key)
        if known is None:
            self.differences.append(f"{_describe(line.request)} isn't recorded in {self._shown_path}.")
            return
        self._used.add(known.key)
        found = find_difference(*compare_answers(known.record, line.record), "answer")
        if found is not None:
            self.differences.append(
                f"{_describe(line.request)} is answered otherwise than in {self._shown_path}: {found}."
            )

    def explain(self, key: str) -> Diagnosis | None:
        """Say what keeps a call that `name_call` has named from being answered; None for any other key."""
        with self._lock:
            request, lines = self._asked.get(key), list(self._lines.values())
        if request is None:
            return None
        nearest = find_nearest(request, [(line, line.request) for line in lines])
        if nearest is None:
            return Diagnosis(COLD, advice=f"Nothing is recorded in {self._shown_path}. {_RECORD}")
        number = sorted(line.text for line in lines).index(nearest.text) + 1
        where = f"line {number} of {self._shown_path}"
        difference, asked = find_difference(nearest.request, request), [*request.items()]
        cause = name_cause([name for name, value in asked if nearest.request.get(name) != value])
        if nearest.match == match_of(request):
            where = f"{where}, whose answer isn't valid for the response model of today"
        return Diagnosis(cause, nearest.key, where, difference, _RECORD)

    def recorded(self) -> list[str]:
        """Return the keys of all answers."""
        with self._lock:
            self._reload()
            return list(self._lines)

    def unused(self) -> list[str]:
        """Return the keys of the answers that no call has used since this store was made."""
        return [key for key in self.recorded() if key not in self._used]

    def prune(self) -> int:
        """Remove the answers that no call has used since this store was made; return how many there were."""
        return self.delete_many(self.unused())

    def delete(self, key: str) -> bool:
        """Remove the line of a key; return whether it was there."""
        return bool(self.delete_many([key]))

    def delete_many(self, keys: Sequence[str]) -> int:
        """Remove the lines of keys; return how many were there. A file without lines is removed."""
        with self._lock:
            self._reload()
            there = [key for key in dict.fromkeys(keys) if key in self._lines]
            if there:
                self._change(lambda lines: [lines.pop(key, None) for key in there])
        return len(there)

    def clear(self) -> int:
        """Remove the file; return how many answers were in it."""
        return self.delete_many(self.recorded())

    def list_entries(self) -> Iterator[list[Listed]]:
        """Describe all entries, in one batch. The size is that of the line."""
        with self._lock:
            self._reload()
            lines, changed = list(self._lines.values()), 0.0 if self._stamp is None else self._stamp[2] / 1e9
        yield [self._list(line, changed) for line in lines]

    def _list(self, line: Line, changed: float) -> Listed:
        """Describe a line. One that has no time is as old as the file's latest change, at least."""
        size = len(line.text.encode(errors="replace"))
        try:
            entry = make_entry(line, line.key, changed)
        except CacheEntryError:
            return Listed(line.key, size)
        return Listed(
            line.key, size, entry.created, entry.expires, entry.origin, entry.tagged, entry.seconds, entry.usage
        )

    def generations(self, tags: Sequence[str]) -> Generations:
        """Say that nothing was invalidated: what a test has recorded is served again at the same place."""
        return Generations(0, GENERATION, [0] * len(tags))

    def invalidate_tag(self, tag: str) -> int:  # noqa: ARG002 - see `generations`
        """Do nothing, and return 0: recorded answers aren't invalidated by tags."""
        return 0

    def size(self) -> tuple[int, int]:
        """Return the number of lines, and their bytes."""
        with self._lock:
            self._reload()
            return len(self._lines), sum(len(line.text.encode(errors="replace")) + 1 for line in self._lines.values())

    def _reload(self) -> bool:
        """Read the file if it was changed by others; return whether it was."""
        stamp = stamp_of(self.path)
        if stamp == self._stamp:
            return False
        self._take(read_lines(self.path), stamp)
        return True

    def _change(self, change: Callable[[dict[str, Line]], object]) -> None:
        self._take(*change_lines(self.path, self._lines, self._stamp, change))

    def _take(self, lines: dict[str, Line], stamp: Stamp) -> None:
        self._lines, self._stamp, self._read_at = lines, stamp, time.time()
        self._matching = None

    def __repr__(self) -> str:
        return f"CassetteCache({self._shown_path!r})"


def _put(lines: dict[str, Line], line: Line) -> None:
    """Put a line in place of the one with its key. One that says the same stays, though the provider's ids differ."""
    known = lines.get(line.key)
    stored, answered = (None, ()) if known is None else compare_answers(known.record, line.record)
    if stored != answered:
        lines[line.key] = line


def _describe(request: Request) -> str:
    asked = f" from {request.get('provider', '')}/{request.get('model', '')}" if "messages" in request else ""
    return f"{request.get('response_model') or 'A completion'}{asked}"
