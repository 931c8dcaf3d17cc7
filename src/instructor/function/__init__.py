"""A user's function, cached: the decorator, the order of events in a call, and how results are kept."""
