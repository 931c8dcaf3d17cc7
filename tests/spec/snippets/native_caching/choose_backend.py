from instructor.cache import AutoCache, DiskCache

# For development/single-process
cache = AutoCache(maxsize=1000)

# For persistence
cache = DiskCache(directory=".cache")
