"""Which entry goes when a store is full: policies over names alone, which know nothing of entries.

- `LeastRecent`: the least recently used one. Right where what was asked lately is asked again; it serves nothing of a
  loop that is one entry longer than the store, such as an evaluation that is run again and again.
- `MostFrequent`: TinyLFU. A newcomer stays only if it was asked for more often than the one that would have to go for
  it (Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM Transactions on Storage
  13(4), 2017). Right for loops, for scans, and where most calls never repeat; slow to notice that the topic has changed.
- `Bimodal`: a newcomer goes next unless it is used at once, now and then one stays. Worse than `MostFrequent`, but it
  needs no memory beside the order, so a `DiskCache` can keep to it.
- `Adaptive`: an LRU or `MostFrequent`. Two directories of names, of a sample of all keys, show what each would have served
  lately (`Duel`), and the store follows the better one. It is the dueling of Qureshi et al., "Adaptive Insertion Policies for
  High Performance Caching", ISCA 2007, with the samples of Waldspurger et al., "Efficient MRC Construction with
  SHARDS", FAST 2015.

S3-FIFO was measured beside them (``tests/traces.py``): it is far behind `LeastRecent` where topics shift, and far
behind `Adaptive` on loops.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Literal, Protocol, TypeGuard, TypeVar

from instructor.describing import refuse_choice

Name = str | tuple[str]
"""What something is held under (see `instructor.cache.memory.Name`)."""

PolicyName = Literal["auto", "lru", "tinylfu"]
"""``"auto"`` is `Adaptive`, ``"lru"`` `LeastRecent` and ``"tinylfu"`` `MostFrequent`."""


class Policy(Protocol):
    """Who goes next. It isn't safe for threads: its store holds a lock."""

    def use(self, name: Name) -> None:
        """Note that a name was asked for; one that isn't there counts for later."""
        ...

    def add(self, name: Name) -> None:
        """Take in a name that isn't there."""
        ...

    def drop(self, name: Name) -> None:
        """Take out a name, if it is there."""
        ...

    def choose(self) -> Name:
        """Say which name goes next; there is at least one. The store then drops it."""
        ...

    def __iter__(self) -> Iterator[Name]: ...

    def __len__(self) -> int: ...

    def __contains__(self, name: object) -> bool: ...


Rival = TypeVar("Rival", bound=Policy)


class LeastRecent:
    """The least recently used name goes first."""

    def __init__(self) -> None:
        self._order: OrderedDict[Name, None] = OrderedDict()

    def use(self, name: Name) -> None:
        """Note a use."""
        if name in self._order:
            self._order.move_to_end(name)

    def add(self, name: Name) -> None:
        """Take in a name, as the one used last."""
        self._order[name] = None

    def drop(self, name: Name) -> None:
        """Take out a name."""
        self._order.pop(name, None)

    def choose(self) -> Name:
        """The one that wasn't used for longest."""
        return next(iter(self._order))

    def __iter__(self) -> Iterator[Name]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, name: object) -> bool:
        return name in self._order


COUNTERS, PERIOD = 8, 20
"""Counters in each row, at least, for each name of the store; and uses of each name after which all are halved."""

_FEWEST = 1024

MOST_COUNTED = 15
"""More often than that counts as that."""

_HALVED = bytes(count >> 1 for count in range(256))


class Frequencies:
    """About how often each name was asked for lately: a count-min sketch of two rows, which grows with the store.

    A name has one counter in each row, and the lower one counts: others that share it can only have raised it.
    """

    def __init__(self) -> None:
        self._rows = bytearray(_FEWEST), bytearray(_FEWEST)
        self._mask = _FEWEST - 1
        self._left = _FEWEST // COUNTERS * PERIOD

    def count(self, name: Name, names: int) -> None:
        """Count a use in a store that has so many names."""
        if names * COUNTERS > self._mask + 1:
            self._grow(names)
        self._left -= 1
        if self._left <= 0:
            self._age(names)
        first, second = self._rows
        number = hash(name)
        here, there = number & self._mask, (number >> 32) & self._mask
        lower = min(first[here], second[there])
        if lower < MOST_COUNTED:
            # Only the lower one is raised, so that a shared counter isn't raised for both.
            if first[here] == lower:
                first[here] = lower + 1
            if second[there] == lower:
                second[there] = lower + 1

    def of(self, name: Name) -> int:
        """How often a name was used: never too few since the counts were last halved."""
        number = hash(name)
        return min(self._rows[0][number & self._mask], self._rows[1][(number >> 32) & self._mask])

    def _grow(self, names: int) -> None:
        # Each of the new counters that a name may have now is a copy of the one that it had. Few names share one then,
        # if they are twice as many as would do for now.
        size = 1 << (2 * names * COUNTERS - 1).bit_length()
        copies = size // (self._mask + 1)
        self._rows = self._rows[0] * copies, self._rows[1] * copies
        self._left += (size - self._mask - 1) // COUNTERS * PERIOD
        self._mask = size - 1

    def _age(self, names: int) -> None:
        self._rows = self._rows[0].translate(_HALVED), self._rows[1].translate(_HALVED)
        self._left = max(1, names) * PERIOD // 2


