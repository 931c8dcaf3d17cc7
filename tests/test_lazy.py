"""Names that are imported when they are asked for."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

import instructor
import instructor.cache
import instructor.testing
from instructor.lazy import resolve_names

FACES = pytest.mark.parametrize(
    "face", [instructor, instructor.cache, instructor.testing], ids=lambda face: face.__name__
)


@FACES
def test_every_public_name_has_a_home(face: ModuleType):
    assert face.__dir__() == sorted(face.__all__)
    assert all(hasattr(face, name) for name in face.__all__)


@FACES
def test_an_unknown_name_is_missing_in_that_module(face: ModuleType):
    with pytest.raises(AttributeError, match=f"'{face.__name__}' has no attribute 'no_such_name'"):
        face.no_such_name  # noqa: B018 - the access is the test


def test_a_name_is_looked_for_once(monkeypatch: pytest.MonkeyPatch):
    face = ModuleType("face")
    monkeypatch.setitem(sys.modules, "face", face)
    face.__getattr__, face.__dir__ = resolve_names("face", {"Mode": "instructor.mode"})
    assert "Mode" not in vars(face)
    assert face.Mode is instructor.Mode
    assert vars(face)["Mode"] is instructor.Mode
