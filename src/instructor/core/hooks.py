"""The hooks under the path that upstream's users import them from."""

from instructor.hooks import *  # noqa: F403 - the same names, whatever they are
