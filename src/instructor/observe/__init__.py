"""Traces, metrics and logs of a client's calls, for the systems that a team runs anyway.

Each function registers handlers on a client and returns a function that removes them. None of them costs anything
before it is called.
"""

from __future__ import annotations

from instructor.observe.attaching import logs, opentelemetry, prometheus

__all__ = ["logs", "opentelemetry", "prometheus"]
