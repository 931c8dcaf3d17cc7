"""``instructor cache simulate``: what other sizes and policies would have served of the calls in a key log."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from instructor.cache.eviction import PolicyName, check_policy, make_policy
from instructor.cache.key_log import count_hits, read_log
from instructor.cli.cache_report import Report
from instructor.exceptions import ConfigurationError


def simulate(
    log: Annotated[str, Argument(metavar="LOG", help="A file that instructor.cache.KeyLog has written.")],
    *,
    sizes: Annotated[
        str | None,
        Option(metavar="N,N,...", help="Entries that the store holds. Default: parts of what was asked for."),
    ] = None,
    policies: Annotated[str, Option(metavar="NAME,...", help="auto, lru or tinylfu.")] = "auto,lru,tinylfu",
) -> Report:
    """Say what stores of other sizes and policies would have served of the calls in a key log.

    The last row is a store without a limit: what it misses was never asked before.
    """
    keys = read_log(log)
    different = len(set(keys))
    names: list[PolicyName] = [check_policy("--policies", name.strip()) for name in policies.split(",")]
    rows: list[dict[str, object]] = [
        {"entries": size, "policy": name, "hits": hits, "hit_rate": round(hits / len(keys), 4)}
        for size in _read_sizes(sizes, different)
        for name in names
        for hits in [count_hits(make_policy(name), keys, size)]
    ]
    most = len(keys) - different
    rows.append({"entries": different, "policy": "no limit", "hits": most, "hit_rate": round(most / len(keys), 4)})
    return Report(rows, note=f"{len(keys):,} calls for {different:,} different answers.")


def _read_sizes(sizes: str | None, different: int) -> list[int]:
    if sizes is None:
        return sorted({max(1, different // part) for part in (16, 8, 4, 2)})
    found = [int(text) for text in sizes.replace("_", "").split(",") if text.strip().isdecimal()]
    if len(found) != len(sizes.split(",")) or 0 in found:
        raise ConfigurationError(f'--sizes {sizes} takes whole numbers above 0, such as "100,1000".')
    return found
