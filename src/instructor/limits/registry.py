"""Which limiter a request goes by: one for each credential, host and model, for all clients of a process."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol, cast

from instructor.locks import make_lock

if TYPE_CHECKING:
    from instructor.limits.limiter import Limiter, Reservation
    from instructor.limits.settings import Limits, Scripting
    from instructor.limits.sizes import Ruler

_KEY: Final = b"instructor: who shares a limit"
"""The key of the hash, so that it is no other program's hash of the same credential."""

_limiters: weakref.WeakValueDictionary[tuple[str, Limits, int], Limiter] = weakref.WeakValueDictionary()
_lock = make_lock()


class Endpoint(Protocol):
    """What is asked: an adapter."""

    @property
    def provider(self) -> str:
        """The vendor."""
        ...

    @property
    def endpoint(self) -> Mapping[str, object]:
        """Where its answers come from."""
        ...


@dataclass(slots=True)
class Throttle:
    """What the requests of a client's calls wait for.

    Attributes:
        limits: What the caller wants.
        store: The server through which the limit is shared; None for a limit of this process.
        has_answered: Whether the provider has answered any of them, if only with an error.
    """

    limits: Limits
    store: Scripting | None = None
    has_answered: bool = False
    _held: dict[tuple[str, ...], Limiter] = field(default_factory=dict[tuple[str, ...], "Limiter"], repr=False)
    _ruler: Ruler = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from instructor.limits.sizes import Ruler  # as in `_look`

        self._ruler = Ruler()

    def reserve(self, adapter: Endpoint, model: str, request: Mapping[str, object]) -> Reservation:
        """Reserve what a request will likely need."""
        return self.find(adapter, model).reserve(self._ruler.measure(request))

    def find(self, adapter: Endpoint, model: str) -> Limiter:
        """The limiter of a model, which all clients with the same credential and settings have in common."""
        account = (*_describe(adapter), model)
        limiter = self._held.get(account)
        if limiter is None:
            limiter = self._held[account] = self._look(name_account(adapter, model), adapter.provider)
        return limiter

    def _look(self, name: str, provider: str) -> Limiter:
        # Here, so that clients without limits load none of it.
        from instructor.limits.headers import rules_of
        from instructor.limits.limiter import Limiter
        from instructor.limits.shared import SharedAccount

        key = (name, self.limits, id(self.store))  # the limiter keeps the store, so no other one has its id
        with _lock:
            limiter = _limiters.get(key)
            if limiter is None:
                shared = None if self.store is None else SharedAccount(self.store, name)
                limiter = _limiters[key] = Limiter(self.limits, rules_of(provider), shared)
            return limiter


class Throttles:
    """Those of one client: for each kind of limits that its calls have, and each server."""

    def __init__(self) -> None:
        self._known: dict[tuple[Limits, int], Throttle] = {}

    def find(self, limits: object, store: object) -> Throttle | None:
        """Find what a call's requests wait for; None for a call without limits.

        `store` is its cache, through whose server the limit is shared if it has one.
        """
        if limits is None:
            return None
        from instructor.limits.settings import check_limits

        checked = check_limits(limits)
        assert checked is not None, "only None is for no limits"
        shared = checked.shared if checked.shared is not None else store
        scripting = cast("Scripting", shared) if hasattr(shared, "evaluate") else None
        key = (checked, id(scripting))
        return self._known.get(key) or self._known.setdefault(key, Throttle(checked, scripting))


def name_account(adapter: Endpoint, model: str) -> str:
    """Name an account: by vendor and model, and a hash of the host and the credentials, from which nobody gets them back."""
    digest = blake2b("\0".join(_describe(adapter)).encode(errors="surrogatepass"), key=_KEY, digest_size=16).hexdigest()
    return f"{digest}:{model}"


def _describe(adapter: Endpoint) -> tuple[str, ...]:
    credentials: Sequence[str] = getattr(adapter, "credentials", ())
    return adapter.provider, str(adapter.endpoint.get("base_url") or ""), *sorted(credentials)
