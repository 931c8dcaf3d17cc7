"""Asking for a stream."""

from __future__ import annotations

from instructor.wires.folding import Streaming
from instructor.wires.openai_chat_stream import ChatFold

STREAMING = Streaming("create", {"stream": True, "extras": {"usage": True}}, ChatFold, tool_arguments={"eager": True})


def test_what_the_caller_set_stays_and_only_our_tools_change() -> None:
    request = {"model": "m", "extras": {"other": 1}, "tools": [{"name": "theirs"}, {"name": "User"}, "hosted"]}
    assert STREAMING.write(request, ["User"]) == {
        "model": "m",
        "stream": True,
        "extras": {"usage": True, "other": 1},
        "tools": [{"name": "theirs"}, {"name": "User", "eager": True}, "hosted"],
    }


def test_what_the_model_refuses_is_left_out() -> None:
    request = {"tools": [{"name": "User"}]}
    assert STREAMING.write(request, ["User"], {"extras", "eager"}) == {**request, "stream": True}
