"""Memory that is kept right by the server behind it: what another process changes there goes from memory here.

A `Tracker` hears from a server what was changed. A `Watch` is one store in memory that it keeps right: it takes in what
was read from the server, and loses what was changed there. How the server is heard is up to the `Listen` of its store.

- While the tracker has no link, it can't know what was changed. So memory is emptied when the link is lost, and takes in
  nothing until the next one is there; then it is emptied once more, before anything is taken in.
- An answer may be read from the server, changed there, and the change be heard before the answer is put into memory.
  So a reader notes the moment before it reads, and what was changed after that moment isn't taken in.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from instructor.cache.entry import Entry
from instructor.chance import draw
from instructor.locks import make_lock, reset_after_fork

if TYPE_CHECKING:
    import logging

MOST_CHANGES = 4096
"""Names of which it is known when they were changed last. If more are changed while an answer is read, it isn't kept."""

FIRST_PAUSE, LONGEST_PAUSE, REFUSED_PAUSE = 0.02, 0.5, 10.0
"""Seconds between two tries to make a link: the first time, after many, and with a server that refuses."""

_JOIN_SECONDS = 2.0

_FEW_NAMES = 256
"""Names of entries that are remembered before it is looked which of these memory has evicted."""


class LinkLostError(Exception):
    """The server is gone, or isn't the one to listen to any more."""


class TrackingRefusedError(Exception):
    """The server is there, and doesn't tell what is changed. The text says why, and what to do."""


class Memory(Protocol):
    """What a store in memory needs to be kept right: it is a `LocalStore` and a `DeletingStore`."""

    def find(self, key: str) -> Entry | None:
        """Return the entry under a key."""
        ...

    def keep(self, entry: Entry) -> None:
        """Hold an entry."""
        ...

    def delete_many(self, keys: Sequence[str]) -> int:
        """Forget some entries."""
        ...

    def clear(self) -> int:
        """Forget everything."""
        ...


class Link(Protocol):
    """A connection over which changes are heard."""

    def shut(self) -> None:
        """End it, from any thread: whoever reads it then finds that it was lost."""
        ...

    def leave(self) -> None:
        """Let go of it, in a forked child: it is the parent's."""
        ...


Listen = Callable[["Session"], None]
"""Makes links, calls `Session.begin` when all changes are heard from now on, and `Session.hear` for each; returns or
raises when a link is lost. It runs in a thread of its own."""

NamesOf = Callable[[str], Sequence[str]]
"""Says under which names the server may have the entry of a key."""


class Watch:
    """A store in memory that a tracker keeps right. Without `names_of` the server has each entry under its own key."""

    def __init__(self, tracker: Tracker, memory: Memory, names_of: NamesOf | None) -> None:
        self._tracker = tracker
        self._memory = weakref.ref(memory)
        self._names_of = names_of
        self._keys: dict[str, str] = {}  # of names that aren't keys
        self._most_names = _FEW_NAMES

    def is_of(self, memory: Memory, names_of: NamesOf | None) -> bool:
        """Whether it keeps that store right, for entries of those names."""
        return self._memory() is memory and self._names_of == names_of

    @property
    def is_over(self) -> bool:
        """Whether its store is gone."""
        return self._memory() is None

    def note(self) -> int:
        """Return the moment, before the server is read."""
        return self._tracker.note()

    def fill(self, entry: Entry, since: int) -> bool:
        """Take in what was read from the server after the moment `since`, unless it was changed there meanwhile."""
        memory, names = self._memory(), self._name(entry.key)
        return memory is not None and self._tracker.take(names, since, lambda: self._hold(memory, entry, names))

    def keep(self, entry: Entry) -> None:
        """Take in a new answer, until it is forgotten or changed on the server, whichever comes first."""
        memory, names = self._memory(), self._name(entry.key)
        if memory is not None:
            self._tracker.do(lambda: self._hold(memory, entry, names))

    def forget(self, key: str) -> None:
        """Lose what this process has just changed on the server itself."""
        self._tracker.hear(self._name(key))

    def lose(self, names: Iterable[str] | None) -> None:
        """Lose entries; None for all. Called under the tracker's lock."""
        memory = self._memory()
        if memory is None:
            return
        if names is None:
            self._keys.clear()
            memory.clear()
        elif self._names_of is None:
            memory.delete_many(list(names))
        else:
            memory.delete_many([key for name in names if (key := self._keys.pop(name, None)) is not None])

    def _hold(self, memory: Memory, entry: Entry, names: Sequence[str]) -> None:
        """Have memory hold an entry, and remember the names by which it is lost. Called under the tracker's lock."""
        memory.keep(entry)
        if self._names_of is None:
            return
        self._keys.update(dict.fromkeys(names, entry.key))
        if len(self._keys) > self._most_names:  # memory may have evicted most of what they are about
            self._keys = {name: key for name, key in self._keys.items() if memory.find(key) is not None}
            self._most_names = 2 * len(self._keys) + _FEW_NAMES

    def _name(self, key: str) -> Sequence[str]:
        return (key,) if self._names_of is None else self._names_of(key)


