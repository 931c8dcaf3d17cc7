"""Wire formats: how a provider's requests are written and its answers read. No SDK is imported here."""
