"""``python -m instructor``: the same as the command ``instructor``."""

from __future__ import annotations

from instructor.cli import main

if __name__ == "__main__":
    main()
