from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.wires.calls import find_call, tell_calls

NAMES = st.lists(st.sampled_from(["User", "user", "functions.User", "weather", ""]))


@pytest.mark.parametrize(
    "called",
    ["User", "user", "USER", "functions.User", "default_api.User", "a.b:user", "tools/User", "User_1", "User-2"],
)
def test_a_lone_call_is_ours_by_any_spelling(called):
    assert find_call([called], "User") == 0
    assert find_call([called, called], "User") == (0 if called == "User" else None)


@pytest.mark.parametrize("called", ["find_user", "findUser", "Users", "User.find", "User_1_2", "UserList", "", "1"])
def test_a_name_that_only_looks_a_little_like_ours_is_anothers(called):
    assert find_call([called], "User") is None


def test_a_number_in_our_own_name_counts():
    assert find_call(["User_1"], "User_2") is None
    assert find_call(["functions.user_2"], "User_2") == 0


def test_where_the_answer_is_text_no_call_holds_it():
    assert find_call([""], "") is None


@given(NAMES)
def test_each_call_is_told_something_and_the_error_is_always_told(names):
    told = tell_calls(names, "User", "Bad.")
    assert len(told) == len(names)
    chosen = find_call(names, "User")
    assert ["Bad." in text for text in told] == [chosen in (None, index) for index in range(len(names))]
