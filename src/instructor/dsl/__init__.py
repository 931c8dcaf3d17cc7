"""Ready-made response models, and validators that ask a model. The import paths are those of 1.x."""

from __future__ import annotations

from instructor.cache.carried import ListResponse
from instructor.dsl.citation import CitationMixin
from instructor.dsl.iterable import IterableModel
from instructor.dsl.maybe import Maybe
from instructor.dsl.simple_type import is_simple_type
from instructor.streaming.partial import Partial

ResponseList = ListResponse

__all__ = ["CitationMixin", "IterableModel", "ListResponse", "Maybe", "Partial", "ResponseList", "is_simple_type"]
