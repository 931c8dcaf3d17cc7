"""Whose turn it is: the arithmetic in this process, and the same on a server."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from instructor.cache.redis import RedisCache
from instructor.limits.account import Account, Cut, Leave, Limit, Pause, Refund, Report, Turn
from instructor.limits.shared import SharedAccount
from providers_with_limits import Clock

ONE = {"requests": 1.0}
MINUTE = Limit("requests", 60.0)

Make = Callable[[Clock], Account | SharedAccount]


@pytest.fixture(params=["own", "shared"])
def make(request: pytest.FixtureRequest) -> Make:
    """Both accounts, each as it is made."""
    if request.param == "own":
        return Account
    store = request.getfixturevalue("make_store")()
    return lambda clock: SharedAccount(store, "account", clock)


def send(account: Account | SharedAccount, times: int, amount: float = 1.0) -> list[float]:
    """How long each of some requests would have to wait."""
    return [account.turn([], {"requests": amount}, None).wait for _ in range(times)]


def test_without_limits_nobody_waits(make: Make) -> None:
    assert send(make(Clock()), 1000 if make is Account else 20) == [0.0] * (1000 if make is Account else 20)


def test_what_is_left_goes_at_once_and_the_rest_in_order(make: Make) -> None:
    account = make(Clock())
    account.turn([Limit("requests", 3.0, 60.0)], ONE, None)
    assert send(account, 4) == pytest.approx([0.0, 0.0, 20.0, 40.0])


def test_a_wait_ends_when_it_says(make: Make) -> None:
    clock = Clock()
    account = make(clock)
    account.turn([Limit("requests", 1.0, 60.0)], ONE, None)
    first = account.turn([], ONE, None)
    assert first.wait == pytest.approx(60.0)
    clock.now += 30
    assert account.turn([], ONE, first.places).wait == pytest.approx(30.0)
    clock.now += 30
    assert account.turn([], ONE, first.places).wait == 0.0


def test_what_a_provider_says_is_left_counts_from_its_request_on(make: Make) -> None:
    account = make(Clock())
    first = account.turn([MINUTE], ONE, None)
    send(account, 5)
    account.turn([Limit("requests", 60.0, 60.0, 8.0, first.departed["requests"])], ONE, None)
    waits = send(account, 4)
    assert waits == pytest.approx([0.0, 0.0, 1.0, 2.0])  # 8 were left, 5 and 1 have gone since


def test_an_answer_to_an_earlier_request_says_nothing_new(make: Make) -> None:
    account = make(Clock())
    first = account.turn([MINUTE], ONE, None)
    second = account.turn([], ONE, None)
    late = Limit("requests", 60.0, 60.0, 50.0, first.departed["requests"])
    account.turn([Limit("requests", 60.0, 60.0, 0.0, second.departed["requests"]), late], ONE, None)
    assert send(account, 1) == pytest.approx([2.0])


def test_a_limit_that_is_said_again_brings_back_nothing_that_was_used(make: Make) -> None:
    account = make(Clock())
    account.turn([MINUTE], {"requests": 60.0}, None)
    assert account.turn([MINUTE], ONE, None).wait == pytest.approx(1.0)


def test_a_refund_lets_the_next_go_sooner(make: Make) -> None:
    account = make(Clock())
    account.turn([Limit("requests", 60.0)], {"requests": 60.0}, None)
    assert send(account, 1) == pytest.approx([1.0])
    assert account.turn([Refund("requests", 30.0)], ONE, None).wait == 0.0


def test_who_leaves_the_queue_makes_room(make: Make) -> None:
    account = make(Clock())
    account.turn([Limit("requests", 60.0)], {"requests": 60.0}, None)
    account.turn([], {"requests": 30.0}, None)
    assert account.turn([Leave("requests", 30.0)], ONE, None).wait == pytest.approx(1.0)


def test_places_of_the_dead_are_forgotten(make: Make) -> None:
    """A process that is killed while its requests wait leaves places behind that nobody takes."""
    clock = Clock()
    account = make(clock)
    account.turn([Limit("requests", 60.0)], {"requests": 60.0}, None)
    for _ in range(5):
        account.turn([], {"requests": 60.0}, None)
    for _ in range(10):
        clock.now += 60
        account.turn([], {}, {})
    assert account.turn([], ONE, None).wait == 0.0


def test_a_request_beyond_its_limit_waits_for_all_of_it(make: Make) -> None:
    clock = Clock()
    account = make(clock)
    account.turn([Limit("requests", 10.0)], ONE, None)
    large = account.turn([], {"requests": 500.0}, None, 0.1)
    clock.now += large.wait
    assert 0 < large.wait <= 60
    assert account.turn([], {"requests": 500.0}, large.places, 0.1).wait == 0.0


def test_nobody_goes_during_a_pause_and_no_pause_is_long(make: Make) -> None:
    clock = Clock()
    account = make(clock)
    assert account.turn([Pause(1e9)], ONE, None).wait == pytest.approx(60.0)
    clock.now -= 3600  # a server's clock that is set back
    assert account.turn([], ONE, None).wait == pytest.approx(60.0)


def test_a_window_begins_anew_at_once(make: Make) -> None:
    clock = Clock()
    account = make(clock)
    gone = account.turn([MINUTE], ONE, None)
    account.turn([Limit("requests", 60.0, 60.0, 1.0, gone.departed["requests"], 40.0)], ONE, None)
    assert send(account, 1) == pytest.approx([40.0])
    clock.now += 40
    assert send(account, 58) == [0.0] * 58


def test_a_limit_that_nobody_says_is_guessed_and_grows(make: Make) -> None:
    clock = Clock()
    account = make(clock)
    for _ in range(100):
        account.turn([], ONE, None)
        clock.now += 0.1
    account.turn([Cut("requests"), Cut("requests")], ONE, None)
    waits = send(account, 3)
    assert waits[1] - waits[0] == pytest.approx(0.1 / 0.7, rel=0.05)  # 600 a minute were sent: 420
    clock.now += 250
    waits = [account.turn([], {"requests": 400.0}, None).wait for _ in range(3)]
    assert waits[2] - waits[1] < 400 / 420 * 60 / 1.3


def test_a_report_from_before_a_server_forgot_all_is_only_believed_about_the_limit(make: Make) -> None:
    account = make(Clock())
    account.turn([Limit("requests", 5.0, 60.0, 0.0, 1e9)], ONE, None)
    gone = account.turn([], ONE, None)
    account.turn([Limit("requests", 5.0, 60.0, 1.0, gone.departed["requests"])], ONE, None)
    assert send(account, 1)[0] > 0


def test_the_server_reckons_as_this_process_does(make_store: Callable[[], RedisCache]) -> None:
    clock, chance = Clock(), random.Random(7)
    own = Account(clock)
    shared = SharedAccount(make_store(), "account", clock)
    waiting: list[tuple[dict[str, float], Turn, Turn]] = []
    latest: Turn | None = None
    for _ in range(300):
        clock.now += chance.choice([0, 0.01, 1, 20])
        departed = {} if latest is None else latest.departed
        reports = [draw_report(chance, dict(departed)) for _ in range(chance.randint(0, 2))]
        margin = chance.choice([0.0, 0.05])
        if waiting and chance.random() < 0.5:
            amounts, mine, theirs = waiting.pop(chance.randrange(len(waiting)))
        else:
            amounts, mine, theirs = {"requests": 1.0, "tokens": chance.uniform(1, 900)}, None, None
        one = own.turn(reports, amounts, mine and mine.places, margin)
        other = shared.turn(reports, amounts, theirs and theirs.places, margin)
        assert (other.wait > 0) is (one.wait > 0)
        assert other.wait == pytest.approx(one.wait, rel=1e-6, abs=1e-5)
        assert other.departed == pytest.approx(one.departed, rel=1e-9)
        if one.wait:
            waiting.append((amounts, one, other))
        else:
            latest = one


def draw_report(chance: random.Random, departed: dict[str, float]) -> Report:
    name = chance.choice(["requests", "tokens"])
    limit = {"requests": 20.0, "tokens": 4000.0}[name]
    remaining = chance.uniform(0, limit)
    return chance.choice(
        [
            Limit(name, limit, 60.0, remaining, departed.get(name)),
            Limit(name, limit, 60.0, remaining, departed.get(name), 30.0),
            Limit(name, limit / 2, 60.0, remaining, departed.get(name), is_ceiling=True),
            Refund(name, chance.uniform(-50, 50)),
            Leave(name, 1.0),
            Pause(chance.choice([0.5, 1e6])),
            Cut(name),
        ]
    )
