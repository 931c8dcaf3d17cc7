"""Execute files one after another in one namespace, as the cells of a page: what comes before, a snippet, a look at it."""

import sys
from pathlib import Path

import environment  # noqa: F401 - it changes what the standard library answers

for name in sys.argv[1:]:
    exec(compile(Path(name).read_text(encoding="utf-8"), name, "exec", dont_inherit=True))
