"""What is written of a store's failure: enough to mend it, and nothing of an answer or a password."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instructor.cache.store import BaseCache


def describe_failure(store: BaseCache, operation: str, error: BaseException, written: str) -> str:
    """Say which operation of a store failed, and why; `written` is what it was to write."""
    name, reason = f"{type(store).__name__}.{operation}", _find_reason(error, written)
    if isinstance(error, TimeoutError) and not reason:
        limit = f"{store.timeout:g} s" if store.timeout is not None else "its own limit"
        return f"{name} failed: it took longer than {limit}. Check that the store is up, or raise its timeout."
    description = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    return f"{name} failed with {description}. Check the store, or pass cache=None to do without."


_LONGEST_REASON = 200
_QUOTE = 32
"""So many characters of an entry in an error show that the error quotes it. Fewer may be there by chance."""


def _find_reason(error: BaseException, written: str) -> str:
    """What an error says, shortened; nothing if it can't say, or quotes the entry: an answer belongs in no log."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a store's own class, which must not break the call
        return ""
    # Client libraries like to quote the URL that they connect to, password and all.
    reason = re.sub(r"://\S*@", "://***@", text).rstrip(".")
    # A little more than is shown is looked at, so that no quote is shown that begins where the reason is cut.
    seen = reason[: _LONGEST_REASON + _QUOTE]
    if any(seen[start : start + _QUOTE] in written for start in range(len(seen) - _QUOTE + 1)):
        return ""
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[: _LONGEST_REASON - 3]}..."
