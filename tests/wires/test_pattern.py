from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.wires.pattern import anchor_pattern


@pytest.mark.parametrize(
    ("pattern", "anchored"),
    [
        (r"\d{5}", "^[0-9]{5}$"),
        ("^a$", "^a$"),
        ("^$", "^$"),
        ("^a|b$", "^(a|b)$"),
        (r"(?:a|b)+?", "^((a|b)+)$"),
        (r"^person_\S+$", r"^person_[^ \t\n\r" + "\v\f\x1c-\x1f]+$"),
        (r"[\w.\-]+@x\.com", r"^[A-Za-z0-9_.-]+@x\.com$"),
        (r"[\w-.]", "^[A-Za-z0-9_.-]$"),
        (r"[\^a]", "^[a^]$"),
        (r"[]a\]]", r"^[\]a\]]$"),
        (r"\/a", "^/a$"),
        (r"a\$", r"^a\$$"),
        (r"a\\$", r"^a\\$"),
        ("x{2,3}?y", "^x{2,3}y$"),
    ],
)
def test_a_pattern_is_anchored_and_written_in_plain_classes(pattern, anchored):
    assert anchor_pattern(pattern) == anchored


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "^",
        "(?i)abc",
        "(?P<n>a)",
        "^(?!x)",
        r"(a)\1",
        "a^b",
        r"\bx",
        r"\p{L}+",
        r"\A\d\z",
        r"\W",
        r"[^\W]",
        "a{",
        "[",
    ],
)
def test_what_plain_classes_cannot_say_is_refused(pattern):
    assert anchor_pattern(pattern) is None


atoms = st.sampled_from(["a", "b", r"\d", r"\w", r"\s", r"\S", r"\.", "[a-c]", r"[^\d]", r"[\w-]", ".", "-", r"\-"])
patterns = st.recursive(
    atoms,
    lambda inner: (
        st.builds("{}{}".format, inner, inner)
        | st.builds("(?:{}|{})".format, inner, inner)
        | st.builds("({}){}".format, inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}?"]))
    ),
    max_leaves=6,
)


@given(pattern=patterns, start=st.sampled_from(["", "^"]), end=st.sampled_from(["", "$"]), data=st.data())
def test_what_an_anchored_pattern_lets_through_the_original_finds(pattern, start, end, data):
    original = f"{start}{pattern}{end}"
    anchored = anchor_pattern(original)
    assert anchored is not None
    text = data.draw(
        st.from_regex(re.compile(anchored, re.ASCII), fullmatch=True, alphabet=st.characters(codec="ascii"))
    )
    assert re.search(original, text)
