"""Response models with a schema, under a path of 1.x."""

from instructor.dsl.schema import *  # noqa: F403 - the same names, whatever they are
