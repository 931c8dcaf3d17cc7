"""Half-price batches: the vendors' own, submitted once, resumed anywhere, answered into the cache."""
