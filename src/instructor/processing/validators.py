"""What a validator that asks a model gets back, under a path of 1.x."""

from instructor.dsl.validators import Validator

__all__ = ["Validator"]
