"""Which entry goes: policies stepped by hand, against a naive twin, and over traces of calls."""

from __future__ import annotations

import random

import pytest

from instructor.cache.eviction import (
    MOST_COUNTED,
    Adaptive,
    Frequencies,
    LeastRecent,
    MostFrequent,
    Policy,
    check_policy,
    make_policy,
)
from instructor.exceptions import ArgumentError
from traces import TRACES, QueuesOfThree, hit_rate, make_trace


def fill(policy: Policy, names: str) -> None:
    for name in names:
        policy.add(name)


def test_the_least_recently_used_name_goes_first() -> None:
    policy = LeastRecent()
    fill(policy, "abc")
    policy.use("a")
    policy.use("unknown")
    assert policy.choose() == "b"
    policy.drop("b")
    policy.drop("b")
    assert (policy.choose(), len(policy), "b" in policy) == ("c", 2, False)


def test_a_newcomer_goes_again_unless_it_was_asked_for_more_often() -> None:
    policy = MostFrequent()
    fill(policy, "abc")  # `c` is in the window, `b` has just left it
    policy.add("d")
    assert policy.choose() == "c", "the newcomer was used no more often than the oldest, `a`"
    policy.drop("c")
    for _ in range(2):
        policy.use("e")  # a miss counts
    fill(policy, "ef")
    assert policy.choose() == "b", "`a` had its chance, and is the latest again"
    policy.drop("b")
    policy.add("g")
    assert policy.choose() == "f"
    policy.drop("f")
    assert sorted(map(str, policy)) == ["a", "d", "e", "g"]


def test_without_the_filter_newcomers_stay_and_the_least_recently_used_goes() -> None:
    policy = MostFrequent()
    policy.filters = False
    fill(policy, "abcd")
    policy.use("a")
    assert policy.choose() == "b"


def test_a_store_of_one_keeps_the_newest() -> None:
    for policy in (LeastRecent(), MostFrequent(), Adaptive()):
        fill(policy, "a")
        assert policy.choose() == "a"
        policy.drop("a")
        assert len(policy) == 0


def test_frequencies_never_count_too_few_while_they_grow() -> None:
    rng, counts = random.Random(1), Frequencies()
    seen: dict[str, int] = {}
    for _ in range(3000):
        name = str(int(rng.paretovariate(0.5)))
        seen[name] = seen.get(name, 0) + 1
        counts.count(name, len(seen))
    assert all(counts.of(name) >= min(times, MOST_COUNTED) for name, times in seen.items())
    exact = sum(counts.of(name) == min(times, MOST_COUNTED) for name, times in seen.items())
    assert exact > 0.9 * len(seen), "and seldom too many"


def test_frequencies_are_halved_as_time_passes() -> None:
    counts = Frequencies()
    for _ in range(10):
        counts.count("a", 1)
    assert counts.of("a") == 10
    for _ in range(3000):
        counts.count("b", 1)
    assert counts.of("a") < 10


@pytest.mark.parametrize("make", [LeastRecent, MostFrequent, Adaptive])
def test_every_policy_holds_exactly_what_a_naive_store_holds(make: type[Policy]) -> None:
    """Whatever is added, used and dropped, in any order: the policy chooses one that is there, and forgets no other."""
    rng, policy, held = random.Random(3), make(), set[int]()
    for _ in range(4000):
        name = rng.randrange(60)
        if rng.random() < 0.1:
            policy.drop(name)
            held.discard(name)
        elif name in held or rng.random() < 0.2:
            policy.use(name)
        else:
            policy.add(name)
            held.add(name)
        while len(held) > 25 or (held and rng.random() < 0.01):
            chosen = policy.choose()
            assert chosen in held
            policy.drop(chosen)
            held.discard(chosen)
        assert len(policy) == len(held)
    assert set(policy) == held


def test_the_sample_of_a_large_store_stays_small() -> None:
    policy = Adaptive()
    for number in range(5000):
        policy.add(str(number))
    for number in range(5000, 10_000):
        policy.add(str(number))
        policy.drop(policy.choose())
    assert len(policy) == 5000
    assert len(policy._duel.recent) <= 512
    assert len(policy._duel.rival) <= 512


def check_rates(name: str, size: int) -> None:
    trace = make_trace(name, size)
    adaptive, recent = hit_rate(Adaptive(), trace, size), hit_rate(LeastRecent(), trace, size)
    assert adaptive > recent - 0.03
    if name == "evaluation":
        assert recent == 0
        assert adaptive >= 0.7
    if name in ("frequent few", "mostly unique", "questions and evaluation"):
        assert adaptive > recent + 0.02


@pytest.mark.parametrize("name", TRACES)
def test_no_trace_is_served_less_than_by_an_lru(name: str) -> None:
    """And a loop that is a fifth too large is served to 70 %, of 75 that are possible."""
    check_rates(name, 100)


@pytest.mark.soak
@pytest.mark.parametrize("size", [1000, 10_000])
@pytest.mark.parametrize("name", TRACES)
def test_no_trace_is_served_less_than_by_an_lru_at_full_size(name: str, size: int) -> None:
    """The table of ``docs/caching.md`` comes from these: see `tests/traces.py`."""
    check_rates(name, size)


def test_what_adaptive_is_better_than() -> None:
    """A fixed filter and S3-FIFO lose where topics shift: that is why neither is the default."""
    trace = make_trace("shifting topics", 100)
    adaptive = hit_rate(Adaptive(), trace, 100)
    assert adaptive > hit_rate(QueuesOfThree(), trace, 100) + 0.05
    assert adaptive > hit_rate(MostFrequent(), trace, 100) + 0.05


def test_policies_have_names() -> None:
    assert isinstance(make_policy(check_policy("MemoryCache(policy=)", "auto")), Adaptive)
    with pytest.raises(ArgumentError, match=r"MemoryCache\(policy=\)"):
        check_policy("MemoryCache(policy=)", "fifo")
