"""An answer as the data that came, of which the SDK's object is made once somebody wants it.

To make openai's object of a short completion takes longer than to send the request and to parse its JSON, and a call
whose caller wants the value alone never looks at it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from instructor.messages import Completion


class Received:
    """A provider's answer, before it is an object of its SDK.

    Attributes:
        kind: The name of the SDK's class, such as ``"ChatCompletion"``.
        data: The body of the response. Nobody changes it.
        private: What the SDK sets on the object beside the data, such as the number of the request.
    """

    __slots__ = ("_made", "_make", "data", "kind", "private")

    def __init__(
        self,
        kind: str,
        data: dict[str, Any],
        private: Mapping[str, str | None],
        make: Callable[[Received], Completion],
    ) -> None:
        self.kind = kind
        self.data = data
        self.private = private
        self._make = make
        self._made: list[Completion] = []

    def make(self) -> Completion:
        """The SDK's object: always the same one."""
        made = self._made
        if not made:
            made.append(self._make(self))  # two threads may each append one, and both get the first
        return made[0]


def data_of(completion: Completion) -> Completion:
    """What a wire reads of a completion: its data, where the SDK's object isn't made yet."""
    return completion.data if type(completion) is Received else completion


def object_of(completion: Completion) -> Completion:
    """The SDK's object."""
    return completion.make() if type(completion) is Received else completion