class TrackingStore(Protocol):
    """The ability ``"tracking"``: the store hears at once what other processes change in it."""

    def watch(self, memory: Memory, names_of: NamesOf | None = None) -> Watch:
        """Keep a store in memory right from now on; return what fills it. It loses what it holds.

        `names_of` says by which keys this store may have an entry; None for the entry's own key. Calling it again with
        the same arguments returns the same.
        """
        ...


class Session:
    """One thread of a tracker, and the links that it has. What it hears counts until it is closed."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._links: Sequence[Link] = ()
        self.closed = threading.Event()

    def begin(self, links: Sequence[Link]) -> None:
        """Every change is heard from now on."""
        self._links = links
        self._tracker.switch(self, on=True)
        if self.closed.is_set():
            self.close()

    def hear(self, names: Sequence[str] | None) -> None:
        """These were changed; None if it may be any."""
        self._tracker.hear(names)

    def close(self) -> None:
        """End it, from any thread."""
        self.closed.set()
        for link in self._links:
            link.shut()

    def leave(self) -> None:
        """Let go of the links, in a forked child."""
        for link in self._links:
            link.leave()


class Tracker:
    """What a process knows of the changes on one server. Its thread begins with the first read that it is to watch over.

    Attributes:
        is_on: Whether all changes are heard.
    """

    def __init__(self, listen: Listen, kind: str) -> None:
        self._listen = listen
        self._kind = kind
        self._lock = make_lock()
        self._watches: list[Watch] = []
        self._session: Session | None = None
        self._thread: threading.Thread | None = None
        self._moment = 1
        self._floor = 1  # the moment from which on it is known what was changed
        self._changed: OrderedDict[str, int] = OrderedDict()
        self._warned = False
        self.is_on = False
        reset_after_fork(self)

    def watch(self, memory: Memory, names_of: NamesOf | None) -> Watch:
        """Keep a store in memory right from now on. What it holds already is lost: nobody knows how old it is."""
        with self._lock:
            self._watches = [watch for watch in self._watches if not watch.is_over]
            for watch in self._watches:
                if watch.is_of(memory, names_of):
                    return watch
            watch = Watch(self, memory, names_of)
            self._watches.append(watch)
            watch.lose(None)
        return watch

    def note(self) -> int:
        """Return the moment, before the server is read."""
        if self._session is None:
            self._start()
        return self._moment

    def take(self, names: Sequence[str], since: int, take: Callable[[], None]) -> bool:
        """Have something taken in that was read after a moment, if it hasn't been changed since."""
        with self._lock:
            if not self.is_on or since < self._floor or any(self._changed.get(name, 0) > since for name in names):
                return False
            take()
        return True

    def do(self, change: Callable[[], None]) -> None:
        """Have something done while nothing is lost."""
        with self._lock:
            change()

    def hear(self, names: Sequence[str] | None) -> None:
        """Lose what was changed; None for all."""
        with self._lock:
            self._moment += 1
            if names is None:
                self._forget_all()
                return
            for name in names:
                self._changed[name] = self._moment
                self._changed.move_to_end(name)
            while len(self._changed) > MOST_CHANGES:
                self._floor = self._changed.popitem(last=False)[1]
            for watch in self._watches:
                watch.lose(names)

    def switch(self, session: Session, *, on: bool) -> None:
        """All changes are heard from now on, or no more."""
        with self._lock:
            if session is self._session and (on or self.is_on):
                self._forget_all()
                self.is_on = on

    def close(self) -> None:
        """End the thread and its links. The next read begins anew."""
        with self._lock:
            session, thread = self._session, self._thread
            self._session = self._thread = None
            self._forget_all()
            self.is_on = False
        if session is not None:
            session.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)

    def reset(self) -> None:
        """Begin anew in a forked child, which has neither the thread nor a right to its connections."""
        if self._session is not None:
            self._session.leave()
        self._session = self._thread = None
        self._forget_all()
        self.is_on = False

    def _forget_all(self) -> None:
        self._moment += 1
        self._floor = self._moment
        self._changed.clear()
        for watch in self._watches:
            watch.lose(None)

    def _start(self) -> None:
        with self._lock:
            if self._session is not None:
                return
            self._session = session = Session(self)
            self._thread = threading.Thread(target=self._run, args=(session,), name="instructor-tracking", daemon=True)
        self._thread.start()

    def _run(self, session: Session) -> None:
        pause = FIRST_PAUSE
        while not session.closed.is_set():
            try:
                self._listen(session)
            except LinkLostError as error:
                _log().debug("%s doesn't hear what is changed: %s.", self._kind, error)
            except Exception as error:  # noqa: BLE001 - the thread must go on; nothing is kept in memory meanwhile
                self._warn(error)
                pause = REFUSED_PAUSE
            if self.is_on:
                pause = FIRST_PAUSE
            self.switch(session, on=False)
            # Not all at once: a server that comes back has many clients.
            session.closed.wait(pause * (0.5 + draw() / 2))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            reason = error if isinstance(error, TrackingRefusedError) else f"{type(error).__name__}: {error}"
            _log().warning("Nothing is kept in the memory before %s: %s", self._kind, reason)


def _log() -> logging.Logger:
    import logging

    return logging.getLogger("instructor.cache")
