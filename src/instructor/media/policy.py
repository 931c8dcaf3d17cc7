"""What may be fetched from the web on a caller's behalf."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import cast

from instructor.describing import refuse


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Limits for media that this package fetches because the provider can't.

    Whatever the limits, each host name is resolved once, the connection goes to the address that was checked, and each
    redirect is checked in the same way. Proxies of the environment aren't used: one would resolve the name again.

    Attributes:
        hosts: The only hosts that may be asked, redirects included; an empty set for none. None for any.
        private: Whether addresses that aren't public (this machine, the local network, cloud metadata) may be asked.
        most_bytes: The largest body; None for the limit of its kind.
        seconds: How long one medium may take, redirects included.
        redirects: How many redirects are followed.

    Raises:
        ConfigurationError: A limit has a wrong type or value.

    Example:
        >>> client = instructor.from_provider("offline/demo", media_policy=FetchPolicy(hosts={"cdn.example.com"}))
    """

    hosts: AbstractSet[str] | None = None
    private: bool = False
    most_bytes: int | None = None
    seconds: float = 30.0
    redirects: int = 5

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", _check_hosts(self.hosts))
        if not isinstance(self.private, bool):
            raise refuse("private", self.private, "True or False")
        limits: tuple[tuple[str, object, object], ...] = (
            ("most_bytes", 1 if self.most_bytes is None else self.most_bytes, 1),
            ("seconds", self.seconds, 0),
            ("redirects", self.redirects, 0),
        )
        for name, value, least in limits:
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= cast("int", least):
                raise refuse(name, value, f"a number, {least} or more")

    def within(self, seconds: float) -> FetchPolicy:
        """The same policy, for a call that has only so many seconds left."""
        return replace(self, seconds=min(self.seconds, max(seconds, 0.0)))


def _check_hosts(hosts: object) -> frozenset[str] | None:
    if hosts is None:
        return None
    if isinstance(hosts, str) or not isinstance(hosts, Iterable):
        raise refuse("hosts", hosts, 'a set of host names such as {"cdn.example.com"}, or None')
    return frozenset(str(host).lower() for host in cast("Iterable[object]", hosts))


DEFAULT_POLICY = FetchPolicy()
