"""Media under an old import path of 1.x; `instructor.processing.multimodal` is the newer one."""

from instructor.processing.multimodal import *  # noqa: F403 - the same names, whatever they are
