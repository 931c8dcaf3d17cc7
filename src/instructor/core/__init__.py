"""Import paths of 1.x: ``from instructor.core import InstructorRetryException, Hooks``."""

from instructor.exceptions import *  # noqa: F403 - the same names, whatever they are
from instructor.hooks import *  # noqa: F403 - the same names, whatever they are
