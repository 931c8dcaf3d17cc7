"""Which entries go when the file of a `DiskCache` is full, and where a new one stands in the order in which they go.

That order is the column ``used``, the time of the last use. With an LRU a new entry stands at its end, as one that was
just used. A loop over more than fits serves nothing then. So a `Duel` watches whether `Bimodal` would serve more; as
long as it would, a new entry stands where names go next, until it is used, and one of sixteen stands at the end. The
directories of the duel are kept in the file, because each round of such a loop may be a process of its own.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, cast

from instructor.cache.eviction import BIMODAL_EVERY, SAMPLE_SHIFT, Bimodal, Duel, Name, sample_bits
from instructor.cache.sqlite_file import log
from instructor.cache.sqlite_repair import hash_key
from instructor.cache.sqlite_size import NO_LIMIT, count_pages, file_size, share_out, shrink
from instructor.describing import refuse, refuse_choice

DiskPolicy = Literal["auto", "lru"]

DAY = 24 * 60 * 60.0

_NEWCOMER = 100 * 365 * DAY
"""So much earlier than now a newcomer stands in the order: before all that was used, and behind older newcomers."""

_FULL = 7 / 8
"""From this share of the limit on, a new entry takes the place of another: rows that go leave holes in their pages."""

MOST_AT_ONCE = 1 << 20
"""Bytes of entries that are written in one transaction beside the first."""

_SAVE_AFTER = 64
"""After so many names that the duel has watched, its directories are written to the file."""


class Eviction:
    """Makes room in a file, for the processes and threads that share it. Its methods run in a transaction of theirs.

    What it knows of the policy is a guess that each process goes on with, so it needs no lock: at worst a use is missed.
    """

    def __init__(self, path: Path, size_limit: int | None, policy: object = "auto", max_entries: object = None) -> None:
        self.policy = _check_policy(policy)
        self.max_entries = _check_max_entries(max_entries)
        self._size_limit = size_limit
        self._shares = share_out(size_limit)
        self._path = path
        self._files = str(path), f"{path}-wal"
        self._warned: set[str] = set()
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked process: what the policy has seen is read from the file again."""
        self._duel = Duel(Bimodal())
        self._is_loaded = self._is_full = self._was_full = False
        self._is_new = True
        self._entries = 0
        self._recount_in = 0
        self.unsaved = 0

    def find_room(self) -> int | None:
        """How many bytes several entries may have that are written at once; None while the file is nearly full.

        Then each may take the place of others, and what a transaction changes is limited.
        """
        if self.max_entries is not None:
            return None
        if self._size_limit is None:
            return MOST_AT_ONCE
        room = int(self._shares.file * _FULL) - sum(map(file_size, self._files)) - self._shares.entry
        return min(room, self._shares.entry, MOST_AT_ONCE) if room > 0 else None

    def make_room(self, connection: sqlite3.Connection, key: str, size: int, now: float) -> bool:
        """Remove what goes first until an entry of `size` bytes fits in; say whether that is enough already."""
        self._is_full = False
        self._recount_in -= 1
        self._is_new = True
        if self.max_entries is not None:
            self._is_new = connection.execute(_FIND, (key,)).fetchone() is None
            self._keep_to_entries(connection, self.max_entries, now)
        return self._size_limit is None or self._keep_to_bytes(connection, size, now)

    def _keep_to_entries(self, connection: sqlite3.Connection, most: int, now: float) -> None:
        excess = self._count(connection) + self._is_new - most
        self._is_full = excess >= 0
        if excess > 0:
            self._remove(connection, min(excess, self._shares.rows_at_once), now, f"a max_entries= above {most}")

    def _keep_to_bytes(self, connection: sqlite3.Connection, size: int, now: float) -> bool:
        shares, number = self._shares, 1
        # No page is in neither of them. To look at two files takes a quarter of the time of asking SQLite.
        if sum(map(file_size, self._files)) + size <= shares.file * _FULL:
            return True
        pages, used = count_pages(connection)
        self._is_full |= used + size > shares.file * _FULL
        if used + size <= shares.file:
            shrink(connection, shares, pages)
            return True
        shares = share_out(self.find_limit(connection, now))
        while (counted := count_pages(connection)).used + size > shares.file:
            if number > self._shares.rows_at_once:
                return False
            if self._remove(connection, number, now, f"a size_limit= above {self._size_limit} bytes") < 1:
                break
            number *= 2
        shrink(connection, shares, counted.pages)
        return True

    def _remove(self, connection: sqlite3.Connection, number: int, now: float, advice: str) -> int:
        self._warn_of_young(connection, number, now, advice)
        removed = connection.execute(_DELETE_OLDEST, (number,)).rowcount
        self._entries -= removed
        return removed

    def rank(self, connection: sqlite3.Connection, key: str, now: float) -> float:
        """Where an entry that is written now stands in the order, as the time of its last use."""
        if self.policy == "auto" and self._is_full:
            self._takes_part(connection)
            self._count(connection)
        self._entries += self._is_new
        if self.policy == "lru" or not self._is_full:
            return now
        self._watch(key)
        self._duel.rival.turn += 1
        if not self._duel.is_lost or self._duel.rival.turn % BIMODAL_EVERY == 0:
            return now
        return now if connection.execute(_FIND, (key,)).fetchone() else now - _NEWCOMER

    def note_uses(self, connection: sqlite3.Connection, keys: Iterable[str]) -> None:
        """Have the duel watch what was used, in the order of the uses; write its directories down now and then."""
        if self.policy == "lru":
            return
        if self._takes_part(connection):
            self._count(connection)
            for key in keys:
                self._watch(key)
        if self.unsaved >= _SAVE_AFTER:
            self._save(connection)

    def _watch(self, key: str) -> None:
        self._duel.watch(_reverse(hash_key(key)), max(1, self._entries))
        self.unsaved += 1

    def _count(self, connection: sqlite3.Connection) -> int:
        """About how many entries there are: counted now and then, because that takes a look at all of them."""
        if self._recount_in <= 0 or not self._entries:
            (self._entries,) = connection.execute("SELECT count(*) FROM entry").fetchone()
            self._recount_in = max(16, self._entries // 32)
        return self._entries

    def _takes_part(self, connection: sqlite3.Connection) -> bool:
        """Whether the store is full or was, so that there is a duel. Its directories are read from the file once."""
        if not self._is_loaded:
            self._is_loaded = True
            self._was_full = self._load(connection)
        if self._is_full and not self._was_full:
            self._was_full = True
            self._begin_with_what_is_there(connection)
        return self._was_full

    def _load(self, connection: sqlite3.Connection) -> bool:
        """Read the directories; return whether there were any. What can't be right is left out: they are a guess anyway."""
        row = connection.execute("SELECT lead, state FROM eviction").fetchone()
        if row is None or list(map(type, row)) != [float, bytes] or len(row[1]) % 8 or len(row[1]) < 5 * 8:
            return False
        bits, is_lost, turn, recent, newcomers, *names = array("q", row[1])
        if min(bits, recent, newcomers) < 0 or bits > 32 or recent + newcomers > len(names):  # noqa: PLR2004 - of a checksum
            return False
        self._duel.lead, self._duel.bits, self._duel.is_lost = row[0], bits, bool(is_lost)
        known = cast("list[Name]", names)
        self._fill(known[:recent], known[recent : recent + newcomers], known[recent + newcomers :])
        self._duel.rival.turn = turn
        return True

    def _begin_with_what_is_there(self, connection: sqlite3.Connection) -> None:
        """Fill both directories with the sample of what the store holds: rows whose checksums of the key are low."""
        self._duel.bits = bits = sample_bits(self._count(connection))
        rows = connection.execute(_SAMPLE, (1 << 32 - bits,)).fetchall()
        names = [_reverse(key_hash) for (key_hash,) in rows]
        self._fill(names, [], names)

    def _fill(self, recent: Iterable[Name], newcomers: Iterable[Name], main: Iterable[Name]) -> None:
        for name in recent:
            self._duel.recent.add(name)
        rival = self._duel.rival
        rival.newcomers.update(dict.fromkeys(newcomers))
        rival.main.update(dict.fromkeys(main))
        rival.is_full = True

    def save_unsaved(self, connection: sqlite3.Connection) -> None:
        """Write down what the duel has watched since that was done last, as at the end of a process."""
        if self.unsaved:
            self._save(connection)

    def _save(self, connection: sqlite3.Connection) -> None:
        duel = self._duel
        names = duel.recent, duel.rival.newcomers, duel.rival.main
        recent, newcomers, main = (cast("list[int]", [*directory]) for directory in names)
        head = (duel.bits, duel.is_lost, duel.rival.turn, len(recent), len(newcomers))
        state = array("q", [*head, *recent, *newcomers, *main]).tobytes()
        connection.execute("INSERT OR REPLACE INTO eviction VALUES (1, ?, ?)", (duel.lead, state))
        self.unsaved = 0

    def find_limit(self, connection: sqlite3.Connection, now: float) -> int:
        """Another process may have set a larger limit, and stored what this one must not remove."""
        own = NO_LIMIT if self._size_limit is None else self._size_limit
        (limit,) = connection.execute("SELECT max(bytes) FROM size_limit WHERE seen >= ?", (now - DAY,)).fetchone()
        if (limit or 0) <= own:
            return own
        self.warn_once("limit", f"has a larger limit from another process, so size_limit={self._size_limit} waits.")
        return int(limit)

    def _warn_of_young(self, connection: sqlite3.Connection, number: int, now: float, advice: str) -> None:
        if "young" in self._warned:
            return
        (youngest,) = connection.execute(_YOUNGEST, (number,)).fetchone()
        if youngest is not None and youngest > now - DAY:
            self.warn_once(
                "young",
                f"is full and removes answers less than a day old, which will be asked for and paid again. "
                f"Pass {advice}, or None for no limit.",
            )

    def warn_once(self, subject: str, message: str) -> None:
        """Log a warning, unless one about the same was logged before."""
        if subject not in self._warned:
            self._warned.add(subject)
            log(f"DiskCache at {self._path} {message}")


_FIND = "SELECT 1 FROM entry WHERE key = ?"
_DELETE_OLDEST = "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM entry ORDER BY used LIMIT ?)"
_YOUNGEST = "SELECT max(created) FROM entry WHERE rowid IN (SELECT rowid FROM entry ORDER BY used LIMIT ?)"


_SAMPLE = "SELECT key_hash FROM entry WHERE key_hash IS NOT NULL AND key_hash < ? ORDER BY used"


def _reverse(key_hash: int) -> Name:
    """What stands for a key in the directories: the bits of its checksum in reverse, where a `Duel` looks for its sample.

    So the sample is the keys with the lowest checksums, which the file's index of them leads to.
    """
    number = int(f"{key_hash:032b}"[::-1], 2) << SAMPLE_SHIFT
    return cast("Name", number)  # the directories need nothing of a name but its hash, which is the number itself


def _check_policy(policy: object) -> DiskPolicy:
    known: dict[str, DiskPolicy] = {"auto": "auto", "lru": "lru"}
    if isinstance(policy, str) and policy in known:
        return known[policy]
    raise refuse_choice("DiskCache(policy=)", policy, known)


def _check_max_entries(most: object) -> int | None:
    if most is None or (isinstance(most, int) and not isinstance(most, bool) and most > 0):
        return most
    raise refuse("DiskCache(max_entries=)", most, "an int above 0, or None for no limit")
