"""Templates are filled from the context alone, and a variable that it lacks is named."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from instructor.templating import render_messages


def render(text: str, **context: Any) -> str:
    return render_messages([{"role": "user", "content": text}], context)[0]["content"]


def test_a_variable_that_the_context_lacks_is_named_once_and_stays_as_written() -> None:
    with pytest.warns(
        UserWarning, match=r"messages\[0\]\.content is sent with \{\{ nme \}\} unfilled.*has: name, age"
    ) as caught:
        assert render("Hi {{ nme }}, {{ nme }}, {{ age }}", name="secret", age=3) == "Hi {{ nme }}, {{ nme }}, 3"
    assert [warning.filename for warning in caught] == [__file__]
    assert "secret" not in str(caught[0].message)


def test_a_member_that_is_missing_is_named() -> None:
    with pytest.warns(UserWarning, match="'nme'"):
        render("Hi {{ user.nme }}", user={"name": "Jason"})


@pytest.mark.parametrize(
    "text",
    [
        "{{ name | default('you') }}",
        "{% if name %}x{% endif %}you",
        "{% if name is defined %}x{% endif %}you",
        "{% raw %}{{ name }}{% endraw %}{{ other }}",
        "{{ other }}",
    ],
)
def test_a_variable_that_may_be_missing_is_not_warned_of(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert render(text, other="you").endswith("you")


def test_without_a_context_braces_are_text() -> None:
    messages = [{"role": "user", "content": "{{ name }}"}]
    assert render_messages(messages, None) is messages
    assert render_messages(messages, {}) is messages
