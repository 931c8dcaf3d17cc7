"""Streaming: reading an answer while it is written, and showing what is complete of it."""
