"""Wires whose live answers may stay data read data as they read the SDK's objects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from instructor.mode import Mode
from instructor.testing.wires import WireContract
from instructor.wires.members import write_members


class AsData(WireContract):
    """Mixed into a wire's contract, before it: each completion is what the provider sent."""

    def answered(self, text: str, mode: Mode, name: str) -> Any:
        return write_members(super().answered(text, mode, name))

    def cut_off(self, mode: Mode) -> Any:
        return write_members(super().cut_off(mode))

    def refused(self, mode: Mode) -> Any:
        return write_members(super().refused(mode))

    def empty(self, mode: Mode) -> Any:
        return write_members(super().empty(mode))

    def chunks(self, completion: Any) -> Any:
        return super().chunks(
            SimpleNamespace(to_dict=lambda: completion, model_dump=lambda **_: completion)
        )  # which is what the contracts cut up
