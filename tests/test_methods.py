"""What ``help()`` shows of the methods that ask: their own docstring and every keyword."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any

import pytest

from instructor import from_provider
from instructor.cache.key import EXCLUDED_FROM_KEY
from instructor.options import OPTION_NAMES


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("name", ["create", "create_with_completion", "create_with_reply"])
def test_help_shows_the_docstring_and_every_keyword(asynchronous: bool, name: str) -> None:
    client: Any = from_provider("offline/demo", async_client=asynchronous)
    method = getattr(client, name)
    shown = pydoc.plain(pydoc.render_doc(method))
    assert "Ask " in shown
    assert "methods.call_keywords" not in shown
    for keyword in OPTION_NAMES | {"response_model", "messages"}:
        assert keyword in inspect.signature(method).parameters
        assert f"{keyword}: " in inspect.getdoc(method)
    assert "Raises:" in shown


def test_every_keyword_of_ours_is_decided_about_in_the_key():
    """A keyword that is neither part of the key nor left out by name would be served answers that it wasn't asked for."""
    in_the_key = {
        "context",
        "strict",
    }  # the others of ours change how an answer is fetched, or have a member of their own
    assert in_the_key == OPTION_NAMES - EXCLUDED_FROM_KEY
