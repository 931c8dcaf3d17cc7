"""The bars: a provider that enforces limits is used to the full, and refuses next to nothing."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from instructor.cache.redis import RedisCache
from instructor.limits.account import Account, Limit
from instructor.limits.headers import rules_of
from instructor.limits.limiter import Limiter
from instructor.limits.settings import Limits
from instructor.limits.shared import SharedAccount
from instructor.limits.sizes import Size
from instructor.usage import Usage
from providers_with_limits import Clock, Server, World
from servers import Valkey

TOKENS, REQUESTS = 300_000, 600
SIZE = Size(400, 100)


def start(**settings: bool) -> tuple[Server, World, Clock]:
    clock = Clock()
    server = Server(clock, REQUESTS, TOKENS, **settings)
    return server, World(server, clock), clock


def refused(server: Server) -> float:
    return len(server.refused) / (len(server.refused) + len(server.answered))


@pytest.mark.parametrize(
    "settings", [{}, {"is_window": True}, {"charges_most": True}], ids=["bucket", "window", "charges the output limit"]
)
def test_the_allowed_tokens_are_used_and_hardly_a_request_is_refused(settings: dict[str, bool]) -> None:
    server, world, clock = start(**settings)
    world.add_program(width=80)
    begun = clock()
    world.run(120)
    allowed = TOKENS * (2 if server.tokens.is_window else 3)  # a bucket is full at first
    assert server.used(begun, clock()) >= 0.95 * allowed
    assert refused(server) <= 0.005


def test_the_allowed_requests_are_used_where_they_are_the_narrower_limit() -> None:
    server, world, _ = start()
    server.tokens.limit = server.tokens.left = 1e9
    world.add_program(width=80)
    world.run(120)
    assert len(server.answered) >= 0.95 * 3 * REQUESTS
    assert refused(server) <= 0.005


def test_a_limit_that_nobody_says_is_found(  # a provider without headers, such as Gemini
) -> None:
    server, world, clock = start(has_headers=False)
    world.add_program(width=80)
    world.run(120)
    assert server.used(clock() - 60, clock()) >= 0.7 * TOKENS
    assert refused(server) <= 0.02


def test_within_a_window_after_a_limit_was_halved_it_is_kept_and_used() -> None:
    server, world, clock = start()
    world.add_program(width=80)
    world.run(120)
    server.tokens.change(TOKENS / 2)
    server.requests.change(REQUESTS / 2)
    before = len(server.refused)
    world.run(60)
    world.run(60)
    assert server.used(clock() - 60, clock()) == pytest.approx(TOKENS / 2, rel=0.05)
    assert len(server.refused) - before <= 3


def test_programs_that_know_nothing_of_each_other_leave_each_other_room() -> None:
    server, world, clock = start()
    for _ in range(4):
        world.add_program(width=25)
    world.run(120)
    assert server.used(clock() - 60, clock()) >= 0.95 * TOKENS
    assert refused(server) <= 0.005


def test_four_processes_that_share_a_limit_stay_within_it(make_store: Callable[..., RedisCache]) -> None:
    """Ceilings of their own, which no header tells: only the server that they share can keep them."""
    server, world, clock = start(has_headers=False)
    server.tokens.limit = server.tokens.left = server.requests.limit = server.requests.left = 1e9
    limits = Limits(requests_per_minute=60, tokens_per_minute=30_000)
    for _ in range(4):
        world.add_program(width=4, limits=limits, shared=SharedAccount(make_store(), "account", clock))
    begun = clock()
    world.run(120)
    assert 0.9 * 90_000 <= server.used(begun, clock()) <= 90_000 + 1500  # a full bucket, and two minutes
    assert len(server.answered) <= 60 + 2 * 60


def test_a_server_that_fails_leaves_each_process_to_itself(
    valkey: Valkey, make_store: Callable[..., RedisCache]
) -> None:
    clock = Clock()
    shared = SharedAccount(make_store(), "account", clock)
    limiter = Limiter(Limits(requests_per_minute=2), rules_of("openai"), shared, clock)
    assert limiter.reserve(SIZE).wait() == 0.0
    valkey.stop()
    try:
        assert [limiter.reserve(SIZE).wait() > 0 for _ in range(3)] == [False, False, True]
        assert limiter.shared_now is None
    finally:
        valkey.start()
    clock.now += 6
    assert limiter.shared_now is shared
    assert limiter.reserve(SIZE).wait() == 0.0


def test_another_account_learns_of_a_limit_and_not_of_what_is_left_in_the_first() -> None:
    clock = Clock()
    limiter = Limiter(Limits(), rules_of("openai"), None, clock)
    first = limiter.reserve(SIZE)
    first.wait()
    headers = {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "0"}
    first.settle(None, headers, 200, 1.0)
    assert limiter.take(Account(clock))[0] == [Limit("requests", 600.0, 60.0)]


def test_a_ceiling_holds_below_the_providers_limit_and_not_above() -> None:
    clock = Clock()
    limiter = Limiter(Limits(requests_per_minute=2), rules_of("openai"), None, clock)
    first = limiter.reserve(SIZE)
    assert first.wait() == 0.0
    headers = {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "599"}
    first.settle(Usage(100, 10), headers, 200, 1.0)
    assert [limiter.reserve(SIZE).wait() > 0 for _ in range(2)] == [False, True]
    second = limiter.reserve(SIZE)
    clock.now += 120
    assert second.wait() == 0.0
    second.settle(Usage(100, 10), {"x-ratelimit-limit-requests": "1", "x-ratelimit-remaining-requests": "0"}, 200, 1.0)
    assert limiter.reserve(SIZE).wait() > 0


def test_before_the_first_answer_only_a_few_requests_are_under_way() -> None:
    limiter = Limiter(Limits(), rules_of("openai"), None, Clock())
    assert [limiter.reserve(SIZE).wait() > 0 for _ in range(9)] == [False] * 8 + [True]


def test_a_ceiling_of_one_request_at_once_holds_after_a_failure_too() -> None:
    limiter = Limiter(Limits(concurrency=1), rules_of("openai"))
    reservation = limiter.reserve(SIZE)
    assert not reservation.wait()
    reservation.settle(status=503, latency=0.1)
    assert limiter.concurrency == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_requests() -> None:
    limiter = Limiter(Limits(concurrency=1), rules_of("openai"))
    assert not limiter.reserve(SIZE).wait()
    child = os.fork()
    if child == 0:
        os._exit(1 if limiter.reserve(SIZE).wait() else 0)
    assert os.waitpid(child, 0)[1] == 0
    assert limiter.reserve(SIZE).wait() > 0


def test_a_provider_that_slows_down_gets_fewer_requests_at_once() -> None:
    clock = Clock()
    limiter = Limiter(Limits(), rules_of("openai"), None, clock)

    def answer_all(latency: float, times: int) -> None:
        for _ in range(times):
            flights = [limiter.reserve(SIZE) for _ in range(limiter.concurrency)]
            assert not any(flight.wait() for flight in flights)
            clock.now += latency
            for flight in flights:
                flight.settle(Usage(100, 10), {}, 200, latency)

    answer_all(1.0, 4)
    fast = limiter.concurrency
    assert fast > 20
    answer_all(10.0, 4)
    assert limiter.concurrency < fast


def headers_of(dimension: str, limit: int) -> dict[str, str]:
    return {f"x-ratelimit-limit-{dimension}": str(limit), f"x-ratelimit-remaining-{dimension}": "0"}


@pytest.mark.parametrize(
    ("dimension", "in_flight", "refused_first"), [("tokens", 1, False), ("tokens", 1, True), ("requests", 3, False)]
)
def test_a_limit_that_what_was_granted_contradicts_keeps_nobody_waiting(
    dimension: str, in_flight: int, refused_first: bool
) -> None:
    clock = Clock()
    limiter = Limiter(Limits(), rules_of("openai"), None, clock)
    if refused_first:
        asked = limiter.reserve(SIZE)
        assert asked.wait() == 0.0
        asked.settle(None, {**headers_of(dimension, 1), "retry-after": "1"}, 429, 0.1)
        assert limiter.reserve(SIZE).wait() > 0, "nothing contradicts it yet"
        clock.now += 1000
        limiter.own.lines[dimension].granted += 10  # as if several had been sent before it said so
    for _ in range(20):
        flights = [limiter.reserve(SIZE) for _ in range(in_flight)]
        assert [flight.wait() for flight in flights] == [0.0] * in_flight
        clock.now += 0.5
        for flight in flights:
            flight.settle(Usage(100, 100), headers_of(dimension, 1), 200, 0.5)


def test_after_a_refusal_it_is_believed_again() -> None:
    clock = Clock()
    limiter = Limiter(Limits(), rules_of("openai"), None, clock)
    for _ in range(2):
        asked = limiter.reserve(SIZE)
        assert asked.wait() == 0.0
        asked.settle(Usage(100, 100), headers_of("tokens", 50), 200, 0.5)
    asked = limiter.reserve(SIZE)
    assert asked.wait() == 0.0
    asked.settle(None, headers_of("tokens", 50), 429, 0.5)
    assert limiter.reserve(SIZE).wait() > 1.0, "longer than the pause after a refusal"


def test_a_limit_that_one_request_may_exceed_is_believed() -> None:
    """The tokens of an answer are known at its end alone, so the last one may go beyond a limit."""
    limiter = Limiter(Limits(), rules_of("openai"), None, Clock())
    asked = limiter.reserve(SIZE)
    assert asked.wait() == 0.0
    asked.settle(Usage(100, 100), headers_of("tokens", 150), 200, 0.5)
    assert limiter.reserve(SIZE).wait() > 1.0


@pytest.mark.parametrize("own", [Limits(tokens_per_minute=300), Limits(tokens_per_minute=300, concurrency=1)])
def test_the_callers_own_limit_holds_where_a_header_is_not_believed(own: Limits) -> None:
    clock = Clock()
    limiter = Limiter(own, rules_of("openai"), None, clock)
    for _ in range(3):
        asked = limiter.reserve(SIZE)
        while wait := asked.wait():
            clock.now += wait
        asked.settle(Usage(100, 100), headers_of("tokens", 1), 200, 0.5)
    assert limiter.reserve(SIZE).wait() > 1.0


def test_after_a_refusal_nobody_asks_for_as_long_as_it_says() -> None:
    clock = Clock()
    limiter = Limiter(Limits(), rules_of("openai"), None, clock)

    def refuse(headers: dict[str, str]) -> float:
        reservation = limiter.reserve(SIZE)
        assert reservation.wait() == 0.0
        reservation.settle(None, headers, 429, 0.1)
        turn = limiter.own.turn(limiter.take(limiter.own)[0], {"requests": 1.0}, None)
        clock.now += turn.wait
        return turn.wait

    assert [refuse({"retry-after": "7"}), refuse({"retry-after": "900"})] == pytest.approx([7.0, 60.0])
    assert [refuse({}), refuse({})] == pytest.approx([4.0, 8.0])


def test_what_an_answer_cost_is_settled() -> None:
    """A request reserves its output limit; its answer is short, and what is left goes to the next."""
    clock = Clock()
    limiter = Limiter(Limits(tokens_per_minute=1000), rules_of("openai"), None, clock)
    first = limiter.reserve(Size(400, 900))
    assert first.wait() == 0.0
    assert limiter.reserve(Size(400, 100)).wait() > 0
    first.settle(Usage(100, 20), {}, 200, 1.0)
    assert [limiter.reserve(Size(400, 900)).wait() > 0 for _ in range(3)] == [False] * 3


def test_tokens_from_the_providers_cache_count_where_they_count() -> None:
    for provider, counted in (("openai", 1000), ("anthropic", 100)):
        limiter = Limiter(Limits(input_tokens_per_minute=2000), rules_of(provider), None, Clock())
        first = limiter.reserve(Size(8000, 10))
        assert first.wait() == 0.0
        first.settle(Usage(1000, 10, cached_tokens=900), {}, 200, 1.0)
        limiter.reserve(SIZE).wait()
        line = limiter.own.lines["input"]
        assert line.granted - line.departed == pytest.approx(2000 - counted - 50, abs=60), provider


def test_a_request_that_was_never_sent_takes_nothing() -> None:
    limiter = Limiter(Limits(requests_per_minute=1), rules_of("openai"), None, Clock())
    assert limiter.reserve(SIZE).wait() == 0.0
    waiting = [limiter.reserve(SIZE) for _ in range(5)]
    longest = max(one.wait() for one in waiting)
    for one in waiting:
        one.cancel()
    assert limiter.reserve(SIZE).wait() <= longest
    assert limiter.own.lines["requests"].promised - limiter.own.lines["requests"].departed == 1.0
