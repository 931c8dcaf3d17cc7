"""Many more random streams than the normal tests have time for."""

from __future__ import annotations

import pytest

from growth import check_stream

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@pytest.mark.parametrize("start", range(1_000, 3_000, 500))
def test_a_stream_of_a_random_model_only_grows_and_ends_and_replays_as_the_plain_call(start: int) -> None:
    assert sum(map(check_stream, range(start, start + 500))) > 100
