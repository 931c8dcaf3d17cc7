from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.messages import Part
from instructor.wires.calls import match_names, say_uncalled, select_parts, tell_calls

CALLED = st.lists(st.sampled_from(["User", "user", "functions.User", "Order", "weather", ""]))


@pytest.mark.parametrize(
    "called",
    ["User", "user", "USER", "functions.User", "default_api.User", "a.b:user", "tools/User", "User_1", "User-2"],
)
def test_a_lone_call_is_ours_by_any_spelling(called):
    assert match_names([called], ["User"]) == ["User"]
    assert match_names([called, called], ["User"]) == (["User", "User"] if called == "User" else ["", ""])


@pytest.mark.parametrize("called", ["find_user", "findUser", "Users", "User.find", "User_1_2", "UserList", "", "1"])
def test_a_name_that_only_looks_a_little_like_ours_is_anothers(called):
    assert match_names([called], ["User"]) == [""]


def test_a_number_in_our_own_name_counts():
    assert match_names(["User_1"], ["User_2"]) == [""]
    assert match_names(["functions.user_2"], ["User_2"]) == ["User_2"]


def test_a_spelling_that_fits_two_of_our_tools_is_taken_for_neither():
    assert match_names(["functions.USER"], ["User", "user"]) == [""]
    assert match_names(["functions.USER"], ["User", "Order"]) == ["User"]


def test_where_the_answer_is_text_no_call_holds_it():
    assert match_names([""], []) == [""]


def test_all_calls_of_our_tools_are_the_answer_in_their_order():
    calls = [Part("Order", "1"), Part("weather", "2"), Part("User", "3"), Part("Order", "4")]
    assert select_parts(calls, '{"a": 1}', ["User", "Order"]) == (calls[0], calls[2], calls[3])


def test_json_in_the_text_is_the_answer_only_where_nothing_was_called():
    assert select_parts([], 'So: {"a": 1}', ["User"]) == (Part("", '{"a": 1}'),)
    assert select_parts([Part("weather", "{}")], '{"a": 1}', ["User"]) == ()
    assert select_parts([], "Which user?", ["User"]) == ()


@given(CALLED)
def test_each_call_has_a_result_and_one_has_the_error(called):
    told = tell_calls(called, ["User"], "Bad.")
    assert len(told) == len(called)
    ours = match_names(called, ["User"])
    first = ours.index("User") if any(ours) else None
    assert ["Bad." in text for text in told] == [first in (None, index) for index in range(len(called))]


@given(CALLED)
def test_of_several_tools_every_call_of_ours_has_the_error_as_its_result(called):
    told = tell_calls(called, ["User", "Order"], "Bad.")
    ours = match_names(called, ["User", "Order"])
    assert ["Bad." in text for text in told] == [bool(name) or not any(ours) for name in ours]


def test_the_error_names_every_tool_that_could_have_been_called():
    assert "not 'User' or 'Order'" in say_uncalled(["weather"], ["User", "Order"])
