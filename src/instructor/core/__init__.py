"""Import paths of 1.x: ``from instructor.core import InstructorRetryException, Hooks``."""

from instructor.core.client import *  # noqa: F403 - the same names, whatever they are
from instructor.core.patch import *  # noqa: F403
from instructor.core.retry import retry_async as retry_async
from instructor.core.retry import retry_sync as retry_sync
from instructor.exceptions import *  # noqa: F403
from instructor.hooks import *  # noqa: F403
