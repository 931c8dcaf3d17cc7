from instructor import from_provider

client = from_provider("your/favorite/model", cache=cache)
