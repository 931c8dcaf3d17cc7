"""One flight for several processes: the leader of a flight takes the store's lease, or waits for who has it.

The callers of one process share a flight (``cache/flight.py``), whose leader alone comes here. What it may not do is wait
while others of its own flights wait for it: a process that waits for us might have what we wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from instructor.cache.flight import Lease
from instructor.engine.call import Policy
from instructor.engine.effects import AwaitLease, Flow, TakeLease
from instructor.engine.path import CachePath, Report
from instructor.exceptions import CacheError

if TYPE_CHECKING:
    from instructor.cache.lease import Ending, Leased
    from instructor.engine.tier_lookup import Served

T = TypeVar("T")

Look = Callable[[bool], "Flow[Served[T] | None]"]
"""Looks once more whether an answer is stored. Its argument: whether another process has just asked for one."""


def lead_all(
    path: CachePath, key: str, policy: Policy, lease: Lease[Any], look: Look[T], report: Report, started: float
) -> Flow[Served[T] | None]:
    """Lead for all processes that share the store, if it has leases.

    Returns the answer that another process has stored; None if this call is to ask. It asks without the store's lease
    where there is none, and where waiting for it was over or in vain: at once, and beside others.
    """
    if path.lender is None or not (policy.mode.stores and policy.mode.joins) or policy.ttl == 0:
        return None
    while True:
        leased = yield from _take(path, key, lease, report)
        if leased is None:
            return None
        if leased.held is not None:
            lease.held = leased.held
            return (yield from look(False)) if leased.found else None
        if not policy.mode.looks or lease.flight.is_nested:
            return None
        ending = yield from _wait(path, key, policy, lease, leased, started)
        if ending is None:
            return None
        if ending.is_over:
            return (yield from look(True))


def _take(path: CachePath, key: str, lease: Lease[Any], report: Report) -> Flow[Leased | None]:
    """Take the lease; None if the store fails, which costs nothing but the sharing."""
    if path.lender is None:
        return None
    try:
        return (yield from TakeLease(path.lender.handle, key, lease.flight))
    except CacheError as error:
        yield from report(error)
        return None


def _wait(
    path: CachePath, key: str, policy: Policy, lease: Lease[Any], leased: Leased, started: float
) -> Flow[Ending | None]:
    """Wait for another process, for as long as this call has patience."""
    assert path.lender is not None, "who has its lease"
    patience = None if policy.patience is None else policy.patience - (policy.clock() - started)
    lease.flight.waits_abroad = True
    ending = yield from AwaitLease(path.lender.handle, key, leased.holder, patience)
    lease.flight.waits_abroad = False
    return ending
