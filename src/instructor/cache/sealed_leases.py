"""The leases of the store in a `SealedCache`, which knows keys by other names and holds sealed texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from instructor.cache.lease import Ending, LeaseTable, Taken


class SealedLeases(NamedTuple):
    """The leases of an inner store, by its names of the keys."""

    inner: LeaseTable
    name: Callable[[str], str]
    seal: Callable[[str, str], tuple[str, str]]

    @property
    def seconds(self) -> float:
        """As the inner store."""
        return self.inner.seconds

    @property
    def pauses(self) -> tuple[float, float]:
        """As the inner store."""
        return self.inner.pauses

    def take(self, key: str, token: str) -> Taken | None:
        """Take a lease that nobody has."""
        return self.inner.take(self.name(key), token)

    def publish(self, key: str, text: str, ttl: int | None, token: str) -> bool:
        """Seal a text, store it, and end the lease."""
        return self.inner.publish(*self.seal(key, text), ttl, token)

    def renew(self, tokens: Mapping[str, str]) -> None:
        """Let leases last longer."""
        self.inner.renew({self.name(key): token for key, token in tokens.items()})

    def release(self, key: str, token: str, ending: Ending) -> None:
        """End a lease without an answer."""
        self.inner.release(self.name(key), token, ending)

    def look(self, waited: Sequence[tuple[str, str]]) -> list[Ending | None]:
        """How leases of others ended."""
        return self.inner.look([(self.name(key), token) for key, token in waited])

    def listen(self, nudge: Callable[[], None]) -> Callable[[], None] | None:
        """As the inner store."""
        return self.inner.listen(nudge)
