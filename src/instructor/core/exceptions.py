"""The errors under the path that upstream's users import them from."""

from instructor.exceptions import *  # noqa: F403 - the same names, whatever they are