WINDOW = 100
"""One of so many names is new, and need not have been used often yet."""

MARGIN = 1
"""By how many uses a newcomer must be ahead. In a loop all names were used equally often, give or take one round: with
no margin they would drive each other out."""


class MostFrequent:
    """TinyLFU: when the store is full, a newcomer stays only if it was asked for more often than the oldest name.

    A newcomer passes through a window of the latest names, so that it has some time to be used again. Those that have
    left the window are in the order of their last use. An oldest name that wins goes to the end of that order: the next
    newcomer competes with another one.

    Attributes:
        filters: Whether newcomers compete. If not, they all stay, and the least recently used name goes.
    """

    def __init__(self, frequencies: Frequencies | None = None) -> None:
        self.filters = True
        self._counts_itself = frequencies is None
        self._frequencies = frequencies or Frequencies()
        self._window: OrderedDict[Name, None] = OrderedDict()
        self._main: OrderedDict[Name, None] = OrderedDict()
        self._newcomer: Name | None = None

    def use(self, name: Name) -> None:
        """Note a use."""
        if self._counts_itself:
            self._frequencies.count(name, len(self))
        if name in self._main:
            self._main.move_to_end(name)
        elif name in self._window:
            self._window.move_to_end(name)

    def add(self, name: Name) -> None:
        """Take in a name. The oldest one of the window leaves it, and is the newcomer of the next `choose`."""
        if self._counts_itself:
            self._frequencies.count(name, len(self) + 1)
        self._window[name] = None
        if len(self._window) > max(1, len(self) // WINDOW):
            self._newcomer, _ = self._window.popitem(last=False)
            self._main[self._newcomer] = None

    def drop(self, name: Name) -> None:
        """Take out a name."""
        if name in self._main:
            del self._main[name]
        else:
            self._window.pop(name, None)

    def choose(self) -> Name:
        """The oldest name or the newcomer, whichever was used less."""
        newcomer, self._newcomer = self._newcomer, None
        oldest = next(iter(self._main or self._window))
        if not self.filters or newcomer is None or newcomer not in self._main or newcomer == oldest:
            return oldest
        if self._frequencies.of(newcomer) > self._frequencies.of(oldest) + MARGIN:
            return oldest
        self._main.move_to_end(oldest)
        return newcomer

    def __iter__(self) -> Iterator[Name]:
        yield from self._main
        yield from self._window

    def __len__(self) -> int:
        return len(self._window) + len(self._main)

    def __contains__(self, name: object) -> bool:
        return name in self._main or name in self._window


BIMODAL_EVERY = 16
"""One of so many newcomers may stay as long as any other."""


class Bimodal:
    """When the store is full, a newcomer goes next unless it is used before; one of sixteen stays as with an LRU.

    It is the bimodal insertion of Qureshi et al. (see `Adaptive`). It needs to remember nothing but the order, so a
    store can keep to it whose order is in a file: a newcomer takes its place at the end where names go.
    """

    def __init__(self) -> None:
        self.newcomers: OrderedDict[Name, None] = OrderedDict()
        self.main: OrderedDict[Name, None] = OrderedDict()
        self.turn = 0
        self.is_full = False

    def use(self, name: Name) -> None:
        """Note a use: the name isn't a newcomer any more."""
        if name in self.newcomers:
            del self.newcomers[name]
            self.main[name] = None
        elif name in self.main:
            self.main.move_to_end(name)

    def add(self, name: Name) -> None:
        """Take in a name."""
        self.turn += 1
        stays = not self.is_full or self.turn % BIMODAL_EVERY == 0
        (self.main if stays else self.newcomers)[name] = None

    def drop(self, name: Name) -> None:
        """Take out a name."""
        self.newcomers.pop(name, None)
        self.main.pop(name, None)

    def choose(self) -> Name:
        """The newcomer before the latest; where there is none, the name that wasn't used for longest."""
        self.is_full = True
        return next(iter(self.newcomers if len(self.newcomers) > 1 or not self.main else self.main))

    def __iter__(self) -> Iterator[Name]:
        yield from self.main
        yield from self.newcomers

    def __len__(self) -> int:
        return len(self.newcomers) + len(self.main)

    def __contains__(self, name: object) -> bool:
        return name in self.newcomers or name in self.main


SAMPLE = 256
"""At least so many names are in each of the two directories, and at most twice as many."""

SAMPLE_SHIFT = 20
"""Which bits of a name's hash say whether it is in the sample: those from here on."""

MEMORY = 2
"""The duel is about the latest uses, so many for each name of a directory."""

LEAD = 0.02
"""By how many hits a policy must lead, for each name of a directory."""


class Duel(Generic[Rival]):
    """Two directories of names, of a sample of all keys: which policy would have served more of late.

    Attributes:
        recent: The directory of an LRU.
        rival: That of the other policy.
        lead: By how many hits the LRU leads.
        bits: The sample is one of ``2**bits`` names.
        is_lost: Whether the store should follow the rival. It begins with the LRU, because what that has lost comes
            back after one use.
    """

    def __init__(self, rival: Rival) -> None:
        self.recent, self.rival = LeastRecent(), rival
        self.lead = 0.0
        self.bits = 0
        self.is_lost = False

    def watch(self, name: Name, names: int) -> None:
        """See which of the two would have had a name that is asked for, in a store of so many."""
        bits = sample_bits(names)
        if bits != self.bits:
            self._thin_out(bits)
        if not _is_sampled(name, bits):
            return
        room = max(1, names >> bits)
        gained = _would_hit(self.recent, name, room) - _would_hit(self.rival, name, room)
        self.lead = self.lead * (1 - 1 / (MEMORY * room)) + gained
        if abs(self.lead) > LEAD * room:
            self.is_lost = self.lead < 0

    def _thin_out(self, bits: int) -> None:
        """Leave those in the directories that are in a smaller sample, too."""
        self.bits = bits
        for directory in (self.recent, self.rival):
            for name in [*directory]:
                if not _is_sampled(name, bits):
                    directory.drop(name)


class Adaptive:
    """Follows the better one of `LeastRecent` and `MostFrequent`."""

    def __init__(self) -> None:
        self._frequencies = Frequencies()
        self._real = MostFrequent(self._frequencies)
        self._real.filters = False
        self._duel = Duel(MostFrequent(self._frequencies))
        self._was_full = False

    @property
    def filters(self) -> bool:
        """Whether it goes by `MostFrequent` now."""
        return self._real.filters

    def use(self, name: Name) -> None:
        """Note a use. Until the store is full, only the order counts, so that a hit costs no more than with an LRU."""
        if self._was_full:
            self._watch(name, len(self._real))
        self._real.use(name)

    def add(self, name: Name) -> None:
        """Take in a name."""
        self._watch(name, len(self._real) + 1)
        self._real.add(name)

    def drop(self, name: Name) -> None:
        """Take out a name."""
        self._real.drop(name)

    def choose(self) -> Name:
        """Say which name goes next."""
        self._was_full = True
        return self._real.choose()

    def _watch(self, name: Name, names: int) -> None:
        self._frequencies.count(name, names)
        self._duel.watch(name, names)
        self._real.filters = self._duel.is_lost

    def __iter__(self) -> Iterator[Name]:
        return iter(self._real)

    def __len__(self) -> int:
        return len(self._real)

    def __contains__(self, name: object) -> bool:
        return name in self._real


def _is_sampled(name: Name, bits: int) -> bool:
    """Whether a name is in the sample of one in ``2**bits``."""
    return not (hash(name) >> SAMPLE_SHIFT) & ((1 << bits) - 1)


def sample_bits(names: int) -> int:
    """The sample of a store of so many names is one in two to the power of this."""
    return max(0, (names // SAMPLE).bit_length() - 1)


def _would_hit(directory: Policy, name: Name, room: int) -> bool:
    """Use a name in a directory; return whether it was there."""
    if name in directory:
        directory.use(name)
        return True
    directory.add(name)
    while len(directory) > room:
        directory.drop(directory.choose())
    return False


_POLICIES: dict[PolicyName, type[Adaptive | LeastRecent | MostFrequent]] = {
    "auto": Adaptive,
    "lru": LeastRecent,
    "tinylfu": MostFrequent,
}


def make_policy(name: PolicyName) -> Policy:
    """Make a policy by its name."""
    return _POLICIES[name]()


def check_policy(argument: str, name: object) -> PolicyName:
    """Return the name of a policy if it is one."""
    if _is_policy(name):
        return name
    raise refuse_choice(argument, name, _POLICIES)


def _is_policy(name: object) -> TypeGuard[PolicyName]:
    return isinstance(name, str) and name in _POLICIES
